package store_test

import (
	"errors"
	"reflect"
	"strings"
	"testing"

	"github.com/AutumnsGrove/Patina/backup"
	"github.com/AutumnsGrove/Patina/store"
	"github.com/AutumnsGrove/Patina/store/storetest"
)

func archiveW48() backup.Archive {
	return backup.Archive{
		Week: "2026-W48", Key: "weekly/2026-W48.tar.gz", Size: 1000, SHA256: strings.Repeat("f", 64), Members: 2,
		From: backup.Date{Year: 2026, Month: 11, Day: 23}, To: backup.Date{Year: 2026, Month: 11, Day: 29}, CreatedAt: t0, VerifiedAt: t0,
		Missing: []backup.ArchiveGap{{Date: backup.Date{Year: 2026, Month: 11, Day: 25}, DatabaseID: uid(1), DatabaseName: "a", Reason: "no copy"}},
	}
}

func TestArchive(t *testing.T) {
	t.Parallel()
	s, ctx := storetest.New(t), t.Context()
	one, two, other := record(t, s, copyOn(1, "a", 0, backup.Daily)), record(t, s, copyOn(1, "a", 1, backup.Daily)), record(t, s, copyOn(2, "b", 0, backup.Daily))
	if err := s.MoveToArchive(ctx, one); !errors.Is(err, backup.ErrConflict) {
		t.Fatalf("moved into no archive: %v", err)
	}
	parts := map[string]backup.Archived{
		one: {Week: "2026-W48", Name: "2026-11-23/a.sql", Offset: 100, Length: 20},
		two: {Week: "2026-W48", Name: "2026-11-24/a.sql", Offset: 200, Length: 30},
	}
	a := archiveW48()
	for range 2 { // twice, as after a commit whose answer was lost
		if err := s.RecordArchive(ctx, a, parts); err != nil {
			t.Fatal(err)
		}
	}
	other48 := a
	other48.SHA256 = strings.Repeat("e", 64)
	if err := s.RecordArchive(ctx, other48, nil); !errors.Is(err, backup.ErrConflict) {
		t.Fatalf("entered over another: %v", err)
	}
	if got := must(s.Archive(ctx, a.Week))(t); !reflect.DeepEqual(got, a) {
		t.Fatalf("got  %+v\nwant %+v", got, a)
	}
	if got := must(s.Archived(ctx, one, two, other))(t); !reflect.DeepEqual(got, map[string]string{one: a.Week, two: a.Week}) {
		t.Fatalf("archived: %v", got)
	}
	c := must(s.Copy(ctx, one))(t)
	if c.Archived != parts[one] || c.Location() != backup.InObject {
		t.Fatalf("%+v, %s", c.Archived, c.Location())
	}
	// A member is listed while its own object is there and after.
	if err := s.MoveToArchive(ctx, one); err != nil {
		t.Fatal(err)
	}
	list, _, err := s.Copies(ctx, store.CopyFilter{Kind: backup.Weekly})
	if err != nil || len(list) != 2 || list[1].Location() != backup.InArchive || list[0].Location() != backup.InObject {
		t.Fatalf("%+v, %v", list, err)
	}
	if c := must(s.BestCopy(ctx, uid(1), backup.DateOf(t0)))(t); c.ID != one || c.Location() != backup.InArchive {
		t.Fatalf("best: %+v", c)
	}
	// The archive goes: what lies in it alone goes too, the rest stays. A pin holds it.
	if err := s.SetPinned(ctx, one, true); err != nil {
		t.Fatal(err)
	}
	if err := s.MarkArchiveDeleted(ctx, a.Week, t0); !errors.Is(err, backup.ErrConflict) {
		t.Fatalf("a pinned copy was let go: %v", err)
	}
	if got := must(s.Archives(ctx, 0))(t); len(got) != 1 {
		t.Fatalf("the refused deletion left %d archives", len(got))
	}
	if err := s.SetPinned(ctx, one, false); err != nil {
		t.Fatal(err)
	}
	if err := s.MarkArchiveDeleted(ctx, a.Week, t0); err != nil {
		t.Fatal(err)
	}
	if c := must(s.Copy(ctx, one))(t); c.DeletedAt == nil {
		t.Error("a copy of a deleted archive is listed")
	}
	if c := must(s.Copy(ctx, two))(t); c.DeletedAt != nil || c.Archived != (backup.Archived{}) {
		t.Errorf("%+v", c)
	}
	if got := must(s.Archived(ctx, one, two))(t); len(got) != 0 {
		t.Errorf("archived: %v", got)
	}
	// The week can be archived again.
	if err := s.RecordArchive(ctx, other48, map[string]backup.Archived{two: parts[two]}); err != nil {
		t.Fatal(err)
	}
	if got := must(s.ArchiveMembers(ctx, a.Week))(t); len(got) != 1 || got[0].ID != two {
		t.Errorf("members: %+v", got)
	}
}

func TestCopiesForArchive(t *testing.T) {
	t.Parallel()
	s, ctx := storetest.New(t), t.Context()
	want := map[string]bool{}
	for _, c := range []struct {
		day  int
		kind backup.CopyKind
		in   bool
	}{{-9, backup.Daily, true}, {-9, backup.Manual, false}, {0, backup.Daily, true}, {1, backup.Manual, true}, {6, backup.Daily, true}, {7, backup.Daily, false}, {2, backup.Safety, false}} {
		want[record(t, s, copyOn(1, "a", c.day, c.kind))] = c.in
	}
	done := record(t, s, copyOn(2, "b", -8, backup.Daily))
	if err := s.RecordArchive(ctx, archiveW48(), map[string]backup.Archived{done: {Week: "2026-W48"}}); err != nil {
		t.Fatal(err)
	}
	list := must(s.CopiesForArchive(ctx, backup.DateOf(t0), backup.DateOf(t0).AddDays(6)))(t)
	for _, c := range list {
		if !want[c.ID] {
			t.Errorf("%s of %s is among them", c.Kind, c.Date)
		}
	}
	if len(list) != 4 {
		t.Errorf("%d copies, want 4", len(list))
	}
}
