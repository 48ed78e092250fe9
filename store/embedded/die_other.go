//go:build unix && !linux

package embedded

import "syscall"

// dieWithParent: only Linux can. Elsewhere a server outlives kill -9 of our
// process, and the next start in its folder ends it first.
func dieWithParent(*syscall.SysProcAttr) {}
