package storage

import (
	"io"
	"io/fs"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// crashFile is an open file or folder of a CrashFS.
type crashFile struct {
	fs       *CrashFS
	node     *crashNode
	name     string
	at       int64 // of the next Read or Write
	writable bool
}

// crashLock is a held lock; closing it releases the name.
type crashLock struct {
	vfs.File
	name string
	fs   *CrashFS
}

// Close implements io.Closer.
func (l *crashLock) Close() error {
	l.fs.unlock(l.name)
	return l.File.Close()
}

// Close implements vfs.File.
func (f *crashFile) Close() error { return nil }

// Read implements vfs.File.
func (f *crashFile) Read(p []byte) (int, error) {
	n, err := f.ReadAt(p, f.at)
	f.at += int64(n)
	if n > 0 {
		err = nil
	}
	return n, err
}

// ReadAt implements vfs.File.
func (f *crashFile) ReadAt(p []byte, off int64) (int, error) {
	f.fs.mu.Lock()
	defer f.fs.mu.Unlock()
	want := p[:max(0, min(int64(len(p)), f.node.size-off))]
	n := copy(want, tail(f.node.cache, off))
	clear(want[n:])
	if len(want) < len(p) {
		return len(want), io.EOF
	}
	return len(p), nil
}

// Write implements vfs.File.
func (f *crashFile) Write(p []byte) (int, error) {
	n, err := f.WriteAt(p, f.at)
	f.at += int64(n)
	return n, err
}

// WriteAt implements vfs.File.
func (f *crashFile) WriteAt(p []byte, off int64) (int, error) {
	f.fs.mu.Lock()
	defer f.fs.mu.Unlock()
	if !f.writable || f.node.isDir {
		return 0, fs.ErrPermission
	}
	if err := f.fs.spend(); err != nil {
		return 0, err
	}
	n, end := f.node, off+int64(len(p))
	n.cache = grow(n.cache, end)
	copy(n.cache[off:], p)
	n.size = max(n.size, end)
	if last := len(n.dirty) - 1; last >= 0 && n.dirty[last].hi == off {
		n.dirty[last].hi = end
	} else {
		n.dirty = append(n.dirty, span{off, end})
	}
	return len(p), nil
}

// Preallocate implements vfs.File: like the real one it leaves the size.
func (f *crashFile) Preallocate(int64, int64) error { return nil }

// Sync implements vfs.File.
func (f *crashFile) Sync() error {
	f.fs.mu.Lock()
	defer f.fs.mu.Unlock()
	return f.fs.sync(f.node)
}

// SyncData implements vfs.File.
func (f *crashFile) SyncData() error { return f.Sync() }

// SyncTo implements vfs.File: it promises nothing and does nothing.
func (f *crashFile) SyncTo(int64) (bool, error) { return false, nil }

// Prefetch implements vfs.File.
func (f *crashFile) Prefetch(int64, int64) error { return nil }

// Fd implements vfs.File.
func (f *crashFile) Fd() uintptr { return vfs.InvalidFd }

// dropCache makes reads show the disk, as after posix_fadvise(DONTNEED),
// which leaves dirty pages alone.
func (f *crashFile) dropCache() {
	f.fs.mu.Lock()
	defer f.fs.mu.Unlock()
	if n := f.node; !n.isDir && len(n.dirty) == 0 {
		n.cache = append(n.cache[:0], n.disk...)
		n.size = n.diskSize
	}
}

// Stat implements vfs.File.
func (f *crashFile) Stat() (vfs.FileInfo, error) {
	f.fs.mu.Lock()
	defer f.fs.mu.Unlock()
	return crashStat{name: f.name, size: f.node.size, isDir: f.node.isDir}, nil
}

// crashStat is what Stat tells of a file; a CrashFS has no clock.
type crashStat struct {
	name  string
	size  int64
	isDir bool
}

// Name implements fs.FileInfo.
func (s crashStat) Name() string { return s.name }

// Size implements fs.FileInfo, in bytes.
func (s crashStat) Size() int64 { return s.size }

// Mode implements fs.FileInfo.
func (s crashStat) Mode() fs.FileMode {
	if s.isDir {
		return fs.ModeDir | 0o700
	}
	return 0o600
}

// ModTime implements fs.FileInfo.
func (s crashStat) ModTime() time.Time { return time.Time{} }

// IsDir implements fs.FileInfo.
func (s crashStat) IsDir() bool { return s.isDir }

// Sys implements fs.FileInfo.
func (s crashStat) Sys() any { return nil }

// DeviceID implements vfs.FileInfo.
func (s crashStat) DeviceID() vfs.DeviceID { return vfs.DeviceID{} }
