package retention

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/AutumnsGrove/Patina/backup"
)

// world is an installation that lives through random days.
type world struct {
	t     *testing.T
	rnd   *rand.Rand
	seed  uint64
	h     Holdings
	p     Policy
	state State
	now   time.Time
	n     int
	ever  map[string]map[backup.Date]bool // database → dates of which a good daily was stored
	names []string
	weeks int // the fewest weeks that any policy had
	log   []string
}

func (w *world) chance(percent int) bool { return w.rnd.IntN(100) < percent }

func (w *world) id(what string) string {
	w.n++
	return fmt.Sprintf("%s-%d", what, w.n)
}

func (w *world) failf(format string, args ...any) {
	w.t.Helper()
	w.t.Fatalf("seed %d, %s: %s", w.seed, stamp(w.now), fmt.Sprintf(format, args...))
}

func newWorld(t *testing.T, seed uint64) *world {
	w := &world{t: t, rnd: rand.New(rand.NewPCG(seed, 1)), seed: seed, p: Default(), weeks: Default().Weekly, ever: map[string]map[backup.Date]bool{}}
	w.now = time.Date(2026, 10, 1+w.rnd.IntN(60), 5, 0, 0, 0, time.UTC)
	for i := range 1 + w.rnd.IntN(2) {
		name := string(rune('a' + i))
		w.names = append(w.names, name)
		w.ever[name] = map[backup.Date]bool{}
	}
	w.h.Gone, w.h.Erased = map[string]bool{}, map[string]bool{}
	return w
}

// night stores what a night stores, or does not.
func (w *world) night() {
	for _, name := range w.names {
		if w.h.Gone[name] || w.chance(12) { // gone, failed or missed: no copy
			continue
		}
		w.store(name, backup.Daily)
	}
	if w.chance(15) {
		w.store(w.names[w.rnd.IntN(len(w.names))], backup.Manual)
	}
	if w.chance(5) {
		w.store(w.names[w.rnd.IntN(len(w.names))], backup.Safety)
	}
}

func (w *world) store(name string, kind backup.CopyKind) {
	c := backup.Copy{
		ID: w.id("copy"), DatabaseID: name, DatabaseName: name, Kind: kind, Date: backup.DateOf(w.now), TakenAt: w.now.Add(-2 * time.Hour),
		CreatedAt: w.now.Add(-2 * time.Hour), Proof: backup.ProofProven,
	}
	c.SHA256 = "sha-" + c.ID
	switch x := w.rnd.IntN(100); {
	case x < 6:
		c.Proof = backup.ProofSuspect
	case x < 18:
		c.Proof = backup.ProofPending
	}
	if kind == backup.Daily && c.Proof != backup.ProofSuspect {
		w.ever[name][c.Date] = true
	}
	w.h.Copies = append(w.h.Copies, c)
}

// archive makes the week's archive, or not, now and then without a copy that
// came late.
func (w *world) archive() {
	if w.chance(10) {
		return
	}
	a := archiveOf(w.id("archive"), backup.DateOf(w.now))
	n := 0
	for i := range w.h.Copies {
		c := &w.h.Copies[i]
		if c.Kind == backup.Daily && c.Proof != backup.ProofSuspect && c.QuarantinedAt == nil && c.Archived.Week == "" && !w.chance(3) {
			*c = archived(*c, a.Week)
			n++
		}
	}
	if n > 0 {
		w.h.Archives = append(w.h.Archives, a)
	}
}

// people pin, unpin and prove; discs rot; databases go.
func (w *world) events() {
	for i := range w.h.Copies {
		c := &w.h.Copies[i]
		switch x := w.rnd.IntN(1000); {
		case x < 4:
			c.Pinned = !c.Pinned
		case x < 6 && c.QuarantinedAt == nil:
			c.Proof = backup.ProofSuspect
			delete(w.ever[c.DatabaseName], c.Date)
		case x < 7:
			at := w.now
			c.QuarantinedAt, c.Proof = &at, backup.ProofSuspect
			delete(w.ever[c.DatabaseName], c.Date)
		case x < 50 && c.Proof == backup.ProofPending:
			c.Proof = backup.ProofProven
		}
	}
	for i := range w.h.Archives {
		if a := &w.h.Archives[i]; w.rnd.IntN(1500) == 0 {
			at := w.now
			a.QuarantinedAt = &at
			for _, c := range w.h.Copies {
				if c.Archived.Week == a.Week && c.ObjectGone {
					delete(w.ever[c.DatabaseName], c.Date)
				}
			}
		}
	}
	if w.chance(1) {
		w.h.Gone[w.names[w.rnd.IntN(len(w.names))]] = true
	}
}

// whole gives the weeks of the archives that can be relied on.
func whole(h Holdings) map[string]bool {
	weeks := map[string]bool{}
	for _, a := range h.Archives {
		weeks[a.Week] = a.QuarantinedAt == nil
	}
	return weeks
}

// usable tells whether a copy can be read.
func usable(weeks map[string]bool, c backup.Copy) bool {
	return c.QuarantinedAt == nil && (!c.ObjectGone || weeks[c.Archived.Week])
}

// newestProven gives, for each database, when its newest proven copy was taken.
func newestProven(h Holdings, now time.Time) map[string]time.Time {
	out, weeks := map[string]time.Time{}, whole(h)
	for _, c := range h.Copies {
		if c.Proof == backup.ProofProven && usable(weeks, c) && c.TakenAt.After(out[c.DatabaseID]) && !c.TakenAt.After(now) {
			out[c.DatabaseID] = c.TakenAt
		}
	}
	return out
}

// restorable gives the copies that can be read, and the databases' dates of
// which something good is stored.
func restorable(h Holdings) (ids map[string]bool, dates map[dateOf]bool) {
	ids, dates = map[string]bool{}, map[dateOf]bool{}
	weeks := whole(h)
	for _, c := range h.Copies {
		if usable(weeks, c) {
			ids[c.ID] = true
			if c.Proof != backup.ProofSuspect {
				dates[dateOf{c.DatabaseID, c.Date}] = true
			}
		}
	}
	return ids, dates
}

type dateOf struct {
	database string
	date     backup.Date
}

// clean carries a plan out as cleanup does, and looks at what it did.
func (w *world) clean() {
	before := w.h
	newest := newestProven(before, w.now)
	readable, _ := restorable(before)
	plan, state := Cautious(w.h, w.p, w.state, w.now)
	w.allowed(before, plan)
	w.h = apply(w.h, plan)
	for range 2 { // what was taken out lets its archive go
		again, next := Cautious(w.h, w.p, state, w.now)
		w.allowed(w.h, again)
		w.h, state = apply(w.h, again), next
	}
	w.state = state
	rest, _ := Cautious(w.h, w.p, w.state, w.now)
	if c, a := rest.Drops(); c+a+len(rest.Rescue) != 0 {
		w.failf("done twice, it still drops %d copies and %d archives, and takes out %d", c, a, len(rest.Rescue))
	}
	left, dates := restorable(w.h)
	still := newestProven(w.h, w.now)
	for id, at := range newest {
		if got := still[id]; !got.Equal(at) {
			w.failf("the newest proven copy of %s was of %s and is of %s", id, stamp(at), stamp(got))
		}
	}
	for _, c := range before.Copies {
		if c.Pinned && readable[c.ID] && !left[c.ID] {
			w.failf("the pinned %s is gone", c.ID)
		}
	}
	for name, ever := range w.ever {
		for date := range ever {
			if !date.Time().Before(backup.DateOf(w.now).AddDays(-7*w.weeks+1).Time()) && !dates[dateOf{name, date}] {
				w.failf("%s cannot be restored for %s, which is within %d weeks", name, date, w.weeks)
			}
		}
	}
	if len(w.h.Copies) < len(before.Copies) || len(w.h.Archives) < len(before.Archives) {
		w.log = append(w.log, "deleted")
	}
}

// allowed looks at each deletion by itself: I4.
func (w *world) allowed(h Holdings, plan Plan) {
	staying, weeks := map[string]bool{}, whole(h)
	for i, d := range plan.Archives {
		a := h.Archives[i]
		staying[a.Week] = !d.Drop
		if d.Drop && (a.QuarantinedAt != nil || plan.Held != "" || a.To.AddDays(7*w.p.Weekly).Time().After(w.now)) {
			w.failf("the archive %s goes: %+v", a.Week, d)
		}
	}
	for i, d := range plan.Copies {
		c := h.Copies[i]
		if d.Reason == "" {
			w.failf("%s has no reason", c.ID)
		}
		if c.ObjectGone && c.Pinned && usable(weeks, c) && !staying[c.Archived.Week] {
			w.failf("the archive %s goes with the pinned %s of %s", c.Archived.Week, c.DatabaseName, c.Date)
		}
		if !d.Drop {
			continue
		}
		old := w.now.Sub(c.TakenAt) >= time.Duration(w.p.Other)*day
		suspect := c.Proof == backup.ProofSuspect
		switch {
		case c.Pinned, c.ObjectGone, c.QuarantinedAt != nil, d.Held != "", d.Until == nil, d.Until.After(w.now), plan.Held != "":
			w.failf("%s goes: %+v, %+v", c.ID, c, d)
		case c.Kind == backup.Daily && suspect && !old, c.Kind == backup.Manual && !old, c.Kind == backup.Safety && !old:
			w.failf("%s goes too early: %+v", c.ID, d)
		case c.Kind == backup.Daily && !suspect && !weeks[c.Archived.Week]:
			w.failf("the daily %s of %s goes and sits in no verified archive", c.DatabaseName, c.Date)
		case c.Kind == backup.Daily && !suspect && backup.DateOf(w.now).AddDays(-w.p.Daily).Time().Before(c.Date.Time()):
			w.failf("the daily %s of %s goes within its days", c.DatabaseName, c.Date)
		}
	}
}

// apply carries a plan out.
func apply(h Holdings, plan Plan) Holdings {
	out := h
	out.Copies, out.Archives = nil, nil
	gone := map[string]bool{}
	for i, d := range plan.Archives {
		if gone[h.Archives[i].Week] = d.Drop; !d.Drop {
			out.Archives = append(out.Archives, h.Archives[i])
		}
	}
	rescued := map[string]bool{}
	for _, r := range plan.Rescue {
		rescued[r.Copy.ID] = true
	}
	for i, d := range plan.Copies {
		c := h.Copies[i]
		c.ExpiresAt, c.ExpiresReason = d.Until, d.Reason
		if d.Drop {
			c.ObjectGone = true
		}
		if rescued[c.ID] {
			c.ObjectGone, c.Kind = false, backup.Kept
		}
		if gone[c.Archived.Week] {
			c.Archived = backup.Archived{}
		}
		if !c.ObjectGone || c.Archived.Week != "" {
			out.Copies = append(out.Copies, c)
		}
	}
	return out
}

// TestRandomHistories lives through thousands of random histories of some
// months, with failures, missed nights, late archives, pins, rot, changes of
// policy and clocks that jump, and asks of each deletion whether it was allowed.
func TestRandomHistories(t *testing.T) {
	t.Parallel()
	histories := 2000
	if testing.Short() {
		histories = 300
	}
	deletions := 0
	for seed := range uint64(histories) {
		w := newWorld(t, seed)
		for range 40 + w.rnd.IntN(100) {
			w.now = w.now.AddDate(0, 0, 1)
			w.h.Newest = w.now.Add(-time.Hour)
			w.night()
			w.events()
			if w.now.Weekday() == time.Sunday {
				w.archive()
				w.clean()
			} else if w.chance(4) {
				w.clean()
			}
			if w.chance(1) {
				w.p = Policy{Daily: w.rnd.IntN(20), Weekly: w.rnd.IntN(16), Other: 10 + w.rnd.IntN(30)}.atLeastOne()
				w.weeks = min(w.weeks, w.p.Weekly)
			}
			if w.chance(1) {
				w.jump()
			}
		}
		deletions += len(w.log)
	}
	if deletions < histories {
		t.Errorf("in %d histories something was deleted only %d times: nothing is tested", histories, deletions)
	}
}

// jump moves the clock back, where nothing may go, or on by years, where no
// more than an ordinary week's may go at once, and puts it right again.
func (w *world) jump() {
	right := w.now
	w.now = right.Add(-time.Duration(2+w.rnd.IntN(24*400)) * time.Hour)
	plan, state := Cautious(w.h, w.p, w.state, w.now)
	if c, a := plan.Drops(); c+a+len(plan.Rescue) != 0 || plan.Held == "" {
		w.failf("the clock having gone back by %v, %d copies and %d archives go", right.Sub(w.now), c, a)
	}
	w.state = state
	w.now = right.AddDate(1+w.rnd.IntN(9), 0, 0)
	plan, state = Cautious(w.h, w.p, w.state, w.now)
	w.allowed(w.h, plan)
	last := right
	if w.state.LastRun != nil {
		last = *w.state.LastRun
	}
	if state.Pending == nil { // then it was little
		if f := dropped(w.h, plan); len(f.any) >= 60 && lost(f.any) > len(f.any)/2 && right.Sub(last) < 8*day && w.p.Weekly > 3 {
			w.failf("the clock having gone on by years, %d of %d copies go at once: %+v, the last run %s, the clock %s", lost(f.any), len(f.any), w.state, stamp(last), stamp(right))
		}
	}
	w.now = right
	again, next := Cautious(w.h, w.p, state, w.now)
	if again.Held != "" && state.LastRun != nil && !state.LastRun.After(right) {
		w.failf("the clock being right again, everything is held: %s", again.Held)
	}
	if state.LastRun != nil && state.LastRun.After(right) {
		return // that run was carried out in its head only
	}
	w.state.Pending = next.Pending
}

func lost(list []bool) (n int) {
	for _, gone := range list {
		if gone {
			n++
		}
	}
	return n
}

// TestOrderDoesNotMatter: the same holdings in another order give the same
// decisions.
func TestOrderDoesNotMatter(t *testing.T) {
	t.Parallel()
	for seed := range uint64(200) {
		w := newWorld(t, seed+10_000)
		for range 60 {
			w.now = w.now.AddDate(0, 0, 1)
			w.night()
			w.events()
			if w.now.Weekday() == time.Sunday {
				w.archive()
			}
		}
		w.now = w.now.AddDate(0, 0, 60)
		want := decisions(Decide(w.h, w.p, w.now))
		h := w.h
		h.Copies, h.Archives = slices.Clone(h.Copies), slices.Clone(h.Archives)
		w.rnd.Shuffle(len(h.Copies), func(i, j int) { h.Copies[i], h.Copies[j] = h.Copies[j], h.Copies[i] })
		w.rnd.Shuffle(len(h.Archives), func(i, j int) { h.Archives[i], h.Archives[j] = h.Archives[j], h.Archives[i] })
		for id, d := range decisions(Decide(h, w.p, w.now)) {
			if d.Drop != want[id].Drop || d.Reason != want[id].Reason {
				w.failf("%s: %s, in another order: %s", id, show(want[id]), show(d))
			}
		}
	}
}
