package prove_test

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/klauspost/compress/gzip"

	"github.com/AutumnsGrove/Patina/backup"
	"github.com/AutumnsGrove/Patina/backup/dump"
	"github.com/AutumnsGrove/Patina/backup/object"
	"github.com/AutumnsGrove/Patina/backup/prove"
)

// maxPeak is what a process that proves a stranger's dump may take at most,
// itself included.
const maxPeak = 256 << 20

// forger writes a dump of any body, all hashes and counts right, as one could
// who may write to the bucket. It keeps nothing of it.
type forger struct {
	w          io.Writer
	file, body hash.Hash
	size       int64
	tables     int
	rows       int64
}

func (f *forger) head(format string, args ...any) {
	text := fmt.Appendf(nil, format, args...)
	f.file.Write(text)
	_, _ = f.w.Write(text)
}

func (f *forger) text(s string) {
	b := []byte(s)
	f.file.Write(b)
	f.body.Write(b)
	f.size += int64(len(b))
	_, _ = f.w.Write(b)
}

// line writes statements or markers, and counts what a reader will.
func (f *forger) line(s string) {
	if strings.HasPrefix(s, "-- table: ") || strings.HasPrefix(s, "-- virtual table: ") {
		f.tables++
	}
	if strings.HasPrefix(s, `INSERT INTO "t"`) {
		f.rows++
	}
	f.text(s + "\n")
}

// forge gives a stream of a dump whose body is written by write.
func forged(write func(f *forger)) io.Reader {
	r, w := io.Pipe()
	go func() {
		f := &forger{w: w, file: sha256.New(), body: sha256.New()}
		f.head("-- Patina SQL dump 1\n-- database: x (y)\n-- taken: 2026-11-23T03:00:04Z   job: j   consistency: snapshot\n-- bookmark: none\n-- tables: see footer   rows: see footer\n")
		f.text("PRAGMA foreign_keys=OFF;\nBEGIN TRANSACTION;\n")
		write(f)
		f.text("COMMIT;\nPRAGMA foreign_keys=ON;\n")
		f.head("-- tables: %d   rows: %d   body-bytes: %d   duration: 0.001s\n-- consistency: snapshot   bookmark-after: none\n-- body-sha256: %x\n", f.tables, f.rows, f.size, f.body.Sum(nil))
		f.head("-- file-sha256: %x\n", f.file.Sum(nil))
		_ = w.Close()
	}()
	return r
}

func lines(all ...string) io.Reader {
	return forged(func(f *forger) {
		for _, l := range all {
			f.line(l)
		}
	})
}

// endless repeats a text for ever.
type endless struct {
	text string
	at   int
}

func (e *endless) Read(b []byte) (n int, err error) {
	for n < len(b) {
		k := copy(b[n:], e.text[e.at:])
		n += k
		e.at = (e.at + k) % len(e.text)
	}
	return n, nil
}

// start is a dump up to its first row, with no end.
func start() io.Reader {
	return strings.NewReader("-- Patina SQL dump 1\n-- database: x (y)\n-- taken: 2026-11-23T03:00:04Z   job: j   consistency: snapshot\n-- bookmark: none\n-- tables: see footer   rows: see footer\n" +
		"PRAGMA foreign_keys=OFF;\nBEGIN TRANSACTION;\n-- table: t\nCREATE TABLE t(a);\n")
}

func zipped(r io.Reader) io.Reader {
	out, w := io.Pipe()
	go func() {
		z, _ := gzip.NewWriterLevel(w, gzip.BestSpeed)
		_, err := io.Copy(z, r)
		_ = w.CloseWithError(errors.Join(err, z.Close()))
	}()
	return out
}

// hostile is a dump that wants to do harm, and what is said of it. An empty word
// means that it does none: it is proven, and was bounded.
type hostile struct {
	make func() io.Reader
	says string
	gzip bool
	time time.Duration // 0: a minute
	max  int64         // of SQL
}

func table(statements ...string) func() io.Reader {
	return func() io.Reader { return lines(append([]string{"-- table: t"}, statements...)...) }
}

func hostiles() map[string]hostile {
	const row = `INSERT INTO "t"("a") VALUES(1);`
	big := strings.Repeat(",(zeroblob(20000000)||'x')", 12)[1:]
	wide := make([]string, 0, 20)
	for i := range 20 {
		wide = append(wide, fmt.Sprintf("g%d AS ((zeroblob(20000000) || 'x')) STORED", i))
	}
	repeat := func(n int, one func(i int) string) func() io.Reader {
		return func() io.Reader {
			return forged(func(f *forger) {
				f.line("-- table: t")
				f.line("CREATE TABLE t(a);")
				for i := range n {
					f.line(one(i))
				}
			})
		}
	}
	all := map[string]hostile{
		"a default of 1 GB":          {make: table("CREATE TABLE t(a, b DEFAULT (randomblob(1000000000)));", row), says: "longest that is loaded"},
		"a generated column of 2 GB": {make: table("CREATE TABLE t(a, b AS (zeroblob(2000000000)) STORED);", row), says: "longest that is loaded"},
		"a virtual column of 2 GB":   {make: table("CREATE TABLE t(a, b AS (zeroblob(2000000000)) CHECK (length(b) > 0));", row), says: "longest that is loaded"},
		"an index of 2 GB":           {make: table("CREATE TABLE t(a);", row, "-- schema: indexes", "CREATE INDEX i ON t(zeroblob(2000000000));"), says: "longest that is loaded"},
		"a check of much memory":     {make: table("CREATE TABLE t(a CHECK (max("+big+") IS NOT NULL));", row), says: "of memory"},
		"columns of much memory":     {make: table("CREATE TABLE t(a, "+strings.Join(wide, ", ")+");", row), says: "of memory"},
		"a row that grows the file":  {make: table(append([]string{"CREATE TABLE t(a, b DEFAULT (zeroblob(20000000)));"}, strings.Split(strings.Repeat(row+"\n", 20), "\n")[:20]...)...), says: "more than"},
		"a check that reads":         {make: table("CREATE TABLE t(a CHECK (readfile('/etc/passwd') IS NULL));", row), says: "no such function"},
		"a check that writes":        {make: table("CREATE TABLE t(a CHECK (writefile('/tmp/x', 'x') > 0));", row), says: "no such function"},
		"an index that loads code":   {make: table("CREATE TABLE t(a);", row, "-- schema: indexes", "CREATE INDEX i ON t(load_extension('x'));"), says: "loads code"},
		"a default that loads code":  {make: table("CREATE TABLE t(a, b DEFAULT (load_extension('x')));", row), says: "loads code"},
		"a column that loads code":   {make: table("CREATE TABLE t(a, b AS (\"load_extension\"(a)));", row), says: "loads code"},
		"a trigger that loads code":  {make: table("CREATE TABLE t(a);", "-- schema: triggers", "CREATE TRIGGER g AFTER INSERT ON t BEGIN SELECT load_extension('x'); END;"), says: "loads code"},
		"a view that loads code":     {make: table("CREATE TABLE t(a);", "-- schema: views", "CREATE VIEW v AS SELECT load_extension('x');"), says: "loads code"},
		"a trigger before the rows":  {make: table("CREATE TABLE t(a);", "-- schema: triggers", "CREATE TRIGGER g AFTER INSERT ON t BEGIN INSERT INTO u SELECT 1; END;", "-- table: u", "CREATE TABLE u(a);", "-- table: t", row), says: "behind a trigger"},
		"a trigger among the rows":   {make: table("CREATE TABLE t(a);", "CREATE TRIGGER g AFTER INSERT ON t BEGIN DELETE FROM t; END;", row), says: "section of a table"},
		"rows of another table":      {make: table("CREATE TABLE t(a);", "-- table: u", "CREATE TABLE u(a);", row), says: "other than its section's"},
		"a view that never ends":     {make: table("CREATE TABLE t(a);", "-- schema: views", "CREATE VIEW v AS WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x+1 FROM n) SELECT x FROM n;"), says: "differs"},
		"a search that never ends":   {make: endlessSearch, says: "took longer", time: 3 * time.Second},
		"pages of the file itself": {make: func() io.Reader {
			return lines("-- virtual table: t", "CREATE VIRTUAL TABLE t USING sqlite_dbpage;", `INSERT INTO "t" VALUES(1,X'00','main');`)
		}, says: "SQLite does not take"},
		"zeros": {make: func() io.Reader { return &endless{text: "\x00"} }, says: "not a dump"},
		"10 GB of zeros in a value": {make: func() io.Reader {
			return io.MultiReader(start(), strings.NewReader(`INSERT INTO "t" VALUES('`), io.LimitReader(&endless{text: "\x00"}, 10<<30))
		}, says: "longer than 4194304"},
		"a literal of 1 GB": {make: func() io.Reader {
			return io.MultiReader(start(), strings.NewReader(`INSERT INTO "t" VALUES('`), io.LimitReader(&endless{text: "x"}, 1<<30), strings.NewReader("');\n"))
		}, says: "longer than 4194304"},
		"a value of 80 MB in pieces": {make: staged(80), says: "longest that is loaded"},
		"a value of 22 MB in pieces": {make: staged(22), says: "differs"},
		"a gzip bomb of zeros":       {make: func() io.Reader { return zipped(&endless{text: "\x00"}) }, says: "not a dump", gzip: true},
		"a gzip bomb of rows": {make: func() io.Reader {
			return zipped(io.MultiReader(start(), &endless{text: "INSERT INTO \"t\" VALUES(1);\n"}))
		}, says: "SQL is longer than", gzip: true, max: 4 << 20},
		"a gzip bomb in a statement": {make: func() io.Reader { return zipped(io.MultiReader(start(), &endless{text: "     "})) }, says: "longer than 4194304", gzip: true},
		"gzip members without end":   {make: func() io.Reader { return &endless{text: emptyMember()} }, says: "gzip members", gzip: true},
		"notes without end":          {make: func() io.Reader { return io.MultiReader(start(), &endless{text: "-- note: x\n"}) }, says: "SQL is longer than", max: 200 << 20},
		"rows without end":           {make: func() io.Reader { return io.MultiReader(start(), &endless{text: "INSERT INTO \"t\" VALUES(1);\n"}) }, says: "took longer", time: 3 * time.Second},
		"100,000 rows":               {make: repeat(100_000, func(int) string { return `INSERT INTO "t"(rowid,"a") VALUES(NULL,1);` }), says: "differs"},
		"sections without end":       {make: func() io.Reader { return io.MultiReader(start(), &endless{text: "-- table: t\n"}) }, says: "more than 262144 sections"},
		"long names of sections": {make: func() io.Reader {
			return io.MultiReader(start(), &endless{text: "-- table: " + strings.Repeat("n", 4_000_000) + "\n"})
		}, says: "schema is longer"},
		"views without end": {make: func() io.Reader { return forged(func(f *forger) { f.line("-- schema: views"); manyViews(f) }) }, says: "took longer|schema is longer|of memory", time: 3 * time.Second},
		"brackets":          {make: deep("SELECT " + strings.Repeat("(", 1_000_000) + "1" + strings.Repeat(")", 1_000_000)), says: "SQLite does not take|of memory"},
		"nots":              {make: deep("SELECT " + strings.Repeat("NOT ", 500_000) + "1"), says: "SQLite does not take|of memory"},
		"a sum":             {make: deep("SELECT 1" + strings.Repeat("+1", 1_000_000)), says: "SQLite does not take|of memory"},
		"subqueries":        {make: deep(strings.Repeat("SELECT * FROM (", 100_000) + "SELECT 1" + strings.Repeat(")", 100_000)), says: "SQLite does not take|of memory"},
		"cases":             {make: deep("SELECT " + strings.Repeat("CASE WHEN 1 THEN ", 100_000) + "1" + strings.Repeat(" END", 100_000)), says: "SQLite does not take|of memory"},
		"a compound":        {make: deep("SELECT 1" + strings.Repeat(" UNION SELECT 1", 200_000)), says: "SQLite does not take|of memory"},
		"columns":           {make: table("CREATE TABLE t(a" + strings.Repeat(",a", 1_000_000) + ");"), says: "SQLite does not take|of memory"},
	}
	for _, p := range []string{
		"writable_schema=ON", "foreign_keys=OFF", "journal_mode=WAL", "temp_store_directory='/tmp'", "data_store_directory='/tmp'", "mmap_size=99999999999", "cache_size=-99999999", "hard_heap_limit=0", "soft_heap_limit=0",
		"max_page_count=4294967294", "trusted_schema=ON", "encoding='UTF-16'", "page_size=512", "user_version=1", "schema_version=1", "application_id=1", "integrity_check", "optimize", "wal_checkpoint(TRUNCATE)", "locking_mode=NORMAL",
		"recursive_triggers=ON", "ignore_check_constraints=ON", "case_sensitive_like=ON", "legacy_alter_table=ON", "defer_foreign_keys=ON", "key='x'", "threads=8", "reset_database=1",
	} {
		all["PRAGMA "+p] = hostile{make: table("CREATE TABLE t(a);", "PRAGMA "+p+";"), says: "was not run"}
	}
	for _, s := range []string{
		"ATTACH '/tmp/patina-hostile.db' AS x;", "DETACH x;", "VACUUM;", "VACUUM INTO '/tmp/patina-hostile.db';", "SELECT load_extension('x');", "SELECT writefile('/tmp/patina-hostile.db','x');", "SELECT 1;", "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x+1 FROM n) SELECT sum(x) FROM n;",
		"REINDEX;", "ALTER TABLE t RENAME TO u;", "UPDATE t SET a=1;", "DELETE FROM t;", "DROP TABLE t;", "BEGIN;", "ROLLBACK;", "SAVEPOINT a;", "RELEASE a;", "EXPLAIN SELECT 1;", "CREATE TEMP TABLE x(a);", "CREATE TEMP VIEW x AS SELECT 1;", "CREATE TABLE t AS SELECT randomblob(1000000000);",
		`INSERT INTO "sqlite_schema" VALUES('table','x','x',2,'');`, `INSERT INTO "t" SELECT randomblob(1000000000);`, `INSERT INTO "t" VALUES(zeroblob(1000000000));`, ".shell id", ".read /etc/passwd",
	} {
		all[s] = hostile{make: table("CREATE TABLE t(a);", s), says: "was not run|not a whole dump"}
	}
	return all
}

func endlessSearch() io.Reader {
	return lines("-- virtual table: t", "CREATE VIRTUAL TABLE t USING fts5(x, content='v');", "-- schema: views",
		"CREATE VIEW v AS WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x+1 FROM n) SELECT x AS rowid, x FROM n;", "-- schema: fts", `INSERT INTO "t"("t") VALUES('rebuild');`)
}

func deep(query string) func() io.Reader {
	return func() io.Reader { return lines("-- schema: views", "CREATE VIEW v AS "+query+";") }
}

// staged is a value of so many million bytes that is put together from pieces.
func staged(millions int) func() io.Reader {
	return func() io.Reader {
		return forged(func(f *forger) {
			f.line("-- table: t")
			f.line("CREATE TABLE t(a);")
			f.line(`CREATE TABLE "patina_stage"(c INTEGER,s INTEGER,v,PRIMARY KEY(c,s));`)
			piece := strings.Repeat("x", 49_000)
			for i := range millions*1_000_000/len(piece) + 1 {
				f.line(fmt.Sprintf(`INSERT INTO "patina_stage" VALUES(1,%d,'%s');`, i, piece))
			}
			f.line(`INSERT INTO "t"(rowid,"a") VALUES(1,(SELECT CAST(group_concat(v,'') AS TEXT) FROM(SELECT v FROM "patina_stage" WHERE c=1 ORDER BY s)));`)
			f.line(`DELETE FROM "patina_stage";`)
			f.line(`DROP TABLE "patina_stage";`)
		})
	}
}

func manyViews(f *forger) {
	for i := range 1_200_000 {
		f.line(fmt.Sprintf("CREATE VIEW v%d AS SELECT %d;", i, i))
	}
}

func emptyMember() string {
	var b bytes.Buffer
	_ = gzip.NewWriter(&b).Close()
	return b.String()
}

const hostileEnv = "PATINA_TEST_HOSTILE"

func TestMain(m *testing.M) {
	if name := os.Getenv(hostileEnv); name != "" {
		os.Exit(hostileChild(name))
	}
	os.Exit(m.Run())
}

// answer is what a child says of one hostile dump.
type answer struct {
	Error   string // of the proof
	Corrupt bool
	ForD1   string // of making it ready for D1
	Table   string // of taking a table out of it
	Took    time.Duration
	Peak    int64 // bytes
}

func hostileChild(name string) int {
	h, ok := hostiles()[name]
	var a answer
	if !ok {
		_, err := backup.DecodeManifest(hostileManifests()[name])
		a.Corrupt, a.Error = errors.Is(err, backup.ErrCorrupt), words(err)
		return a.print()
	}
	compression := backup.Plain
	if h.gzip {
		compression = backup.Gzip
	}
	if h.time == 0 {
		h.time = time.Minute
	}
	began := time.Now()
	_, err := prove.Dump(context.Background(), h.make(), compression, nil, prove.Options{Scratch: os.Getenv("SCRATCH"), MaxTime: h.time, MaxSQL: h.max})
	a.Took = time.Since(began)
	a.Corrupt = errors.Is(err, backup.ErrCorrupt)
	a.Error = words(err)
	if endlessRows := h.max > 0 || h.says == "took longer"; !h.gzip && !endlessRows {
		a.ForD1 = words(dump.ForD1(io.Discard, h.make()))
		a.Table = words(dump.OneTable(io.Discard, h.make(), "t", dump.TableOptions{ForD1: true, As: "t_restored"}))
	}
	return a.print()
}

// print gives the answer to the parent, with the peak of memory.
func (a answer) print() int {
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 1
	}
	_, peak, _ := strings.Cut(string(status), "VmHWM:")
	if _, err := fmt.Sscan(peak, &a.Peak); err != nil {
		return 1
	}
	a.Peak <<= 10
	if err := json.NewEncoder(os.Stdout).Encode(a); err != nil {
		return 1
	}
	return 0
}

func words(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

// child runs one of them in a process of its own.
func child(t *testing.T, name string) answer {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), exe)
	cmd.Env = append(os.Environ(), hostileEnv+"="+name, "SCRATCH="+t.TempDir(), "GOMEMLIMIT=off")
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil {
		t.Fatalf("%v\n%.3000s", err, errs.String())
	}
	var a answer
	if err := json.Unmarshal(out.Bytes(), &a); err != nil {
		t.Fatalf("%v: %s", err, out.String())
	}
	t.Logf("%.1f s, %d MiB: %.200s", a.Took.Seconds(), a.Peak>>20, a.Error)
	if a.Peak > maxPeak {
		t.Errorf("it took %d MiB", a.Peak>>20)
	}
	return a
}

// TestHostile proves each hostile dump in a process of its own, which may take
// so much memory and no more, and makes it ready for D1 and for a restore.
func TestHostile(t *testing.T) {
	t.Parallel()
	for name, h := range hostiles() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := child(t, name)
			if most := cmp.Or(h.time, time.Minute) + 10*time.Second; a.Took > most {
				t.Errorf("it took %v", a.Took)
			}
			if len(a.Error) > 2000 {
				t.Errorf("the reason has %d bytes", len(a.Error))
			}
			said := func(text string) bool {
				for _, w := range strings.Split(h.says, "|") {
					if strings.Contains(text, w) {
						return true
					}
				}
				return false
			}
			if h.says == "" && a.Error != "" || h.says != "" && (!a.Corrupt || !said(a.Error)) {
				t.Errorf("got %.500q, want a word of %q", a.Error, h.says)
			}
			if h.says == "was not run" && (!strings.Contains(a.ForD1, "refused") || !strings.Contains(a.Table, "refused")) {
				t.Errorf("for D1: %.300q; one table: %.300q", a.ForD1, a.Table)
			}
		})
	}
	if _, err := os.Stat("/tmp/patina-hostile.db"); err == nil {
		t.Error("something was written outside")
	}
}

// hostileManifests are texts that pass for a manifest.
func hostileManifests() map[string]io.Reader {
	const good = `{"format": 1, "kind": "daily", "database_name": "x", "key": "k", "sha256": "s", "rows": 6}`
	section := `{"name":"a name that is as long as others","kind":"table","message":"` + strings.Repeat("m", 40) + `"},` + "\n"
	insert := func(what io.Reader) io.Reader {
		return io.MultiReader(strings.NewReader(`{"contents":[`), what)
	}
	return map[string]io.Reader{
		"manifest: nothing": strings.NewReader(""), "manifest: no JSON": strings.NewReader("hello"), "manifest: null": strings.NewReader("null"), "manifest: an array": strings.NewReader("[]"),
		"manifest: zeros without end": &endless{text: "\x00"}, "manifest: sections without end": insert(&endless{text: "{},"}),
		"manifest: many empty sections": insert(io.MultiReader(io.LimitReader(&endless{text: "{},"}, 31<<20), strings.NewReader("{}]}"))),
		"manifest: brackets":            insert(&endless{text: "["}), "manifest: a name without end": io.MultiReader(strings.NewReader(`{"database_name":"`), &endless{text: "n"}),
		"manifest: a long name":     io.MultiReader(strings.NewReader(`{"format":9,"database_name":"`), io.LimitReader(&endless{text: "n"}, 31<<20), strings.NewReader(`"}`)),
		"manifest: many sections":   insert(io.MultiReader(io.LimitReader(&endless{text: section}, 31<<20/int64(len(section))*int64(len(section))), strings.NewReader("{}]}"))),
		"manifest: many redactions": io.MultiReader(strings.NewReader(`{"redactions":[`), io.LimitReader(&endless{text: `"",`}, 31<<20), strings.NewReader(`""]}`)),
		"manifest: cut":             strings.NewReader(good[:len(good)/2]), "manifest: twice": strings.NewReader(good + good),
		"manifest: a later format": strings.NewReader(strings.Replace(good, `"format": 1`, `"format": 2`, 1)),
		"manifest: a float":        strings.NewReader(strings.Replace(good, `"rows": 6`, `"rows": 6.5`, 1)),
	}
}

// TestHostileManifests: a manifest is a stranger's too.
func TestHostileManifests(t *testing.T) {
	t.Parallel()
	text, m := dumpOf(t, sample...)
	m.Kind, m.Key = backup.Manual, "manual/2026-11-23/142233Z-018f3c2a/db.sql"
	good, err := m.Encode()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := backup.DecodeManifest(bytes.NewReader(good)); err != nil {
		t.Fatal(err)
	}
	for name := range hostileManifests() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if a := child(t, name); !a.Corrupt {
				t.Errorf("got %q", a.Error)
			}
		})
	}
	// Sizes that lie open no more than the dump has.
	for _, n := range []int64{-1, -1 << 63, 0, 1, 1<<63 - 1} {
		lying := *m
		lying.SQLSize, lying.Size, lying.BodySize, lying.Rows = n, n, n, n
		if _, err := proof(t, text, &lying); !errors.Is(err, backup.ErrCorrupt) {
			t.Errorf("sizes of %d: %v", n, err)
		}
	}
	// And a key leads nowhere but into the bucket.
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "outside.sql"), text, 0o600); err != nil {
		t.Fatal(err)
	}
	bucket, err := object.Open(t.Context(), "file://"+filepath.Join(dir, "bucket"), object.Config{})
	if err != nil {
		t.Fatal(err)
	}
	for _, key := range []string{"../outside.sql", "daily/../../outside.sql", filepath.Join(dir, "outside.sql"), "/etc/passwd", "", "."} {
		away := *m
		away.Key = key
		if _, err := prove.Copy(t.Context(), bucket, backup.Copy{Key: key, Compression: backup.Plain, Manifest: &away}, prove.Options{Scratch: dir}); err == nil || strings.Contains(err.Error(), "not a dump") {
			t.Errorf("%q: %v", key, err)
		}
	}
}
