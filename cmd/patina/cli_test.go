package main

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/spf13/cobra"
)

var update = flag.Bool("update", false, "write the golden files anew")

// answer is what one run of the program left behind.
type answer struct {
	code     int
	out, err string
}

// env is the environment of a run.
type env map[string]string

func (e env) lookup(name string) (string, bool) { v, ok := e[name]; return v, ok }

// patina runs the program in this process.
func patina(t *testing.T, e env, args ...string) answer {
	t.Helper()
	return patinaIn(t, e, "", args...)
}

func patinaIn(t *testing.T, e env, stdin string, args ...string) answer {
	t.Helper()
	var out, errs bytes.Buffer
	a := &app{in: strings.NewReader(stdin), out: &out, err: &errs, env: e.lookup, clock: time.Now}
	code := a.run(t.Context(), args)
	return answer{code, out.String(), errs.String()}
}

// want fails the test unless the run ended with this code.
func (a answer) want(t *testing.T, code int) answer {
	t.Helper()
	if a.code != code {
		t.Fatalf("exit code %d, want %d\nstdout:\n%s\nstderr:\n%s", a.code, code, a.out, a.err)
	}
	return a
}

// has fails the test unless the text holds each of the parts.
func has(t *testing.T, text string, parts ...string) {
	t.Helper()
	for _, p := range parts {
		if !strings.Contains(text, p) {
			t.Errorf("%q is missing from:\n%s", p, text)
		}
	}
}

func decode(t *testing.T, text string, v any) {
	t.Helper()
	if err := json.Unmarshal([]byte(text), v); err != nil {
		t.Fatalf("%v in:\n%s", err, text)
	}
}

// running is the program in this process, working until it is told to stop.
type running struct {
	t    *testing.T
	text *stream
	stop context.CancelFunc
	end  chan int
}

// begin starts a verb that runs until it is stopped.
func begin(t *testing.T, e env, args ...string) *running {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	r := &running{t: t, text: newStream(), stop: cancel, end: make(chan int, 1)}
	a := &app{in: strings.NewReader(""), out: io.Discard, err: r.text, env: e.lookup, clock: time.Now}
	go func() { r.end <- a.run(ctx, args); r.text.finish() }()
	t.Cleanup(func() { cancel(); <-r.text.ended })
	return r
}

// await waits until the program has written the text, and gives what follows
// it on the same line.
func (r *running) await(text string) string {
	r.t.Helper()
	rest, ok := r.text.await(text)
	if !ok {
		r.t.Fatalf("it ended without writing %q:\n%s", text, r.text.String())
	}
	return rest
}

// ended stops the program as Ctrl-C would and gives its exit code.
func (r *running) ended() int {
	r.stop()
	code := <-r.end
	r.end <- code
	return code
}

// stream collects what a program writes, and lets a test wait for a text.
type stream struct {
	mu    sync.Mutex
	more  *sync.Cond
	buf   bytes.Buffer
	done  bool
	ended chan struct{}
}

func newStream() *stream {
	s := &stream{ended: make(chan struct{})}
	s.more = sync.NewCond(&s.mu)
	return s
}

func (s *stream) Write(b []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.more.Broadcast()
	return s.buf.Write(b)
}

func (s *stream) finish() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.done = true
	s.more.Broadcast()
	close(s.ended)
}

func (s *stream) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.buf.String()
}

func (s *stream) await(text string) (string, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for {
		if _, rest, ok := strings.Cut(s.buf.String(), text); ok {
			if line, _, whole := strings.Cut(rest, "\n"); whole {
				return line, true
			}
		}
		if s.done {
			return "", false
		}
		s.more.Wait()
	}
}

// dataDir is a folder that Postgres can reach, whoever it runs as.
func dataDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "patina-test-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	return dir
}

func TestHelp(t *testing.T) {
	t.Parallel()
	root := (&app{env: env{}.lookup}).root()
	seen := 0
	var visit func(cmd *cobra.Command)
	visit = func(cmd *cobra.Command) {
		args := strings.Fields(cmd.CommandPath())[1:]
		name := strings.Join(append([]string{"patina"}, args...), "-") + ".golden"
		t.Run(name, func(t *testing.T) {
			got := patina(t, env{}, append(args, "--help")...).want(t, exitDone).out
			golden(t, filepath.Join("testdata", "help", name), got)
		})
		seen++
		for _, sub := range cmd.Commands() {
			if sub.Name() != "completion" && sub.Name() != "help" {
				visit(sub)
			}
		}
	}
	visit(root)
	if seen < 20 {
		t.Errorf("looked at the help of only %d commands", seen)
	}
}

func golden(t *testing.T, name, got string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(name, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(name)
	if err != nil {
		t.Fatalf("%v (go test ./cmd/patina -update)", err)
	}
	if got != string(want) {
		t.Errorf("%s differs; go test ./cmd/patina -update writes it anew\ngot:\n%s\nwant:\n%s", name, got, want)
	}
}

func TestExitCodes(t *testing.T) {
	t.Parallel()
	data := env{"PATINA_DATA": t.TempDir()}
	for name, c := range map[string]struct {
		args []string
		code int
		says string
	}{
		"nothing asked for":       {nil, exitDone, ""},
		"unknown command":         {[]string{"conjure"}, exitUsage, `"conjure" is no command of`},
		"unknown subcommand":      {[]string{"user", "conjure"}, exitUsage, `"conjure" is no command of`},
		"unknown flag":            {[]string{"list", "--conjure"}, exitUsage, "unknown flag"},
		"missing argument":        {[]string{"export"}, exitUsage, "takes 1 argument"},
		"bad date":                {[]string{"list", "--date", "23.11.2026"}, exitUsage, "YYYY-MM-DD"},
		"bad kind":                {[]string{"list", "--kind", "odd"}, exitUsage, "--kind"},
		"bad role":                {[]string{"user", "add", "ada", "--role", "king"}, exitUsage, "--role"},
		"bad name":                {[]string{"user", "add", "a b"}, exitUsage, "a name has"},
		"bad target":              {[]string{"export", "x", "--for", "mars"}, exitUsage, "--for"},
		"JSON and a dump":         {[]string{"export", "x", "--json"}, exitUsage, "-o"},
		"no name and not all":     {[]string{"backup"}, exitUsage, "--all"},
		"a name and all":          {[]string{"backup", "x", "--all"}, exitUsage, "--all"},
		"nothing to serve":        {[]string{"serve", "--web=false", "--worker=false"}, exitUsage, "nothing to run"},
		"no configuration":        {[]string{"list"}, exitUsage, "DATABASE_URL is not set"},
		"configuration file gone": {[]string{"list", "--config", "nowhere.toml"}, exitUsage, "nowhere.toml"},
		"log format":              {[]string{"serve", "--embedded", "--worker=false", "--log", "xml"}, exitUsage, "--log"},
		"no such file":            {[]string{"export", "nowhere.sqlite"}, exitError, "nowhere.sqlite"},
		"version":                 {[]string{"version"}, exitDone, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := patina(t, data, c.args...).want(t, c.code)
			has(t, a.err, c.says)
			if c.code != exitDone && a.out != "" {
				t.Errorf("a failed run wrote to stdout: %q", a.out)
			}
		})
	}
}

func TestServeAsksForEverythingAtOnce(t *testing.T) {
	t.Parallel()
	a := patina(t, env{}, "serve").want(t, exitUsage)
	has(t, a.err, "DATABASE_URL", "PATINA_BUCKET is a folder", "PATINA_SECRET", "CLOUDFLARE_ACCOUNT_ID", "CLOUDFLARE_API_TOKEN")
	a = patina(t, env{}, "serve", "--worker=false").want(t, exitUsage)
	if strings.Contains(a.err, "CLOUDFLARE") {
		t.Errorf("a process that only serves pages needs no account:\n%s", a.err)
	}
}
