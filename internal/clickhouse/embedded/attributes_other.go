//go:build unix && !linux

package embedded

import "syscall"

// childAttributes: a terminal's Ctrl-C is for the parent alone, which stops the
// child when the services have drained. The child notices its parent's death by
// the end of stdin.
func childAttributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true}
}
