package server

import (
	"os/exec"
	"syscall"
)

// group puts the child into a process group of its own and makes the kernel
// kill it when we end.
func group(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}
