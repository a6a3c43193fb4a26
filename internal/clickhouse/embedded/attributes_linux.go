package embedded

import "syscall"

// childAttributes: the kernel kills the child when its parent dies, whatever
// kills the parent, and a terminal's Ctrl-C is for the parent alone, which
// stops the child when the services have drained.
func childAttributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true}
}
