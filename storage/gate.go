package storage

import (
	"os"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// gate is the file system that Pebble writes through. Its first failed write
// or sync is the store's error, and after the store's error nothing more
// reaches the disk: Pebble tries failed work again, and one that returns from
// its logger's Fatalf spoils its own manifest (PROTOCOL D6: no retry).
type gate struct {
	vfs.FS
	r *PebbleRows
}

type gateFile struct {
	vfs.File
	g gate
}

// do runs one change of the disk.
func (g gate) do(change func() error) error {
	if err := g.r.Err(); err != nil {
		return err
	}
	err := change()
	if err != nil {
		g.r.fail(err)
	}
	return err
}

func (g gate) file(open func() (vfs.File, error)) (f vfs.File, err error) {
	err = g.do(func() error {
		f, err = open()
		return err
	})
	if err != nil {
		return nil, err
	}
	return gateFile{f, g}, nil
}

// Create implements vfs.FS.
func (g gate) Create(name string, c vfs.DiskWriteCategory) (vfs.File, error) {
	return g.file(func() (vfs.File, error) { return g.FS.Create(name, c) })
}

// OpenReadWrite implements vfs.FS.
func (g gate) OpenReadWrite(name string, c vfs.DiskWriteCategory, o ...vfs.OpenOption) (vfs.File, error) {
	return g.file(func() (vfs.File, error) { return g.FS.OpenReadWrite(name, c, o...) })
}

// ReuseForWrite implements vfs.FS.
func (g gate) ReuseForWrite(oldname, newname string, c vfs.DiskWriteCategory) (vfs.File, error) {
	return g.file(func() (vfs.File, error) { return g.FS.ReuseForWrite(oldname, newname, c) })
}

// OpenDir implements vfs.FS.
func (g gate) OpenDir(name string) (vfs.File, error) {
	return g.file(func() (vfs.File, error) { return g.FS.OpenDir(name) })
}

// Rename implements vfs.FS.
func (g gate) Rename(oldname, newname string) error {
	return g.do(func() error { return g.FS.Rename(oldname, newname) })
}

// Link implements vfs.FS.
func (g gate) Link(oldname, newname string) error {
	return g.do(func() error { return g.FS.Link(oldname, newname) })
}

// MkdirAll implements vfs.FS.
func (g gate) MkdirAll(dir string, perm os.FileMode) error {
	return g.do(func() error { return g.FS.MkdirAll(dir, perm) })
}

// Remove implements vfs.FS. That it fails is no error of the store's: Pebble
// removes what it no longer needs, and looks for files that are not there.
func (g gate) Remove(name string) error {
	if err := g.r.Err(); err != nil {
		return err
	}
	return g.FS.Remove(name)
}

// Unwrap implements vfs.FS.
func (g gate) Unwrap() vfs.FS { return g.FS }

// Write implements vfs.File.
func (f gateFile) Write(p []byte) (n int, err error) {
	err = f.g.do(func() error {
		n, err = f.File.Write(p)
		return err
	})
	return n, err
}

// WriteAt implements vfs.File.
func (f gateFile) WriteAt(p []byte, off int64) (n int, err error) {
	err = f.g.do(func() error {
		n, err = f.File.WriteAt(p, off)
		return err
	})
	return n, err
}

// Sync implements vfs.File.
func (f gateFile) Sync() error { return f.g.do(f.File.Sync) }

// SyncData implements vfs.File.
func (f gateFile) SyncData() error { return f.g.do(f.File.SyncData) }

// SyncTo implements vfs.File.
func (f gateFile) SyncTo(length int64) (full bool, err error) {
	err = f.g.do(func() error {
		full, err = f.File.SyncTo(length)
		return err
	})
	return full, err
}
