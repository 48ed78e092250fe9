package jobs

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync/atomic"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/AutumnsGrove/Patina/backup"
	"github.com/AutumnsGrove/Patina/backup/d1"
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
		{
			"new ones",
			[]backup.Database{db(1, "a"), db(2, "b"), db(3, "test-x")},
			Discovery{Found: 3, New: []string{"a", "b"}, Excluded: []string{"test-x"}},
			"00000001=a; 00000002=b; ",
		},
		{"the same again", []backup.Database{db(1, "a"), db(2, "b")}, Discovery{Found: 2}, "00000001=a; 00000002=b; "},
		{
			"two that swapped names",
			[]backup.Database{db(1, "b"), db(2, "a")},
			Discovery{Found: 2, Renamed: []Renamed{{uuidOf(1), "a", "b"}, {uuidOf(2), "b", "a"}}},
			"00000001=b; 00000002=a; ",
		},
		{
			"one deleted and made again",
			[]backup.Database{db(1, "b"), db(4, "a")},
			Discovery{Found: 2, New: []string{"a"}, Gone: []string{"a"}},
			"00000001=b; 00000002=a gone; 00000004=a; ",
		},
		{
			"one that is back",
			[]backup.Database{db(1, "b"), db(4, "c"), db(2, "a")},
			Discovery{Found: 3, Back: []string{"a"}, Renamed: []Renamed{{uuidOf(4), "a", "c"}}},
			"00000001=b; 00000002=a; 00000004=c; ",
		},
		{
			"one renamed to what is excluded stays protected",
			[]backup.Database{db(1, "test-b"), db(4, "c"), db(2, "a")},
			Discovery{Found: 3, Renamed: []Renamed{{uuidOf(1), "b", "test-b"}}},
			"00000001=test-b; 00000002=a; 00000004=c; ",
		},
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

// An account whose list answers what the test sets: the schedule looks at once
// when it is new, and its slot ends as the look did.
func TestDiscoverySchedule(t *testing.T) {
	b := newBench(t)
	var broken atomic.Bool
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		if broken.Load() {
			w.WriteHeader(http.StatusForbidden)
			fmt.Fprint(w, `{"success":false,"errors":[{"code":10000,"message":"Authentication error"}],"messages":[],"result":null}`)
			return
		}
		result := "[]"
		if p := req.URL.Query().Get("page"); p == "" || p == "1" {
			result = `[{"uuid":"` + uuidOf(1) + `","name":"groveauth","version":"production","created_at":"2026-01-01T00:00:00Z","file_size":212000}]`
		}
		fmt.Fprintf(w, `{"success":true,"errors":[],"messages":[],"result":%s,"result_info":{"page":1,"per_page":100,"count":1,"total_count":1}}`, result)
	}))
	t.Cleanup(srv.Close)
	client, err := d1.New(d1.Config{AccountID: "acc", Token: "token", BaseURL: srv.URL})
	if err != nil {
		t.Fatal(err)
	}
	account := func(c *Config) { c.D1, c.Discovery = client, never }
	r := b.start(b.runner(nil, account))
	ended := func(want store.SlotStatus) {
		t.Helper()
		b.until("the look at the account has ended", func() bool {
			slots, err := b.store.Slots(t.Context(), DiscoverySchedule, 1)
			return err == nil && len(slots) == 1 && slots[0].Status == want && slots[0].EndedAt != nil
		})
	}
	ended(store.SlotDone)
	if got := b.byID(); got != uuidOf(1)[:8]+"=groveauth; " {
		t.Errorf("the registry is %s", got)
	}
	// A second process does not look again.
	b.start(b.runner(nil, account))
	if n := b.count("SELECT count(*) FROM schedule_slots WHERE schedule_id = 'discovery'"); n != 1 {
		t.Errorf("%d looks", n)
	}
	broken.Store(true)
	if _, started, err := r.StartSlot(t.Context(), DiscoverySchedule, today); err != nil || !started {
		t.Fatal(started, err)
	}
	ended(store.SlotFailed)
	if slot, err := b.store.Slot(t.Context(), DiscoverySchedule, today); err != nil || slot.Reason == "" {
		t.Errorf("%+v, %v", slot, err)
	}
	if got := b.byID(); got != uuidOf(1)[:8]+"=groveauth; " {
		t.Errorf("after the failure the registry is %s", got)
	}

	// One whose work in the queue is gone ends all the same.
	b.exec("UPDATE schedule_slots SET status = 'running', ended_at = NULL, river_job_id = 99999999 WHERE slot = $1", today)
	ended(store.SlotFailed)
}
