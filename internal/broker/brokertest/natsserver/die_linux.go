package natsserver

import (
	"os/exec"
	"syscall"
)

// dieWithParent makes the kernel kill the child when we end.
func dieWithParent(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
}
