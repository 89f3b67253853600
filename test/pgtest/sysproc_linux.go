package pgtest

import "syscall"

// serverProcAttr gives the server a process group of its own, so that Ctrl-C
// in a terminal reaches us and not it, and ends it when we die: SIGQUIT makes
// it take its children along.
func serverProcAttr(user runAs) *syscall.SysProcAttr {
	attr := sysProcAttr(user)
	attr.Setpgid = true
	attr.Pdeathsig = syscall.SIGQUIT
	return attr
}
