package store_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/AutumnsGrove/Patina/backup"
	"github.com/AutumnsGrove/Patina/store"
	"github.com/AutumnsGrove/Patina/store/storetest"
)

// proven records a proven copy of database 1, day days after 2026-11-23.
func proven(t *testing.T, s *store.Store, day int, kind backup.CopyKind) string {
	t.Helper()
	c := copyOn(1, "a", day, kind)
	c.Proof = backup.ProofProven
	return record(t, s, c)
}

// blocked waits until a statement waits for a lock of another.
func blocked(t *testing.T, s *store.Store) {
	t.Helper()
	deadline := time.After(20 * time.Second)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		var n int
		err := s.Pool().QueryRow(t.Context(), "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'").Scan(&n)
		if err != nil {
			t.Fatal(err)
		}
		if n > 0 {
			return
		}
		select {
		case <-deadline:
			t.Fatal("nothing ever waited for a lock")
		case <-tick.C:
		}
	}
}

// TestReaderFirst: what is being read is not deleted, until the reader lets go.
func TestReaderFirst(t *testing.T) {
	t.Parallel()
	s, ctx := storetest.New(t), t.Context()
	old := proven(t, s, 0, backup.Manual)
	proven(t, s, 1, backup.Manual)
	release, err := s.Reading(ctx, old)
	if err != nil {
		t.Fatal(err)
	}
	second := must(s.ReadingFor(ctx, "a second download", old))(t)
	for range 2 {
		if _, err := s.DropCopy(ctx, old, "old", t0.AddDate(0, 0, 90)); !errors.Is(err, store.ErrReading) {
			t.Fatalf("dropped under its reader: %v", err)
		}
		if c := must(s.Copy(ctx, old))(t); c.DeletedAt != nil {
			t.Fatal("it was marked as deleted")
		}
		release()
		release() // twice does no harm
	}
	if got := must(s.Readers(ctx))(t); len(got) != 1 || got[old] != "a second download" {
		t.Errorf("readers: %v", got)
	}
	second()
	if _, err := s.DropCopy(ctx, old, "old", t0.AddDate(0, 0, 90)); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Reading(ctx, old); !errors.Is(err, backup.ErrNotFound) {
		t.Errorf("read after it was deleted: %v", err)
	}
}

// TestDropFirst: a reader that comes while a deletion is being decided waits,
// and is told that the copy is gone; where the decision is taken back, it reads.
func TestDropFirst(t *testing.T) {
	t.Parallel()
	for _, commit := range []bool{true, false} {
		s, ctx := storetest.New(t), t.Context()
		old := proven(t, s, 0, backup.Manual)
		proven(t, s, 1, backup.Manual)
		answer := make(chan error, 1)
		back := errors.New("taken back")
		err := s.InTx(ctx, func(_ pgx.Tx, in *store.Store) error {
			if _, err := in.DropCopy(ctx, old, "old", t0.AddDate(0, 0, 90)); err != nil {
				return err
			}
			go func() {
				release, err := s.Reading(ctx, old)
				if err == nil {
					release()
				}
				answer <- err
			}()
			blocked(t, s)
			if !commit {
				return back
			}
			return nil
		})
		if commit && err != nil || !commit && !errors.Is(err, back) {
			t.Fatal(err)
		}
		if err := <-answer; commit && !errors.Is(err, backup.ErrNotFound) || !commit && err != nil {
			t.Errorf("deletion committed %v, and the reader was told: %v", commit, err)
		}
	}
}

// TestReaderAboutToCommit: a deletion that comes while a reader is being entered
// waits for it, and then sees it.
func TestReaderAboutToCommit(t *testing.T) {
	t.Parallel()
	s, ctx := storetest.New(t), t.Context()
	old := proven(t, s, 0, backup.Manual)
	proven(t, s, 1, backup.Manual)
	answer := make(chan error, 1)
	err := s.InTx(ctx, func(tx pgx.Tx, _ *store.Store) error {
		// The reader's own statements, held open.
		for _, q := range []string{
			"SELECT FROM backup_inventory WHERE id = '" + old + "' FOR SHARE",
			"INSERT INTO readers (id, what, until) VALUES (gen_random_uuid(), '" + old + "', clock_timestamp() + interval '1 minute')",
		} {
			if _, err := tx.Exec(ctx, q); err != nil {
				return err
			}
		}
		go func() {
			_, err := s.DropCopy(ctx, old, "old", t0.AddDate(0, 0, 90))
			answer <- err
		}()
		blocked(t, s)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := <-answer; !errors.Is(err, store.ErrReading) {
		t.Errorf("the deletion was told: %v", err)
	}
}

// TestDeadReader: a reader that fell silent holds nothing up for ever.
func TestDeadReader(t *testing.T) {
	t.Parallel()
	s, ctx := storetest.New(t), t.Context()
	old := proven(t, s, 0, backup.Manual)
	proven(t, s, 1, backup.Manual)
	if _, err := s.Pool().Exec(ctx, "INSERT INTO readers (id, what, until) VALUES (gen_random_uuid(), $1, clock_timestamp() - interval '1 second')", old); err != nil {
		t.Fatal(err)
	}
	if got := must(s.Readers(ctx))(t); len(got) != 0 {
		t.Errorf("readers: %v", got)
	}
	if _, err := s.DropCopy(ctx, old, "old", t0.AddDate(0, 0, 90)); err != nil {
		t.Errorf("held up: %v", err)
	}
}

// TestReaderAfterItsContext: a reader whose request was cut still lets go.
func TestReaderAfterItsContext(t *testing.T) {
	t.Parallel()
	s := storetest.New(t)
	old := proven(t, s, 0, backup.Manual)
	ctx, cancel := context.WithCancel(t.Context())
	release, err := s.Reading(ctx, old)
	if err != nil {
		t.Fatal(err)
	}
	cancel()
	if got := must(s.Readers(t.Context()))(t); len(got) != 1 {
		t.Errorf("before it let go: %v", got)
	}
	release()
	if got := must(s.Readers(t.Context()))(t); len(got) != 0 {
		t.Errorf("after: %v", got)
	}
}

// TestArchiveUnderReaders: an archive stays while it, or a copy that it holds,
// is read.
func TestArchiveUnderReaders(t *testing.T) {
	t.Parallel()
	s, ctx := storetest.New(t), t.Context()
	one := proven(t, s, 0, backup.Daily)
	proven(t, s, 10, backup.Daily)
	if err := s.RecordArchive(ctx, archiveW48(), map[string]backup.Archived{one: {Week: "2026-W48", Name: "2026-11-23/a.sql", Length: 20}}); err != nil {
		t.Fatal(err)
	}
	if _, err := s.DropCopy(ctx, one, "old", t0.AddDate(0, 0, 90)); err != nil {
		t.Fatal(err)
	}
	if c := must(s.Copy(ctx, one))(t); c.DeletedAt != nil || c.Location() != backup.InArchive {
		t.Fatalf("%+v", c)
	}
	for _, read := range []func() (func(), error){
		func() (func(), error) { return s.Reading(ctx, one) },
		func() (func(), error) { return s.ReadingArchive(ctx, "a download", "2026-W48") },
	} {
		release, err := read()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := s.DropArchive(ctx, "2026-W48", "old", t0.AddDate(0, 0, 90)); !errors.Is(err, store.ErrReading) {
			t.Errorf("dropped under its reader: %v", err)
		}
		release()
	}
	rm, err := s.DropArchive(ctx, "2026-W48", "old", t0.AddDate(0, 0, 90))
	if err != nil || rm.Key != "weekly/2026-W48.tar.gz" {
		t.Fatalf("%+v, %v", rm, err)
	}
	if _, err := s.ReadingArchive(ctx, "a download", "2026-W48"); !errors.Is(err, backup.ErrNotFound) {
		t.Errorf("read after it was deleted: %v", err)
	}
	if c := must(s.Copy(ctx, one))(t); c.DeletedAt == nil {
		t.Error("its copy is listed still")
	}
	if list := must(s.Removals(ctx))(t); len(list) != 2 || list[0].CopyID+list[1].CopyID != one || !strings.HasPrefix(list[0].Key+list[1].Key, "daily/") && !strings.HasPrefix(list[1].Key, "daily/") {
		t.Errorf("to be deleted: %+v", list)
	}
}
