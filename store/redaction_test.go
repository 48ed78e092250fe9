package store_test

import (
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/AutumnsGrove/Patina/backup"
	"github.com/AutumnsGrove/Patina/store/storetest"
)

func TestRedactions(t *testing.T) {
	t.Parallel()
	s := storetest.New(t)
	ctx, now := t.Context(), time.Date(2026, 11, 23, 3, 0, 0, 0, time.UTC)
	rules, err := backup.ParseRedactions([]string{"users.password_hash = null", `"a.b"."c d" = hash`})
	if err != nil {
		t.Fatal(err)
	}
	d := backup.Database{ID: "6ae2b03c-40dd-499e-ab31-017f78989b60", Name: "groveauth", FirstSeenAt: now, LastSeenAt: now}
	if err := s.UpsertDatabase(ctx, d); err != nil {
		t.Fatal(err)
	}
	was, err := s.SetRedactions(ctx, d.ID, rules)
	if err != nil || len(was) > 0 {
		t.Fatal(was, err)
	}
	check := func(what string, want []backup.Redaction, fixed bool) {
		t.Helper()
		got, err := s.Database(ctx, d.ID)
		if err != nil || !slices.Equal(got.Redact, want) || got.RedactFixed != fixed {
			t.Errorf("%s: %v, %v, %v", what, got.Redact, got.RedactFixed, err)
		}
	}
	check("set", rules, false)
	if err := s.UpsertDatabase(ctx, d); err != nil {
		t.Fatal(err)
	}
	check("seen again", rules, false)
	d.Redact, d.RedactFixed = rules[:1], true
	if err := s.EnterDatabase(ctx, d); err != nil {
		t.Fatal(err)
	}
	check("said by the file", rules[:1], true)
	if _, err := s.SetRedactions(ctx, d.ID, nil); !errors.Is(err, backup.ErrConflict) {
		t.Errorf("changed what the file says: %v", err)
	}
	check("refused", rules[:1], true)
	if err := s.FreeRedactions(ctx, d.ID); err != nil {
		t.Fatal(err)
	}
	check("no longer said", rules[:1], false)
	if was, err := s.SetRedactions(ctx, d.ID, nil); err != nil || !slices.Equal(was, rules[:1]) {
		t.Error(was, err)
	}
	check("taken away", nil, false)
	if _, err := s.SetRedactions(ctx, "6ae2b03c-40dd-499e-ab31-017f78989b61", nil); !errors.Is(err, backup.ErrNotFound) {
		t.Errorf("no database: %v", err)
	}
}
