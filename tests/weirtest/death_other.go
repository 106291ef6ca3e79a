//go:build !linux

package weirtest

import "syscall"

// diesWithTest does nothing where the kernel knows no such thing.
func diesWithTest() *syscall.SysProcAttr { return nil }
