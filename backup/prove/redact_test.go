package prove_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"database/sql"
	"encoding/hex"
	"fmt"
	"io"
	"io/fs"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/AutumnsGrove/Patina/backup"
	"github.com/AutumnsGrove/Patina/backup/d1"
	"github.com/AutumnsGrove/Patina/backup/d1/d1sim"
	"github.com/AutumnsGrove/Patina/backup/export"
	"github.com/AutumnsGrove/Patina/backup/object"
	"github.com/AutumnsGrove/Patina/backup/prove"
	"github.com/AutumnsGrove/Patina/backup/source"
)

const canary = "kanarienvogel"

// secrets is a database with the canary wherever a value may lie.
var secrets = []string{
	`CREATE TABLE users(id INTEGER PRIMARY KEY, name TEXT NOT NULL, password_hash TEXT, salt BLOB, pin INTEGER, bio TEXT UNIQUE, mail TEXT NOT NULL CHECK(length(name) > 0), domain TEXT AS (substr(password_hash, 3)) STORED)`,
	`INSERT INTO users(id, name, password_hash, salt, pin, bio, mail) VALUES(1, 'ada', '` + canary + `', CAST('` + canary + `' AS BLOB), 4711, '` + canary + ` sings', '` + canary + `@example.org')`,
	`INSERT INTO users(id, name, password_hash, salt, pin, bio, mail) VALUES(2, 'bob', CAST('` + canary + `' || char(0) || '` + canary + `' AS TEXT), X'00', 4711, NULL, 'bob@example.org')`,
	`INSERT INTO users(id, name, password_hash, salt, pin, bio, mail) VALUES(3, 'cyd', replace(printf('%.*c', 20000, 'x'), 'x', '` + canary + `'), CAST(replace(printf('%.*c', 20000, 'x'), 'x', '` + canary + `') AS BLOB), NULL, replace(printf('%.*c', 20000, 'x'), 'x', '` + canary + ` '), '` + canary + `')`,
	`INSERT INTO users(id, name, password_hash, salt, pin, bio, mail) VALUES(4, 'dot', CAST(X'FF' || '` + canary + `' AS TEXT), NULL, 4712, '` + canary + `' || char(65533), '` + canary + `@example.org ')`,
	`CREATE TABLE sessions(token TEXT PRIMARY KEY, user_id INTEGER REFERENCES users, mail TEXT)`,
	`INSERT INTO sessions VALUES('` + canary + `-1', 1, '` + canary + `@example.org'), ('` + canary + `-2', 2, NULL)`,
	`CREATE TABLE uses(token TEXT REFERENCES sessions(token), at TEXT)`,
	`INSERT INTO uses VALUES('` + canary + `-1', 'now'), ('` + canary + `-2', 'now'), (NULL, 'never')`,
	`CREATE TABLE grants(user_id INTEGER, scope TEXT, secret ANY, PRIMARY KEY(user_id, scope)) STRICT, WITHOUT ROWID`,
	`INSERT INTO grants VALUES(1, 'a', '` + canary + `'), (1, 'b', 1), (2, 'a', 1.0), (2, 'c', 1.5)`,
	`CREATE INDEX by_secret ON grants(secret)`,
	`CREATE INDEX by_hash ON users(lower(mail)) WHERE password_hash IS NOT NULL`,
	`CREATE VIRTUAL TABLE users_search USING fts5(bio, content='users', content_rowid='id')`,
	`INSERT INTO users_search(users_search) VALUES('rebuild')`,
	`CREATE VIRTUAL TABLE notes USING fts5(title, body)`,
	`INSERT INTO notes VALUES('a title', 'the ` + canary + ` sings'), ('another', NULL)`,
	`CREATE VIEW people AS SELECT id, name, password_hash FROM users`,
	`ANALYZE`,
}

var secretRules = []string{
	"users.password_hash = null", "Users.SALT = hash", "users.pin = hash", "users.bio = null", "users.mail = hash",
	"sessions.token = hash", "uses.token = hash", "sessions.mail = hash", "grants.secret = hash", "notes.body = hash",
}

func parseRules(t testing.TB, texts ...string) []backup.Redaction {
	t.Helper()
	rules, err := backup.ParseRedactions(texts)
	if err != nil {
		t.Fatal(err)
	}
	return rules
}

func hashKey(t testing.TB) []byte {
	t.Helper()
	key, err := export.HashKey(bytes.Repeat([]byte{7}, 32))
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// holds tells whether bytes hold the canary, as it is or in hexadecimal.
func holds(b []byte) bool {
	low := bytes.ToLower(b)
	return bytes.Contains(low, []byte(canary)) || bytes.Contains(low, []byte(hex.EncodeToString([]byte(canary))))
}

// searched looks through every file of a folder for the canary, and into gzip.
func searched(t *testing.T, dir string) (files int) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		files++
		b, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		if z, err := gzip.NewReader(bytes.NewReader(b)); err == nil {
			if plain, err := io.ReadAll(z); err == nil {
				b = append(b, plain...)
			}
		}
		if holds(b) {
			t.Errorf("the canary is in %s", path)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

func makeFile(t *testing.T, statements ...string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "live.sqlite")
	db, err := sql.Open("sqlite", "file:"+path+"?_pragma=synchronous(off)")
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	db.SetMaxOpenConns(1)
	for _, s := range statements {
		if _, err := db.Exec(s); err != nil {
			t.Fatalf("%.100s: %v", s, err)
		}
	}
	return path
}

// TestNoCanaryIsStored: in whichever way a database is read and stored, no
// stored byte and nothing that is said holds a redacted value, and the copy
// proves and compares.
func TestNoCanaryIsStored(t *testing.T) {
	t.Parallel()
	sim, err := d1sim.New(d1sim.Config{Dir: t.TempDir(), AccountID: "acc", Token: "tok"})
	if err != nil {
		t.Fatal(err)
	}
	srv := httptest.NewServer(sim.Handler())
	t.Cleanup(func() { srv.CloseClientConnections(); srv.Close(); _ = sim.Close() })
	client, err := d1.New(d1.Config{AccountID: "acc", Token: "tok", BaseURL: srv.URL, Limiter: d1.NewLocalLimiter(1e6, 1e6)})
	if err != nil {
		t.Fatal(err)
	}
	id, err := sim.Create("auth")
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range secrets {
		if err := sim.Exec(id, s); err != nil {
			t.Fatalf("%.100s: %v", s, err)
		}
	}
	file, err := source.OpenFile(t.Context(), makeFile(t, secrets...))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = file.Close() })
	body := ""
	for i, c := range []struct {
		name     string
		src      source.Source
		limits   export.Limits
		compress backup.Compression
	}{
		{"snapshot", source.D1(client, id, "auth"), export.Limits{}, backup.Plain},
		{"snapshot, gzip", source.D1(client, id, "auth"), export.Limits{}, backup.Gzip},
		{"paged", source.D1(client, id, "auth"), export.Limits{SnapshotBytes: -1, PageRows: 1}, backup.Plain},
		{"paged, gzip", source.D1(client, id, "auth"), export.Limits{SnapshotBytes: -1, PageRows: 2}, backup.Gzip},
		{"file", file, export.Limits{}, backup.Plain},
		{"file, gzip", file, export.Limits{}, backup.Gzip},
	} {
		dir := t.TempDir()
		bucket, err := object.Open(t.Context(), "file://"+dir, object.Config{})
		if err != nil {
			t.Fatal(err)
		}
		at := time.Date(2026, 11, 23, 14, 0, i, 0, time.UTC)
		var told strings.Builder
		m, err := export.Run(t.Context(), c.src, bucket, export.Request{
			Key:  object.Key{Kind: backup.Manual, Date: backup.DateOf(at), At: at, JobID: "018f3c2a-0000-7000-8000-000000000000", Slug: "auth", Gzip: c.compress == backup.Gzip},
			Kind: backup.Manual, Trigger: backup.TriggerManual, Date: backup.DateOf(at), CopyID: "c", Clock: func() time.Time { return at },
			Compress: c.compress, Limits: c.limits, Redact: parseRules(t, secretRules...), HashKey: hashKey(t),
			Progress: func(p backup.Progress) { fmt.Fprintln(&told, p) }, Pause: func(ctx context.Context, _ time.Duration) error { return ctx.Err() },
		})
		if err != nil {
			t.Fatalf("%s: %v", c.name, err)
		}
		if n := searched(t, dir); n != 2 {
			t.Errorf("%s: %d files, not a dump and its manifest", c.name, n)
		}
		if holds(fmt.Appendf(nil, "%+v", m)) || holds([]byte(told.String())) {
			t.Errorf("%s: the canary was told", c.name)
		}
		if body == "" {
			body = m.BodySHA256
		}
		if m.BodySHA256 != body {
			t.Errorf("%s: another body", c.name)
		}
		text := bytesOf(t, bucket, m)
		p, err := prove.Dump(t.Context(), bytes.NewReader(text), c.compress, m, prove.Options{Scratch: t.TempDir(), Keep: filepath.Join(t.TempDir(), "kept"), Live: func(string, string) source.Source { return c.src }})
		if err != nil || p.Live.State != backup.SourceEqual || !strings.Contains(p.Live.Text, "users.password_hash") {
			t.Fatalf("%s: %v, %+v", c.name, err, p)
		}
		if holds(fmt.Appendf(nil, "%+v %+v", p.Live, p.Findings)) {
			t.Errorf("%s: the proof told the canary", c.name)
		}
		if want := backup.RedactionTexts(parseRules(t, slices.Concat(secretRules[:1], []string{"users.salt = hash"}, secretRules[2:])...)); !slices.Equal(m.Redactions, want) || !slices.Equal(p.Header.Redactions, want) {
			t.Errorf("%s: says %q and %q", c.name, m.Redactions, p.Header.Redactions)
		}
		if i == 0 {
			checkHashes(t, text)
		}
	}
}

func bytesOf(t *testing.T, b object.Bucket, m *backup.Manifest) []byte {
	t.Helper()
	r, err := b.Open(t.Context(), m.Key, 0, -1)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	text, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// checkHashes: what was equal is equal, what was NULL is NULL, and references
// hold.
func checkHashes(t *testing.T, text []byte) {
	t.Helper()
	db, err := sql.Open("sqlite", "file:"+makeFile(t, string(text)))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	for query, want := range map[string]string{
		`SELECT count(*) FROM users WHERE password_hash IS NULL AND domain IS NULL AND bio IS NULL`:       "4",
		`SELECT count(*) FROM users u JOIN sessions s ON s.mail = u.mail`:                                 "1",
		`SELECT count(*) FROM uses JOIN sessions USING(token)`:                                            "2",
		`SELECT count(DISTINCT mail) || ' ' || count(DISTINCT pin) || ' ' || count(pin) FROM users`:       "4 2 3",
		`SELECT typeof(salt) || ' ' || length(salt) FROM users WHERE id = 3`:                              "blob 16",
		`SELECT count(*) FROM users WHERE salt IS NULL`:                                                   "1",
		`SELECT count(*) FROM users WHERE mail GLOB 'hash:[0-9a-f]*' AND length(mail) = 37`:               "4",
		`SELECT count(*) FROM grants a JOIN grants b USING(secret) WHERE a.scope = 'b' AND b.scope = 'a'`: "1",
		`SELECT count(*) FROM notes WHERE notes MATCH 'sings'`:                                            "0",
		`SELECT count(*) FROM notes WHERE notes MATCH 'title'`:                                            "1",
		`SELECT count(*) FROM users_search WHERE users_search MATCH 'sings OR ` + canary + `'`:            "0",
		`SELECT count(*) FROM pragma_foreign_key_check`:                                                   "0",
	} {
		var got string
		if err := db.QueryRow(query).Scan(&got); err != nil || got != want {
			t.Errorf("%s: %q, not %q (%v)", query, got, want, err)
		}
	}
}

// TestOtherRulesAtTheKey: a dump that lies at the key and leaves out something
// else is never taken for what is asked for.
func TestOtherRulesAtTheKey(t *testing.T) {
	t.Parallel()
	file, err := source.OpenFile(t.Context(), makeFile(t, secrets...))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = file.Close() })
	bucket, err := object.Open(t.Context(), "file://"+t.TempDir(), object.Config{})
	if err != nil {
		t.Fatal(err)
	}
	run := func(rules ...string) *backup.Manifest {
		t.Helper()
		at := time.Date(2026, 11, 23, 3, 0, 0, 0, time.UTC)
		m, err := export.Run(t.Context(), file, bucket, export.Request{
			Key: object.Key{Kind: backup.Daily, Date: backup.DateOf(at), Slug: "auth"}, Kind: backup.Daily, Date: backup.DateOf(at), CopyID: "c",
			Clock: func() time.Time { return at }, Redact: parseRules(t, rules...), HashKey: hashKey(t),
		})
		if err != nil {
			t.Fatal(err)
		}
		return m
	}
	whole := run()
	if again := run(); again.Key != whole.Key || len(again.Redactions) > 0 {
		t.Errorf("the same again: %+v", again)
	}
	redacted := run(secretRules...)
	if redacted.Key == whole.Key || len(redacted.Redactions) != len(secretRules) || holds(bytesOf(t, bucket, redacted)) {
		t.Errorf("the whole dump passed for a redacted one: %+v", redacted)
	}
	if !slices.ContainsFunc(redacted.Findings, func(f backup.Finding) bool {
		return f.Code == "key-taken" && strings.Contains(f.Message, "nothing is redacted")
	}) {
		t.Errorf("findings: %+v", redacted.Findings)
	}
	if again := run(slices.Clone(secretRules)...); again.Key != redacted.Key {
		t.Errorf("the same rules again: %s, not %s", again.Key, redacted.Key)
	}
	other := run("users.password_hash = hash")
	if other.Key == redacted.Key || other.Key == whole.Key || !slices.Equal(other.Redactions, []string{"users.password_hash → hash"}) {
		t.Errorf("other rules: %+v", other)
	}
	if !holds(bytesOf(t, bucket, whole)) {
		t.Error("the first dump is not what it was")
	}
}
