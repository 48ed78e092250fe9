package jobs

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/AutumnsGrove/Patina/backup"
	"github.com/AutumnsGrove/Patina/store"
)

func at(s string) time.Time {
	t, err := time.Parse(time.RFC3339, s)
	if err != nil {
		panic(err)
	}
	return t
}

func TestNextRun(t *testing.T) {
	t.Parallel()
	berlin, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		spec  string
		after time.Time
		want  string
	}{
		{"0 3 * * *", at("2026-11-23T02:59:59Z"), "2026-11-23T03:00:00Z"},
		{"0 3 * * *", at("2026-11-23T03:00:00Z"), "2026-11-24T03:00:00Z"},
		{"0 4 * * 0", at("2026-11-23T03:00:00Z"), "2026-11-29T04:00:00Z"},
		{"@daily", at("2026-11-23T03:00:00Z"), "2026-11-24T00:00:00Z"},
		// The hour that does not exist, and the one that comes twice, in Berlin.
		{"30 1 * * *", time.Date(2026, 3, 29, 1, 59, 0, 0, berlin), "2026-03-29T01:30:00Z"},
		{"30 2 * * *", time.Date(2026, 3, 29, 1, 0, 0, 0, berlin), "2026-03-29T02:30:00Z"},
		{"30 0 * * *", time.Date(2026, 10, 25, 2, 30, 0, 0, berlin), "2026-10-26T00:30:00Z"},
		{"0 3 29 2 *", at("2026-11-23T03:00:00Z"), "2028-02-29T03:00:00Z"},
	} {
		got, err := NextRun(c.spec, c.after)
		if err != nil || got.Format(time.RFC3339) != c.want {
			t.Errorf("NextRun(%q, %v) = %v, %v; want %s", c.spec, c.after, got, err, c.want)
		}
	}
}

func TestSpecsRefused(t *testing.T) {
	t.Parallel()
	for _, spec := range []string{"", "x", "0 3 * *", "61 3 * * *", "CRON_TZ=Europe/Berlin 0 3 * * *", "TZ=UTC 0 3 * * *", "@every 24h", "0 3 31 2 *", "0 0 3 * * *"} {
		if _, err := NextRun(spec, time.Now()); !errors.Is(err, backup.ErrInvalid) {
			t.Errorf("NextRun(%q) gives %v", spec, err)
		}
	}
	for spec, ok := range map[string]bool{
		"0 3 * * *": true, "59 23 * * 1-5": true, "@daily": true, "0 3 29 2 *": true, "7-7 3 * * *": true,
		"0 3,15 * * *": false, "0,30 3 * * *": false, "0 * * * *": false, "* 3 * * *": false, "0 */12 * * *": false, "@hourly": false,
	} {
		if err := CheckNightly(spec); (err == nil) != ok || err != nil && !errors.Is(err, backup.ErrInvalid) {
			t.Errorf("CheckNightly(%q) = %v", spec, err)
		}
	}
}

// nightly makes a Runner that keeps a nightly schedule by a clock of the
// test's, and is not started: the test ticks.
func (b *bench) nightly(clock *atomic.Pointer[time.Time]) *Runner {
	b.t.Helper()
	r := b.runner(nil, func(c *Config) {
		c.Nightly = "0 3 * * *"
		c.Clock = func() time.Time { return *clock.Load() }
	})
	if err := r.enterSchedules(b.t.Context()); err != nil {
		b.t.Fatal(err)
	}
	return r
}

func clockAt(s string) *atomic.Pointer[time.Time] {
	var p atomic.Pointer[time.Time]
	now := at(s)
	p.Store(&now)
	return &p
}

func set(clock *atomic.Pointer[time.Time], s string) {
	now := at(s)
	clock.Store(&now)
}

// ledger gives the nightly slots, oldest first, as "11-23 running".
func (b *bench) ledger() []string {
	b.t.Helper()
	slots, err := b.store.Slots(b.t.Context(), NightlySchedule, 10_000)
	if err != nil {
		b.t.Fatal(err)
	}
	out := make([]string, 0, len(slots))
	for i := len(slots) - 1; i >= 0; i-- {
		out = append(out, slots[i].Slot.Format("01-02T15:04 ")+string(slots[i].Status))
	}
	return out
}

func (b *bench) tick(r *Runner) {
	b.t.Helper()
	if err := r.tick(b.t.Context()); err != nil {
		b.t.Fatal(err)
	}
}

func (b *bench) wantLedger(want ...string) {
	b.t.Helper()
	if got := b.ledger(); fmt.Sprint(got) != fmt.Sprint(want) {
		b.t.Fatalf("the ledger is %v, want %v", got, want)
	}
}

func TestLedger(t *testing.T) {
	b := newBench(t)
	b.register(backup.Normal, backup.Critical)
	clock := clockAt("2026-11-20T04:00:00Z")
	r := b.nightly(clock)
	b.tick(r)
	b.wantLedger() // slots before the schedule's creation do not count
	set(clock, "2026-11-21T02:59:59Z")
	b.tick(r)
	b.wantLedger()
	set(clock, "2026-11-21T03:00:00Z")
	b.tick(r)
	b.tick(r)
	b.wantLedger("11-21T03:00 running")
	// Three days down: one run for the newest, the rest missed.
	set(clock, "2026-11-25T01:00:00Z")
	b.tick(r)
	b.wantLedger("11-21T03:00 running", "11-22T03:00 missed", "11-23T03:00 missed", "11-24T03:00 running")
	if n := b.count("SELECT count(*) FROM backup_jobs"); n != 2 {
		t.Fatalf("%d jobs for two slots that ran", n)
	}
	if n := b.count("SELECT count(*) FROM backup_results WHERE slot = '2026-11-24T03:00Z' AND date = '2026-11-24'"); n != 2 {
		t.Fatalf("%d results for two databases", n)
	}
	if n := b.count("SELECT count(*) FROM river_job WHERE kind = 'export'"); n != 4 {
		t.Fatalf("%d exports in the queue", n)
	}
	// A restart enters the schedule again without creating it anew.
	if err := r.enterSchedules(t.Context()); err != nil {
		t.Fatal(err)
	}
	sc, err := b.store.Schedule(t.Context(), NightlySchedule)
	if err != nil || !sc.CreatedAt.Equal(at("2026-11-20T04:00:00Z")) {
		t.Fatalf("the schedule is %+v, %v", sc, err)
	}
	// Another spec counts from when it was given.
	r.cfg.Nightly = "0 0 * * *"
	if err := r.enterSchedules(t.Context()); err != nil {
		t.Fatal(err)
	}
	b.tick(r)
	b.wantLedger("11-21T03:00 running", "11-22T03:00 missed", "11-23T03:00 missed", "11-24T03:00 running")
	set(clock, "2026-11-26T00:00:00Z")
	b.tick(r)
	if got := b.ledger(); got[len(got)-1] != "11-26T00:00 running" || len(got) != 5 {
		t.Fatalf("the ledger is %v", got)
	}
}

func TestLedgerClockJumps(t *testing.T) {
	b := newBench(t)
	b.register(backup.Normal)
	clock := clockAt("2026-11-20T04:00:00Z")
	r := b.nightly(clock)
	set(clock, "2026-11-24T04:00:00Z") // the clock is three days fast
	b.tick(r)
	b.wantLedger("11-21T03:00 missed", "11-22T03:00 missed", "11-23T03:00 missed", "11-24T03:00 running")
	set(clock, "2026-11-21T04:00:00Z") // and is put right
	b.tick(r)
	b.wantLedger("11-21T03:00 missed", "11-24T03:00 running")
	set(clock, "2026-11-22T04:00:00Z")
	b.tick(r)
	set(clock, "2026-11-24T04:00:00Z")
	b.tick(r)
	b.wantLedger("11-21T03:00 missed", "11-22T03:00 running", "11-23T03:00 missed", "11-24T03:00 running")
	if n := b.count("SELECT count(*) FROM backup_jobs"); n != 2 {
		t.Fatalf("%d jobs", n)
	}
}

func TestLedgerPaused(t *testing.T) {
	b := newBench(t)
	b.register(backup.Normal)
	clock := clockAt("2026-11-20T04:00:00Z")
	r := b.nightly(clock)
	b.exec("UPDATE schedules SET paused = true")
	set(clock, "2026-11-22T04:00:00Z")
	b.tick(r)
	b.wantLedger("11-21T03:00 skipped", "11-22T03:00 skipped")
}

// Whatever the clock does and however many tick at once, each slot that has
// come is in the ledger once, with one job where it ran, and the newest one of
// each look ran.
func TestLedgerProperty(t *testing.T) {
	b := newBench(t)
	b.register(backup.Normal, backup.Normal)
	clock := clockAt("2026-01-01T12:00:00Z")
	runners := []*Runner{b.nightly(clock), b.nightly(clock), b.nightly(clock)}
	random := rand.New(rand.NewPCG(1, 2))
	created, now := *clock.Load(), *clock.Load()
	farthest := now
	ran := map[string]bool{}
	for range 60 {
		now = now.Add(time.Duration(random.IntN(60*60)) * time.Minute)
		if random.IntN(6) == 0 {
			now = now.Add(-time.Duration(random.IntN(30)) * time.Hour)
		}
		if now.Before(created) {
			now = created
		}
		if now.After(farthest) {
			if due, err := dueSlots("0 3 * * *", farthest, now); err != nil {
				t.Fatal(err)
			} else if len(due) > 0 {
				ran[due[len(due)-1].Format("01-02T15:04")] = true
			}
			farthest = now
		}
		moment := now
		clock.Store(&moment)
		var wg sync.WaitGroup
		for _, r := range runners[:1+random.IntN(3)] {
			wg.Go(func() {
				if err := r.tick(t.Context()); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
	}
	want, err := dueSlots("0 3 * * *", created, farthest)
	if err != nil || len(want) < 40 {
		t.Fatal("the test looked at too little", len(want), err)
	}
	slots, err := b.store.Slots(t.Context(), NightlySchedule, 10_000)
	if err != nil || len(slots) != len(want) {
		t.Fatalf("%d slots in the ledger, %d came; %v", len(slots), len(want), err)
	}
	for i, s := range slots {
		if expected := want[len(want)-1-i]; !s.Slot.Equal(expected) {
			t.Fatalf("slot %v, want %v", s.Slot, expected)
		}
		if s.Status == store.SlotRunning != ran[s.Slot.Format("01-02T15:04")] || s.Status != store.SlotRunning && s.Status != store.SlotMissed {
			t.Errorf("slot %v is %s", s.Slot, s.Status)
		}
		if (s.JobID != "") != (s.Status == store.SlotRunning) {
			t.Errorf("slot %v is %s with job %q", s.Slot, s.Status, s.JobID)
		}
	}
	if n := b.count("SELECT count(*) FROM (SELECT FROM backup_results GROUP BY schedule_id, slot, database_id HAVING count(*) > 1) AS twice"); n != 0 {
		t.Errorf("%d databases have two results for a slot", n)
	}
	if n, jobs := b.count("SELECT count(*) FROM backup_results"), b.count("SELECT count(*) FROM backup_jobs"); n != 2*jobs || jobs != len(ran) {
		t.Errorf("%d results, %d jobs, %d slots ran", n, jobs, len(ran))
	}
}

func TestStartSlot(t *testing.T) {
	b := newBench(t)
	b.register(backup.Normal)
	clock := clockAt("2026-11-20T10:00:00Z")
	r := b.nightly(clock)
	slot := at("2026-11-20T03:00:00Z") // today's, although it is over
	id, started, err := r.StartSlot(t.Context(), NightlySchedule, slot)
	if err != nil || !started || id == "" {
		t.Fatal(id, started, err)
	}
	again, started, err := r.StartSlot(t.Context(), NightlySchedule, slot)
	if err != nil || started || again != id {
		t.Fatal(again, started, err)
	}
	if job := b.job(id); job.Trigger != backup.TriggerNightly || job.Date != backup.DateOf(slot) || !job.Slot.Equal(slot) || job.Totals.Databases != 1 {
		t.Errorf("the job is %+v", job)
	}
	if _, _, err := r.StartSlot(t.Context(), NightlySchedule, slot.Add(time.Hour)); !errors.Is(err, backup.ErrInvalid) {
		t.Errorf("a time that is no slot: %v", err)
	}
	if _, _, err := r.StartSlot(t.Context(), "x", slot); !errors.Is(err, backup.ErrNotFound) {
		t.Errorf("an unknown schedule: %v", err)
	}
	b.tick(r)
	b.wantLedger("11-20T03:00 running")
}
