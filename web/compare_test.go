package web_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/AutumnsGrove/Patina/backup"
	"github.com/AutumnsGrove/Patina/backup/dump"
	"github.com/AutumnsGrove/Patina/store"
)

// sheet is a table of a copy: its CREATE, and rows of an integer and a text.
type sheet struct {
	name, sql string
	rows      [][2]string
}

// stored makes a copy of the database, with its manifest, out of tables and
// other statements of the schema.
func (b *bench) stored(d backup.Database, at time.Time, tables []sheet, triggers ...string) (backup.Copy, []byte) {
	b.t.Helper()
	var buf bytes.Buffer
	w := dump.NewWriter(&buf, dump.Header{Database: d.Name, DatabaseID: d.ID, TakenAt: at, Consistency: "snapshot"})
	for _, s := range tables {
		must(b.t, w.BeginTable(dump.Table{Name: s.name, SQL: s.sql, Columns: []string{"id", "v"}, AllColumns: true}))
		for _, r := range s.rows {
			v := dump.Value{Kind: dump.Text, Bytes: []byte(r[1])}
			if hexed, ok := strings.CutPrefix(r[1], "blob:"); ok {
				v = dump.Value{Kind: dump.Blob, Bytes: []byte(hexed)}
			}
			must(b.t, w.Row([]dump.Value{{Kind: dump.Integer, Bytes: []byte(r[0])}, v}))
		}
		must(b.t, w.EndTable())
	}
	if len(triggers) > 0 {
		must(b.t, w.BeginPart("triggers"))
		for _, sql := range triggers {
			must(b.t, w.Statement(sql))
		}
		must(b.t, w.EndPart())
	}
	c, err := w.Finish(dump.Footer{Consistency: "snapshot"})
	must(b.t, err)
	sum := sha256.Sum256(buf.Bytes())
	cp := backup.Copy{
		ID: uuid.Must(uuid.NewV7()).String(), DatabaseID: d.ID, DatabaseName: d.Name, Kind: backup.Manual, Date: backup.DateOf(at), TakenAt: at,
		Key: "manual/" + uuid.NewString() + ".sql", Size: c.Size, SHA256: hex.EncodeToString(sum[:]), BodySHA256: c.BodySHA256,
		Tables: c.Tables, Rows: c.Rows, Consistency: backup.Snapshot, Compression: backup.Plain, Proof: backup.ProofProven, ProvenAt: &at, CreatedAt: at, BookmarkBefore: "0000-mark",
	}
	cp.Manifest = &backup.Manifest{
		Format: 1, Kind: cp.Kind, DatabaseID: d.ID, DatabaseName: d.Name, Key: cp.Key, SHA256: cp.SHA256, Size: cp.Size, TableCount: c.Tables, Rows: c.Rows,
		SQLSize: c.Size, SQLSHA256: c.SHA256, BodySHA256: c.BodySHA256, BodySize: c.BodySize, Compression: backup.Plain,
		Findings: []backup.Finding{{Code: "x", Message: "a finding <b>of it</b>"}},
	}
	for _, s := range c.Sections {
		cp.Manifest.Sections = append(cp.Manifest.Sections, backup.Section{Name: s.Name, Kind: s.Kind, Offset: s.Offset, Length: s.Length, Rows: s.Rows, SHA256: s.SHA256})
	}
	must(b.t, b.bucket.Replace(b.t.Context(), cp.Key, buf.Bytes(), "application/sql"))
	id, err := b.store.RecordCopy(b.t.Context(), cp)
	must(b.t, err)
	cp.ID = id
	return cp, buf.Bytes()
}

const hostileName = "t\"'<script>alert(1)</script>\u202e\n;--"

// twoCopies are a day apart, and differ in all that can.
func (b *bench) twoCopies(d backup.Database) (before, after backup.Copy) {
	b.t.Helper()
	at := time.Now().UTC().Add(-48 * time.Hour).Truncate(time.Microsecond)
	table := func(name, extra string) string {
		return "CREATE TABLE " + dump.QuoteIdent(name) + "(id INTEGER PRIMARY KEY, v" + extra + ")"
	}
	before, _ = b.stored(d, at, []sheet{
		{"users", table("users", ""), [][2]string{{"1", "canary-one"}, {"2", "canary-two"}, {"3", "same"}}},
		{hostileName, table(hostileName, ""), [][2]string{{"1", "<img src=x onerror=alert(1)>"}}},
		{"gone", table("gone", ""), nil},
	}, "CREATE TRIGGER tr AFTER INSERT ON users BEGIN SELECT 1; END")
	after, _ = b.stored(d, at.Add(24*time.Hour), []sheet{
		{"users", table("users", " DEFAULT 7"), [][2]string{{"1", "canary-one"}, {"2", "canary-<b>three"}, {"3", "same"}, {"4", "blob:00FF"}, {"5", strings.Repeat("long ", 5000)}}},
		{hostileName, table(hostileName, ""), [][2]string{{"1", "\u202eevil\x1b[31m\n</code>"}}},
		{"fresh", table("fresh", ""), [][2]string{{"1", ""}}},
	}, "CREATE TRIGGER tr AFTER INSERT ON users BEGIN SELECT 2; END")
	return before, after
}

func TestCompare(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	d, _, _ := b.database("groveauth")
	before, after := b.twoCopies(d)
	p := b.program(b.token(store.Viewer, false))
	var got struct {
		Before, After struct{ ID, URL string }
		Same          bool
		Tables        []struct {
			Name, Change            string
			Added, Removed, Changed int
			SQLBefore               string `json:"sql_before"`
			RowsBefore, RowsAfter   int
		}
		Objects []struct{ Kind, Name, Change, Before, After string }
		Rows    []any
	}
	for _, path := range []string{"/backups/" + before.ID + "/diff/" + after.ID, "/backups/" + after.ID + "/diff/" + before.ID} {
		res := p.get(path)
		res.json(t, &got)
		if res.status != 200 || got.Before.ID != before.ID || got.After.ID != after.ID || got.Same || len(got.Tables) != 4 || len(got.Objects) != 1 || got.Rows != nil {
			t.Fatalf("%s: %d %+v", path, res.status, got)
		}
		if strings.Contains(res.body, "canary") || strings.Contains(res.body, "evil") {
			t.Error("values of rows are told without the right")
		}
	}
	if u := got.Tables[0]; u.Name != "users" || u.Added != 2 || u.Changed != 1 || u.Removed != 0 || u.SQLBefore == "" {
		t.Errorf("%+v", u)
	}
	if h := got.Tables[1]; h.Name != hostileName || h.Changed != 1 {
		t.Errorf("%+v", h)
	}
	if got.Tables[2].Change != "added" || got.Tables[3].Change != "removed" || got.Objects[0].Change != "changed" || !strings.Contains(got.Objects[0].After, "SELECT 2") {
		t.Errorf("%+v", got)
	}
	var same struct{ Same bool }
	if res := p.get("/backups/" + after.ID + "/diff/" + after.ID); res.status != 200 {
		t.Errorf("with itself: %d", res.status)
	} else if res.json(t, &same); !same.Same {
		t.Error("a copy differs from itself")
	}
	for path, status := range map[string]int{
		"/diff/x": 404, "/diff/" + uuid.NewString(): 404, "/diff/" + after.ID + "?table=nope": 404, "/diff/" + after.ID + "?rows=1": 400,
		"/diff/" + after.ID + "?rows=yes&table=users": 400, "/diff/" + after.ID + "?limit=0": 400, "/diff/" + after.ID + "?limit=1001": 400, "/diff/" + after.ID + "?table=%ff": 400,
	} {
		if res := p.get("/backups/" + before.ID + path); res.status != status {
			t.Errorf("%s: %d, want %d: %s", path, res.status, status, res.body)
		}
	}
	if len(b.audited()) != 0 {
		t.Errorf("looking at what changed is on record: %q", b.audited())
	}
}

// The values of rows are a download: they need its right, and are on record.
func TestCompareRows(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	d, _, _ := b.database("groveauth")
	before, after := b.twoCopies(d)
	path := "/backups/" + before.ID + "/diff/" + after.ID + "?table=users&rows=1"
	for _, role := range []store.Role{store.Viewer, store.Operator, store.Admin} {
		res := b.program(b.token(role, false)).get(path)
		if res.status != http.StatusForbidden || strings.Contains(res.body, "canary") {
			t.Errorf("%s: %d %s", role, res.status, res.body)
		}
		if !contains(b.audited(), fmt.Sprintf("token test %s|denied|rows of users that differ between backups %s and %s of groveauth|refused", role, before.ID, after.ID)) {
			t.Errorf("the refusal is not on record: %q", b.audited())
		}
	}
	p := b.program(b.token(store.Viewer, true))
	var got struct {
		Rows []struct {
			Table, Change string
			Fields        []struct {
				Name          string
				Key           bool
				Before, After *struct {
					Type, Value, Hex string
					Bytes            int
				}
			}
		}
		Found int `json:"rows_found"`
	}
	res := p.get(path)
	res.json(t, &got)
	if res.status != 200 || len(got.Rows) != 3 || got.Found != 3 {
		t.Fatalf("%d %+v", res.status, got)
	}
	if !contains(b.audited(), "token test viewer|download|rows of users that differ between backups "+before.ID+" and "+after.ID+" of groveauth|sent") {
		t.Errorf("not on record: %q", b.audited())
	}
	if f := got.Rows[0].Fields; got.Rows[0].Change != "changed" || !f[0].Key || f[0].Before.Value != "2" || f[1].Before.Value != "canary-two" || f[1].After.Value != "canary-<b>three" {
		t.Errorf("%+v", got.Rows[0])
	}
	if f := got.Rows[1].Fields; got.Rows[1].Change != "added" || f[1].Before != nil || f[1].After.Hex != "00FF" || f[1].After.Type != "blob" {
		t.Errorf("%+v", got.Rows[1])
	}
	if f := got.Rows[2].Fields; len(f[1].After.Value) != 4096 || f[1].After.Bytes != 25_000 {
		t.Errorf("a long value has %d of %d bytes", len(f[1].After.Value), f[1].After.Bytes)
	}
	p.get(path+"&limit=1").json(t, &got)
	if len(got.Rows) != 1 || got.Found != 3 {
		t.Errorf("with a limit: %d of %d", len(got.Rows), got.Found)
	}
}

// Pages of a copy and of a comparison: names and values do nothing there.
func TestComparePages(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	d, _, _ := b.database("groveauth")
	before, after := b.twoCopies(d)
	b.user("vera", store.Viewer, false)
	b.user("lou", store.Viewer, true)
	vera, lou := b.signedIn("vera"), b.signedIn("lou")
	diff := "/backups/" + before.ID + "/diff/" + after.ID
	hostilePath := diff + "?rows=1&table=" + strings.NewReplacer("\"", "%22", "'", "%27", "<", "%3C", ">", "%3E", "/", "%2F", "\u202e", "%E2%80%AE", "\n", "%0A", ";", "%3B").Replace(hostileName)
	for path, who := range map[string]*client{"/backups/" + after.ID: lou, diff: lou, diff + "?rows=1&table=users": lou, hostilePath: lou} {
		res := who.get(path)
		if res.status != 200 || !strings.Contains(res.body, "<h1>") {
			t.Errorf("%s: %d", path, res.status)
		}
		for _, bad := range []string{"<script>alert", "<img src=x", "<b>of it", "\u202e", "\x1b", "canary-<b>"} {
			if strings.Contains(res.body, bad) {
				t.Errorf("%s: %q stands on the page", path, bad)
			}
		}
	}
	for path, wants := range map[string][]string{
		"/backups/" + after.ID: {diff, "What changed since the copy before", "Proven at", "0000-mark", after.SHA256, after.Key, "&amp;table=users", "&lt;b&gt;of it"},
		"/list":                {"/backups/" + after.ID},
		"/databases/groveauth": {"/backups/" + after.ID, diff},
		diff:                   {"3\u00a0rows added", "2\u00a0rows changed", "1\u00a0new table", "1\u00a0table gone", "rows=1&amp;table=users", "SELECT 2", "/backups/" + before.ID},
		hostilePath:            {"<del>", "<ins>", "evil", "⏎"},
	} {
		body := lou.get(path).body
		for _, want := range wants {
			if !strings.Contains(body, want) {
				t.Errorf("%s lacks %q", path, want)
			}
		}
	}
	for _, path := range []string{"/backups/" + after.ID, diff} {
		if body := vera.get(path).body; strings.Contains(body, "/download/") || strings.Contains(body, "rows=1") {
			t.Errorf("%s shows a viewer what a viewer may not", path)
		}
	}
	if res := vera.get(diff + "?rows=1&table=users"); res.status != 403 || strings.Contains(res.body, "canary") {
		t.Errorf("a viewer sees rows: %d", res.status)
	}
}

func TestCompareOfBadCopies(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	d, _, _ := b.database("groveauth")
	before, after := b.twoCopies(d)
	p := b.program(b.token(store.Viewer, true))
	path := "/backups/" + before.ID + "/diff/" + after.ID
	_, good := b.stored(d, time.Now(), nil)
	must(t, b.bucket.Replace(t.Context(), after.Key, bytes.Repeat(good, 100), ""))
	if res := p.get(path); res.status != 500 || !strings.Contains(res.body, "damaged") {
		t.Errorf("another object in its place: %d %s", res.status, res.body)
	}
	must(t, b.bucket.Delete(t.Context(), after.Key))
	if res := p.get(path); res.status != 500 || !strings.Contains(res.body, "not in the bucket") {
		t.Errorf("a missing object: %d %s", res.status, res.body)
	}
	must(t, b.store.MarkDeleted(t.Context(), after.ID, time.Now()))
	if res := p.get(path); res.status != 404 || !strings.Contains(res.body, "was deleted") {
		t.Errorf("a deleted copy: %d %s", res.status, res.body)
	}
	var shown struct {
		Available bool
		DeletedAt *time.Time `json:"deleted_at"`
	}
	if res := p.get("/backups/" + after.ID); res.status != 200 {
		t.Errorf("the page of a deleted copy: %d", res.status)
	} else if res.json(t, &shown); shown.Available || shown.DeletedAt == nil {
		t.Errorf("%+v", shown)
	}
	elsewhere, _, _ := b.database("elsewhere")
	other, _ := b.stored(elsewhere, time.Now(), nil)
	if res := p.get("/backups/" + before.ID + "/diff/" + other.ID); res.status != 200 {
		t.Errorf("with another database's: %d %s", res.status, res.body)
	}
}
