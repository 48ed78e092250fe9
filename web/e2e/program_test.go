// Package e2e drives the whole program in a real browser: the binary as people
// start it, and Chromium as they look at it. It holds tests alone.
package e2e

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/AutumnsGrove/Patina/backup/d1/d1sim"
)

// program is a running Patina, and what a person needs to use it.
type program struct {
	url, password string
	data          string   // its folder
	env           []string // beyond the process's own
	stop          func()   // as Ctrl-C does, and waits

	// Of serve alone:
	setup   string         // the link that makes the first admin
	account *d1sim.Account // what it backs up
	refused atomic.Value   // the id of a database that the token may not read; ""
}

// binaries is where the program is built, once for all tests.
var binaries string

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "patina-e2e-")
	if err != nil {
		panic(err)
	}
	binaries = dir
	code := m.Run()
	_ = os.RemoveAll(dir)
	os.Exit(code)
}

var build = sync.OnceValues(func() (string, error) {
	bin := filepath.Join(binaries, "patina")
	cmd := exec.Command("go", "build", "-o", bin, "./cmd/patina")
	cmd.Dir = filepath.Join(here(), "..", "..")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build: %w\n%s", err, out)
	}
	return bin, nil
})

// here is this folder.
func here() string {
	_, file, _, _ := runtime.Caller(0)
	return filepath.Dir(file)
}

var (
	signIn = regexp.MustCompile(`Sign in +admin +(\S+)`)
	setup  = regexp.MustCompile(`http://[^"\s]+/setup\?key=[^"\s]+`)
)

// demo starts the demo, and waits for its summary.
func demo(t *testing.T) *program {
	t.Helper()
	p := &program{}
	p.run(t, nil, func(line string) bool {
		if m := signIn.FindStringSubmatch(line); m != nil {
			p.password = m[1]
		}
		return strings.Contains(line, "Ctrl-C stops")
	}, "demo", "--dev")
	return p
}

// serve starts the server as for a real account, which is a simulated one that
// takes its time for each answer. Nobody can sign in yet, and nothing is stored.
func serve(t *testing.T, latency time.Duration) *program {
	t.Helper()
	sim, err := d1sim.New(d1sim.Config{Dir: t.TempDir(), AccountID: "acc", Token: "tok", Latency: latency})
	if err == nil {
		err = d1sim.Grove(t.Context(), sim)
	}
	if err != nil {
		t.Fatal(err)
	}
	p := &program{password: "moss and copper, 2026", account: sim}
	p.refused.Store("")
	answer := sim.Handler()
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if id := p.refused.Load().(string); id != "" && strings.Contains(r.URL.Path, "/"+id) {
			w.Header().Set("Content-Type", "application/json")
			w.WriteHeader(http.StatusForbidden)
			_, _ = io.WriteString(w, `{"result":null,"success":false,"errors":[{"code":10000,"message":"Authentication error"}],"messages":[]}`)
			return
		}
		answer.ServeHTTP(w, r)
	}))
	t.Cleanup(func() {
		srv.CloseClientConnections()
		srv.Close()
		_ = sim.Close()
	})
	env := []string{"CLOUDFLARE_ACCOUNT_ID=acc", "CLOUDFLARE_API_TOKEN=tok", "CLOUDFLARE_BASE_URL=" + srv.URL, "PATINA_SECRET=MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="}
	known := false
	p.run(t, env, func(line string) bool {
		if m := setup.FindString(line); m != "" {
			p.setup = m
		}
		known = known || strings.Contains(line, "the account changed")
		return p.setup != "" && known
	}, "serve", "--embedded")
	return p
}

// run starts the program on a free port, with data of its own, and reads what it
// says until ready.
func (p *program) run(t *testing.T, env []string, ready func(line string) bool, args ...string) {
	t.Helper()
	bin, err := build()
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p.url = "http://" + l.Addr().String()
	_ = l.Close()
	// Postgres refuses to run as root, and whoever it runs as must get there.
	dir, err := os.MkdirTemp("", "patina-e2e-data-")
	if err == nil {
		err = os.Chmod(dir, 0o711) //nolint:gosec // as above
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	p.data = filepath.Join(dir, "data")
	p.env = append(append(os.Environ(), "PATINA_DATA="+p.data, "PATINA_ADDR="+strings.TrimPrefix(p.url, "http://"), "PATINA_PUBLIC_URL="+p.url), env...)
	p.begin(t, bin, ready, args...)
}

// begin starts the program on what it has, and reads what it says until ready.
func (p *program) begin(t *testing.T, bin string, ready func(line string) bool, args ...string) {
	t.Helper()
	cmd := exec.Command(bin, args...)
	cmd.Env = p.env
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	out, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stdout, cmd.Stderr = w, w
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	_ = w.Close()
	p.stop = sync.OnceFunc(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		_ = cmd.Wait()
	})
	t.Cleanup(p.stop)
	late := time.AfterFunc(2*time.Minute, func() { _ = cmd.Process.Kill() })
	defer late.Stop()
	var said strings.Builder
	for s := bufio.NewScanner(out); s.Scan(); {
		said.WriteString(s.Text() + "\n")
		if ready(s.Text()) {
			go func() { _, _ = io.Copy(io.Discard, out) }()
			return
		}
	}
	t.Fatalf("it did not start:\n%s", said.String())
}

// command runs a verb on the same installation to its end.
func (p *program) command(t *testing.T, args ...string) string {
	t.Helper()
	bin, err := build()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(bin, args...)
	cmd.Env = p.env
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("patina %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return string(out)
}
