//go:build !linux

package storage

// dropCache does nothing: only linux has the call.
func dropCache(uintptr) error { return nil }
