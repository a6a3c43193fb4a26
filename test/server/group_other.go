//go:build !linux

package server

import (
	"os/exec"
	"syscall"
)

// group puts the child into a process group of its own.
func group(cmd *exec.Cmd) { cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} }
