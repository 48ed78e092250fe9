package d1test_test

import (
	"bytes"
	"context"
	"crypto/md5" //nolint:gosec // the import protocol names files by it
	"encoding/hex"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/AutumnsGrove/Patina/backup"
	"github.com/AutumnsGrove/Patina/backup/d1"
	"github.com/AutumnsGrove/Patina/backup/d1/d1test"
	"github.com/AutumnsGrove/Patina/backup/dump"
	"github.com/AutumnsGrove/Patina/backup/export"
	"github.com/AutumnsGrove/Patina/backup/export/exporttest"
	"github.com/AutumnsGrove/Patina/backup/object"
	"github.com/AutumnsGrove/Patina/backup/prove"
	"github.com/AutumnsGrove/Patina/backup/source"
)

var copies atomic.Int64

// request files a copy under a key of its own.
func request(change ...func(*export.Request)) export.Request {
	n := copies.Add(1)
	at := time.Date(2026, 11, 23, 14, 0, 0, 0, time.UTC).Add(time.Duration(n) * time.Second)
	req := export.Request{
		Key:  object.Key{Kind: backup.Manual, Date: backup.DateOf(at), At: at, JobID: "018f3c2a-0000-7000-8000-000000000000", Slug: "db"},
		Kind: backup.Manual, Trigger: backup.TriggerManual, Date: backup.DateOf(at), CopyID: fmt.Sprintf("copy-%d", n),
		Clock: func() time.Time { return time.Date(2026, 11, 23, 3, 0, 4, 0, time.UTC) },
		Pause: func(ctx context.Context, _ time.Duration) error { return ctx.Err() },
	}
	for _, c := range change {
		c(&req)
	}
	return req
}

func whole(r *export.Request) { r.Limits.SnapshotBytes = 64 << 20 }

func paged(rows int) func(*export.Request) {
	return func(r *export.Request) { r.Limits.SnapshotBytes, r.Limits.PageRows = -1, rows }
}

func folder(t testing.TB) object.Bucket {
	t.Helper()
	b, err := object.Open(t.Context(), "file://"+t.TempDir(), object.Config{})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// copyOf exports a database and gives the dump.
func (a account) copyOf(t testing.TB, id string, b object.Bucket, change ...func(*export.Request)) (*backup.Manifest, []byte) {
	t.Helper()
	m, err := export.Run(t.Context(), source.D1(a.Client, id, "db"), b, request(change...))
	if err != nil {
		t.Fatal(err)
	}
	r, err := b.Open(t.Context(), m.Key, 0, -1)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	text, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return m, text
}

func forD1(t testing.TB, text []byte) []byte {
	t.Helper()
	var sql bytes.Buffer
	if err := dump.ForD1(&sql, bytes.NewReader(text)); err != nil {
		t.Fatal(err)
	}
	return sql.Bytes()
}

// load imports SQL by D1's own importer.
func (a account) load(t testing.TB, id string, sql []byte) (d1.ImportStats, error) {
	t.Helper()
	sum := md5.Sum(sql) //nolint:gosec // as above
	return a.Import(t.Context(), id, d1.Upload{Size: int64(len(sql)), MD5: hex.EncodeToString(sum[:]), Open: func() (io.ReadCloser, error) {
		return io.NopCloser(bytes.NewReader(sql)), nil
	}})
}

// refused are the traps that the engine will not hold at all, with what it says.
var refused = map[string]string{
	"rtree": "not authorized: SQLITE_AUTH", // of virtual tables D1 has FTS5's alone
}

// asD1 are other ways to make a trap's content where foreign keys are always on.
var asD1 = map[string][]string{
	// Dropping a table that is a parent deletes its rows first, and a mismatch of
	// keys met on the way is passed over (https://www.sqlite.org/foreignkeys.html,
	// section 5): so does a D1 come to hold orphans.
	"orphans": {
		`CREATE TABLE parent(id)`, `CREATE UNIQUE INDEX parent_id ON parent(id)`, `CREATE TABLE child(id INTEGER PRIMARY KEY, p REFERENCES parent(id))`,
		`INSERT INTO parent VALUES(99)`, `INSERT INTO child VALUES(1, 99), (2, NULL)`,
		`DROP INDEX parent_id`, `DROP TABLE parent`, `CREATE TABLE parent(id INTEGER PRIMARY KEY)`,
	},
}

// TestTraps makes every trap in the engine, exports it, imports the dump into
// new databases, in one transaction and in pieces, and compares. The simulated
// account must give the same dump, to the byte.
func TestTraps(t *testing.T) {
	t.Parallel()
	e := d1test.Start(t)
	engine := account{Client: e.Client(t), url: e.URL()}
	for _, trap := range exporttest.Traps() {
		t.Run(trap.Name, func(t *testing.T) {
			t.Parallel()
			if statements, ok := asD1[trap.Name]; ok {
				trap.Statements = statements
			}
			id := engine.create(t, "trap "+trap.Name)
			if says, ok := refused[trap.Name]; ok {
				if _, err := engine.Exec(t.Context(), id, trap.Statements); err == nil || !strings.Contains(err.Error(), says) {
					t.Fatalf("got %v, want %q", err, says)
				}
				return
			}
			engine.exec(t, id, trap.Statements...)
			bucket := folder(t)
			m, text := engine.copyOf(t, id, bucket, whole)
			if m.Consistency != backup.Snapshot {
				t.Errorf("consistency is %q", m.Consistency)
			}
			if trap.Code == "" && len(m.Findings) > 0 || trap.Code != "" && !slices.ContainsFunc(m.Findings, func(f backup.Finding) bool { return f.Code == trap.Code }) {
				t.Errorf("findings %v, want %q", m.Findings, trap.Code)
			}
			if p, _ := engine.copyOf(t, id, bucket, paged(2)); trap.Lost == "" && p.BodySHA256 != m.BodySHA256 {
				t.Errorf("in pages of two the body hash is another")
			}
			sql := forD1(t, text)
			sameFromSimulated(t, trap, text, sql)
			prepare(t, engine, id, trap)
			for _, prefix := range []string{"", d1test.Pieces} {
				copied := engine.create(t, prefix+"copy of "+trap.Name)
				_, err := engine.load(t, copied, sql)
				says := trap.Import
				if prefix == d1test.Pieces && says == "" {
					says = trap.InPieces
				}
				if says != "" {
					if err == nil || !strings.Contains(err.Error(), says) {
						t.Errorf("import %q: %v, want %q", prefix, err, says)
					}
					continue
				}
				if err != nil {
					t.Errorf("import %q: %v", prefix, err)
					continue
				}
				prepare(t, engine, copied, trap)
				exporttest.Equal(t, askD1(engine.Client, id), askD1(engine.Client, copied), trap.Queries...)
			}
		})
	}
}

// TestNumberBeforeNUL: text that is a number with a NUL behind it, in a column
// of numbers, is kept as text by the engine and by a copy; the SQLite of a proof
// would make a number of it, and proves the copy all the same.
func TestNumberBeforeNUL(t *testing.T) {
	t.Parallel()
	e := d1test.Start(t)
	engine := account{Client: e.Client(t), url: e.URL()}
	id := engine.create(t, "numbers before NUL",
		`CREATE TABLE w(a TEXT, b ANY, PRIMARY KEY(a, b DESC)) WITHOUT ROWID`, `CREATE TABLE n(i INTEGER, r REAL, t TEXT)`,
		`INSERT INTO w VALUES('a', 12), ('a', '12x'), ('a', CAST(X'313200' AS TEXT)), ('a', X'3132')`,
		`INSERT INTO n VALUES(CAST(X'203100' AS TEXT), CAST(X'2B312E356531003132' AS TEXT), CAST(X'313200' AS TEXT)), (CAST(X'7A00' AS TEXT), NULL, 'x')`)
	m, text := engine.copyOf(t, id, folder(t), whole)
	var found []string
	for _, f := range m.Findings {
		found = append(found, f.Code+" "+f.Object)
	}
	if want := []string{"number-before-nul n", "number-before-nul n", "number-before-nul w"}; !slices.Equal(found, want) {
		t.Errorf("findings %q", found)
	}
	if !bytes.Contains(text, []byte(`VALUES('a',CAST(X'313200' AS TEXT))`)) {
		t.Errorf("the text is not kept:\n%s", text)
	}
	p, err := prove.Dump(t.Context(), bytes.NewReader(text), backup.Plain, m, prove.Options{Scratch: t.TempDir()})
	if err != nil || p.Contents.BodySHA256 != m.BodySHA256 {
		t.Errorf("the copy does not prove: %v", err)
	}
	copied := engine.create(t, "copy of numbers before NUL")
	if _, err := engine.load(t, copied, forD1(t, text)); err != nil {
		t.Fatal(err)
	}
	exporttest.Equal(t, askD1(engine.Client, id), askD1(engine.Client, copied))
}

// sameFromSimulated: the simulated account, holding the same, gives the same
// body. It gets the content by import, for its SQLite reads some of the traps'
// own literals of reals as a neighbour, which the dump's literals avoid.
func sameFromSimulated(t *testing.T, trap exporttest.Trap, text, sql []byte) {
	t.Helper()
	sim := simulated(t, false)
	id := sim.create(t, "twin")
	if trap.Import != "" {
		sim.exec(t, id, trap.Statements...)
	} else if _, err := sim.load(t, id, sql); err != nil {
		t.Errorf("import into the simulated account: %v", err)
		return
	}
	_, simText := sim.copyOf(t, id, folder(t), whole)
	if d := firstDifference(text, simText); d != "" {
		t.Errorf("the simulated account gives another dump:\n%s", d)
	}
}

// prepare takes away what a copy does not hold, from both sides: what the trap
// says is lost, and what ANALYZE learned of Cloudflare's own table.
func prepare(t testing.TB, a account, id string, trap exporttest.Trap) {
	t.Helper()
	if trap.Lost != "" {
		a.exec(t, id, `DROP TABLE "`+trap.Lost+`"`)
	}
	if trap.Name == "statistics" {
		a.exec(t, id, `DELETE FROM sqlite_stat1 WHERE tbl LIKE '\_cf\_%' ESCAPE '\'`)
	}
}

// body is a dump without what differs between two copies of the same: the
// header and the footer.
func body(text []byte) string {
	_, rest, _ := strings.Cut(string(text), "PRAGMA foreign_keys=OFF;\n")
	return rest[:strings.LastIndex(rest, "PRAGMA foreign_keys=ON;")]
}

// firstDifference gives the first line in which two dumps' bodies differ, or "".
func firstDifference(x, y []byte) string {
	a, b := strings.Split(body(x), "\n"), strings.Split(body(y), "\n")
	for i := range min(len(a), len(b)) {
		if a[i] != b[i] {
			return fmt.Sprintf("%.300s\n%.300s", a[i], b[i])
		}
	}
	if len(a) != len(b) {
		return fmt.Sprintf("%d lines, %d lines", len(a), len(b))
	}
	return ""
}
