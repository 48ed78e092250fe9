//go:build !lean

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/AutumnsGrove/Patina/backup"
	"github.com/AutumnsGrove/Patina/backup/d1/d1sim"
	"github.com/AutumnsGrove/Patina/backup/object"
	"github.com/AutumnsGrove/Patina/store"
	"github.com/AutumnsGrove/Patina/store/embedded"
)

func init() { figures = append(figures, figure{"fleet", fleetFigure}) }

// The fleets: so many processes of the real program on one Postgres back up so
// many databases of an account that they reach over HTTP. The limit is some
// times Cloudflare's, and so is the limit of exports at once: a real night of
// 2,000 databases takes half an hour.
var fleets = []struct{ databases, processes, times int }{{500, 4, 10}, {2000, 8, 10}}

// fleetBurst is how many requests may go at once after a rest.
const fleetBurst = 100

// meter sees each request to the account.
type meter struct {
	mu sync.Mutex
	at []time.Time
}

func (m *meter) over(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		m.mu.Lock()
		m.at = append(m.at, time.Now())
		m.mu.Unlock()
		next.ServeHTTP(w, r)
	})
}

// beyond gives by how many requests the worst span went past burst and rate. A
// request that was let through may arrive late, and so close upon others.
func (m *meter) beyond(perSecond float64) float64 {
	const late = 250 * time.Millisecond
	worst := 0.0
	// The worst span that ends at a request begins where the bucket was fullest:
	// a bucket that leaks at the rate finds it in one pass.
	level, last := 0.0, time.Time{}
	for _, at := range m.at {
		if !last.IsZero() {
			level = max(0, level-perSecond*at.Sub(last).Seconds())
		}
		level, last = level+1, at
		worst = max(worst, level-fleetBurst-perSecond*late.Seconds())
	}
	return worst
}

// fleetFigure runs the fleets one after another.
func fleetFigure(ctx context.Context, b *bench) ([]line, error) {
	dir, err := os.MkdirTemp("", "patina-fleet-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	if err := os.Chmod(dir, 0o711); err != nil { //nolint:gosec // Postgres runs as somebody else
		return nil, err
	}
	bin := filepath.Join(dir, "patina")
	if out, err := exec.CommandContext(ctx, "go", "build", "-o", bin, "./cmd/patina").CombinedOutput(); err != nil {
		return nil, fmt.Errorf("build patina: %w\n%s", err, out)
	}
	var lines []line
	for i, f := range fleets {
		if b.fleet > 0 && f.databases > b.fleet {
			continue
		}
		n := &night{dir: filepath.Join(dir, fmt.Sprint(i)), bin: bin, databases: f.databases, processes: f.processes, perSecond: float64(f.times) * 1200 * 0.8 / 300, times: f.times}
		if err := n.run(ctx); err != nil {
			return lines, fmt.Errorf("%d databases, %d processes: %w", f.databases, f.processes, err)
		}
		lines = append(lines, n.lines()...)
	}
	return lines, nil
}

// night is one fleet's work, and what came of it.
type night struct {
	dir, bin             string
	databases, processes int
	times                int
	perSecond            float64

	meter   meter
	took    time.Duration
	working int // processes that stored something
	stored  int // objects in the bucket
	twice   int // databases with more than one result or object
	missing int
	failed  int
}

func (n *night) run(ctx context.Context) error {
	if err := os.MkdirAll(n.dir, 0o711); err != nil { //nolint:gosec // Postgres runs as somebody else
		return err
	}
	pg, err := embedded.Start(ctx, embedded.Config{Dir: filepath.Join(n.dir, "postgres"), NoSync: true})
	if err != nil {
		return err
	}
	defer func() { _ = pg.Stop(context.WithoutCancel(ctx)) }()
	sim, err := d1sim.New(d1sim.Config{Dir: filepath.Join(n.dir, "account"), AccountID: "acc", Token: "tok"})
	if err != nil {
		return err
	}
	defer func() { _ = sim.Close() }()
	for i := range n.databases {
		id, err := sim.Create(fmt.Sprintf("db-%04d", i))
		if err == nil {
			err = sim.Exec(id, fmt.Sprintf(`CREATE TABLE t(id INTEGER PRIMARY KEY, v TEXT); INSERT INTO t VALUES(1, 'of %d')`, i))
		}
		if err != nil {
			return err
		}
	}
	srv := httptest.NewServer(n.meter.over(sim.Handler()))
	defer srv.Close()
	url, bucket := pg.URL(), "file://"+filepath.Join(n.dir, "bucket")
	env := append(os.Environ(), "DATABASE_URL="+url, "PATINA_BUCKET="+bucket, "PATINA_DATA="+n.dir,
		"PATINA_SECRET=MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=", "PATINA_NIGHTLY=0 3 29 2 *", "CLOUDFLARE_ACCOUNT_ID=acc", "CLOUDFLARE_API_TOKEN=tok", "CLOUDFLARE_BASE_URL="+srv.URL,
		fmt.Sprintf("PATINA_API_REQUESTS=%.0f", n.perSecond*300), fmt.Sprintf("PATINA_CONCURRENCY=%d", 3*n.times))
	job, err := n.ask(ctx, env)
	if err != nil {
		return err
	}
	s, err := store.Open(ctx, url)
	if err != nil {
		return err
	}
	defer s.Close()
	n.meter.at = nil // the commands have budgets of their own
	if err := n.fleet(ctx, env, s, job); err != nil {
		return err
	}
	return n.count(ctx, s, bucket, job)
}

// ask sets an installation up, asks for a backup of everything, and gives its job.
func (n *night) ask(ctx context.Context, env []string) (job string, err error) {
	var started struct {
		JobID string `json:"job_id"`
	}
	for _, args := range [][]string{{"migrate"}, {"databases", "sync"}, {"backup", "--all", "--json"}} {
		cmd := exec.CommandContext(ctx, n.bin, args...)
		cmd.Env = env
		out, err := cmd.Output()
		if err == nil && args[0] == "backup" {
			err = json.Unmarshal(out, &started)
		}
		if err != nil {
			return "", fmt.Errorf("patina %s: %w", strings.Join(args, " "), err)
		}
	}
	return started.JobID, nil
}

// fleet starts the processes, waits for the job's end and stops them.
func (n *night) fleet(ctx context.Context, env []string, s *store.Store, job string) error {
	logs := make([]strings.Builder, n.processes)
	var fleet []*exec.Cmd
	defer func() {
		for _, cmd := range fleet {
			_ = cmd.Process.Signal(syscall.SIGTERM)
			_ = cmd.Wait()
		}
		for i := range logs {
			if strings.Contains(logs[i].String(), `"msg":"stored"`) {
				n.working++
			}
		}
	}()
	began := time.Now()
	for i := range n.processes {
		cmd := exec.Command(n.bin, "serve", "--web=false", "--embedded", "--log", "json")
		cmd.Env, cmd.Stderr, cmd.Stdout = env, &logs[i], io.Discard
		cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
		if err := cmd.Start(); err != nil {
			return err
		}
		fleet = append(fleet, cmd)
	}
	for time.Since(began) < 20*time.Minute {
		if err := backup.Pause(ctx, 200*time.Millisecond); err != nil {
			return err
		}
		j, err := s.Job(ctx, job)
		if err != nil {
			return err
		}
		if j.Status.Ended() {
			n.took = time.Since(began)
			return nil
		}
	}
	return errors.New("the night does not end")
}

// count compares results and objects with the databases.
func (n *night) count(ctx context.Context, s *store.Store, bucket, job string) error {
	results, err := s.JobResults(ctx, job)
	if err != nil {
		return err
	}
	seen := map[string]int{}
	for _, r := range results {
		if r.Status != backup.ResultSuccess {
			n.failed++
		}
		seen[r.DatabaseID]++
	}
	b, err := object.Open(ctx, bucket, object.Config{})
	if err != nil {
		return err
	}
	objects := map[string]int{}
	for info, err := range b.List(ctx, "manual/") {
		if err != nil {
			return err
		}
		if key, err := object.ParseKey(info.Key); err == nil {
			objects[key.Slug]++
			n.stored++
		}
	}
	n.missing = n.databases - min(len(seen), len(objects))
	for _, m := range []map[string]int{seen, objects} {
		for _, times := range m {
			if times > 1 {
				n.twice++
			}
		}
	}
	return nil
}

func (n *night) lines() []line {
	at := n.meter.at
	span := at[len(at)-1].Sub(at[0]).Seconds()
	share := float64(len(at)) / (fleetBurst + n.perSecond*span)
	beyond := n.meter.beyond(n.perSecond)
	what := fmt.Sprintf("%d databases, %d processes", n.databases, n.processes)
	return []line{
		{
			what, "", fmt.Sprintf("%d stored, %d twice, %d missing, %d failed", n.stored, n.twice, n.missing, n.failed), "each once",
			n.stored == n.databases && n.twice+n.missing+n.failed == 0, fmt.Sprintf("%.0f s; %d of the processes worked", n.took.Seconds(), n.working),
		},
		{"the same, past the shared limit of requests", "", fmt.Sprintf("%.0f requests", beyond), "0", beyond == 0, fmt.Sprintf("%d requests, at %d times Cloudflare's limit", len(at), n.times)},
		{"the same, of the rate that the limit permits", "", fmt.Sprintf("%.2f", share), "≥ 0.9", share >= 0.9, fmt.Sprintf("%.1f of %.1f a second", float64(len(at)-fleetBurst)/span, n.perSecond)},
	}
}
