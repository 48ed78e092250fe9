//go:build faults

package main

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
)

// failpoint kills this process, as kill -9 would, at the step that
// PATINA_FAILPOINT names: "before:upload.complete", or with ":3" behind it the
// third time that step is reached. It exists only in builds with the tag
// faults, which tests make.
func failpoint() func(step string) {
	at, nth := os.Getenv("PATINA_FAILPOINT"), int64(1)
	if at == "" {
		return nil
	}
	if i := strings.LastIndexByte(at, ':'); i >= 0 {
		if n, err := strconv.ParseInt(at[i+1:], 10, 64); err == nil && n > 0 {
			at, nth = at[:i], n
		}
	}
	var seen atomic.Int64
	return func(step string) {
		if step != at || seen.Add(1) != nth {
			return
		}
		fmt.Fprintln(os.Stderr, "failpoint:", step)
		_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
		select {} // the signal is on its way; go no further
	}
}
