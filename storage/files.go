package storage

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// tempSuffix ends the name of a file that is being written.
const tempSuffix = ".tmp"

// Files is a folder of small files, each there as it was written or not at all:
// for what may be lost and must not be torn. It is not safe for concurrent use.
type Files struct {
	fsys FS
	dir  string
}

// OpenFiles makes the folder if it is missing, and removes what writes that
// never ended have left in it.
func OpenFiles(fsys FS, dir string) (*Files, error) {
	if err := makeDir(fsys, dir); err != nil {
		return nil, err
	}
	f := &Files{fsys, dir}
	names, err := f.names()
	if err != nil {
		return nil, err
	}
	for _, name := range names {
		if strings.HasSuffix(name, tempSuffix) {
			if err := f.Remove(name); err != nil {
				return nil, err
			}
		}
	}
	return f, nil
}

func (f *Files) names() ([]string, error) {
	names, err := f.fsys.List(f.dir)
	if err != nil {
		return nil, fmt.Errorf("storage: %w", err)
	}
	slices.Sort(names)
	return names, nil
}

// Each calls yield for every file by name, with at most limit bytes of each.
func (f *Files) Each(limit int64, yield func(name string, data []byte)) error {
	names, err := f.names()
	if err != nil {
		return err
	}
	for _, name := range names {
		file, err := f.fsys.Open(f.fsys.PathJoin(f.dir, name))
		if err != nil {
			return fmt.Errorf("storage: %w", err)
		}
		data, err := io.ReadAll(io.LimitReader(file, limit))
		if err := errors.Join(err, file.Close()); err != nil {
			return fmt.Errorf("storage: %s: %w", name, err)
		}
		yield(name, data)
	}
	return nil
}

// Write makes the file, or replaces it. It returns once the file is durable.
func (f *Files) Write(name string, data []byte) error {
	path := f.fsys.PathJoin(f.dir, name)
	file, err := f.fsys.Create(path+tempSuffix, vfs.WriteCategoryUnspecified)
	if err != nil {
		return fmt.Errorf("storage: %w", err)
	}
	if _, err = file.Write(data); err == nil {
		err = file.Sync()
	}
	if err = errors.Join(err, file.Close()); err == nil {
		err = f.fsys.Rename(path+tempSuffix, path)
	}
	if err != nil {
		return errors.Join(fmt.Errorf("storage: %w", err), f.Remove(name+tempSuffix))
	}
	return syncDir(f.fsys, f.dir)
}

// Remove removes the file. A crash may bring it back.
func (f *Files) Remove(name string) error {
	if err := f.fsys.Remove(f.fsys.PathJoin(f.dir, name)); err != nil {
		return fmt.Errorf("storage: %w", err)
	}
	return nil
}
