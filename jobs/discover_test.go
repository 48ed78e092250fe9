package jobs

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/AutumnsGrove/Patina/backup"
	"github.com/AutumnsGrove/Patina/store"
)

// found reconciles the registry with an account that shows these databases.
func (r *Runner) found(ctx context.Context, databases ...backup.Database) (d Discovery, err error) {
	err = r.store.InTx(ctx, func(_ pgx.Tx, s *store.Store) error {
		d, err = r.reconcile(ctx, s, databases)
		return err
	})
	return d, err
}

// byID describes the registry, by UUID.
func (b *bench) byID() string {
	b.t.Helper()
	all, err := b.store.Databases(b.t.Context(), store.DatabaseFilter{Gone: true})
	if err != nil {
		b.t.Fatal(err)
	}
	slices.SortFunc(all, func(x, y backup.Database) int { return cmp.Compare(x.ID, y.ID) })
	out := ""
	for _, db := range all {
		out += fmt.Sprintf("%s=%s", db.ID[:8], db.Name)
		if db.GoneAt != nil {
			out += " gone"
		}
		out += "; "
	}
	return out
}

func TestReconcile(t *testing.T) {
	b := newBench(t)
	r := b.runner(nil, func(c *Config) { c.Exclude = []string{"test-*"} })
	db := func(n int, name string) backup.Database { return backup.Database{ID: uuidOf(n), Name: name} }
	for _, step := range []struct {
		what  string
		found []backup.Database
		want  Discovery
		after string
	}{
		{"new ones", []backup.Database{db(1, "a"), db(2, "b"), db(3, "test-x")},
			Discovery{Found: 3, New: []string{"a", "b"}, Excluded: []string{"test-x"}}, "00000001=a; 00000002=b; "},
		{"the same again", []backup.Database{db(1, "a"), db(2, "b")}, Discovery{Found: 2}, "00000001=a; 00000002=b; "},
		{"two that swapped names", []backup.Database{db(1, "b"), db(2, "a")},
			Discovery{Found: 2, Renamed: []Renamed{{uuidOf(1), "a", "b"}, {uuidOf(2), "b", "a"}}}, "00000001=b; 00000002=a; "},
		{"one deleted and made again", []backup.Database{db(1, "b"), db(4, "a")},
			Discovery{Found: 2, New: []string{"a"}, Gone: []string{"a"}}, "00000001=b; 00000002=a gone; 00000004=a; "},
		{"one that is back", []backup.Database{db(1, "b"), db(4, "c"), db(2, "a")},
			Discovery{Found: 3, Back: []string{"a"}, Renamed: []Renamed{{uuidOf(4), "a", "c"}}}, "00000001=b; 00000002=a; 00000004=c; "},
		{"one renamed to what is excluded stays protected", []backup.Database{db(1, "test-b"), db(4, "c"), db(2, "a")},
			Discovery{Found: 3, Renamed: []Renamed{{uuidOf(1), "b", "test-b"}}}, "00000001=test-b; 00000002=a; 00000004=c; "},
	} {
		got, err := r.found(t.Context(), step.found...)
		if err != nil {
			t.Fatalf("%s: %v", step.what, err)
		}
		slices.SortFunc(got.Renamed, func(x, y Renamed) int { return cmp.Compare(x.ID, y.ID) })
		if fmt.Sprint(got) != fmt.Sprint(step.want) {
			t.Errorf("%s: %+v, want %+v", step.what, got, step.want)
		}
		if got := b.byID(); got != step.after {
			t.Errorf("%s: the registry is %s, want %s", step.what, got, step.after)
		}
	}
	if _, err := r.found(t.Context()); !errors.Is(err, backup.ErrUnavailable) {
		t.Errorf("an empty account: %v", err)
	}
	all, err := r.scheduled(t.Context(), b.store)
	if err != nil || len(all) != 3 || all[0].Objective != backup.DefaultObjective || all[0].Origin != backup.FromDiscovery || all[0].Paused {
		t.Errorf("protected are %+v, %v", all, err)
	}
}
