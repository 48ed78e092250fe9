package store_test

import (
	"errors"
	"fmt"
	"reflect"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/AutumnsGrove/Patina/backup"
	"github.com/AutumnsGrove/Patina/store"
	"github.com/AutumnsGrove/Patina/store/storetest"
)

// uid gives the UUID that ends in n.
func uid(n int) string { return fmt.Sprintf("00000000-0000-7000-8000-%012d", n) }

func entry(n int, name string) backup.Database {
	return backup.Database{
		ID: uid(n), Name: name, Priority: backup.Normal, Origin: backup.FromDiscovery,
		Objective: backup.DefaultObjective, FirstSeenAt: t0, LastSeenAt: t0,
	}
}

func upsert(t *testing.T, s *store.Store, entries ...backup.Database) {
	t.Helper()
	for _, d := range entries {
		if err := s.UpsertDatabase(t.Context(), d); err != nil {
			t.Fatal(err)
		}
	}
}

func must[T any](v T, err error) func(*testing.T) T {
	return func(t *testing.T) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

func TestUpsertDatabase(t *testing.T) {
	t.Parallel()
	s, ctx := storetest.New(t), t.Context()
	d := backup.Database{
		ID: uid(1), Name: "groveauth", Binding: "AUTH", Description: "who's who", Priority: backup.Critical, EstimatedSize: 212 << 10,
		Origin: backup.FromConfig, Paused: true, Objective: 90 * time.Minute, FirstSeenAt: t0, LastSeenAt: t0.Add(time.Microsecond),
	}
	upsert(t, s, d)
	got := must(s.Database(ctx, uid(1)))(t)
	if !reflect.DeepEqual(got, d) {
		t.Fatalf("got  %+v\nwant %+v", got, d)
	}
	// Another name: the same row, first seen when it was.
	d.Name, d.FirstSeenAt, d.LastSeenAt = "auth", t0.Add(time.Hour), t0.Add(time.Hour)
	upsert(t, s, d)
	got = must(s.DatabaseByName(ctx, "auth"))(t)
	if got.ID != d.ID || !got.FirstSeenAt.Equal(t0) || !got.LastSeenAt.Equal(t0.Add(time.Hour)) {
		t.Fatalf("got %+v", got)
	}
	if _, err := s.DatabaseByName(ctx, "groveauth"); !errors.Is(err, backup.ErrNotFound) {
		t.Fatalf("the old name: %v", err)
	}
	// Deleted and made anew under that name: the old one is gone from then on.
	upsert(t, s, backup.Database{ID: uid(2), Name: "auth", FirstSeenAt: t0, LastSeenAt: t0.Add(2 * time.Hour)})
	if got = must(s.DatabaseByName(ctx, "auth"))(t); got.ID != uid(2) || got.Priority != backup.Normal || got.Objective != backup.DefaultObjective {
		t.Fatalf("got %+v", got)
	}
	if got = must(s.Database(ctx, uid(1)))(t); got.GoneAt == nil || !got.GoneAt.Equal(t0.Add(2*time.Hour)) {
		t.Fatalf("the old one: %+v", got)
	}
	for _, bad := range []backup.Database{
		{ID: "7", Name: "x", FirstSeenAt: t0, LastSeenAt: t0},
		{ID: uid(3), FirstSeenAt: t0, LastSeenAt: t0},
		{ID: uid(3), Name: "x", Priority: "urgent", FirstSeenAt: t0, LastSeenAt: t0},
		{ID: uid(3), Name: "a\x00b", FirstSeenAt: t0, LastSeenAt: t0},
	} {
		if err := s.UpsertDatabase(ctx, bad); !errors.Is(err, backup.ErrInvalid) {
			t.Errorf("%+v: %v", bad, err)
		}
	}
}

func TestDatabasesOrderAndFilter(t *testing.T) {
	t.Parallel()
	s, ctx := storetest.New(t), t.Context()
	gone, goneLater := t0.Add(time.Hour), t0.Add(2*time.Hour)
	old, older := entry(1, "b"), entry(2, "b")
	old.GoneAt, older.GoneAt = &goneLater, &gone
	upsert(t, s, older, old, entry(3, "c"), entry(4, "a"))
	ids := func(f store.DatabaseFilter) (out string) {
		for _, d := range must(s.Databases(ctx, f))(t) {
			out += d.ID[35:]
		}
		return out
	}
	if got := ids(store.DatabaseFilter{}); got != "43" {
		t.Errorf("living: %s", got)
	}
	if got := ids(store.DatabaseFilter{Gone: true}); got != "4123" {
		t.Errorf("all: %s", got)
	}
	if got := ids(store.DatabaseFilter{Gone: true, IDs: []string{uid(3), uid(2)}}); got != "23" {
		t.Errorf("some: %s", got)
	}
	if got := ids(store.DatabaseFilter{IDs: []string{}}); got != "" {
		t.Errorf("none: %s", got)
	}
	// By name: the one gone last, until there is a living one.
	if d := must(s.DatabaseByName(ctx, "b"))(t); d.ID != uid(1) {
		t.Errorf("got %s", d.ID)
	}
	upsert(t, s, entry(5, "b"))
	if d := must(s.DatabaseByName(ctx, "b"))(t); d.ID != uid(5) {
		t.Errorf("got %s", d.ID)
	}
}

func TestChangeDatabase(t *testing.T) {
	t.Parallel()
	s, ctx := storetest.New(t), t.Context()
	upsert(t, s, entry(1, "a"))
	yes, high, day := true, backup.High, 24*time.Hour
	want := entry(1, "a")
	want.Paused, want.Priority, want.Objective = true, backup.High, day
	if got := must(s.ChangeDatabase(ctx, uid(1), store.DatabaseChange{Paused: &yes, Priority: &high, Objective: &day}))(t); !reflect.DeepEqual(got, want) {
		t.Fatalf("got %+v", got)
	}
	if err := s.SetDatabaseSize(ctx, uid(1), 77); err != nil {
		t.Fatal(err)
	}
	want.EstimatedSize = 77
	if got := must(s.ChangeDatabase(ctx, uid(1), store.DatabaseChange{}))(t); !reflect.DeepEqual(got, want) {
		t.Fatalf("nothing asked, yet %+v", got)
	}
	for _, id := range []string{uid(9), "x", ""} {
		if _, err := s.ChangeDatabase(ctx, id, store.DatabaseChange{}); !errors.Is(err, backup.ErrNotFound) {
			t.Errorf("%q: %v", id, err)
		}
		if _, err := s.Database(ctx, id); !errors.Is(err, backup.ErrNotFound) {
			t.Errorf("%q: %v", id, err)
		}
	}
	wrong := backup.Priority("urgent")
	if _, err := s.ChangeDatabase(ctx, uid(1), store.DatabaseChange{Priority: &wrong}); !errors.Is(err, backup.ErrInvalid) {
		t.Errorf("a wrong priority: %v", err)
	}
}

// Many processes that enter the same name under different IDs at once end with
// exactly one living.
func TestUpsertDatabaseAtOnce(t *testing.T) {
	t.Parallel()
	s, ctx := storetest.New(t), t.Context()
	var g errgroup.Group
	for n := range 20 {
		g.Go(func() error { return s.UpsertDatabase(ctx, entry(n+1, "same")) })
	}
	if err := g.Wait(); err != nil {
		t.Fatal(err)
	}
	living, all := must(s.Databases(ctx, store.DatabaseFilter{}))(t), must(s.Databases(ctx, store.DatabaseFilter{Gone: true}))(t)
	if len(living) != 1 || len(all) != 20 {
		t.Fatalf("%d living of %d", len(living), len(all))
	}
}
