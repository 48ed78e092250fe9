package restore_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/AutumnsGrove/Patina/backup"
	"github.com/AutumnsGrove/Patina/backup/d1/d1sim"
	"github.com/AutumnsGrove/Patina/backup/restore"
)

// trial is a restore that can be begun again and again.
type trial struct {
	p      *place
	copy   restore.Copy
	m      *backup.Manifest
	first  backup.Restore
	source string // whose copy it is
	was    string // its body before
}

func newTrial(t testing.TB, target backup.RestoreTarget, tables ...string) *trial {
	t.Helper()
	p := newPlace(t, false)
	id := p.make(t, "shop", shop...)
	m, err := p.copyOf(t.Context(), backup.Manual, id, "shop")
	if err != nil {
		t.Fatal(err)
	}
	bookmark, err := p.client.Bookmark(t.Context(), id, time.Time{})
	if err != nil {
		t.Fatal(err)
	}
	p.run(t, id, damage...)
	tr := &trial{p: p, copy: p.open(m), m: m, source: id, was: p.body(t, id)}
	tr.first = backup.Restore{Target: target, Name: "shop", Confirm: "shop", Tables: tables, CreatedAt: time.Now()}
	switch target {
	case backup.RestoreNew:
		tr.first.Name = "fresh"
	case backup.RestoreBookmark:
		tr.first.Bookmark = bookmark
	}
	return tr
}

// sound checks what must hold after a restore that went well in the end.
func (tr *trial) sound(t *testing.T, r backup.Restore) {
	t.Helper()
	switch {
	case r.Target == backup.RestoreNew:
		if len(r.Tables) == 0 && tr.p.body(t, r.TargetID) != tr.m.BodySHA256 {
			t.Error("the new database is not what the copy is")
		}
		if tr.p.body(t, tr.source) != tr.was || len(tr.p.Databases()) != 2 {
			t.Errorf("more was touched: %d databases", len(tr.p.Databases()))
		}
	case len(r.Tables) > 0:
		var n int
		if err := tr.p.DB(tr.source).QueryRowContext(t.Context(), `SELECT (SELECT count(*) FROM people_restored_20261123) * 100 + (SELECT count(*) FROM people)`).Scan(&n); err != nil || n != 304 {
			t.Errorf("%d rows beside and of old: %v", n, err)
		}
	default:
		if tr.p.body(t, tr.source) != tr.m.BodySHA256 {
			t.Error("the database is not what the copy is")
		}
	}
}

type crash struct{ at string }

// until runs a restore until a hook is told at; true where it was.
func (tr *trial) until(ctx context.Context, r *backup.Restore, saved *backup.Restore, at string) (crashed bool, err error) {
	defer func() {
		if p := recover(); p != nil {
			if _, ok := p.(crash); !ok {
				panic(p)
			}
			crashed = true
		}
	}()
	cfg := tr.p.config(saved)
	cfg.Hook = func(step string) {
		if step == at {
			panic(crash{at})
		}
	}
	return false, restore.Run(ctx, cfg, tr.copy, r)
}

// TestCrash stops a restore before and after each of its steps, and takes it
// up again from what was saved.
func TestCrash(t *testing.T) {
	t.Parallel()
	for name, make := range map[string]func(testing.TB) *trial{
		"new":      func(t testing.TB) *trial { return newTrial(t, backup.RestoreNew) },
		"in place": func(t testing.TB) *trial { return newTrial(t, backup.RestoreInPlace) },
		"bookmark": func(t testing.TB) *trial { return newTrial(t, backup.RestoreBookmark) },
		"a table":  func(t testing.TB) *trial { return newTrial(t, backup.RestoreInPlace, "people") },
		"one new":  func(t testing.TB) *trial { return newTrial(t, backup.RestoreNew, "people") },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var hooks []string
			tr := make(t)
			var saved backup.Restore
			cfg := tr.p.config(&saved)
			cfg.Hook = func(step string) { hooks = append(hooks, step) }
			r := tr.first
			ok(t, r, restore.Run(t.Context(), cfg, tr.copy, &r))
			tr.sound(t, r)
			if len(hooks) < 8 {
				t.Fatalf("only %q", hooks)
			}
			slices.Sort(hooks)
			for _, at := range slices.Compact(hooks) {
				t.Run(at, func(t *testing.T) {
					t.Parallel()
					tr := make(t)
					var saved backup.Restore
					r := tr.first
					crashed, err := tr.until(t.Context(), &r, &saved, at)
					if !crashed {
						t.Fatalf("the fault did not fire: %v", err)
					}
					again := saved
					_, err = tr.until(t.Context(), &again, &saved, "")
					ok(t, again, err)
					tr.sound(t, again)
				})
			}
		})
	}
}

// TestLostAnswers loses the answer of each kind of call once. Nothing is done
// twice, and the restore comes to its end.
func TestLostAnswers(t *testing.T) {
	t.Parallel()
	for _, target := range []backup.RestoreTarget{backup.RestoreNew, backup.RestoreInPlace} {
		for _, call := range []string{"create", "import", "raw", "bookmark", "list"} {
			for skip := range 4 {
				t.Run(fmt.Sprintf("%s %s %d", target, call, skip), func(t *testing.T) {
					t.Parallel()
					tr := newTrial(t, target)
					tr.p.Faults().Add(d1sim.Fault{Effect: d1sim.Nothing, Call: call, Skip: skip, Times: 1})
					var saved backup.Restore
					r := tr.first
					_, err := tr.until(t.Context(), &r, &saved, "")
					for range 3 { // as the queue does
						if !errors.Is(err, backup.ErrUnavailable) {
							break
						}
						r = saved
						_, err = tr.until(t.Context(), &r, &saved, "")
					}
					ok(t, r, err)
					tr.sound(t, r)
				})
			}
		}
	}
}
