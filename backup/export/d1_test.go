package export_test

import (
	"context"
	"fmt"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/AutumnsGrove/Patina/backup"
	"github.com/AutumnsGrove/Patina/backup/d1"
	"github.com/AutumnsGrove/Patina/backup/d1/d1sim"
	"github.com/AutumnsGrove/Patina/backup/export"
	"github.com/AutumnsGrove/Patina/backup/export/exporttest"
	"github.com/AutumnsGrove/Patina/backup/object"
	"github.com/AutumnsGrove/Patina/backup/source"
)

// account is a simulated account with a client and a folder bucket.
type account struct {
	*d1sim.Account
	client *d1.Client
	bucket object.Bucket
}

func newAccount(t testing.TB) *account {
	t.Helper()
	sim, err := d1sim.New(d1sim.Config{Dir: t.TempDir(), AccountID: "acc", Token: "tok"})
	if err != nil {
		t.Fatal(err)
	}
	srv := httptest.NewServer(sim.Handler())
	client, err := d1.New(d1.Config{AccountID: "acc", Token: "tok", BaseURL: srv.URL, Limiter: d1.NewLocalLimiter(1e6, 1e6)})
	if err != nil {
		t.Fatal(err)
	}
	bucket, err := object.Open(t.Context(), "file://"+t.TempDir(), object.Config{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		srv.CloseClientConnections()
		srv.Close()
		_ = sim.Close()
	})
	return &account{sim, client, bucket}
}

// make makes a database from statements.
func (a *account) make(t testing.TB, name string, statements ...string) string {
	t.Helper()
	id, err := a.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range statements {
		if err := a.Exec(id, s); err != nil {
			t.Fatalf("make %s: %.200s: %v", name, s, err)
		}
	}
	return id
}

var copies struct {
	sync.Mutex
	n int
}

// request files a copy under a key of its own.
func request(name string) export.Request {
	copies.Lock()
	defer copies.Unlock()
	copies.n++
	at := time.Date(2026, 11, 23, 14, 0, 0, 0, time.UTC).Add(time.Duration(copies.n) * time.Second)
	return export.Request{
		Key:  object.Key{Kind: backup.Manual, Date: backup.DateOf(at), At: at, JobID: "018f3c2a-0000-7000-8000-000000000000", Slug: name},
		Kind: backup.Manual, Trigger: backup.TriggerManual, Date: backup.DateOf(at), CopyID: fmt.Sprintf("copy-%d", copies.n),
		Clock: fixed, Pause: func(ctx context.Context, _ time.Duration) error { return ctx.Err() },
	}
}

func (a *account) export(t testing.TB, id, name string, change ...func(*export.Request)) (*backup.Manifest, error) {
	t.Helper()
	req := request(name)
	for _, c := range change {
		c(&req)
	}
	return export.Run(t.Context(), source.D1(a.client, id, name), a.bucket, req)
}

// fetch writes a stored object to a file.
func fetch(t testing.TB, b object.Bucket, key string) string {
	t.Helper()
	r, err := b.Open(t.Context(), key, 0, -1)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	path := filepath.Join(t.TempDir(), "dump.sql")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.ReadFrom(r); err != nil {
		t.Fatal(err)
	}
	return path
}

func paged(rows int) func(*export.Request) {
	return func(r *export.Request) { r.Limits.SnapshotBytes, r.Limits.PageRows = -1, rows }
}

// TestTraps takes every trap through the API and back, in one transaction and
// in pages of one, two and a thousand rows. All of them give the same body.
func TestTraps(t *testing.T) {
	t.Parallel()
	for _, trap := range exporttest.Traps() {
		if trap.Unsafe {
			continue
		}
		t.Run(trap.Name, func(t *testing.T) {
			t.Parallel()
			a := newAccount(t)
			id := a.make(t, trap.Name, trap.Statements...)
			var body, first string
			for _, way := range []struct {
				name   string
				change func(*export.Request)
				label  backup.Consistency
			}{
				{"snapshot", func(r *export.Request) { r.Limits.SnapshotBytes = 64 << 20 }, backup.Snapshot},
				{"pages", paged(1000), backup.Quiet},
				{"pages of two", paged(2), backup.Quiet},
				{"pages of one", paged(1), backup.Quiet},
			} {
				m, err := a.export(t, id, trap.Name, way.change)
				if err != nil {
					t.Fatalf("%s: %v", way.name, err)
				}
				if m.Consistency != way.label {
					t.Errorf("%s: consistency is %q", way.name, m.Consistency)
				}
				if trap.Code == "" && len(m.Findings) > 0 || trap.Code != "" && !slices.Contains(codes(m), trap.Code) {
					t.Errorf("%s: findings %v, want %q", way.name, m.Findings, trap.Code)
				}
				if body == "" {
					body, first = m.BodySHA256, m.Key
				} else if trap.Lost == "" && m.BodySHA256 != body {
					t.Errorf("%s: the body hash is %s, not %s", way.name, m.BodySHA256, body)
				}
			}
			_, db := load(t, fetch(t, a.bucket, first))
			compare(t, trap, a.DB(id), db)
		})
	}
}

func TestSameDataSameBody(t *testing.T) {
	t.Parallel()
	a := newAccount(t)
	id := a.make(t, "db", `CREATE TABLE t(id INTEGER PRIMARY KEY, v)`, `INSERT INTO t VALUES(1, 'a'), (2, 'b')`)
	hash := func() string {
		m, err := a.export(t, id, "db")
		if err != nil {
			t.Fatal(err)
		}
		return m.BodySHA256
	}
	first := hash()
	if again := hash(); again != first {
		t.Errorf("the same data gave %s and %s", first, again)
	}
	if err := a.Exec(id, `UPDATE t SET v = 'c' WHERE id = 2`); err != nil {
		t.Fatal(err)
	}
	if changed := hash(); changed == first {
		t.Error("a changed cell gave the same body hash")
	}
}

// ledger is two tables whose sum never changes, since each write moves from one
// to the other in one transaction: a torn copy shows another sum.
var ledger = []string{
	`CREATE TABLE a(id INTEGER PRIMARY KEY, v INTEGER)`, `CREATE TABLE b(id INTEGER PRIMARY KEY, v INTEGER)`,
	`INSERT INTO a WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n WHERE x < 300) SELECT x, 100 FROM n`,
	`INSERT INTO b SELECT id, 100 FROM a`,
	`CREATE TRIGGER move AFTER UPDATE ON a BEGIN UPDATE b SET v = v + old.v - new.v WHERE id = 301 - new.id; END`,
}

const ledgerSum = 600 * 100

// writers writes from three goroutines until stop is called; writes counts.
func (a *account) writers(t *testing.T, id string) (stop func() int64) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	var writes atomic.Int64
	started := make(chan struct{}, 3)
	for seed := range 3 {
		wg.Go(func() {
			for i := seed; ctx.Err() == nil; i++ {
				if err := a.Exec(id, fmt.Sprintf(`UPDATE a SET v = v - 1 WHERE id = %d`, i*7%300+1)); err != nil {
					t.Errorf("write: %v", err)
					return
				}
				if writes.Add(1); i == seed {
					started <- struct{}{}
				}
			}
		})
	}
	for range 3 {
		<-started
	}
	return func() int64 {
		cancel()
		wg.Wait()
		return writes.Load()
	}
}

func (a *account) sum(t testing.TB, key string) int64 {
	t.Helper()
	_, db := load(t, fetch(t, a.bucket, key))
	var n int64
	if err := db.QueryRow(`SELECT (SELECT sum(v) FROM a) + (SELECT sum(v) FROM b)`).Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

// TestConsistencyUnderWriters: a copy of one answer is whole every time, and
// says snapshot; a paged one is whole wherever it says quiet; and paging a
// database that is written to does tear copies, so the test could have seen it.
func TestConsistencyUnderWriters(t *testing.T) {
	t.Parallel()
	const runs = 100
	for _, c := range []struct {
		name   string
		change func(*export.Request)
		check  func(t *testing.T, labels map[backup.Consistency]int, torn map[backup.Consistency]int)
	}{
		{"one answer", func(*export.Request) {}, func(t *testing.T, labels, torn map[backup.Consistency]int) {
			if labels[backup.Snapshot] != runs || torn[backup.Snapshot] != 0 {
				t.Errorf("of %d copies %v, torn %v", runs, labels, torn)
			}
		}},
		{"pages", paged(40), func(t *testing.T, labels, torn map[backup.Consistency]int) {
			if labels[backup.Snapshot] != 0 || torn[backup.Quiet] != 0 {
				t.Errorf("of %d copies %v, torn %v", runs, labels, torn)
			}
		}},
		{"batch switched off", func(r *export.Request) {
			paged(40)(r)
			r.Limits.Attempts = 1
		}, func(t *testing.T, labels, torn map[backup.Consistency]int) {
			if torn[backup.Fuzzy] == 0 {
				t.Errorf("of %d copies %v none was torn: this test sees nothing", runs, labels)
			}
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			a := newAccount(t)
			id := a.make(t, "db", ledger...)
			labels, torn := map[backup.Consistency]int{}, map[backup.Consistency]int{}
			stop := a.writers(t, id)
			for range runs {
				m, err := a.export(t, id, "db", c.change)
				if err != nil {
					t.Fatal(err)
				}
				labels[m.Consistency]++
				if a.sum(t, m.Key) != ledgerSum {
					torn[m.Consistency]++
				}
			}
			t.Logf("%d copies %v, torn %v, over %d writes", runs, labels, torn, stop())
			c.check(t, labels, torn)
		})
	}
}

// TestQuiet: a paged copy between whose bookmarks nobody wrote says so, one
// that was written to once is tried again, and is quiet then.
func TestQuiet(t *testing.T) {
	t.Parallel()
	a := newAccount(t)
	id := a.make(t, "db", ledger...)
	wrote := false
	a.Faults().Hook = func(_, sql string) {
		if strings.Contains(sql, `FROM "b"`) && !wrote {
			wrote = true
			if err := a.Exec(id, `UPDATE a SET v = 0 WHERE id = 300`); err != nil {
				t.Error(err)
			}
		}
	}
	m, err := a.export(t, id, "db", paged(100))
	if err != nil {
		t.Fatal(err)
	}
	if !wrote || m.Consistency != backup.Quiet || m.Cost.Retries != 1 || a.sum(t, m.Key) != ledgerSum {
		t.Errorf("wrote %v, %q after %d retries, sum %d", wrote, m.Consistency, m.Cost.Retries, a.sum(t, m.Key))
	}
	if m.BookmarkBefore == "" || m.BookmarkBefore != m.BookmarkAfter {
		t.Errorf("bookmarks %q and %q", m.BookmarkBefore, m.BookmarkAfter)
	}
}
