package main_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/AutumnsGrove/Patina/backup/d1/d1sim"
	"github.com/AutumnsGrove/Patina/backup/dump"
	"github.com/AutumnsGrove/Patina/backup/object"
	"github.com/AutumnsGrove/Patina/backup/object/objecttest"
	"github.com/AutumnsGrove/Patina/store/storetest"
)

// faultyBinary builds patina with its failpoints, once.
var faultyBinary = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "patina-faults-")
	if err != nil {
		return "", err
	}
	path := filepath.Join(dir, "patina")
	_, here, _, _ := runtime.Caller(0)
	cmd := exec.Command("go", "build", "-tags", "faults", "-o", path, ".")
	cmd.Dir = filepath.Dir(here)
	out, err := cmd.CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("build with faults: %w\n%s", err, out)
	}
	return path, nil
})

// rig is one installation whose process may be killed: a Postgres, a bucket and
// an account that outlive it.
type rig struct {
	t        *testing.T
	binary   string
	database string
	bucket   object.Bucket
	sim      *d1sim.Account
	addr     string
	env      []string
	flags    []string
	log      *syncBuffer
	watch    atomic.Pointer[func(*http.Request) (after func())] // sees each request to the account
}

// syncBuffer collects what several processes write.
type syncBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *syncBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *syncBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

const rigToken = "patina_0123456789abcdef0123456789abcdef"

func freeAddr(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// newRig makes an account with two small databases and, where parts matter, a
// large one; the nightly slot was due an hour ago.
func newRig(t *testing.T, s3 bool) *rig {
	t.Helper()
	binary, err := faultyBinary()
	if err != nil {
		t.Fatal(err)
	}
	sim, err := d1sim.New(d1sim.Config{Dir: t.TempDir(), AccountID: "acc", Token: "tok"})
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"one", "two"} {
		id, err := sim.Create(name)
		if err != nil {
			t.Fatal(err)
		}
		rows := 50
		if s3 && name == "two" {
			rows = 20_000 // 20 MB of SQL: three parts
		}
		for _, q := range []string{
			`CREATE TABLE t(id INTEGER PRIMARY KEY, v TEXT)`,
			fmt.Sprintf(`INSERT INTO t WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n WHERE x < %d) SELECT x, printf('%%.*c', 1000, 'v') FROM n`, rows),
		} {
			if err := sim.Exec(id, q); err != nil {
				t.Fatal(err)
			}
		}
	}
	r := &rig{t: t, binary: binary, sim: sim, database: storetest.EmptyURL(t), addr: freeAddr(t), log: &syncBuffer{}}
	api := sim.Handler()
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		if watch := r.watch.Load(); watch != nil {
			defer (*watch)(q)()
		}
		api.ServeHTTP(w, q)
	}))
	t.Cleanup(func() {
		srv.CloseClientConnections()
		srv.Close()
		_ = sim.Close()
	})
	bucketURL, cfg := "file://"+t.TempDir(), object.Config{}
	r.flags = []string{"--embedded"}
	if s3 {
		bucketURL, cfg = objecttest.VersityGW(t)
		r.flags = nil
		r.env = append(r.env, "AWS_ACCESS_KEY_ID="+cfg.R2AccessKeyID, "AWS_SECRET_ACCESS_KEY="+cfg.R2SecretAccessKey)
	}
	if r.bucket, err = object.Open(t.Context(), bucketURL, cfg); err != nil {
		t.Fatal(err)
	}
	due := time.Now().UTC().Add(-time.Hour)
	r.env = append(append(r.env, os.Environ()...),
		"DATABASE_URL="+r.database, "PATINA_BUCKET="+bucketURL, "PATINA_DATA="+t.TempDir(), "PATINA_ADDR="+r.addr, "PATINA_PUBLIC_URL=http://"+r.addr,
		"PATINA_SECRET=MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=",
		"CLOUDFLARE_ACCOUNT_ID=acc", "CLOUDFLARE_API_TOKEN=tok", "CLOUDFLARE_BASE_URL="+srv.URL, "PATINA_BOOTSTRAP_TOKEN="+rigToken,
		fmt.Sprintf("PATINA_NIGHTLY=%d %d * * *", due.Minute(), due.Hour()))
	r.run("migrate")
	r.run("databases", "sync")
	r.exec(`INSERT INTO schedules(id, kind, spec, created_at) VALUES('nightly', 'backup', $1, $2)`,
		fmt.Sprintf("%d %d * * *", due.Minute(), due.Hour()), due.Add(-time.Hour))
	return r
}

func (r *rig) run(args ...string) {
	r.t.Helper()
	cmd := exec.Command(r.binary, args...)
	cmd.Env = r.env
	if out, err := cmd.CombinedOutput(); err != nil {
		r.t.Fatalf("patina %s: %v\n%s", strings.Join(args, " "), err, out)
	}
}

func (r *rig) conn() *pgx.Conn {
	r.t.Helper()
	c, err := pgx.Connect(r.t.Context(), r.database)
	if err != nil {
		r.t.Fatal(err)
	}
	return c
}

func (r *rig) exec(q string, args ...any) {
	r.t.Helper()
	c := r.conn()
	defer c.Close(r.t.Context())
	if _, err := c.Exec(r.t.Context(), q, args...); err != nil {
		r.t.Fatal(err)
	}
}

// serve starts the process; failpoint "" is none.
func (r *rig) serve(failpoint string) *exec.Cmd {
	r.t.Helper()
	cmd := exec.Command(r.binary, append([]string{"serve"}, r.flags...)...)
	cmd.Env = append(r.env, "PATINA_FAILPOINT="+failpoint)
	cmd.Stdout, cmd.Stderr = r.log, r.log
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		r.t.Fatal(err)
	}
	return cmd
}

// wait polls until ok, at most for d.
func (r *rig) wait(d time.Duration, what string, ok func() bool) {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(r.t.Context(), d)
	defer cancel()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-ctx.Done():
			r.t.Fatalf("%s: not within %v\n%s", what, d, tail(r.log.String()))
		case <-tick.C:
		}
	}
}

func tail(s string) string { return s[max(0, len(s)-6000):] }

func stop(t *testing.T, cmd *exec.Cmd) {
	t.Helper()
	_ = cmd.Process.Signal(syscall.SIGTERM)
	if err := cmd.Wait(); err != nil {
		t.Errorf("a stopped process: %v", err)
	}
}

// ended tells whether the nightly's one job has come to its end, and its status.
func (r *rig) ended(c *pgx.Conn) (string, bool) {
	var status string
	err := c.QueryRow(r.t.Context(), `SELECT status FROM backup_jobs WHERE schedule_id = 'nightly' AND status NOT IN ('queued', 'running')`).Scan(&status)
	return status, err == nil
}

// check looks at Postgres and the bucket directly: I1, I2, I5 and I7.
func (r *rig) check(c *pgx.Conn, before map[string]string) {
	t, ctx := r.t, r.t.Context()
	t.Helper()
	if status, _ := r.ended(c); status != "completed" {
		t.Errorf("the job ended as %q", status)
	}
	var jobs, wins, slots int
	if err := c.QueryRow(ctx, `SELECT (SELECT count(*) FROM backup_jobs WHERE schedule_id = 'nightly'), (SELECT count(*) FROM backup_results WHERE status = 'success'),
		(SELECT count(*) FROM schedule_slots WHERE schedule_id = 'nightly' AND status = 'done')`).Scan(&jobs, &wins, &slots); err != nil {
		t.Fatal(err)
	}
	if jobs != 1 || wins != 2 || slots != 1 {
		t.Errorf("%d jobs, %d results and %d slots done, want 1, 2 and 1", jobs, wins, slots)
	}
	rows, err := c.Query(ctx, `SELECT key, size_bytes, sha256 FROM backup_inventory WHERE deleted_at IS NULL`)
	if err != nil {
		t.Fatal(err)
	}
	listed := map[string]string{}
	for rows.Next() {
		var key, sum string
		var size int64
		if err := rows.Scan(&key, &size, &sum); err != nil {
			t.Fatal(err)
		}
		listed[key] = fmt.Sprintf("%d %s", size, sum)
	}
	stored := r.objects()
	if len(listed) != 2 {
		t.Errorf("%d copies are listed, want 2", len(listed))
	}
	for key, want := range listed {
		if stored[key] != want {
			t.Errorf("%s is listed as %q and stored as %q", key, want, stored[key])
		}
		if _, err := r.bucket.Stat(ctx, object.ManifestKey(key)); err != nil {
			t.Errorf("no manifest: %v", err)
		}
	}
	for key, was := range before {
		if stored[key] != was {
			t.Errorf("%s was %q before the restart and is %q now", key, was, stored[key])
		}
	}
	for key := range stored {
		if listed[key] == "" {
			t.Errorf("%s is stored and not listed", key)
		}
	}
}

// objects hashes every dump in the bucket, each of which must be whole.
func (r *rig) objects() map[string]string {
	r.t.Helper()
	out := map[string]string{}
	for info, err := range r.bucket.List(r.t.Context(), "daily/") {
		if err != nil {
			r.t.Fatal(err)
		}
		if strings.HasSuffix(info.Key, ".json") {
			continue
		}
		rd, err := r.bucket.Open(r.t.Context(), info.Key, 0, -1)
		if err != nil {
			r.t.Fatal(err)
		}
		h := sha256.New()
		if _, _, err := dump.Verify(io.TeeReader(rd, h)); err != nil {
			r.t.Errorf("%s is visible and not whole: %v", info.Key, err)
		}
		_ = rd.Close()
		out[info.Key] = fmt.Sprintf("%d %s", info.Size, hex.EncodeToString(h.Sum(nil)))
	}
	return out
}

// TestKill9 kills the process before and after each named step. A restart ends
// the job by itself, with nothing partial listed and nothing done twice.
func TestKill9(t *testing.T) {
	t.Parallel()
	type point struct {
		s3   bool
		name string
	}
	var points []point
	for _, step := range []string{"upload.create", "upload.complete", "manifest", "commit", "finish"} {
		for _, when := range []string{"before", "after"} {
			points = append(points, point{false, when + ":" + step})
		}
	}
	for _, when := range []string{"before", "after"} {
		for n := 1; n <= 3; n++ {
			points = append(points, point{true, fmt.Sprintf("%s:upload.part:%d", when, n)})
		}
		points = append(points, point{true, when + ":upload.create"}, point{true, when + ":upload.complete"}, point{true, when + ":upload.complete:2"})
	}
	gate := make(chan struct{}, 2) // two at a time: each is a whole installation
	for _, p := range points {
		t.Run(fmt.Sprintf("%s s3=%v", p.name, p.s3), func(t *testing.T) {
			t.Parallel()
			gate <- struct{}{}
			defer func() { <-gate }()
			r := newRig(t, p.s3)
			died := r.serve(p.name)
			late := time.AfterFunc(time.Minute, func() { _ = died.Process.Signal(syscall.SIGTERM) })
			_ = died.Wait()
			late.Stop()
			if ws, ok := died.ProcessState.Sys().(syscall.WaitStatus); !ok || !ws.Signaled() || ws.Signal() != syscall.SIGKILL {
				t.Fatalf("the fault did not fire: %v\n%s", died.ProcessState, tail(r.log.String()))
			}
			c := r.conn()
			defer c.Close(t.Context())
			before := r.objects()
			start := time.Now()
			again := r.serve("")
			r.wait(time.Minute, "the job's end after the restart", func() bool { _, ok := r.ended(c); return ok })
			t.Logf("ended %.1f s after the restart", time.Since(start).Seconds())
			r.check(c, before)
			r.listed()
			stop(t, again)
		})
	}
}

// listed asks the program itself what it lists.
func (r *rig) listed() {
	r.t.Helper()
	req, _ := http.NewRequestWithContext(r.t.Context(), http.MethodGet, (&url.URL{Scheme: "http", Host: r.addr, Path: "/list"}).String(), nil)
	req.Header.Set("Authorization", "Bearer "+rigToken)
	req.Header.Set("Accept", "application/json")
	var res *http.Response
	r.wait(30*time.Second, "the answer of /list", func() (ok bool) {
		var err error
		res, err = http.DefaultClient.Do(req) //nolint:bodyclose // below
		return err == nil
	})
	defer res.Body.Close()
	var body struct {
		Backups []struct{ Key string } `json:"backups"`
	}
	if err := json.NewDecoder(res.Body).Decode(&body); err != nil || res.StatusCode != http.StatusOK || len(body.Backups) != 2 {
		r.t.Errorf("/list answers %d with %d backups: %v", res.StatusCode, len(body.Backups), err)
	}
}
