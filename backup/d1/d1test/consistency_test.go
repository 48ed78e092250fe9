package d1test_test

import (
	"context"
	"database/sql"
	"fmt"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/AutumnsGrove/Patina/backup"
	"github.com/AutumnsGrove/Patina/backup/d1/d1test"
	"github.com/AutumnsGrove/Patina/backup/export"
	"github.com/AutumnsGrove/Patina/backup/export/exporttest"
)

// ledger is two tables whose sum never changes, since each write moves from one
// to the other in one transaction: a torn copy shows another sum.
var ledger = []string{
	`CREATE TABLE a(id INTEGER PRIMARY KEY, v INTEGER)`, `CREATE TABLE b(id INTEGER PRIMARY KEY, v INTEGER)`,
	`INSERT INTO a WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n WHERE x < 300) SELECT x, 100 FROM n`,
	`INSERT INTO b SELECT id, 100 FROM a`,
	`CREATE TRIGGER move AFTER UPDATE ON a BEGIN UPDATE b SET v = v + old.v - new.v WHERE id = 301 - new.id; END`,
}

const ledgerSum = 600 * 100

// writers writes from three goroutines until stop is called, which gives how
// many writes there were.
func (a account) writers(t *testing.T, id string) (stop func() int64) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	var writes atomic.Int64
	started := make(chan struct{}, 3)
	for seed := range 3 {
		wg.Go(func() {
			for i := seed; ctx.Err() == nil; i++ {
				_, err := a.Exec(context.WithoutCancel(ctx), id, []string{fmt.Sprintf(`UPDATE a SET v = v - 1 WHERE id = %d`, i*7%300+1)})
				if err != nil {
					t.Errorf("write: %v", err)
				}
				writes.Add(1)
				if i == seed {
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

// ledgerOf loads a dump into SQLite and adds the ledger up.
func ledgerOf(t testing.TB, text []byte) (sum int64) {
	t.Helper()
	db, err := sql.Open("sqlite", "file:"+filepath.Join(t.TempDir(), "loaded")+"?_pragma=synchronous(0)")
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if _, err := db.Exec(string(text)); err != nil {
		t.Fatal(err)
	}
	if err := db.QueryRow(`SELECT (SELECT sum(v) FROM a) + (SELECT sum(v) FROM b)`).Scan(&sum); err != nil {
		t.Fatal(err)
	}
	return sum
}

// TestConsistencyUnderWriters: a copy of one answer is whole every time, and
// says snapshot. Paging the same database does tear copies, so the test could
// have seen it.
func TestConsistencyUnderWriters(t *testing.T) {
	t.Parallel()
	e := d1test.Start(t)
	engine := account{Client: e.Client(t), url: e.URL()}
	for _, c := range []struct {
		name   string
		copies int
		change func(*export.Request)
		label  backup.Consistency
		torn   bool // some of the copies must be, or none may
	}{
		{"one answer", 100, func(*export.Request) {}, backup.Snapshot, false},
		{"pages", 10, func(r *export.Request) {
			paged(40)(r)
			r.Limits.Attempts = 1
		}, backup.Fuzzy, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			id := engine.create(t, "ledger "+c.name, ledger...)
			bucket := folder(t)
			labels, torn := map[backup.Consistency]int{}, 0
			stop := engine.writers(t, id)
			for range c.copies {
				m, text := engine.copyOf(t, id, bucket, c.change)
				labels[m.Consistency]++
				if ledgerOf(t, text) != ledgerSum {
					torn++
				}
			}
			t.Logf("%d copies %v, %d of them torn, over %d writes", c.copies, labels, torn, stop())
			if labels[c.label] != c.copies || (torn > 0) != c.torn {
				t.Errorf("of %d copies %v, %d are torn", c.copies, labels, torn)
			}
		})
	}
}

// TestLongestValue: what the engine can store comes back through its importer,
// up to the row's own few bytes. Cloudflare documents 2,000,000 bytes, the
// engine's own limit is 2,200,000.
func TestLongestValue(t *testing.T) {
	t.Parallel()
	e := d1test.Start(t)
	engine := account{Client: e.Client(t), url: e.URL()}
	for _, n := range []int{1_999_990, 2_199_990} {
		id := engine.create(t, fmt.Sprintf("longest %d", n), "CREATE TABLE t(v)",
			fmt.Sprintf("INSERT INTO t VALUES(CAST(zeroblob(%d) AS BLOB)), (substr(replace(hex(zeroblob(%d)), '00', 'x'''), 1, %[1]d))", n, n/2+1))
		_, text := engine.copyOf(t, id, folder(t))
		copied := engine.create(t, fmt.Sprintf("copy of longest %d", n))
		if _, err := engine.load(t, copied, forD1(t, text)); err != nil {
			t.Errorf("%d bytes: %v", n, err)
			continue
		}
		exporttest.Equal(t, askD1(engine.Client, id), askD1(engine.Client, copied))
	}
}
