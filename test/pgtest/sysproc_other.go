//go:build unix && !linux

package pgtest

import "syscall"

// serverProcAttr gives the server a process group of its own, so that Ctrl-C
// in a terminal reaches us and not it. There is no parent-death signal here:
// a server whose parent was killed must be stopped by hand.
func serverProcAttr(user runAs) *syscall.SysProcAttr {
	attr := sysProcAttr(user)
	attr.Setpgid = true
	return attr
}
