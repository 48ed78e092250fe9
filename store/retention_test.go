package store_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/AutumnsGrove/Patina/backup"
	"github.com/AutumnsGrove/Patina/store"
	"github.com/AutumnsGrove/Patina/store/storetest"
)

// TestDropCopyLooksAgain: whatever a plan said, a copy that may not go stays.
func TestDropCopyLooksAgain(t *testing.T) {
	t.Parallel()
	later := t0.AddDate(0, 0, 90)
	for _, tt := range []struct {
		name   string
		change func(t *testing.T, s *store.Store, old, newer string)
		says   string // "" where it may go
	}{
		{"nothing has changed", func(*testing.T, *store.Store, string, string) {}, ""},
		{"pinned", func(t *testing.T, s *store.Store, old, _ string) { mustDo(t, s.SetPinned(t.Context(), old, true)) }, "pinned"},
		{"in quarantine", func(t *testing.T, s *store.Store, old, _ string) {
			mustDo(t, s.Quarantine(t.Context(), old, t0, "damaged"))
		}, "quarantine"},
		{"the newer one became suspect", func(t *testing.T, s *store.Store, _, newer string) {
			mustDo(t, s.SetProof(t.Context(), newer, backup.ProofSuspect, t0, "no good"))
		}, "the last copy of a"},
		{"neither was proven, and the newer one is suspect", func(t *testing.T, s *store.Store, old, newer string) {
			mustDo(t, s.SetProof(t.Context(), old, backup.ProofPending, t0, ""))
			mustDo(t, s.SetProof(t.Context(), newer, backup.ProofSuspect, t0, "no good"))
		}, "the last copy of a"},
		{"the newer one was quarantined", func(t *testing.T, s *store.Store, _, newer string) {
			mustDo(t, s.Quarantine(t.Context(), newer, t0, "damaged"))
		}, "the last copy of a"},
		{"the newer one was deleted", func(t *testing.T, s *store.Store, _, newer string) {
			mustDo(t, s.MarkDeleted(t.Context(), newer, t0))
		}, "the last copy of a"},
		{"frozen", func(t *testing.T, s *store.Store, _, _ string) {
			mustDo(t, s.FreezeRetention(t.Context(), "after a rebuild", t0))
		}, "frozen"},
		{"suspect itself", func(t *testing.T, s *store.Store, old, _ string) {
			mustDo(t, s.SetProof(t.Context(), old, backup.ProofSuspect, t0, "no good"))
		}, ""},
		{"already gone", func(t *testing.T, s *store.Store, old, _ string) { mustDo(t, s.MarkDeleted(t.Context(), old, t0)) }, "gone already"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s := storetest.New(t)
			old, newer := proven(t, s, 0, backup.Manual), proven(t, s, 1, backup.Manual)
			tt.change(t, s, old, newer)
			_, err := s.DropCopy(t.Context(), old, "old", later)
			if tt.says == "" {
				if list := must(s.Removals(t.Context()))(t); err != nil || len(list) != 1 || list[0].CopyID != old || list[0].Size != 100 {
					t.Fatalf("%v, %+v", err, list)
				}
				return
			}
			if !errors.Is(err, backup.ErrConflict) || !strings.Contains(err.Error(), tt.says) {
				t.Errorf("it was answered: %v", err)
			}
			if list := must(s.Removals(t.Context()))(t); len(list) != 0 {
				t.Errorf("to be deleted: %+v", list)
			}
		})
	}
}

func mustDo(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// TestDailyNeedsItsArchive: I4, in the transaction that would break it.
func TestDailyNeedsItsArchive(t *testing.T) {
	t.Parallel()
	s, ctx := storetest.New(t), t.Context()
	old := proven(t, s, 0, backup.Daily)
	proven(t, s, 10, backup.Daily)
	if _, err := s.DropCopy(ctx, old, "old", t0.AddDate(0, 0, 90)); !errors.Is(err, backup.ErrConflict) {
		t.Fatalf("in no archive: %v", err)
	}
	mustDo(t, s.RecordArchive(ctx, archiveW48(), map[string]backup.Archived{old: {Week: "2026-W48", Name: "2026-11-23/a.sql", Length: 20}}))
	mustDo(t, s.QuarantineArchive(ctx, "2026-W48", nil, t0, "a bit flipped"))
	if c := must(s.Copy(ctx, old))(t); c.Archived.Week != "" {
		t.Error("a copy counts as archived in an archive that is damaged")
	}
	if _, err := s.DropCopy(ctx, old, "old", t0.AddDate(0, 0, 90)); !errors.Is(err, backup.ErrConflict) {
		t.Errorf("in a damaged archive: %v", err)
	}
	// Whatever a row says that it lies in, the archive itself is looked at.
	for _, column := range []string{"quarantined_at", "deleted_at"} {
		for _, q := range []string{
			"UPDATE archives SET quarantined_at = NULL, deleted_at = NULL", "UPDATE archives SET " + column + " = now()", "UPDATE backup_inventory SET archived_in = '2026-W48' WHERE id = '" + old + "'",
		} {
			if _, err := s.Pool().Exec(ctx, q); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := s.DropCopy(ctx, old, "old", t0.AddDate(0, 0, 90)); !errors.Is(err, backup.ErrConflict) || !strings.Contains(err.Error(), "no verified archive") {
			t.Errorf("in an archive with %s: %v", column, err)
		}
	}
}

// TestArchiveWithTheLastCopy: an archive stays while it alone holds what its
// database must not lose, and what is taken out of it lets it go.
func TestArchiveWithTheLastCopy(t *testing.T) {
	t.Parallel()
	s, ctx := storetest.New(t), t.Context()
	old := proven(t, s, 0, backup.Daily)
	newer := proven(t, s, 10, backup.Daily)
	mustDo(t, s.RecordArchive(ctx, archiveW48(), map[string]backup.Archived{old: {Week: "2026-W48", Name: "2026-11-23/a.sql", Length: 20}}))
	later := t0.AddDate(0, 0, 90)
	_, err := s.DropCopy(ctx, old, "old", later)
	mustDo(t, err)
	mustDo(t, s.SetProof(ctx, newer, backup.ProofSuspect, t0, "no good"))
	if _, err := s.DropArchive(ctx, "2026-W48", "old", later); !errors.Is(err, backup.ErrConflict) || !strings.Contains(err.Error(), "the last copy of a") {
		t.Fatalf("it was let go: %v", err)
	}
	c := must(s.Copy(ctx, old))(t)
	m := *c.Manifest
	m.Key, m.Kind = "kept/2026-11-23/a.sql", backup.Kept
	for range 2 { // twice, as after a commit whose answer was lost
		mustDo(t, s.MoveToKept(ctx, old, &m))
	}
	kept := must(s.Copy(ctx, old))(t)
	if kept.Kind != backup.Kept || kept.Key != m.Key || kept.Location() != backup.InObject || kept.Manifest.Key != m.Key || kept.ExpiresAt != nil {
		t.Fatalf("kept: %+v", kept)
	}
	if _, err := s.DropArchive(ctx, "2026-W48", "old", later); err != nil {
		t.Fatal(err)
	}
	if kept = must(s.Copy(ctx, old))(t); kept.DeletedAt != nil || kept.Archived.Week != "" {
		t.Errorf("after its archive: %+v", kept)
	}
	if err := s.MoveToKept(ctx, newer, &m); !errors.Is(err, backup.ErrConflict) {
		t.Errorf("a copy with an object of its own was moved: %v", err)
	}
}

func TestErase(t *testing.T) {
	t.Parallel()
	s, ctx := storetest.New(t), t.Context()
	db := backup.Database{ID: uid(1), Name: "a", FirstSeenAt: t0, LastSeenAt: t0}
	mustDo(t, s.UpsertDatabase(ctx, db))
	only := proven(t, s, 0, backup.Daily)
	mustDo(t, s.SetPinned(ctx, only, true))
	if err := s.EraseDatabase(ctx, uid(1), t0); !errors.Is(err, backup.ErrConflict) {
		t.Fatalf("erased while it is there: %v", err)
	}
	if _, err := s.EraseCopy(ctx, only, "erased", t0); !errors.Is(err, backup.ErrConflict) {
		t.Fatalf("erased unasked: %v", err)
	}
	db.GoneAt = &t0
	mustDo(t, s.UpsertDatabase(ctx, db))
	mustDo(t, s.EraseDatabase(ctx, uid(1), t0))
	if _, err := s.EraseCopy(ctx, only, "erased", t0); err != nil {
		t.Fatal(err)
	}
	if c := must(s.Copy(ctx, only))(t); c.DeletedAt == nil {
		t.Errorf("%+v", c)
	}
}

func TestHoldings(t *testing.T) {
	t.Parallel()
	s, ctx := storetest.New(t), t.Context()
	gone := t0.AddDate(0, 0, 2)
	mustDo(t, s.UpsertDatabase(ctx, backup.Database{ID: uid(1), Name: "a", FirstSeenAt: t0, LastSeenAt: t0, GoneAt: &gone}))
	one, two := proven(t, s, 0, backup.Daily), proven(t, s, 1, backup.Daily)
	mustDo(t, s.RecordArchive(ctx, archiveW48(), map[string]backup.Archived{one: {Week: "2026-W48", Name: "2026-11-23/a.sql", Length: 20}}))
	release := must(s.ReadingFor(ctx, "a proof", two))(t)
	defer release()
	mustDo(t, s.FreezeRetention(ctx, "after a rebuild", t0))
	h := must(s.Holdings(ctx))(t)
	if len(h.Copies) != 2 || len(h.Archives) != 1 || !h.Gone[uid(1)] || h.Erased[uid(1)] || h.Reading[two] != "a proof" ||
		h.Frozen != "retention is frozen: after a rebuild" || !h.Newest.Equal(t0.AddDate(0, 0, 1)) || h.Copies[0].Archived.Week != "2026-W48" {
		t.Errorf("%+v", h)
	}
	if _, err := s.AddEvent(ctx, backup.Event{ID: uid(20), At: t0.AddDate(3, 0, 0), Kind: backup.EventStale}); err != nil {
		t.Fatal(err)
	}
	if h = must(s.Holdings(ctx))(t); !h.Newest.Equal(t0.AddDate(3, 0, 0)) {
		t.Errorf("the newest time on record is %s", h.Newest)
	}
	end := t0.AddDate(0, 0, 7).Add(time.Hour)
	for _, want := range []int64{1, 0} {
		if n := must(s.SetExpiries(ctx, []store.Expiry{{ID: one, Until: &end, Reason: "in 2026-W48"}, {ID: two}}))(t); n != want {
			t.Errorf("%d ends changed, want %d", n, want)
		}
	}
	if c := must(s.Copy(ctx, one))(t); c.ExpiresAt == nil || !c.ExpiresAt.Equal(end) || c.ExpiresReason != "in 2026-W48" {
		t.Errorf("%+v", c)
	}
}

// TestCompact: the tables are compacted while others use them; an index that
// swelled is built anew.
func TestCompact(t *testing.T) {
	t.Parallel()
	s, ctx := storetest.New(t), t.Context()
	for _, q := range []string{
		"INSERT INTO idempotency_keys SELECT 'a', repeat(md5(i::text), 3) || i, '', '{}', now() FROM generate_series(1, 20000) i",
		"DELETE FROM idempotency_keys WHERE key NOT LIKE '%7'",
		"ALTER TABLE backup_results DROP CONSTRAINT backup_results_job_id_fkey",
		"INSERT INTO backup_results (id, job_id, database_id, database_name, status, date, created_at) VALUES ('" + uid(1) + "', '" + uid(2) + "', '" + uid(3) + "', 'a', 'success', now(), now())",
	} {
		if _, err := s.Pool().Exec(ctx, q); err != nil {
			t.Fatal(err)
		}
	}
	if n := must(s.ForgetOrphanedResults(ctx))(t); n != 1 {
		t.Errorf("%d orphaned results were removed", n)
	}
	rebuilt := must(s.Compact(ctx))(t)
	if len(rebuilt) != 1 || rebuilt[0] != "idempotency_keys_pkey" {
		t.Errorf("built anew: %v", rebuilt)
	}
	if again := must(s.Compact(ctx))(t); len(again) != 0 {
		t.Errorf("built anew once more: %v", again)
	}
}
