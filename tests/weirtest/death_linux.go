package weirtest

import "syscall"

// diesWithTest lets the kernel kill a process whose test has died without cleaning up. It takes effect when the thread
// ends that started the process.
func diesWithTest() *syscall.SysProcAttr { return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL} }
