package storage

import (
	"errors"
	"fmt"
	"io"
	"io/fs"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// FS is a namespace of files: the real disk or a CrashFS.
type FS = vfs.FS

// Disk is the operating system's file system.
func Disk() FS { return vfs.Default }

// lockName is the file in a data folder that its owner holds locked.
const lockName = "LOCK"

// LockDir makes dir if it is missing and locks it exclusively until the
// Closer is closed or the process ends. The error names the folder when
// another process, or this one, holds it already.
func LockDir(fsys FS, dir string) (io.Closer, error) {
	if err := makeDir(fsys, dir); err != nil {
		return nil, err
	}
	lock, err := fsys.Lock(fsys.PathJoin(dir, lockName))
	if err != nil {
		return nil, fmt.Errorf("storage: data folder %s is in use by another process: %w", dir, err)
	}
	return lock, nil
}

// Free returns the bytes that this process may still write to the file
// system of dir, and the size of that file system, both in bytes.
func Free(dir string) (free, total uint64, err error) {
	usage, err := vfs.Default.GetDiskUsage(dir)
	if err != nil {
		return 0, 0, fmt.Errorf("storage: free space of %s: %w", dir, err)
	}
	return usage.AvailBytes, usage.TotalBytes, nil
}

// makeDir makes dir and its parents and syncs every folder that got a new
// entry: a file synced in a folder whose own entry is lost, is lost.
func makeDir(fsys FS, dir string) error {
	if _, err := fsys.Stat(dir); err == nil {
		return nil
	} else if !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("storage: %w", err)
	}
	parent := fsys.PathDir(dir)
	if parent != dir {
		if err := makeDir(fsys, parent); err != nil {
			return err
		}
	}
	if err := fsys.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("storage: %w", err)
	}
	return syncDir(fsys, parent)
}

func syncDir(fsys FS, dir string) error {
	f, err := fsys.OpenDir(dir)
	if err != nil {
		return fmt.Errorf("storage: %w", err)
	}
	if err := errors.Join(f.Sync(), f.Close()); err != nil {
		return fmt.Errorf("storage: sync of folder %s: %w", dir, err)
	}
	return nil
}
