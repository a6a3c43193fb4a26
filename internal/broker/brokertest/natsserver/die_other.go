//go:build !linux

package natsserver

import "os/exec"

// dieWithParent cannot be had here; Cleanup ends the child.
func dieWithParent(*exec.Cmd) {}
