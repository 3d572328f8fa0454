//go:build unix && !linux

package main

import "syscall"

func stopWithParent(*syscall.SysProcAttr) {}
