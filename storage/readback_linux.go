package storage

import "golang.org/x/sys/unix"

// dropCache asks the kernel to forget the clean pages of a file.
func dropCache(fd uintptr) error {
	return unix.Fadvise(int(fd), 0, 0, unix.FADV_DONTNEED)
}
