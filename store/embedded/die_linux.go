package embedded

import "syscall"

// dieWithParent has the kernel end the child when the thread that starts it
// ends, after kill -9 of our process too. A fast shutdown: nothing to recover.
func dieWithParent(attr *syscall.SysProcAttr) { attr.Pdeathsig = fast }
