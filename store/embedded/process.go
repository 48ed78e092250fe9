//go:build unix

package embedded

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/AutumnsGrove/Patina/backup"
)

// The postmaster's signals.
const (
	fast      = syscall.SIGINT  // disconnect everyone, write down, go
	immediate = syscall.SIGQUIT // go; the next start recovers from the log
)

// process is a postmaster that is our child.
type process struct {
	cmd   *exec.Cmd
	ended chan struct{} // closed when it has gone
	err   error         // what Wait said; read after ended
}

// startProcess runs Postgres with its output in the file log. On Linux the
// kernel ends it when the thread that started it ends: so one thread is kept
// for that alone until it has gone.
func startProcess(path string, args []string, dir, log string, a account) (*process, error) {
	out, err := os.OpenFile(log, os.O_WRONLY|os.O_CREATE|os.O_TRUNC|syscall.O_NOFOLLOW, 0o600)
	if err != nil {
		return nil, err
	}
	p := &process{cmd: exec.Command(path, args...), ended: make(chan struct{})}
	p.cmd.Dir = dir
	p.cmd.Env = environment()
	p.cmd.Stdout, p.cmd.Stderr = out, out
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Credential: a.cred, Setpgid: true} // Ctrl-C is for us, not for it
	dieWithParent(p.cmd.SysProcAttr)
	started := make(chan error)
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		defer func() { _ = out.Close() }()
		err := p.cmd.Start()
		started <- err
		if err == nil {
			p.err = p.cmd.Wait()
			close(p.ended)
		}
	}()
	if err := <-started; err != nil {
		return nil, err
	}
	return p, nil
}

// stop ends it and waits until it has gone.
func (p *process) stop(ctx context.Context) error {
	_ = p.cmd.Process.Signal(fast)
	select {
	case <-p.ended:
		return nil
	case <-ctx.Done():
	}
	_ = p.cmd.Process.Signal(immediate)
	select {
	case <-p.ended:
		return nil
	case <-time.After(10 * time.Second):
	}
	_ = p.cmd.Process.Kill()
	<-p.ended
	return backup.Errorf(backup.ErrUnavailable, "the embedded Postgres had to be killed; its next start recovers")
}

// stopOrphan ends a server that a process of ours left behind in this folder:
// we hold the lock, so whoever started it is gone.
func (s *Server) stopOrphan(ctx context.Context) error {
	pidFile := filepath.Join(s.dir, "data", "postmaster.pid")
	for asked := false; ; asked = true {
		pid := readPid(pidFile)
		if pid == 0 || !isServerOf(pid, filepath.Join(s.dir, "data")) {
			return nil // a stale file of a server that has gone is Postgres's own to judge
		}
		if !asked {
			s.cfg.Log.Info("embedded Postgres: ending a server left behind", "pid", pid)
			if err := syscall.Kill(pid, fast); err != nil && !errors.Is(err, syscall.ESRCH) {
				return &backup.Error{Kind: backup.ErrDenied, Message: fmt.Sprintf("a Postgres left behind (process %d) cannot be ended", pid), Next: fmt.Sprintf("End it: kill -INT %d", pid), Err: err}
			}
		}
		if pause(ctx) != nil {
			return backup.Errorf(backup.ErrUnavailable, "a Postgres left behind (process %d) does not end", pid)
		}
	}
}

// readPid gives the process that a postmaster.pid names, or 0.
func readPid(path string) int {
	b, err := os.ReadFile(path)
	if err != nil {
		return 0
	}
	line, _, _ := strings.Cut(string(b), "\n")
	pid, err := strconv.Atoi(strings.TrimSpace(line))
	if err != nil || pid <= 1 {
		return 0
	}
	return pid
}

// isServerOf tells whether pid is a living Postgres of that data folder: its
// number may have passed to somebody else since.
func isServerOf(pid int, data string) bool {
	if err := syscall.Kill(pid, 0); errors.Is(err, syscall.ESRCH) {
		return false
	}
	out, err := exec.Command("ps", "-o", "stat=,args=", "-p", strconv.Itoa(pid)).Output()
	if err != nil {
		return commandLine(pid, data)
	}
	line := strings.TrimSpace(string(out))
	return !strings.HasPrefix(line, "Z") && strings.Contains(line, "postgres") && strings.Contains(line, data)
}

// commandLine is isServerOf where there is no ps.
func commandLine(pid int, data string) bool {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
	return err == nil && strings.Contains(string(b), "postgres") && strings.Contains(string(b), data)
}
