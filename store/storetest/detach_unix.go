//go:build unix

package storetest

import (
	"os/exec"
	"syscall"
)

// detach takes the command out of our process group, so that what ends the
// test's group lets it clear up.
func detach(cmd *exec.Cmd) { cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true} }
