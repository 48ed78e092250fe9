// Package d1test gives tests a real D1: workerd, the engine that D1 runs on,
// behind the HTTP API that Patina speaks, on a port of the loopback interface.
//
// It owns the engine's process and the small Worker in it. What SQL does, what
// is refused, how values become JSON and how an import is read are the engine's
// own; the envelope, the bookmarks and the choice of how an import commits are
// the Worker's, after Cloudflare's documentation. Only tests use it.
package d1test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/AutumnsGrove/Patina/backup/d1"
	"github.com/AutumnsGrove/Patina/backup/object"
)

// The engine's one account.
const (
	AccountID = "d1test"
	Token     = "d1test-token" //nolint:gosec // of an engine on the loopback interface
)

// The engine's one bucket of R2, by its S3 face.
const (
	bucketKey    = "d1test"
	bucketSecret = "d1test-secret" //nolint:gosec // likewise
)

// Pieces begins the names of databases whose imports commit in pieces, nearly
// every statement by itself; all others import in one transaction. Which of the
// two Cloudflare does is not documented.
const Pieces = "pieces-"

// Engine is a running engine. It holds many databases, and it ends when the
// test process does.
type Engine struct{ url string }

var start = sync.OnceValues(func() (*Engine, error) {
	_, file, _, _ := runtime.Caller(0)
	return run(filepath.Dir(file))
})

// Start gives the engine of this test process, and starts it the first time.
func Start(t testing.TB) *Engine {
	t.Helper()
	e, err := start()
	if err != nil {
		t.Fatalf("the D1 engine did not start: %v", err)
	}
	return e
}

// URL is the base URL of the API: up to, without, /accounts.
func (e *Engine) URL() string { return e.url }

// Bucket gives the URL of the engine's bucket of R2, and the key to it. Tests of
// one process share it.
func (e *Engine) Bucket() (string, object.Config) {
	return "s3://bucket?region=auto&endpoint=" + e.url + "/cdn-cgi/local/r2/s3", object.Config{R2AccessKeyID: bucketKey, R2SecretAccessKey: bucketSecret}
}

// Client gives a client of the account, without a limit of rate.
func (e *Engine) Client(t testing.TB) *d1.Client {
	t.Helper()
	c, err := d1.New(d1.Config{AccountID: AccountID, Token: Token, BaseURL: e.url, Limiter: d1.NewLocalLimiter(1e6, 1e6)})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// Create makes an empty database, which is deleted when the test ends. Names
// are unique in the account.
func (e *Engine) Create(t testing.TB, name string) (id string) {
	t.Helper()
	c := e.Client(t)
	info, err := c.Create(t.Context(), name, d1.CreateOptions{})
	if err != nil {
		t.Fatalf("create %s: %v", name, err)
	}
	t.Cleanup(func() {
		if err := c.Delete(context.WithoutCancel(t.Context()), info.ID); err != nil {
			t.Errorf("delete %s: %v", name, err)
		}
	})
	return info.ID
}

// Exec runs statements, each in a request of its own, as a writer of the
// application would.
func (e *Engine) Exec(t testing.TB, id string, sql ...string) {
	t.Helper()
	c := e.Client(t)
	for _, s := range sql {
		if _, err := c.Exec(t.Context(), id, []string{s}); err != nil {
			t.Fatalf("%.200s: %v", s, err)
		}
	}
}

// startTime is how long the engine may take to listen.
const startTime = time.Minute

// run starts the engine that is installed in dir. Its standard input is a pipe
// from this process: however this process ends, kill -9 included, the pipe is
// closed, and the engine ends and takes workerd with it.
func run(dir string) (*Engine, error) {
	if err := install(dir); err != nil {
		return nil, err
	}
	cmd := exec.Command(filepath.Join(dir, "node_modules", "node", "bin", "node"), filepath.Join(dir, "run.mjs"), AccountID, Token, bucketKey, bucketSecret)
	cmd.Dir = dir
	var log safeBuffer
	cmd.Stderr = &log
	if _, err := cmd.StdinPipe(); err != nil {
		return nil, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	line := make(chan string, 1)
	go func() {
		s, _ := bufio.NewReader(out).ReadString('\n')
		line <- strings.TrimSpace(s)
		_ = cmd.Wait()
	}()
	timer := time.NewTimer(startTime)
	defer timer.Stop()
	select {
	case url := <-line:
		if url == "" {
			return nil, fmt.Errorf("it ended at once: %s", log.String())
		}
		return &Engine{url}, nil
	case <-timer.C:
		_ = cmd.Process.Kill()
		return nil, fmt.Errorf("it does not listen: %s", log.String())
	}
}

type safeBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *safeBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *safeBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

// install fetches the packages that package-lock.json names, unless they are
// there. Test packages run side by side: a lock file lets one of them do it.
func install(dir string) error {
	lock, err := os.OpenFile(filepath.Join(os.TempDir(), "patina-d1test.lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return err
	}
	defer lock.Close()
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX); err != nil {
		return fmt.Errorf("lock %s: %w", lock.Name(), err)
	}
	done := filepath.Join(dir, "node_modules", ".package-lock.json") // npm writes it last
	if have, err := os.Stat(done); err == nil {
		want, err := os.Stat(filepath.Join(dir, "package-lock.json"))
		if err != nil || !have.ModTime().Before(want.ModTime()) {
			return err
		}
	} else if !errors.Is(err, os.ErrNotExist) {
		return err
	}
	cmd := exec.Command("npm", "ci", "--no-audit", "--no-fund")
	cmd.Dir = dir
	if text, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("npm ci in %s: %w\n%s", dir, err, text)
	}
	now := time.Now()
	return os.Chtimes(done, now, now)
}
