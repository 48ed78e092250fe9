package jobs

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/AutumnsGrove/Patina/backup"
	"github.com/AutumnsGrove/Patina/backup/export"
	"github.com/AutumnsGrove/Patina/backup/object"
	"github.com/AutumnsGrove/Patina/backup/retention"
	"github.com/AutumnsGrove/Patina/store"
)

// childEnv holds a childConfig in the environment of a child process.
const childEnv = "PATINA_JOBS_CHILD"

// childConfig tells a child process, which is a started Runner, where to stop.
type childConfig struct {
	URL, Dir string
	KillAt   string    // the step before which it kills itself with SIGKILL
	SQLite   string    // a folder of SQLite files to export for true; "": stand-ins
	Bucket   string    // of a vault, by its URL; "": a folder at Dir
	Now      time.Time // what its clock shows; zero: the true time
	Weekly   int       // weeks that it keeps archives
	HoldAt   string    // the step at which it waits for a line on stdin: "export" is within the export
}

// childMain is the child: it prints each step on a line of its own, and stops
// gracefully on SIGTERM.
func childMain() int {
	var c childConfig
	if err := json.Unmarshal([]byte(os.Getenv(childEnv)), &c); err != nil {
		return fail(err)
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	s, err := store.Open(ctx, c.URL)
	if err != nil {
		return fail(err)
	}
	defer s.Close()
	in := bufio.NewReader(os.Stdin)
	seen := map[string]int{}
	var mu sync.Mutex
	step := func(name string) {
		mu.Lock()
		seen[name]++
		nth := fmt.Sprintf("%s-%d", name, seen[name])
		mu.Unlock()
		fmt.Println(name)
		if nth == c.KillAt {
			name = nth
		}
		switch name {
		case c.KillAt:
			_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
			select {}
		case c.HoldAt:
			_, _ = in.ReadString('\n')
			fmt.Println("held " + name)
		}
	}
	out := &folder{dir: c.Dir}
	exp := func(ctx context.Context, db backup.Database, req export.Request) (*backup.Manifest, error) {
		step("export")
		m, err := out.export(ctx, db, req)
		step("exported")
		return m, err
	}
	change := func(cfg *Config) {
		cfg.Hook, cfg.Keep = step, retention.Fixed{Weekly: c.Weekly}
		if !c.Now.IsZero() {
			cfg.Clock = func() time.Time { return c.Now }
		}
	}
	over := func(cfg *Config) {
		overFiles(c.SQLite, c.Dir)(cfg)
		if c.Bucket == "" {
			return
		}
		if cfg.Bucket, err = object.Open(ctx, c.Bucket, object.Config{}); err != nil {
			panic(err)
		}
	}
	var r *Runner
	if c.SQLite == "" {
		r, err = newTestRunner(s, exp, out, change)
	} else {
		r, err = newTestRunner(s, nil, nil, over, change)
	}
	if err != nil {
		return fail(err)
	}
	if err := r.Start(ctx); err != nil {
		return fail(err)
	}
	fmt.Println("started " + r.process.ID)
	<-ctx.Done()
	if err := r.Stop(context.Background()); err != nil {
		return fail(err)
	}
	return 0
}

func fail(err error) int {
	fmt.Fprintln(os.Stderr, err)
	return 3
}

// child is a running child process.
type child struct {
	t     *testing.T
	cmd   *exec.Cmd
	in    io.Writer
	lines chan string
	ended chan error
}

func (b *bench) child(c childConfig) *child {
	b.t.Helper()
	c.URL, c.Dir = b.url, b.out.dir
	env, err := json.Marshal(c)
	if err != nil {
		b.t.Fatal(err)
	}
	self, err := os.Executable()
	if err != nil {
		b.t.Fatal(err)
	}
	cmd := exec.Command(self)
	cmd.Env = append(os.Environ(), childEnv+"="+string(env))
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		b.t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		b.t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		b.t.Fatal(err)
	}
	ch := &child{t: b.t, cmd: cmd, in: in, lines: make(chan string, 1000), ended: make(chan error, 1)}
	go func() {
		for sc := bufio.NewScanner(out); sc.Scan(); {
			ch.lines <- sc.Text()
		}
		close(ch.lines)
		ch.ended <- cmd.Wait()
	}()
	b.t.Cleanup(func() { _ = cmd.Process.Kill() })
	return ch
}

// says waits until the child prints a line that begins so.
func (c *child) says(prefix string) string {
	c.t.Helper()
	timeout := time.After(40 * time.Second)
	for {
		select {
		case line, ok := <-c.lines:
			if !ok {
				c.t.Fatalf("the child ended and never said %q", prefix)
			}
			if strings.HasPrefix(line, prefix) {
				return line
			}
		case <-timeout:
			c.t.Fatalf("the child never said %q", prefix)
		}
	}
}

// dies waits until the child is gone and tells by which signal.
func (c *child) dies() syscall.Signal {
	c.t.Helper()
	select {
	case <-c.ended:
	case <-time.After(40 * time.Second):
		c.t.Fatal("the child lives on")
	}
	return c.cmd.ProcessState.Sys().(syscall.WaitStatus).Signal()
}

func (c *child) signal(s syscall.Signal) {
	c.t.Helper()
	if err := c.cmd.Process.Signal(s); err != nil {
		c.t.Fatal(err)
	}
}
