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

// archive makes the week's archive, late, unverified or not at all now and then.
func (w *world) archive() {
	if w.chance(10) {
		return
	}
	a := Archive{ID: w.id("archive"), Last: backup.DateOf(w.now), Verified: !w.chance(8)}
	a.Week = a.ID
	have := map[string]bool{}
	for _, old := range w.h.Archives {
		if old.Verified && !old.Quarantined {
			for _, m := range old.Members {
				have[m.SHA256] = true
			}
		}
	}
	for _, c := range w.h.Copies {
		if c.Kind == backup.Daily && c.Proof != backup.ProofSuspect && c.QuarantinedAt == nil && !have[c.SHA256] && !w.chance(3) {
			m := memberOf(c)
			m.Pinned = c.Pinned
			a.Members = append(a.Members, m)
		}
	}
	if len(a.Members) > 0 {
		w.h.Archives = append(w.h.Archives, a)
	}
	for i := range w.h.Archives { // verified at a later try
		if !w.h.Archives[i].Verified && w.chance(50) {
			w.h.Archives[i].Verified = true
		}
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
		a := &w.h.Archives[i]
		if w.rnd.IntN(1500) == 0 {
			a.Quarantined = true
			for _, m := range a.Members {
				delete(w.ever[m.DatabaseName], m.Date)
			}
		}
		for j := range a.Members {
			if w.rnd.IntN(800) == 0 {
				a.Members[j].Pinned = !a.Members[j].Pinned
			}
		}
	}
	if w.chance(1) {
		w.h.Gone[w.names[w.rnd.IntN(len(w.names))]] = true
	}
}

// newestProven gives, for each database, when its newest proven copy was taken.
func (h Holdings) newestProven(now time.Time) map[string]time.Time {
	out := map[string]time.Time{}
	note := func(id string, at time.Time) {
		if at.After(out[id]) && !at.After(now) {
			out[id] = at
		}
	}
	for _, c := range h.Copies {
		if c.Proof == backup.ProofProven && c.QuarantinedAt == nil {
			note(c.DatabaseID, c.TakenAt)
		}
	}
	for _, a := range h.Archives {
		for _, m := range a.Members {
			if m.Proven && a.Verified && !a.Quarantined {
				note(m.DatabaseID, m.TakenAt)
			}
		}
	}
	return out
}

func (h Holdings) pinnedVersions() map[string]bool {
	out := map[string]bool{}
	for _, c := range h.Copies {
		if c.Pinned && c.QuarantinedAt == nil {
			out[version(c.DatabaseID, c.SHA256)] = true
		}
	}
	for _, a := range h.Archives {
		for _, m := range a.Members {
			if m.Pinned && a.Verified && !a.Quarantined {
				out[version(m.DatabaseID, m.SHA256)] = true
			}
		}
	}
	return out
}

// restorable gives the databases' dates of which something good is stored.
func (h Holdings) restorable() map[string]bool {
	out := map[string]bool{}
	for _, c := range h.Copies {
		if c.QuarantinedAt == nil && c.Proof != backup.ProofSuspect {
			out[c.DatabaseID+c.Date.String()] = true
			out[version(c.DatabaseID, c.SHA256)] = true
		}
	}
	for _, a := range h.Archives {
		for _, m := range a.Members {
			if a.Verified && !a.Quarantined {
				out[m.DatabaseID+m.Date.String()] = true
				out[version(m.DatabaseID, m.SHA256)] = true
			}
		}
	}
	return out
}

// clean carries a plan out as cleanup does, and looks at what it did.
func (w *world) clean() {
	before := w.h
	newest, pinned := before.newestProven(w.now), before.pinnedVersions()
	plan, state := Cautious(w.h, w.p, w.state, w.now)
	w.allowed(before, plan)
	w.h = apply(w.h, plan, w.now, w.id)
	for range 2 { // what was taken out lets its archive go
		again, next := Cautious(w.h, w.p, state, w.now)
		w.allowed(w.h, again)
		w.h, state = apply(w.h, again, w.now, w.id), next
	}
	w.state = state
	rest, _ := Cautious(w.h, w.p, w.state, w.now)
	if c, a := rest.Drops(); c+a+len(rest.Rescue) != 0 {
		w.failf("done twice, it still drops %d copies and %d archives, and takes out %d", c, a, len(rest.Rescue))
	}
	for id, at := range newest {
		if got := w.h.newestProven(w.now)[id]; !got.Equal(at) {
			w.failf("the newest proven copy of %s was of %s and is of %s", id, stamp(at), stamp(got))
		}
	}
	left := w.h.restorable()
	for v := range pinned {
		if !left[v] && before.restorable()[v] {
			w.failf("the pinned %s is gone", v)
		}
	}
	for name, dates := range w.ever {
		for date := range dates {
			if !date.Time().Before(backup.DateOf(w.now).AddDays(-7*w.weeks+1).Time()) && !left[name+date.String()] {
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
	archived := map[string]bool{}
	for _, a := range h.Archives {
		for _, m := range a.Members {
			if a.Verified && !a.Quarantined {
				archived[version(m.DatabaseID, m.SHA256)] = true
			}
		}
	}
	own := map[string]bool{}
	for i, d := range plan.Copies {
		c := h.Copies[i]
		if d.Reason == "" {
			w.failf("%s has no reason", c.ID)
		}
		if !d.Drop {
			if c.QuarantinedAt == nil && c.Proof != backup.ProofSuspect {
				own[version(c.DatabaseID, c.SHA256)] = true
			}
			continue
		}
		old := w.now.Sub(c.TakenAt) >= time.Duration(w.p.Other)*day
		switch {
		case c.Pinned, c.QuarantinedAt != nil, d.Held != "", d.Until == nil, d.Until.After(w.now), plan.Held != "":
			w.failf("%s goes: %+v, %+v", c.ID, c, d)
		case c.Kind == backup.Daily && c.Proof == backup.ProofSuspect && !old, c.Kind == backup.Manual && !old, c.Kind == backup.Safety && !old:
			w.failf("%s goes too early: %+v", c.ID, d)
		case c.Kind == backup.Daily && c.Proof != backup.ProofSuspect && !archived[version(c.DatabaseID, c.SHA256)]:
			w.failf("the daily %s of %s goes and sits in no verified archive", c.DatabaseName, c.Date)
		case c.Kind == backup.Daily && c.Proof != backup.ProofSuspect && backup.DateOf(w.now).AddDays(-w.p.Daily).Time().Before(c.Date.Time()):
			w.failf("the daily %s of %s goes within its days", c.DatabaseName, c.Date)
		}
	}
	for i, d := range plan.Archives {
		a := h.Archives[i]
		if !d.Drop {
			continue
		}
		if !a.Verified || a.Quarantined || plan.Held != "" || a.Last.AddDays(7*w.p.Weekly).Time().After(w.now) {
			w.failf("the archive %s goes: %+v", a.Week, d)
		}
		for _, m := range a.Members {
			if m.Pinned && !own[version(m.DatabaseID, m.SHA256)] {
				w.failf("the archive %s goes with the pinned %s of %s", a.Week, m.DatabaseName, m.Date)
			}
		}
	}
}

// apply carries a plan out.
func apply(h Holdings, plan Plan, now time.Time, id func(string) string) Holdings {
	out := h
	out.Copies, out.Archives = nil, nil
	for i, d := range plan.Copies {
		if c := h.Copies[i]; !d.Drop {
			c.ExpiresAt, c.ExpiresReason = d.Until, d.Reason
			out.Copies = append(out.Copies, c)
		}
	}
	for i, d := range plan.Archives {
		if !d.Drop {
			out.Archives = append(out.Archives, h.Archives[i])
		}
	}
	for _, r := range plan.Rescue {
		m := r.Member
		c := backup.Copy{
			ID: id("kept"), DatabaseID: m.DatabaseID, DatabaseName: m.DatabaseName, Kind: backup.Kept, Date: m.Date, TakenAt: m.TakenAt,
			CreatedAt: now, SHA256: m.SHA256, Pinned: m.Pinned, Proof: backup.ProofPending,
		}
		if m.Proven {
			c.Proof = backup.ProofProven
		}
		out.Copies = append(out.Copies, c)
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
	lost := map[string]map[backup.Date]bool{}
	all := 0
	for i, d := range plan.Archives {
		for _, m := range w.h.Archives[i].Members {
			all++
			if d.Drop {
				if lost[m.DatabaseID] == nil {
					lost[m.DatabaseID] = map[backup.Date]bool{}
				}
				lost[m.DatabaseID][m.Date] = true
			}
		}
	}
	w.allowed(w.h, plan)
	if state.Pending == nil { // little was to be deleted: then it was little
		c, _ := plan.Drops()
		if n := len(w.h.Copies); c > 10+n/2 {
			w.failf("the clock having gone on by years, %d of %d copies go at once", c, n)
		}
	}
	for id, dates := range lost {
		if len(dates) > 40 && state.Pending != nil && all > 100 {
			w.failf("the clock having gone on by years, %s loses %d dates at once", id, len(dates))
		}
	}
	w.now = right
	again, _ := Cautious(w.h, w.p, state, w.now)
	if again.Held != "" && state.LastRun != nil && !state.LastRun.After(right) {
		w.failf("the clock being right again, everything is held: %s", again.Held)
	}
	if state.LastRun != nil && state.LastRun.After(right) {
		return // that run was carried out in its head only
	}
	w.state = state
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
