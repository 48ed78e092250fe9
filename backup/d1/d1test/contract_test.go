package d1test_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"net/http/httptest"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/AutumnsGrove/Patina/backup"
	"github.com/AutumnsGrove/Patina/backup/d1"
	"github.com/AutumnsGrove/Patina/backup/d1/d1sim"
	"github.com/AutumnsGrove/Patina/backup/d1/d1test"
)

// account is an account that the contract is checked against.
type account struct {
	*d1.Client
	url    string
	prefix string // of the names of databases that are imported into
	pieces bool   // imports commit in pieces
}

func (a account) create(t testing.TB, name string, statements ...string) string {
	t.Helper()
	info, err := a.Create(t.Context(), name, d1.CreateOptions{})
	if err != nil {
		t.Fatalf("create %s: %v", name, err)
	}
	a.exec(t, info.ID, statements...)
	return info.ID
}

// exec runs statements, each in a request of its own.
func (a account) exec(t testing.TB, id string, statements ...string) {
	t.Helper()
	for _, s := range statements {
		if _, err := a.Exec(t.Context(), id, []string{s}); err != nil {
			t.Fatalf("%.200s: %v", s, err)
		}
	}
}

func (a account) bookmark(t testing.TB, id string) string {
	t.Helper()
	b, err := a.Bookmark(t.Context(), id, time.Time{})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func simulated(t testing.TB, pieces bool) account {
	t.Helper()
	sim, err := d1sim.New(d1sim.Config{Dir: t.TempDir(), AccountID: d1test.AccountID, Token: d1test.Token, ImportPieces: pieces})
	if err != nil {
		t.Fatal(err)
	}
	a := serve(t, sim)
	a.pieces = pieces
	return a
}

// serve gives a simulated account, which is closed when the test ends.
func serve(t testing.TB, sim *d1sim.Account) account {
	t.Helper()
	srv := httptest.NewServer(sim.Handler())
	t.Cleanup(func() {
		srv.CloseClientConnections()
		srv.Close()
		_ = sim.Close()
	})
	c, err := d1.New(d1.Config{AccountID: d1test.AccountID, Token: d1test.Token, BaseURL: srv.URL, Limiter: d1.NewLocalLimiter(1e6, 1e6)})
	if err != nil {
		t.Fatal(err)
	}
	return account{Client: c, url: srv.URL}
}

func TestContract(t *testing.T) {
	t.Parallel()
	t.Run("engine", func(t *testing.T) {
		t.Parallel()
		e := d1test.Start(t)
		contract(t, account{Client: e.Client(t), url: e.URL()}, account{Client: e.Client(t), url: e.URL(), prefix: d1test.Pieces, pieces: true})
	})
	t.Run("simulated", func(t *testing.T) {
		t.Parallel()
		contract(t, simulated(t, false), simulated(t, true))
	})
}

// contract is what Patina relies on. The second account imports in pieces.
func contract(t *testing.T, a, pieces account) {
	for _, c := range []struct {
		name  string
		check func(*testing.T, account)
	}{
		{"refusals", contractRefusals},
		{"databases", contractDatabases},
		{"raw", contractRaw},
		{"shapes", contractShapes},
		{"errors", contractErrors},
		{"values", contractValues},
		{"meta", contractMeta},
		{"foreign keys", contractForeignKeys},
		{"bookmarks", contractBookmarks},
		{"import", contractImport},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			c.check(t, a)
		})
	}
	t.Run("import in pieces", func(t *testing.T) {
		t.Parallel()
		contractImport(t, pieces)
	})
}

func contractDatabases(t *testing.T, a account) {
	id := a.create(t, "databases", "CREATE TABLE t(a)", "INSERT INTO t VALUES(1)")
	info, err := a.Get(t.Context(), id)
	if err != nil || info.ID != id || info.Name != "databases" || info.Tables != 1 || info.Size < 4096 || info.CreatedAt.IsZero() {
		t.Errorf("got %+v, %v", info, err)
	}
	all, err := a.List(t.Context())
	if err != nil || !slices.ContainsFunc(all, func(i d1.Info) bool { return i.ID == id && i.Name == "databases" }) {
		t.Errorf("listed %v, %v", all, err)
	}
	if _, err := a.Create(t.Context(), "databases", d1.CreateOptions{}); !errors.Is(err, backup.ErrInvalid) {
		t.Errorf("the second of a name: %v", err)
	}
	if err := a.Delete(t.Context(), id); err != nil {
		t.Fatal(err)
	}
	if _, err := a.Get(t.Context(), id); !errors.Is(err, backup.ErrNotFound) {
		t.Errorf("after its end: %v", err)
	}
	for i := range 5 {
		a.create(t, fmt.Sprintf("page %d", i))
	}
	var page struct {
		Result []struct{ Name string }
		Info   struct {
			Page, Count int
			Total       int `json:"total_count"`
		} `json:"result_info"`
	}
	a.call(t, http.MethodGet, "?name=page+&page=2&per_page=2", "", http.StatusOK, &page)
	if len(page.Result) != 2 || page.Info.Page != 2 || page.Info.Count != 2 || page.Info.Total != 5 {
		t.Errorf("page 2: %+v", page)
	}
}

// call asks the API itself, and reads the answer's JSON.
func (a account) call(t testing.TB, method, path, body string, status int, into any) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, a.url+"/accounts/"+d1test.AccountID+"/d1/database"+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+d1test.Token)
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err == nil {
		err = json.Unmarshal(text, into)
	}
	if err != nil || res.StatusCode != status {
		t.Fatalf("%s %s: status %d, want %d: %v: %.300s", method, path, res.StatusCode, status, err, text)
	}
}

// contractRaw: a batch is one transaction, whose statements see each other.
func contractRaw(t *testing.T, a account) {
	id := a.create(t, "raw", "CREATE TABLE t(a UNIQUE)")
	var r rows
	stats, err := a.Read(t.Context(), id, []string{"INSERT INTO t VALUES(1), (2) RETURNING a", "SELECT a, a AS b FROM t ORDER BY a", "SELECT 1 WHERE 0", "UPDATE t SET a = a"}, &r)
	if err != nil {
		t.Fatal(err)
	}
	if !stats.Primary || fmt.Sprint(r.columns) != "[[a] [a b] [1] []]" || fmt.Sprint(r.rows) != "[[[1] [2]] [[1 1] [2 2]] [] []]" {
		t.Errorf("columns %v, rows %v, %+v", r.columns, r.rows, stats)
	}
	for _, failing := range []string{"INSERT INTO t VALUES(2)", "SELEC", "INSERT INTO nope VALUES(1)", "SELECT abs(-9223372036854775807 - 1)"} {
		if _, err := a.Exec(t.Context(), id, []string{"INSERT INTO t VALUES(3)", "CREATE TABLE u(a)", "DELETE FROM t WHERE a = 1", failing}); !errors.Is(err, backup.ErrInvalid) {
			t.Errorf("%s: %v", failing, err)
		}
	}
	if got := one(t, a.Client, id, "SELECT group_concat(a) || (SELECT count(*) FROM sqlite_schema WHERE name = 'u') FROM t"); got != "1,20" {
		t.Errorf("failed batches left %v", got)
	}
}

// contractShapes: what a value becomes, and how parameters go in.
func contractShapes(t *testing.T, a account) {
	id := a.create(t, "shapes")
	var got struct {
		Success bool
		Errors  []any
		Result  []struct {
			Success bool
			Results struct {
				Columns []string
				Rows    json.RawMessage
			}
		}
	}
	a.call(t, http.MethodPost, "/"+id+"/raw", `{"sql":"SELECT 9007199254740993 AS a, X'00ff', 'é', NULL, 1.5, -0.0, 1e300, 9e999, CAST(X'61ff' AS TEXT), char(0), typeof(?1), ?2","params":[1,"x"]}`, http.StatusOK, &got)
	if !got.Success || len(got.Errors) != 0 || len(got.Result) != 1 || !got.Result[0].Success || got.Result[0].Results.Columns[0] != "a" {
		t.Fatalf("got %+v", got)
	}
	var values []any
	if err := json.Unmarshal(got.Result[0].Results.Rows, &[]any{&values}); err != nil {
		t.Fatal(err)
	}
	if want := []any{9007199254740992.0, []any{0.0, 255.0}, "é", nil, 1.5, 0.0, 1e300, nil, "a\uFFFD", "\x00", "real", "x"}; !reflect.DeepEqual(values, want) {
		t.Errorf("got  %v\nwant %v", values, want)
	}
}

// contractErrors: statuses and codes. Production may differ in the messages.
func contractErrors(t *testing.T, a account) {
	id := a.create(t, "errors")
	const unknown = "00000000-0000-4000-8000-000000000000"
	for _, c := range []struct {
		method, path, body string
		status, code       int
	}{
		{http.MethodPost, "/" + id + "/raw", `{"sql":"SELEC"}`, http.StatusBadRequest, 7500},
		{http.MethodPost, "/" + id + "/raw", `{"batch":[{"sql":"SELECT 1"},{"sql":"SELEC"}]}`, http.StatusBadRequest, 7500},
		{http.MethodPost, "/" + unknown + "/raw", `{"sql":"SELECT 1"}`, http.StatusNotFound, 7404},
		{http.MethodGet, "/" + unknown, "", http.StatusNotFound, 7404},
		{http.MethodGet, "/" + unknown + "/time_travel/bookmark", "", http.StatusNotFound, 7404},
		{http.MethodPost, "", `{"name":"errors"}`, http.StatusBadRequest, 7502},
	} {
		var got struct {
			Success bool
			Errors  []struct {
				Code    int
				Message string
			}
		}
		a.call(t, c.method, c.path, c.body, c.status, &got)
		if got.Success || len(got.Errors) != 1 || got.Errors[0].Code != c.code || got.Errors[0].Message == "" {
			t.Errorf("%s %s %s: %+v, want code %d", c.method, c.path, c.body, got, c.code)
		}
	}
	for sql, kind := range map[string]error{"SELECT * FROM nope": d1.ErrNoTable, "SELECT hex(zeroblob(1100001))": d1.ErrTooBig, "SELEC": backup.ErrInvalid} {
		if _, err := a.Read(t.Context(), id, []string{sql}, &rows{}); !errors.Is(err, kind) {
			t.Errorf("%s: %v, want %v", sql, err, kind)
		}
	}
	wrong, err := d1.New(d1.Config{AccountID: d1test.AccountID, Token: "wrong", BaseURL: a.url})
	if err != nil {
		t.Fatal(err)
	}
	var e *d1.Error
	if _, err := wrong.List(t.Context()); !errors.Is(err, backup.ErrDenied) || !errors.As(err, &e) || e.Code != 10000 || e.Status != http.StatusUnauthorized {
		t.Errorf("a wrong token: %v", err)
	}
}

// contractValues: what the exporter asks comes back exact.
func contractValues(t *testing.T, a account) {
	id := a.create(t, "values")
	const ask = `SELECT CASE typeof(c) WHEN 'text' THEN 't'||c WHEN 'real' THEN CASE WHEN c IN (9e999,-9e999) THEN quote(c) ELSE c END ELSE quote(c) END FROM (SELECT %s AS c)`
	for sql, want := range map[string]any{
		"9223372036854775807": "9223372036854775807", "-9223372036854775807 - 1": "-9223372036854775808", "9007199254740993": "9007199254740993", "0": "0",
		"1.0": 1.0, "0.1": 0.1, "1.7976931348623157e308": math.MaxFloat64, "4.9406564584124654e-324": math.SmallestNonzeroFloat64, "123456789012345680.0": 123456789012345680.0,
		"9e999": "9.0e+999", "-9e999": "-9.0e+999",
		"NULL": "NULL", "X''": "X''", "X'00FF'": "X'00FF'", "'NULL'": "tNULL", "''": "t", "'it''s'": "tit's",
		"CAST(X'610062' AS TEXT)": "ta\x00b", "CAST(X'61FFC3A9' AS TEXT)": "ta\uFFFDé", "CAST(X'EDA080' AS TEXT)": "t\uFFFD\uFFFD\uFFFD", "char(13,10,0x1F600)": "t\r\n😀",
	} {
		got := one(t, a.Client, id, fmt.Sprintf(ask, sql))
		if got != want {
			t.Errorf("%s: %s, want %s", sql, show(got), show(want))
		}
	}
}

func contractMeta(t *testing.T, a account) {
	id := a.create(t, "meta", "CREATE TABLE t(id INTEGER PRIMARY KEY, a)")
	stats, err := a.Exec(t.Context(), id, []string{"INSERT INTO t(a) VALUES(1), (2), (3)", "UPDATE t SET a = 9 WHERE id < 3"})
	if err != nil || stats.Changes != 5 || stats.RowsWritten != 5 || stats.SizeAfter < 8192 {
		t.Errorf("got %+v, %v", stats, err)
	}
	read, err := a.Read(t.Context(), id, []string{"SELECT a FROM t WHERE id > 1 ORDER BY id LIMIT 5"}, &rows{})
	if err != nil || read.RowsRead != 2 || !read.Primary || read.SizeAfter != stats.SizeAfter || read.Bytes == 0 {
		t.Errorf("got %+v, %v", read, err)
	}
}

// contractForeignKeys: they are always on, and cannot be switched off.
func contractForeignKeys(t *testing.T, a account) {
	id := a.create(t, "keys", "CREATE TABLE p(id INTEGER PRIMARY KEY)", "CREATE TABLE c(p REFERENCES p(id) ON DELETE CASCADE)")
	for _, batch := range [][]string{
		{"INSERT INTO c VALUES(1)"},
		{"PRAGMA foreign_keys=OFF", "INSERT INTO c VALUES(1)"},
		{"PRAGMA defer_foreign_keys=ON", "INSERT INTO c VALUES(1)"},
	} {
		if _, err := a.Exec(t.Context(), id, batch); !errors.Is(err, backup.ErrInvalid) || !strings.Contains(err.Error(), "FOREIGN KEY constraint failed") {
			t.Errorf("%q: %v", batch, err)
		}
	}
	if _, err := a.Exec(t.Context(), id, []string{"PRAGMA defer_foreign_keys=ON", "INSERT INTO c VALUES(1)", "INSERT INTO p VALUES(1)"}); err != nil {
		t.Errorf("a child before its parent: %v", err)
	}
	if got := one(t, a.Client, id, "SELECT count(*) FROM c"); got != 1.0 {
		t.Errorf("%v children, one was expected", got)
	}
	a.exec(t, id, "DELETE FROM p")
	if got := one(t, a.Client, id, "SELECT count(*) FROM c"); got != 0.0 {
		t.Errorf("%v children outlived their parent", got)
	}
}

// contractBookmarks: a bookmark stands still while nobody writes, and moves with
// the rows and with the schema. Production's are Time Travel's own, and whether
// they stand still when nobody writes is not documented.
func contractBookmarks(t *testing.T, a account) {
	id := a.create(t, "bookmarks", "CREATE TABLE t(a)", "INSERT INTO t VALUES(1)")
	first := a.bookmark(t, id)
	one(t, a.Client, id, "SELECT count(*) FROM t")
	if again := a.bookmark(t, id); again != first || first == "" {
		t.Errorf("nobody wrote, and %q became %q", first, again)
	}
	last := first
	for _, s := range []string{"INSERT INTO t VALUES(2)", "UPDATE t SET a = a", "CREATE TABLE u(a)", "DROP TABLE u", "CREATE INDEX i ON t(a)", "DELETE FROM t"} {
		a.exec(t, id, s)
		b := a.bookmark(t, id)
		if b <= last {
			t.Errorf("%s moved the bookmark from %q to %q", s, last, b)
		}
		last = b
	}
	previous, err := a.RestoreBookmark(t.Context(), id, first)
	if err != nil || previous != last {
		t.Fatalf("back to the first: %q, want %q; %v", previous, last, err)
	}
	if got := one(t, a.Client, id, "SELECT group_concat(a) || (SELECT count(*) FROM sqlite_schema WHERE name = 'i') FROM t"); got != "10" {
		t.Errorf("the first held 1 and no index, now it is %v", got)
	}
	if _, err := a.RestoreBookmark(t.Context(), id, previous); err != nil {
		t.Fatal(err)
	}
	if got := one(t, a.Client, id, "SELECT count(*) || (SELECT count(*) FROM sqlite_schema WHERE name = 'i') FROM t"); got != "01" {
		t.Errorf("undone, there should be no row and an index, and it is %v", got)
	}
	if _, err := a.RestoreBookmark(t.Context(), id, "00000000-00000000-00004c6d-ffffffffffffffffffffffffffffffff"); err == nil {
		t.Error("an unknown bookmark was taken")
	}
}

// contractImport holds for both ways of committing but in what a failed import
// leaves behind. Which way production goes is not documented.
func contractImport(t *testing.T, a account) {
	long := strings.Repeat("x", 90_000)
	id := a.create(t, a.prefix+"import")
	stats, err := a.load(t, id, []byte("-- a comment; 'with\nPRAGMA defer_foreign_keys=ON;\nCREATE TABLE t(a);\nCREATE TRIGGER g AFTER INSERT ON t WHEN new.a = ';' BEGIN DELETE FROM t WHERE a = 'END;'; END;\n"+
		"INSERT INTO t VALUES('é;''😀');\nINSERT INTO t VALUES('"+long+"');\n-- the end"))
	if err != nil || stats.Statements != 5 || stats.FinalBookmark != a.bookmark(t, id) {
		t.Fatalf("got %+v, %v", stats, err)
	}
	if got := one(t, a.Client, id, "SELECT group_concat(substr(a, 1, 5) || length(a), '|') FROM t"); got != "é;'😀4|xxxxx90000" {
		t.Errorf("imported %v", show(got))
	}
	for name, sql := range map[string]string{
		"transaction": "BEGIN TRANSACTION;", "commit": "COMMIT;", "savepoint": "SAVEPOINT s;", "syntax": "INSERT INTO x VALUES(;", "twice": "CREATE TABLE made(a);",
		"long": "INSERT INTO made VALUES('" + long + strings.Repeat("y", 10_001) + "');",
	} {
		id := a.create(t, a.prefix+"import fails: "+name)
		if _, err := a.load(t, id, []byte("CREATE TABLE made(a);\nINSERT INTO made VALUES(1);\n"+strings.Repeat(" ", 5000)+"\n"+sql)); !errors.Is(err, backup.ErrInvalid) {
			t.Errorf("%s: %v", name, err)
		}
		left := one(t, a.Client, id, "SELECT count(*) FROM sqlite_schema WHERE name = 'made'")
		if inPieces := a.pieces; (left == 1.0) != inPieces {
			t.Errorf("%s: the failed import left %v tables", name, left)
		}
	}
}
