package store_test

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/AutumnsGrove/Patina/backup"
	"github.com/AutumnsGrove/Patina/store"
	"github.com/AutumnsGrove/Patina/store/storetest"
)

// copyOn makes a copy of database n, day days after 2026-11-23.
func copyOn(n int, name string, day int, kind backup.CopyKind) backup.Copy {
	at := t0.AddDate(0, 0, day)
	return backup.Copy{
		DatabaseID: uid(n), DatabaseName: name, Kind: kind, Date: backup.DateOf(at), TakenAt: at, CreatedAt: at,
		Key: fmt.Sprintf("%s/%s/%s.sql", kind, backup.DateOf(at), name), Size: 100, SHA256: strings.Repeat("a", 64), BodySHA256: strings.Repeat("b", 64),
		Tables: 2, Rows: 3, Consistency: backup.Snapshot, Proof: backup.ProofPending, Compression: backup.Plain,
		Manifest: &backup.Manifest{Format: 1, Kind: kind, DatabaseName: name, Key: "k", SHA256: "s", Sections: []backup.Section{{Name: "users", Kind: "table", Rows: 3}}},
	}
}

func record(t *testing.T, s *store.Store, c backup.Copy) string {
	t.Helper()
	return must(s.RecordCopy(t.Context(), c))(t)
}

func TestRecordCopy(t *testing.T) {
	t.Parallel()
	s, ctx := storetest.New(t), t.Context()
	c := copyOn(1, "a", 0, backup.Daily)
	expires := t0.AddDate(0, 0, 7)
	c.ResultID, c.JobID, c.BookmarkBefore, c.BookmarkAfter = uid(11), uid(12), "0001", "0002"
	c.ExpiresAt, c.ExpiresReason, c.Pinned, c.Compression = &expires, "older than 7 days", true, backup.Gzip
	c.ID = record(t, s, c)
	got := must(s.Copy(ctx, c.ID))(t)
	if !reflect.DeepEqual(got, c) {
		t.Fatalf("got  %+v\nwant %+v", got, c)
	}
	if byKey := must(s.CopyByKey(ctx, c.Key))(t); !reflect.DeepEqual(byKey, c) {
		t.Fatalf("by key: %+v", byKey)
	}
	// Twice, as after a commit whose answer was lost: the same entry.
	again := c
	again.ID = ""
	if id := record(t, s, again); id != c.ID {
		t.Fatalf("recorded twice: %s and %s", c.ID, id)
	}
	// Other bytes under the key, in a transaction that goes on afterwards.
	again.SHA256 = strings.Repeat("c", 64)
	err := s.InTx(ctx, func(_ pgx.Tx, s *store.Store) error {
		if _, err := s.RecordCopy(ctx, again); !errors.Is(err, backup.ErrConflict) {
			t.Errorf("other bytes: %v", err)
		}
		return s.Ping(ctx)
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.MarkDeleted(ctx, c.ID, t0); err != nil {
		t.Fatal(err)
	}
	if _, err := s.CopyByKey(ctx, c.Key); !errors.Is(err, backup.ErrNotFound) {
		t.Fatalf("deleted: %v", err)
	}
	if id := record(t, s, again); id == c.ID { // the key is free again
		t.Fatal("the deleted entry came back")
	}
	for name, bad := range map[string]func(*backup.Copy){
		"no manifest": func(c *backup.Copy) { c.Manifest = nil },
		"kind":        func(c *backup.Copy) { c.Kind = "hourly" },
		"database":    func(c *backup.Copy) { c.DatabaseID = "a" },
	} {
		c := copyOn(1, "z", 1, backup.Daily)
		bad(&c)
		if _, err := s.RecordCopy(ctx, c); !errors.Is(err, backup.ErrInvalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := s.Copy(ctx, "nonsense"); !errors.Is(err, backup.ErrNotFound) {
		t.Errorf("nonsense: %v", err)
	}
}

// Every page size gives the same list, in the order stated, and each copy once.
func TestCopiesPages(t *testing.T) {
	t.Parallel()
	s, ctx := storetest.New(t), t.Context()
	var want []string
	for n, name := range []string{"a", "b", "b-c", "Z"} { // bytewise: Z first
		for day := range 5 {
			c := copyOn(n+1, name, day, backup.Daily)
			record(t, s, c)
			c.Key, c.Kind = "manual/"+c.Key, backup.Manual // the same time: the ID decides
			record(t, s, c)
		}
	}
	all, next := list(t, s, store.CopyFilter{Limit: 1000})
	if next != "" || len(all) != 40 {
		t.Fatalf("%d copies, next %q", len(all), next)
	}
	for _, c := range all {
		want = append(want, c.ID)
	}
	sorted := slices.IsSortedFunc(all, func(a, b backup.Copy) int {
		if n := strings.Compare(a.DatabaseName, b.DatabaseName); n != 0 {
			return n
		}
		if n := b.TakenAt.Compare(a.TakenAt); n != 0 {
			return n
		}
		return strings.Compare(b.ID, a.ID)
	})
	if !sorted {
		t.Fatal("the list is out of order")
	}
	for _, size := range []int{1, 3, 7, 39, 40} {
		var got []string
		f := store.CopyFilter{Limit: size}
		for {
			page, next := list(t, s, f)
			for _, c := range page {
				got = append(got, c.ID)
			}
			if next == "" {
				break
			}
			f.Cursor = next
		}
		if !slices.Equal(got, want) {
			t.Fatalf("pages of %d give %d copies in another order", size, len(got))
		}
	}
	raw := base64.RawURLEncoding.EncodeToString
	for _, bad := range []string{
		"x", "!!", raw([]byte("{}")), raw([]byte(`{"n":"a","d":"2026-11-23","t":"2026-11-23T03:00:00Z","i":"1"}`)),
		raw([]byte(`{"n":"a","d":"2026-13-23","t":"2026-11-23T03:00:00Z","i":"` + uid(1) + `"}`)), raw([]byte(`[]`)), uid(1),
	} {
		if _, _, err := s.Copies(ctx, store.CopyFilter{Cursor: bad}); !errors.Is(err, backup.ErrInvalid) {
			t.Errorf("cursor %q: %v", bad, err)
		}
	}
}

func list(t *testing.T, s *store.Store, f store.CopyFilter) ([]backup.Copy, string) {
	t.Helper()
	copies, next, err := s.Copies(t.Context(), f)
	if err != nil {
		t.Fatal(err)
	}
	return copies, next
}

func TestCopiesFilter(t *testing.T) {
	t.Parallel()
	s, ctx := storetest.New(t), t.Context()
	daily := copyOn(1, "a", 0, backup.Daily)
	daily.JobID = uid(50)
	daily.ID = record(t, s, daily)
	manual := record(t, s, copyOn(1, "a", 1, backup.Manual))
	other := record(t, s, copyOn(2, "b", 1, backup.Daily))
	deleted := record(t, s, copyOn(2, "b", 2, backup.Daily))
	locked := record(t, s, copyOn(2, "b", 3, backup.Daily))
	if err := errors.Join(s.MarkDeleted(ctx, deleted, t0), s.Quarantine(ctx, locked, t0, "a bit flipped"), s.SetProof(ctx, manual, backup.ProofProven, t0, "")); err != nil {
		t.Fatal(err)
	}
	day := func(n int) backup.Date { return backup.DateOf(t0).AddDays(n) }
	for name, c := range map[string]struct {
		f    store.CopyFilter
		want []string
	}{
		"all":         {store.CopyFilter{}, []string{manual, daily.ID, other}},
		"name":        {store.CopyFilter{Database: "b"}, []string{other}},
		"id":          {store.CopyFilter{DatabaseID: uid(1)}, []string{manual, daily.ID}},
		"ids":         {store.CopyFilter{DatabaseIDs: []string{uid(2), uid(3)}}, []string{other}},
		"no ids":      {store.CopyFilter{DatabaseIDs: []string{}}, nil},
		"date":        {store.CopyFilter{Date: day(1)}, []string{manual, other}},
		"from to":     {store.CopyFilter{From: day(0), To: day(0)}, []string{daily.ID}},
		"kind":        {store.CopyFilter{Kind: backup.Manual}, []string{manual}},
		"proofs":      {store.CopyFilter{Proofs: []backup.ProofState{backup.ProofProven}}, []string{manual}},
		"job":         {store.CopyFilter{JobID: uid(50)}, []string{daily.ID}},
		"quarantined": {store.CopyFilter{Quarantined: true, Database: "b"}, []string{locked, other}},
		"deleted":     {store.CopyFilter{Deleted: true, Database: "b"}, []string{deleted, other}},
		"unknown":     {store.CopyFilter{Database: "'; DROP TABLE users; --"}, nil},
	} {
		copies, _ := list(t, s, c.f)
		var got []string
		for _, cp := range copies {
			got = append(got, cp.ID)
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("%s: got %v, want %v", name, got, c.want)
		}
	}
}

func TestCopyStates(t *testing.T) {
	t.Parallel()
	s, ctx := storetest.New(t), t.Context()
	id := record(t, s, copyOn(1, "a", 0, backup.Daily))
	at := t0.Add(time.Hour)
	check := func(what string, err error, ok func(backup.Copy) bool) {
		t.Helper()
		if err != nil {
			t.Fatalf("%s: %v", what, err)
		}
		if c := must(s.Copy(ctx, id))(t); !ok(c) {
			t.Fatalf("%s: %+v", what, c)
		}
	}
	check("proven", s.SetProof(ctx, id, backup.ProofProven, at, "ignored"), func(c backup.Copy) bool {
		return c.Proof == backup.ProofProven && c.ProvenAt.Equal(at) && c.ProofError == ""
	})
	more := []backup.Finding{{Code: "orphans", Message: "3 rows"}, {Code: "order", Object: "t", Message: "late"}}
	for range 2 { // a second time changes nothing
		check("findings", s.AddFindings(ctx, id, more), func(c backup.Copy) bool { return slices.Equal(c.Manifest.Findings, more) })
	}
	if err := s.AddFindings(ctx, "6ae2b03c-40dd-499e-ab31-017f78989b60", more); !errors.Is(err, backup.ErrNotFound) {
		t.Errorf("findings of no copy: %v", err)
	}
	check("suspect", s.SetProof(ctx, id, backup.ProofSuspect, at, "rows differ"), func(c backup.Copy) bool {
		return c.Proof == backup.ProofSuspect && c.ProvenAt == nil && c.ProofError == "rows differ"
	})
	check("expiry", s.SetExpiry(ctx, id, &at, "7 days"), func(c backup.Copy) bool { return c.ExpiresAt.Equal(at) && c.ExpiresReason == "7 days" })
	expired := must(s.ExpiredCopies(ctx, at, 10))(t)
	if len(expired) != 1 || len(must(s.ExpiredCopies(ctx, at.Add(-1), 10))(t)) != 0 {
		t.Fatalf("expired: %v", expired)
	}
	check("pinned", s.SetPinned(ctx, id, true), func(c backup.Copy) bool { return c.Pinned })
	if got := must(s.ExpiredCopies(ctx, at, 10))(t); len(got) != 0 {
		t.Fatal("a pinned copy expires")
	}
	check("for ever", s.SetExpiry(ctx, id, nil, ""), func(c backup.Copy) bool { return c.ExpiresAt == nil })
	check("quarantine", s.Quarantine(ctx, id, at, "cut"), func(c backup.Copy) bool {
		return c.QuarantinedAt.Equal(at) && c.Proof == backup.ProofSuspect && c.ProofError == "cut"
	})
	check("back", s.Unquarantine(ctx, id), func(c backup.Copy) bool {
		return c.QuarantinedAt == nil && c.Proof == backup.ProofPending && c.ProofError == ""
	})
	record(t, s, copyOn(1, "a", 1, backup.Daily))
	if got := must(s.CopyTotals(ctx))(t); got[backup.Daily] != (store.CopyTotals{Copies: 2, Bytes: 200}) || len(got) != 1 {
		t.Fatalf("totals: %v", got)
	}
	check("deleted", s.MarkDeleted(ctx, id, at), func(c backup.Copy) bool { return c.DeletedAt.Equal(at) })
	check("deleted again", s.MarkDeleted(ctx, id, at.Add(time.Hour)), func(c backup.Copy) bool { return c.DeletedAt.Equal(at) })
	if got := must(s.CopyTotals(ctx))(t); got[backup.Daily].Copies != 1 {
		t.Fatalf("totals: %v", got)
	}
	for _, id := range []string{uid(99), "x"} {
		if err := s.SetPinned(ctx, id, true); !errors.Is(err, backup.ErrNotFound) {
			t.Errorf("%q: %v", id, err)
		}
	}
}

func TestBestCopy(t *testing.T) {
	t.Parallel()
	s, ctx := storetest.New(t), t.Context()
	date := backup.DateOf(t0)
	if _, err := s.BestCopy(ctx, uid(1), date); !errors.Is(err, backup.ErrNotFound) {
		t.Fatalf("none: %v", err)
	}
	// In the order of arrival, each the best as of then, or not.
	hour := 0
	add := func(kind backup.CopyKind, proof backup.ProofState) string {
		hour++
		c := copyOn(1, "a", 0, kind)
		c.Key, c.Proof, c.TakenAt = fmt.Sprintf("%s/%d", kind, hour), proof, t0.Add(time.Duration(hour)*time.Hour)
		return record(t, s, c)
	}
	best := func(what, want string) {
		t.Helper()
		if c := must(s.BestCopy(ctx, uid(1), date))(t); c.ID != want {
			t.Fatalf("%s: the best is %s of %s", what, c.Proof, c.Key)
		}
	}
	first := add(backup.Daily, backup.ProofPending)
	best("the only one", first)
	add(backup.Manual, backup.ProofSuspect)
	best("a suspect one is never best", first)
	add(backup.Safety, backup.ProofProven)
	best("a safety copy is asked for by its ID", first)
	newer := add(backup.Manual, backup.ProofPending)
	best("the newest stored one", newer)
	manual := add(backup.Manual, backup.ProofProven)
	best("a proven manual one", manual)
	manual2 := add(backup.Manual, backup.ProofProven)
	add(backup.Manual, backup.ProofPending)
	best("the newest proven manual one", manual2)
	if err := s.SetProof(ctx, first, backup.ProofProven, t0, ""); err != nil {
		t.Fatal(err)
	}
	best("the proven daily", first)
	if err := s.Quarantine(ctx, first, t0, "cut"); err != nil {
		t.Fatal(err)
	}
	best("not in quarantine", manual2)

	on := must(s.CopiesOn(ctx, date, "a"))(t)
	if byID := must(s.CopiesOn(ctx, date, uid(1)))(t); len(on) != 5 || len(byID) != 5 || on[0].Proof != backup.ProofPending || on[1].ID != manual2 {
		t.Fatalf("on that date: %d by name, %d by ID", len(on), len(byID))
	}
	if newest := must(s.NewestCopies(ctx, uid(1), 2))(t); len(newest) != 2 || newest[1].ID != manual2 {
		t.Fatalf("newest: %v", newest)
	}
}

func TestStandings(t *testing.T) {
	t.Parallel()
	s, ctx := storetest.New(t), t.Context()
	gone := entry(3, "gone")
	gone.GoneAt = &t0
	upsert(t, s, entry(2, "b"), entry(1, "a"), gone)
	proven := copyOn(1, "a", 0, backup.Daily)
	proven.Proof = backup.ProofProven
	proven.ID = record(t, s, proven)
	newest := record(t, s, copyOn(1, "a", 1, backup.Daily))
	suspect := copyOn(1, "a", 2, backup.Daily)
	suspect.Proof = backup.ProofSuspect
	record(t, s, suspect)
	cut := record(t, s, copyOn(1, "a", 3, backup.Daily))
	record(t, s, copyOn(1, "a", 4, backup.Safety))
	if err := s.Quarantine(ctx, cut, t0, "cut"); err != nil {
		t.Fatal(err)
	}
	for i, status := range []backup.ResultStatus{backup.ResultSuccess, backup.ResultFailed, backup.ResultQueued} {
		at := t0.AddDate(0, 0, i)
		j := backup.Job{ID: uid(100 + i), Kind: backup.JobBackup, Trigger: backup.TriggerManual, Status: backup.JobQueued, Date: backup.DateOf(at), CreatedAt: at}
		if err := s.InsertJob(ctx, j); err != nil {
			t.Fatal(err)
		}
		// Set directly: how results move is another's to test.
		if _, err := s.Pool().Exec(ctx, `INSERT INTO backup_results (id, job_id, database_id, database_name, status, date, created_at, error)
			VALUES ($1, $2, $3, 'a', $4, $5, $6, 'the cause')`, uid(200+i), j.ID, uid(1), status, at, at); err != nil {
			t.Fatal(err)
		}
	}
	list := must(s.Standings(ctx, store.DatabaseFilter{}))(t)
	if len(list) != 2 || list[0].Database.Name != "a" || list[1].Database.Name != "b" {
		t.Fatalf("got %+v", list)
	}
	a, b := list[0], list[1]
	if a.Newest == nil || a.Newest.ID != newest || a.Proven == nil || a.Proven.ID != proven.ID || a.Suspect != 2 {
		t.Errorf("copies: %+v", a)
	}
	if a.Last == nil || a.Last.ID != uid(201) || a.Last.Error != "the cause" || a.Open == nil || a.Open.ID != uid(202) {
		t.Errorf("results: %+v %+v", a.Last, a.Open)
	}
	if b.Newest != nil || b.Proven != nil || b.Suspect != 0 || b.Last != nil || b.Open != nil {
		t.Errorf("one without: %+v", b)
	}
	one := must(s.Standings(ctx, store.DatabaseFilter{IDs: []string{uid(3)}, Gone: true}))(t)
	if len(one) != 1 || one[0].Database.ID != uid(3) {
		t.Errorf("one: %+v", one)
	}
}

// fill makes 2,000 databases with 20 copies each, in Postgres itself.
func fill(t *testing.T, s *store.Store, databases, copies int) {
	t.Helper()
	for _, sql := range []string{
		`INSERT INTO databases (id, name, first_seen_at, last_seen_at)
			SELECT md5('d' || d)::uuid, 'db-' || lpad(d::text, 5, '0'), now(), now() FROM generate_series(1, $1::int) d, (SELECT $2::int) AS unused`,
		`INSERT INTO backup_inventory (id, database_id, database_name, kind, date, taken_at, key, size_bytes, sha256, body_sha256,
				table_count, row_count, consistency, proof, created_at, expires_at, manifest)
			SELECT md5(d || '.' || c)::uuid, md5('d' || d)::uuid, 'db-' || lpad(d::text, 5, '0'), 'daily', '2026-01-01'::date + c,
				'2026-01-01'::timestamptz + c * interval '1 day', 'daily/' || c || '/' || d, 1, '', '', 1, 1, 'snapshot',
				CASE WHEN c % 2 = 0 THEN 'proven' ELSE 'pending' END, now(), now(), '{}'
			FROM generate_series(1, $1::int) d, generate_series(1, $2::int) c`,
	} {
		if _, err := s.Pool().Exec(t.Context(), sql, databases, copies); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := s.Pool().Exec(t.Context(), "ANALYZE"); err != nil {
		t.Fatal(err)
	}
}

// explain gives the plan of the only statement that fn sends.
func explain(t *testing.T, s *store.Store, fn func(*store.Store) error) string {
	t.Helper()
	var plan []string
	tx := must(s.Pool().Begin(t.Context()))(t)
	defer func() { _ = tx.Rollback(context.Background()) }()
	err := fn(s.With(explainer{tx, &plan}))
	if !errors.Is(err, errExplained) {
		t.Fatal(err)
	}
	return strings.Join(plan, "\n")
}

var errExplained = errors.New("explained")

type explainer struct {
	pgx.Tx
	plan *[]string
}

func (e explainer) Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error) {
	rows, err := e.Tx.Query(ctx, "EXPLAIN "+sql, args...)
	if err != nil {
		return nil, err
	}
	if *e.plan, err = pgx.CollectRows(rows, pgx.RowTo[string]); err != nil {
		return nil, err
	}
	return nil, errExplained
}

// Listing reads its index in order, from the place of the cursor on: it never
// sorts and never reads the whole table.
func TestCopiesPlan(t *testing.T) {
	t.Parallel()
	s, ctx := storetest.New(t), t.Context()
	fill(t, s, 2000, 20)
	_, cursor := list(t, s, store.CopyFilter{Limit: 1000})
	const index = "Index Scan using backup_inventory_list"
	plan := func(f store.CopyFilter) string {
		return explain(t, s, func(s *store.Store) error { _, _, err := s.Copies(ctx, f); return err })
	}
	if p := plan(store.CopyFilter{}); !strings.Contains(p, index) || strings.Contains(p, "Sort") {
		t.Errorf("the first page:\n%s", p)
	}
	if p := plan(store.CopyFilter{Cursor: cursor}); !strings.Contains(p, index) || strings.Contains(p, "Sort") || !strings.Contains(p, "Index Cond: (database_name >=") {
		t.Errorf("a page after:\n%s", p)
	}
	if p := plan(store.CopyFilter{Database: "db-00700"}); strings.Contains(p, "Seq Scan") {
		t.Errorf("one name:\n%s", p)
	}
	on := explain(t, s, func(s *store.Store) error {
		_, err := s.CopiesOn(ctx, backup.Date{Year: 2026, Month: 1, Day: 5}, "db-00700")
		return err
	})
	if strings.Contains(on, "Seq Scan") {
		t.Errorf("a download reads the whole table:\n%s", on)
	}
	if got := must(s.Standings(ctx, store.DatabaseFilter{}))(t); len(got) != 2000 || got[1999].Newest == nil || got[1999].Proven == nil {
		t.Fatalf("%d standings", len(got))
	}
}
