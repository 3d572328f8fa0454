package storage

import (
	"errors"
	"fmt"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// readBack makes what reads of dir show be what the disk has (PROTOCOL D4).
// After a failed sync a kernel may call pages clean that never reached the
// disk; a process that starts later sees them and no error. So every file and
// folder is synced first, and then leaves the page cache.
func readBack(fsys FS, dir string) error {
	names, err := fsys.List(dir)
	if err != nil {
		return fmt.Errorf("storage: read back: %w", err)
	}
	for _, name := range names {
		path := fsys.PathJoin(dir, name)
		info, err := fsys.Stat(path)
		if err != nil {
			return fmt.Errorf("storage: read back: %w", err)
		}
		if info.IsDir() {
			err = readBack(fsys, path)
		} else {
			err = readBackFile(fsys, path)
		}
		if err != nil {
			return err
		}
	}
	return syncDir(fsys, dir)
}

func readBackFile(fsys FS, path string) error {
	f, err := fsys.Open(path)
	if err != nil {
		return fmt.Errorf("storage: read back: %w", err)
	}
	if err = f.Sync(); err == nil {
		if c, ok := f.(*crashFile); ok {
			c.dropCache()
		} else if fd := f.Fd(); fd != vfs.InvalidFd {
			err = dropCache(fd)
		}
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return fmt.Errorf("storage: read back %s: %w", path, err)
	}
	return nil
}
