package store_test

import (
	"testing"
	"time"

	"github.com/AutumnsGrove/Patina/backup"
	"github.com/AutumnsGrove/Patina/store/storetest"
)

func TestRetentionFrozen(t *testing.T) {
	t.Parallel()
	s := storetest.New(t)
	ctx := t.Context()
	look := func(want string, wantFrozen bool) {
		t.Helper()
		if reason, frozen, err := s.RetentionFrozen(ctx); err != nil || frozen != wantFrozen || reason != want {
			t.Fatalf("%q, frozen %v, %v; want %q, %v", reason, frozen, err, want, wantFrozen)
		}
	}
	look("", false)
	if err := s.FreezeRetention(ctx, "made again", t0); err != nil {
		t.Fatal(err)
	}
	if err := s.FreezeRetention(ctx, "another reason", t0.Add(time.Hour)); err != nil {
		t.Fatal(err)
	}
	look("made again", true) // the first reason stays
	if was, err := s.ThawRetention(ctx); err != nil || !was {
		t.Fatal(was, err)
	}
	look("", false)
	if was, err := s.ThawRetention(ctx); err != nil || was {
		t.Fatal(was, err)
	}
	// What cannot be read counts as frozen: nothing may be deleted on a guess.
	if err := s.SetSetting(ctx, "retention_frozen", 1); err != nil {
		t.Fatal(err)
	}
	if _, frozen, err := s.RetentionFrozen(ctx); err == nil || !frozen || backup.Kind(err) == nil {
		t.Fatal(frozen, err)
	}
}
