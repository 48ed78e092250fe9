package jobs

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/AutumnsGrove/Patina/backup"
	"github.com/AutumnsGrove/Patina/backup/alert"
	"github.com/AutumnsGrove/Patina/backup/export"
	"github.com/AutumnsGrove/Patina/backup/object"
	"github.com/AutumnsGrove/Patina/backup/prove"
	"github.com/AutumnsGrove/Patina/backup/source"
	"github.com/AutumnsGrove/Patina/store"
	"github.com/AutumnsGrove/Patina/store/storetest"
)

func TestMain(m *testing.M) {
	if os.Getenv(childEnv) != "" {
		os.Exit(childMain())
	}
	os.Exit(m.Run())
}

// quick are timings for tests.
var quick = Timing{
	Tick: 50 * time.Millisecond, Heartbeat: 100 * time.Millisecond, Lease: time.Second, Sweep: 50 * time.Millisecond,
	SlotPoll: 15 * time.Millisecond, Progress: 20 * time.Millisecond, Busy: 50 * time.Millisecond, Proofs: 50 * time.Millisecond, Fetch: 5 * time.Millisecond, Poll: 50 * time.Millisecond,
	Tell: 20 * time.Millisecond, Watch: 100 * time.Millisecond,
}

// never is a nightly spec that does not come due during a test that runs by
// the true clock: 29 February.
const never = "0 3 29 2 *"

// bench is a database of its own and what runs on it.
type bench struct {
	t     *testing.T
	url   string
	store *store.Store
	out   *folder
	real  bool // exports are the exporter's own, not stand-ins
}

func newBench(t *testing.T) *bench {
	t.Helper()
	t.Parallel()
	url := storetest.NewURL(t, Migrate)
	s, err := store.Open(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return &bench{t: t, url: url, store: s, out: &folder{dir: t.TempDir()}}
}

// uuidOf gives the UUID of the nth database.
func uuidOf(n int) string { return fmt.Sprintf("%08x-0000-4000-8000-%012x", n, n) }

// register enters databases a, b, c… and gives their names.
func (b *bench) register(priorities ...backup.Priority) []string {
	b.t.Helper()
	names := make([]string, len(priorities))
	for i, p := range priorities {
		names[i] = fmt.Sprintf("db-%c", 'a'+i)
		p = cmp.Or(p, backup.Normal)
		err := b.store.UpsertDatabase(b.t.Context(), backup.Database{
			ID: uuidOf(i + 1), Name: names[i], Priority: p, Origin: backup.FromDiscovery,
			Objective: backup.DefaultObjective, FirstSeenAt: time.Now(), LastSeenAt: time.Now(),
		})
		if err != nil {
			b.t.Fatal(err)
		}
	}
	return names
}

type exporter = func(context.Context, backup.Database, export.Request) (*backup.Manifest, error)

// runner makes a Runner over the bench's store whose exports are exp (nil: the
// stand-in over the bench's folder, or with real the exporter).
func (b *bench) runner(exp exporter, change ...func(*Config)) *Runner {
	b.t.Helper()
	s, err := store.Open(b.t.Context(), b.url+"&application_name=runner") // a pool each, as processes have
	if err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(s.Close)
	r, err := newTestRunner(s, exp, b.out, change...)
	if b.real {
		r, err = newTestRunner(s, exp, nil, change...)
	}
	if err != nil {
		b.t.Fatal(err)
	}
	return r
}

func newTestRunner(s *store.Store, exp exporter, out *folder, change ...func(*Config)) (*Runner, error) {
	cfg := Config{
		Store: s, Bucket: bucket{}, Source: func(backup.Database) source.Source { return nil }, Nightly: never, Weekly: never, Drill: never, Cleanup: never, Scrub: never, Timing: quick,
		Backoff: func(int) time.Duration { return 10 * time.Millisecond }, SoftStopTimeout: 10 * time.Second, Log: slog.New(slog.DiscardHandler),
		Sealer: testSealer(), Summary: never,
		Sender: alert.NewSender(alert.Allow{Networks: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}}, "test", time.Now),
	}
	for _, c := range change {
		c(&cfg)
	}
	r, err := New(context.Background(), cfg)
	if err != nil {
		return nil, err
	}
	if exp != nil || out != nil { // what a stand-in stores is no dump
		r.prove = func(context.Context, backup.Copy, prove.Options) (*prove.Proof, error) { return &prove.Proof{}, nil }
	}
	switch {
	case exp != nil:
		r.export = exp
	case out != nil:
		r.export = out.export
	}
	return r, nil
}

// start starts a Runner and stops it when the test ends.
func (b *bench) start(r *Runner) *Runner {
	b.t.Helper()
	if err := r.Start(b.t.Context()); err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
		defer cancel()
		if err := r.Stop(ctx); err != nil {
			b.t.Error(err)
		}
	})
	return r
}

func (b *bench) request(r *Runner, req backup.Request) backup.Started {
	b.t.Helper()
	got, err := r.Request(b.t.Context(), req)
	if err != nil {
		b.t.Fatal(err)
	}
	return got
}

// until waits for a condition.
func (b *bench) until(what string, cond func() bool) {
	b.t.Helper()
	deadline := time.After(40 * time.Second)
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for !cond() {
		select {
		case <-tick.C:
		case <-deadline:
			b.dump()
			b.t.Fatalf("waited in vain until %s", what)
		}
	}
}

// ended waits until a job has ended.
func (b *bench) ended(jobID string) backup.Job {
	b.t.Helper()
	var job backup.Job
	b.until("the job has ended", func() bool {
		job = b.job(jobID)
		return job.Status.Ended()
	})
	return job
}

func (b *bench) job(id string) backup.Job {
	b.t.Helper()
	job, err := b.store.Job(b.t.Context(), id)
	if err != nil {
		b.t.Fatal(err)
	}
	return job
}

// results gives a job's results by the name of the database.
func (b *bench) results(jobID string) map[string]backup.Result {
	b.t.Helper()
	rows, err := b.store.JobResults(b.t.Context(), jobID)
	if err != nil {
		b.t.Fatal(err)
	}
	out := map[string]backup.Result{}
	for _, r := range rows {
		out[r.DatabaseName] = r
	}
	return out
}

// count gives the answer of a query for one number.
func (b *bench) count(sql string, args ...any) int {
	b.t.Helper()
	var n int
	if err := b.store.Pool().QueryRow(context.Background(), sql, args...).Scan(&n); err != nil {
		b.t.Fatal(err)
	}
	return n
}

func (b *bench) exec(sql string, args ...any) {
	b.t.Helper()
	if _, err := b.store.Pool().Exec(context.Background(), sql, args...); err != nil {
		b.t.Fatal(err)
	}
}

// dump shows what the tables hold, for a failed test.
func (b *bench) dump() {
	for _, q := range []string{
		"SELECT to_jsonb(j) FROM backup_jobs j", "SELECT to_jsonb(r) FROM (SELECT database_name, status, attempt, fence, river_job_id, process_id, error FROM backup_results) r",
		"SELECT to_jsonb(s) FROM schedule_slots s", "SELECT to_jsonb(s) FROM export_slots s", "SELECT to_jsonb(p) FROM processes p",
		"SELECT to_jsonb(q) FROM (SELECT id, kind, state, attempt, attempted_by, metadata, scheduled_at FROM river_job) q",
	} {
		rows, err := b.store.Pool().Query(context.Background(), q)
		if err != nil {
			b.t.Log(err)
			continue
		}
		for rows.Next() {
			var v json.RawMessage
			_ = rows.Scan(&v)
			b.t.Logf("%s", v)
		}
		rows.Close()
	}
}

// settled checks what must hold once nothing runs any more.
func (b *bench) settled() {
	b.t.Helper()
	if n := b.count("SELECT count(*) FROM backup_results WHERE status IN ('queued', 'running')"); n != 0 {
		b.t.Errorf("%d results are open", n)
	}
	if n := b.count("SELECT count(*) FROM backup_jobs WHERE status IN ('queued', 'running')"); n != 0 {
		b.t.Errorf("%d jobs are open", n)
	}
	if n := b.count("SELECT count(*) FROM export_slots WHERE result_id IS NOT NULL"); n != 0 {
		b.t.Errorf("%d export slots are taken", n)
	}
	if n := b.count("SELECT count(*) FROM backup_results r WHERE status = 'success' AND NOT EXISTS (SELECT FROM backup_inventory i WHERE i.id = r.copy_id AND i.key = r.key)"); n != 0 {
		b.t.Errorf("%d results say success without a copy", n)
	}
	rows, err := b.store.Pool().Query(context.Background(), "SELECT key FROM backup_inventory")
	if err != nil {
		b.t.Fatal(err)
	}
	defer rows.Close()
	for rows.Next() {
		var key string
		_ = rows.Scan(&key)
		if _, err := os.Stat(filepath.Join(b.out.dir, key)); err != nil {
			b.t.Errorf("%s is listed and not there", key)
		}
	}
}

// folder stands for bucket and exporter together: one file an export, made at
// once and never overwritten; what is there already is adopted.
type folder struct {
	dir   string
	mu    sync.Mutex
	calls []string // database names, in the order of the calls
}

func (f *folder) export(ctx context.Context, db backup.Database, req export.Request) (*backup.Manifest, error) {
	f.mu.Lock()
	f.calls = append(f.calls, db.Name)
	f.mu.Unlock()
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	now := req.Clock()
	m := &backup.Manifest{
		Format: 1, Kind: req.Kind, DatabaseID: db.ID, DatabaseName: db.Name, CopyID: req.CopyID, JobID: req.JobID, ResultID: req.ResultID,
		Date: req.Date, StartedAt: now, CompletedAt: now, Consistency: backup.Snapshot, Key: req.Key.String(), Size: 42, SHA256: "aa", BodySHA256: "bb",
		Compression: backup.Plain, TableCount: 2, Rows: 7,
	}
	path := filepath.Join(f.dir, m.Key)
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, err
	}
	b, err := m.Encode()
	if err != nil {
		return nil, err
	}
	tmp := filepath.Join(f.dir, m.CopyID)
	if err := os.WriteFile(tmp, b, 0o600); err != nil {
		return nil, err
	}
	defer os.Remove(tmp)
	if err := os.Link(tmp, path); errors.Is(err, fs.ErrExist) {
		old, err := os.Open(path)
		if err != nil {
			return nil, err
		}
		defer old.Close()
		return backup.DecodeManifest(old)
	} else if err != nil {
		return nil, err
	}
	return m, nil
}

func (f *folder) order() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return append([]string(nil), f.calls...)
}

// bucket stands where a Bucket is asked for and none is used but for settings,
// which it forgets.
type bucket struct{ object.Bucket }

func (bucket) Replace(context.Context, string, []byte, string) error { return nil }
func (bucket) List(context.Context, string) iter.Seq2[object.Info, error] {
	return func(func(object.Info, error) bool) {}
}
