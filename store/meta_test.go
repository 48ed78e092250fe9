package store_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/AutumnsGrove/Patina/backup"
	"github.com/AutumnsGrove/Patina/store"
	"github.com/AutumnsGrove/Patina/store/storetest"
)

// inMeta says of every table whether what it holds is written to the bucket; a
// new table needs a line here, and one in meta.go where its answer is yes.
var inMeta = map[string]string{
	"databases": "yes", "schedules": "yes", "settings": "yes", "users": "yes", "api_tokens": "yes", "alert_config": "yes", "backup_jobs": "yes", "restores": "yes",
	"drills": "yes", "drill_results": "yes", "identities": "yes", "alert_thresholds": "yes", "alert_mutes": "yes",
	"deliveries": "of no use later", "delivery_attempts": "of no use later", "event_channels": "of no use later",
	"backup_inventory":  "the manifests, and the state of each copy beside the tables",
	"archives":          "the archives' manifests",
	"backup_results":    "the manifests tell of those that have a copy",
	"schedule_slots":    "the manifests tell of those that have copies",
	"audit_log":         "its head alone",
	"events":            "of no use later",
	"processes":         "of no use later",
	"readers":           "of no use later",
	"removals":          "what still lies in the bucket is listed again, and expires again",
	"export_slots":      "of no use later",
	"sessions":          "everybody signs in again",
	"sign_ins":          "everybody signs in again",
	"password_links":    "of no use later",
	"idempotency_keys":  "of no use later",
	"rate_limits":       "of no use later",
	"database_standing": "made of the catalogue and the results",
	"goose_db_version":  "the tables are made anew",
}

func TestEveryTableIsKeptOrNot(t *testing.T) {
	t.Parallel()
	s := storetest.New(t)
	rows, err := s.Pool().Query(t.Context(), "SELECT table_name::text FROM information_schema.tables WHERE table_schema = 'public' AND table_type = 'BASE TABLE'")
	ok(t, err)
	tables, err := pgx.CollectRows(rows, pgx.RowTo[string])
	ok(t, err)
	m, err := s.Meta(t.Context(), t0, "test")
	ok(t, err)
	for _, table := range tables {
		why, known := inMeta[table]
		if _, kept := m.Tables[table]; !known || kept != (why == "yes") {
			t.Errorf("table %s: kept %v, and this test says %q", table, kept, why)
		}
	}
	if len(tables) < 15 {
		t.Errorf("only %d tables were looked at", len(tables))
	}
}

// fillMeta puts one of everything into a store.
func fillMeta(t *testing.T, s *store.Store) {
	t.Helper()
	ctx := t.Context()
	gone := t0.Add(time.Hour)
	ok(t, s.UpsertDatabase(ctx, backup.Database{ID: idOf(1), Name: "groveauth", Binding: "AUTH", Description: `who may do "what" <ü>`, Priority: backup.Critical, Paused: true, Objective: 3 * time.Hour, FirstSeenAt: t0, LastSeenAt: t0.Add(time.Microsecond)}))
	ok(t, s.UpsertDatabase(ctx, backup.Database{ID: idOf(2), Name: "old", FirstSeenAt: t0, LastSeenAt: t0, GoneAt: &gone}))
	_, err := s.PutSchedule(ctx, store.Schedule{ID: "nightly", Kind: "backup", Spec: "0 3 * * *", CreatedAt: t0})
	ok(t, err)
	ok(t, s.SetSetting(ctx, "keep", map[string]any{"daily": 7, "big": 9007199254740993}))
	ok(t, s.SetSetting(ctx, "first_admin_nonce", "n"))
	ok(t, s.FreezeRetention(ctx, "why not", t0))
	_, err = s.InsertUser(ctx, store.User{ID: idOf(3), Name: "Ada", PasswordHash: "$argon2id$x", Role: store.Admin, Downloader: true, Epoch: 4, CreatedAt: t0})
	ok(t, err)
	ok(t, s.InsertIdentity(ctx, store.Identity{Issuer: "https://id.example", Subject: "1", UserID: idOf(3), Email: "ada@example.org", CreatedAt: t0}))
	_, err = s.InsertToken(ctx, store.Token{ID: idOf(4), Name: "ci", SHA256: bytes.Repeat([]byte{7, 0xff}, 16), Hint: "abcd", Role: store.Viewer, Databases: []string{idOf(1)}, CreatedBy: "Ada", CreatedAt: t0, ExpiresAt: &gone})
	ok(t, err)
	_, err = s.InsertAlertConfig(ctx, store.AlertConfig{ID: idOf(5), Kind: "discord", Name: "ops", URLSealed: []byte{0, 1, 2, 0xfe}, Enabled: true, CreatedAt: t0})
	ok(t, err)
	ok(t, s.InsertHistory(ctx, []backup.Job{{ID: idOf(6), Kind: backup.JobRestore, Trigger: backup.TriggerManual, Status: backup.JobCompleted, Date: backup.DateOf(t0), RequestedBy: "Ada", CreatedAt: t0, StartedAt: &t0, CompletedAt: &gone, Transitions: []backup.Transition{{Status: backup.JobCompleted, At: t0}}}}, nil))
	ok(t, s.InsertRestore(ctx, backup.Restore{ID: idOf(6), Target: backup.RestoreNew, DatabaseID: idOf(1), DatabaseName: "groveauth", Tables: []string{"users"}, Name: "again", CreatedAt: t0}))
	_, err = s.Pool().Exec(ctx, "UPDATE restores SET ended_at = created_at, outcome = 'done' WHERE id = $1", idOf(6))
	ok(t, err)
	for _, q := range []string{
		"INSERT INTO drills (id, verdict, databases, passed, created_at, ended_at) VALUES ($1, 'passed', 1, 1, $2, $2)",
		"INSERT INTO drill_results (job_id, role, database_id, database_name, at, passed) VALUES ($1, 'newest', $1, 'groveauth', $2, true)",
		"INSERT INTO alert_mutes (id, until, created_by, created_at) VALUES ($1, $2, 'Ada', $2)",
		"INSERT INTO alert_thresholds (database_id, long_seconds) SELECT $1, 60 WHERE $2::timestamptz IS NOT NULL",
	} {
		_, err = s.Pool().Exec(ctx, q, idOf(6), gone)
		ok(t, err)
	}
	_, err = s.AppendAudit(ctx, store.AuditEntry{At: t0, Actor: "Ada", Action: "pin", Outcome: "done"})
	ok(t, err)
	_, err = s.RecordCopy(ctx, backup.Copy{
		ID: idOf(7), DatabaseID: idOf(1), DatabaseName: "groveauth", Kind: backup.Daily, Date: backup.DateOf(t0), TakenAt: t0, Key: "daily/2026-11-23/groveauth.sql", Size: 1, SHA256: "aa", BodySHA256: "bb",
		Consistency: backup.Snapshot, Proof: backup.ProofProven, ProvenAt: &gone, Pinned: true, CreatedAt: t0, Manifest: &backup.Manifest{Format: 1},
	})
	ok(t, err)
}

func idOf(n byte) string { return uuid.UUID{15: n}.String() }

func ok(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestMetaComesBack(t *testing.T) {
	t.Parallel()
	one, two := storetest.New(t), storetest.New(t)
	ctx, now := t.Context(), t0.AddDate(0, 1, 0)
	fillMeta(t, one)
	m, err := one.Meta(ctx, now, "1.2")
	ok(t, err)
	text, err := m.Encode()
	ok(t, err)
	m, err = store.DecodeMeta(bytes.NewReader(text))
	ok(t, err)
	head, err := one.AuditHead(ctx)
	ok(t, err)
	if !m.WrittenAt.Equal(now) || m.Version != "1.2" || m.AuditHead != head || head.ID != 1 || m.Schema < 8 {
		t.Errorf("%+v", m)
	}
	gone := t0.Add(time.Hour)
	want := store.CopyState{ID: idOf(7), Key: "daily/2026-11-23/groveauth.sql", SHA256: "aa", Proof: backup.ProofProven, ProvenAt: &gone, Pinned: true, CreatedAt: t0}
	if len(m.Copies) != 1 || !reflect.DeepEqual(m.Copies[0], want) {
		t.Errorf("%+v", m.Copies)
	}
	restore := func() map[string]store.MetaRows {
		t.Helper()
		var out map[string]store.MetaRows
		ok(t, two.InTx(ctx, func(_ pgx.Tx, s *store.Store) error {
			var err error
			out, err = s.RestoreMeta(ctx, m, now)
			return err
		}))
		return out
	}
	for table, n := range restore() {
		if n.Kept == 0 || n.Restored != n.Kept {
			t.Errorf("%s: %+v", table, n)
		}
	}
	same(t, one, two, "databases", "*")
	same(t, one, two, "users", "*")
	same(t, one, two, "api_tokens", "*")
	same(t, one, two, "alert_config", "*")
	same(t, one, two, "restores", "*")
	same(t, one, two, "drills", "*")
	same(t, one, two, "drill_results", "*")
	same(t, one, two, "alert_mutes", "*")
	same(t, one, two, "alert_thresholds", "*")
	same(t, one, two, "backup_jobs", "id, kind, status, completed_at, requested_by, transitions")
	same(t, one, two, "schedules", "id, kind, spec, paused")
	if sc, err := two.Schedule(ctx, "nightly"); err != nil || !sc.CreatedAt.Equal(now) {
		t.Errorf("%+v, %v: what was due before is due again", sc, err)
	}
	var keep map[string]json.Number
	if there, err := two.Setting(ctx, "keep", &keep); err != nil || !there || keep["big"] != "9007199254740993" {
		t.Errorf("%v, %v", keep, err)
	}
	for _, key := range []string{"first_admin_nonce", "retention_frozen"} {
		var v any
		if there, err := two.Setting(ctx, key, &v); there || err != nil {
			t.Errorf("%s came back", key)
		}
	}
	restore() // nothing happens
	same(t, one, two, "users", "*")
	same(t, one, two, "databases", "*")
}

// same compares a table's rows in two stores.
func same(t *testing.T, one, two *store.Store, table, columns string) {
	t.Helper()
	rows := func(s *store.Store) []string {
		r, err := s.Pool().Query(t.Context(), "SELECT to_jsonb(x)::text FROM (SELECT "+columns+" FROM "+table+" ORDER BY 1) x")
		ok(t, err)
		list, err := pgx.CollectRows(r, pgx.RowTo[string])
		ok(t, err)
		return list
	}
	if a, b := rows(one), rows(two); !slices.Equal(a, b) || len(a) == 0 {
		t.Errorf("%s:\n%s\nand\n%s", table, strings.Join(a, "\n"), strings.Join(b, "\n"))
	}
}

// What is there already stays, but for what people decided of a database; and a
// name that another has now is that one's.
func TestMetaIntoWhatIsThere(t *testing.T) {
	t.Parallel()
	one, two := storetest.New(t), storetest.New(t)
	ctx, now := t.Context(), t0.AddDate(0, 1, 0)
	fillMeta(t, one)
	m, err := one.Meta(ctx, now, "1.2")
	ok(t, err)
	ok(t, two.UpsertDatabase(ctx, backup.Database{ID: idOf(1), Name: "groveauth", FirstSeenAt: now, LastSeenAt: now}))
	ok(t, two.UpsertDatabase(ctx, backup.Database{ID: idOf(9), Name: "old", FirstSeenAt: now, LastSeenAt: now}))
	_, err = two.InsertUser(ctx, store.User{Name: "ada", PasswordHash: "new", Role: store.Admin, CreatedAt: now})
	ok(t, err)
	_, err = two.PutSchedule(ctx, store.Schedule{ID: "nightly", Kind: "backup", Spec: "0 5 * * *", CreatedAt: t0})
	ok(t, err)
	ok(t, two.SetSetting(ctx, "keep", 1))
	out, err := two.RestoreMeta(ctx, m, now)
	ok(t, err)
	if out["users"] != (store.MetaRows{Kept: 1}) || out["settings"] != (store.MetaRows{Kept: 1}) || out["databases"].Restored != 2 {
		t.Errorf("%+v", out)
	}
	d, err := two.Database(ctx, idOf(1))
	ok(t, err)
	if !d.Paused || d.Priority != backup.Critical || d.Binding != "AUTH" {
		t.Errorf("%+v", d)
	}
	if d, err := two.DatabaseByName(ctx, "old"); err != nil || d.ID != idOf(9) {
		t.Errorf("%+v, %v", d, err)
	}
	if u, err := two.UserByName(ctx, "ADA"); err != nil || u.PasswordHash != "new" {
		t.Errorf("%+v, %v", u, err)
	}
	if sc, err := two.Schedule(ctx, "nightly"); err != nil || sc.Spec != "0 5 * * *" || !sc.CreatedAt.Equal(t0) {
		t.Errorf("%+v, %v", sc, err)
	}
}

// A file of an older program lacks columns, one of a newer one has more; one
// that was changed is refused.
func TestMetaOfOtherPrograms(t *testing.T) {
	t.Parallel()
	s := storetest.New(t)
	ctx := t.Context()
	m := &store.Meta{Tables: map[string]json.RawMessage{
		"users":  json.RawMessage(`[{"id":"` + idOf(1) + `","name":"ada","role":"admin","created_at":"2026-11-23T03:00:00Z","shoe_size":44}]`),
		"tables": json.RawMessage(`[{"legs":4}]`),
	}}
	out, err := s.RestoreMeta(ctx, m, t0)
	ok(t, err)
	u, err := s.UserByName(ctx, "ada")
	ok(t, err)
	if u.Role != store.Admin || u.Epoch != 1 || u.PasswordHash != "" || len(out) != 1 {
		t.Errorf("%+v, %+v", u, out)
	}
	text, err := m.Encode()
	ok(t, err)
	if _, err := store.DecodeMeta(bytes.NewReader(text)); err != nil {
		t.Error(err)
	}
	at := bytes.Index(text, []byte("ada"))
	for name, bad := range map[string][]byte{
		"flipped": append(append(bytes.Clone(text[:at]), 'A'), text[at+1:]...), "cut": text[:len(text)/2], "none": nil, "another": []byte(`{"a":1}`),
		"newer": bytes.Replace(text, []byte(`"format": 1`), []byte(`"format": 2`), 1),
	} {
		if m, err := store.DecodeMeta(bytes.NewReader(bad)); !errors.Is(err, backup.ErrCorrupt) {
			t.Errorf("%s: %+v, %v", name, m, err)
		}
	}
}
