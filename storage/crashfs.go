package storage

import (
	"errors"
	"io"
	"io/fs"
	"maps"
	"os"
	"path"
	"slices"
	"strings"
	"sync"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// sector is the unit, in bytes, that a disk writes whole or not at all.
const sector = 512

// Faults that a CrashFS injects.
var (
	ErrSyncFault = errors.New("storage: injected fault: sync failed")
	ErrPowerCut  = errors.New("storage: injected fault: power was cut")
)

// CrashFS is a file system in memory that keeps apart what programs see (the
// page cache) and what a power loss leaves (the disk). Only a sync moves
// bytes from the one to the other: of a file its contents, of a folder its
// entries. It is safe for concurrent use; with one goroutine all it does
// follows from the calls and from random.
//
// A process that is killed loses nothing: open the same CrashFS again. A
// power loss is Crash.
//
// It models no hard links and no renames between folders.
type CrashFS struct {
	mu     sync.Mutex
	random func(n int) int
	root   *crashNode
	locked map[string]bool // names held by Lock
	syncs  int             // syncs until one fails; 0: none will
	power  int             // changes until the power is cut; 0: it stays
	dark   bool
}

// crashNode is a file or a folder.
type crashNode struct {
	isDir bool

	// A file: the cache, the disk, and where they may differ for lack of a
	// sync. Bytes of a file beyond its slice read as zeros.
	cache, disk    []byte
	size, diskSize int64
	dirty          []span // in order of writing

	// A folder: entries seen and on disk, and the changes between them.
	entries, diskEntries map[string]*crashNode
	changes              []change // in order of making
}

// span is the bytes lo ≤ i < hi of a file.
type span struct{ lo, hi int64 }

// change is one step on a folder's entries, atomic on disk: drop one name,
// give another to a node.
type change struct {
	drop, add string // "": none
	node      *crashNode
}

// NewCrashFS returns an empty file system. random(n) returns a number in
// [0, n) for n > 0: it alone decides what crashes and faults leave.
func NewCrashFS(random func(n int) int) *CrashFS {
	return &CrashFS{random: random, root: newDir()}
}

func newDir() *crashNode { return &crashNode{isDir: true, entries: map[string]*crashNode{}} }

// FailSync makes the n-th following sync (1 is the next; 0: none) of a file
// or folder return ErrSyncFault. Like a kernel, the CrashFS then believes the
// data clean: a random part of it reached the disk, the cache shows all of it
// until Crash, and later syncs succeed without writing it.
func (c *CrashFS) FailSync(n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.syncs = n
}

// CutPower makes the n-th following change (write, sync, creation, renaming,
// removal; 1 is the next; 0: none) and every one after it fail with
// ErrPowerCut and do nothing. Crash then gives the state at that moment.
func (c *CrashFS) CutPower(n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.power, c.dark = n, false
}

// Crash returns the file system as a power loss at this moment leaves it. Of
// each file it keeps what was synced and, by random choice, all of the rest,
// none, or any subset of its 512-byte sectors; a lost sector reads as it last
// was on disk, as zeros if it never was; a file may have grown without its
// bytes. Of each folder it keeps the synced entries and all, none or some of
// the changes since. The receiver stays as it is, for whoever still runs on
// it, and faults that were ordered are not taken over.
func (c *CrashFS) Crash() *CrashFS {
	c.mu.Lock()
	defer c.mu.Unlock()
	return &CrashFS{random: c.random, root: c.crash(c.root)}
}

func (c *CrashFS) crash(n *crashNode) *crashNode {
	if !n.isDir {
		return c.crashFile(n)
	}
	entries := maps.Clone(n.diskEntries)
	if entries == nil {
		entries = map[string]*crashNode{}
	}
	keep := c.fate()
	for _, ch := range n.changes {
		if keep() {
			ch.apply(entries)
		}
	}
	out := &crashNode{isDir: true, entries: entries}
	for _, name := range slices.Sorted(maps.Keys(entries)) {
		entries[name] = c.crash(entries[name])
	}
	out.diskEntries = maps.Clone(entries)
	return out
}

func (c *CrashFS) crashFile(n *crashNode) *crashNode {
	out := &crashNode{disk: slices.Clone(n.disk), diskSize: n.diskSize}
	c.settle(n, out, c.fate())
	out.cache, out.size = slices.Clone(out.disk), out.diskSize
	return out
}

// fate draws how unsynced things fare: all kept, none, or each for itself.
func (c *CrashFS) fate() (keep func() bool) {
	switch c.random(3) {
	case 0:
		return func() bool { return true }
	case 1:
		return func() bool { return false }
	default:
		return func() bool { return c.random(2) == 0 }
	}
}

// settle writes those unsynced sectors of from that keep wants to the disk of
// to, which is from itself or a copy of its disk.
func (c *CrashFS) settle(from, to *crashNode, keep func() bool) {
	for _, s := range from.dirty {
		for lo := s.lo; lo < s.hi; {
			hi := min(s.hi, lo/sector*sector+sector)
			if keep() {
				to.disk = grow(to.disk, hi)
				copy(to.disk[lo:hi], tail(from.cache, lo))
				to.diskSize = max(to.diskSize, hi)
			}
			lo = hi
		}
	}
	if from.size != to.diskSize && keep() {
		to.diskSize = max(from.size, int64(len(to.disk)))
	}
}

// tail is b from lo on, empty if b ends before it.
func tail(b []byte, lo int64) []byte { return b[min(lo, int64(len(b))):] }

// grow returns b with at least n bytes, new ones zero.
func grow(b []byte, n int64) []byte {
	if extra := int(n) - len(b); extra > 0 {
		b = append(b, make([]byte, extra)...)
	}
	return b
}

func (ch change) apply(entries map[string]*crashNode) {
	delete(entries, ch.drop)
	if ch.add != "" {
		entries[ch.add] = ch.node
	}
}

func (n *crashNode) change(ch change) {
	ch.apply(n.entries)
	n.changes = append(n.changes, ch)
}

// sync moves what is unsynced in n to the disk, or fails as ordered.
func (c *CrashFS) sync(n *crashNode) error {
	if err := c.spend(); err != nil {
		return err
	}
	keep, err := func() bool { return true }, error(nil)
	if c.syncs > 0 {
		if c.syncs--; c.syncs == 0 {
			keep, err = c.fate(), ErrSyncFault
		}
	}
	if n.isDir {
		if n.diskEntries == nil {
			n.diskEntries = map[string]*crashNode{}
		}
		for _, ch := range n.changes {
			if keep() {
				ch.apply(n.diskEntries)
			}
		}
		n.changes = n.changes[:0]
		return err
	}
	c.settle(n, n, keep)
	n.dirty = n.dirty[:0]
	return err
}

// spend counts one change towards the power cut.
func (c *CrashFS) spend() error {
	if c.power > 0 {
		if c.power--; c.power == 0 {
			c.dark = true
		}
	}
	if c.dark {
		return ErrPowerCut
	}
	return nil
}

// find returns the folder that holds name, the last element of name, and the
// node there, nil if there is none. For the root all but the node are zero.
func (c *CrashFS) find(op, name string) (dir *crashNode, base string, n *crashNode, err error) {
	n = c.root
	for part := range strings.SplitSeq(path.Clean(name), "/") {
		if part == "" || part == "." {
			continue
		}
		if n == nil || !n.isDir {
			return nil, "", nil, &fs.PathError{Op: op, Path: name, Err: fs.ErrNotExist}
		}
		dir, base, n = n, part, n.entries[part]
	}
	return dir, base, n, nil
}

func (c *CrashFS) existing(op, name string) (*crashNode, error) {
	_, _, n, err := c.find(op, name)
	if err == nil && n == nil {
		err = &fs.PathError{Op: op, Path: name, Err: fs.ErrNotExist}
	}
	return n, err
}

// Create implements vfs.FS.
func (c *CrashFS) Create(name string, _ vfs.DiskWriteCategory) (vfs.File, error) {
	return c.open("create", name, true)
}

// OpenReadWrite implements vfs.FS.
func (c *CrashFS) OpenReadWrite(name string, _ vfs.DiskWriteCategory, _ ...vfs.OpenOption) (vfs.File, error) {
	return c.open("open", name, false)
}

func (c *CrashFS) open(op, name string, fresh bool) (vfs.File, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	dir, base, n, err := c.find(op, name)
	if err != nil {
		return nil, err
	}
	if dir == nil || n != nil && n.isDir {
		return nil, &fs.PathError{Op: op, Path: name, Err: errors.New("is a folder")}
	}
	if n == nil || fresh {
		if err := c.spend(); err != nil {
			return nil, err
		}
		n = &crashNode{}
		dir.change(change{add: base, node: n})
	}
	return &crashFile{fs: c, node: n, name: base, writable: true}, nil
}

// Open implements vfs.FS.
func (c *CrashFS) Open(name string, _ ...vfs.OpenOption) (vfs.File, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	n, err := c.existing("open", name)
	if err != nil {
		return nil, err
	}
	return &crashFile{fs: c, node: n, name: path.Base(name)}, nil
}

// OpenDir implements vfs.FS.
func (c *CrashFS) OpenDir(name string) (vfs.File, error) { return c.Open(name) }

// Remove implements vfs.FS.
func (c *CrashFS) Remove(name string) error {
	n, err := c.remove(name)
	if err == nil && n == nil {
		err = &fs.PathError{Op: "remove", Path: name, Err: fs.ErrNotExist}
	}
	return err
}

// RemoveAll implements vfs.FS.
func (c *CrashFS) RemoveAll(name string) error {
	_, err := c.remove(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

func (c *CrashFS) remove(name string) (*crashNode, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	dir, base, n, err := c.find("remove", name)
	if err != nil || n == nil || dir == nil {
		return nil, err
	}
	if err := c.spend(); err != nil {
		return nil, err
	}
	dir.change(change{drop: base})
	return n, nil
}

// Rename implements vfs.FS, within one folder.
func (c *CrashFS) Rename(oldname, newname string) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	dir, from, n, err := c.find("rename", oldname)
	if err == nil && (n == nil || dir == nil) {
		err = &fs.PathError{Op: "rename", Path: oldname, Err: fs.ErrNotExist}
	}
	if err != nil {
		return err
	}
	other, to, _, err := c.find("rename", newname)
	if err != nil {
		return err
	}
	if other != dir {
		return &fs.PathError{Op: "rename", Path: oldname, Err: errors.ErrUnsupported}
	}
	if err := c.spend(); err != nil {
		return err
	}
	dir.change(change{drop: from, add: to, node: n})
	return nil
}

// ReuseForWrite implements vfs.FS.
func (c *CrashFS) ReuseForWrite(oldname, newname string, category vfs.DiskWriteCategory) (vfs.File, error) {
	if err := c.Rename(oldname, newname); err != nil {
		return nil, err
	}
	return c.OpenReadWrite(newname, category)
}

// MkdirAll implements vfs.FS.
func (c *CrashFS) MkdirAll(name string, _ os.FileMode) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	n := c.root
	for part := range strings.SplitSeq(path.Clean(name), "/") {
		if part == "" || part == "." {
			continue
		}
		next := n.entries[part]
		if next == nil {
			if err := c.spend(); err != nil {
				return err
			}
			next = newDir()
			n.change(change{add: part, node: next})
		} else if !next.isDir {
			return &fs.PathError{Op: "mkdir", Path: name, Err: fs.ErrExist}
		}
		n = next
	}
	return nil
}

// Link implements vfs.FS: it is not supported.
func (c *CrashFS) Link(string, string) error { return errors.ErrUnsupported }

// Lock implements vfs.FS. Locks end with Close or Crash.
func (c *CrashFS) Lock(name string) (io.Closer, error) {
	c.mu.Lock()
	held := c.locked[name]
	if c.locked == nil {
		c.locked = map[string]bool{}
	}
	c.locked[name] = true
	c.mu.Unlock()
	if held {
		return nil, &fs.PathError{Op: "lock", Path: name, Err: errors.New("held already")}
	}
	f, err := c.OpenReadWrite(name, vfs.WriteCategoryUnspecified)
	if err != nil {
		c.unlock(name)
		return nil, err
	}
	return &crashLock{File: f, name: name, fs: c}, nil
}

func (c *CrashFS) unlock(name string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.locked, name)
}

// List implements vfs.FS; names are sorted.
func (c *CrashFS) List(name string) ([]string, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	n, err := c.existing("list", name)
	if err != nil {
		return nil, err
	}
	return slices.Sorted(maps.Keys(n.entries)), nil
}

// Stat implements vfs.FS.
func (c *CrashFS) Stat(name string) (vfs.FileInfo, error) {
	f, err := c.Open(name)
	if err != nil {
		return nil, err
	}
	return f.Stat()
}

// PathBase implements vfs.FS.
func (c *CrashFS) PathBase(name string) string { return path.Base(name) }

// PathJoin implements vfs.FS.
func (c *CrashFS) PathJoin(elem ...string) string { return path.Join(elem...) }

// PathDir implements vfs.FS.
func (c *CrashFS) PathDir(name string) string { return path.Dir(name) }

// GetDiskUsage implements vfs.FS: a CrashFS has no size.
func (c *CrashFS) GetDiskUsage(string) (vfs.DiskUsage, error) {
	return vfs.DiskUsage{}, vfs.ErrUnsupported
}

// Unwrap implements vfs.FS.
func (c *CrashFS) Unwrap() vfs.FS { return nil }
