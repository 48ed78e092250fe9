package retention

import (
	"fmt"
	"slices"
	"time"

	"github.com/AutumnsGrove/Patina/backup"
)

// patience is how long a plan waits that would delete much.
const patience = day

// stride is the longest time between two runs that is ordinary: a plan made
// later than that after the last may owe what it deletes to a wrong clock.
const stride = 8 * day

// What "much" is: more copies than a tenth of all, or more dates of one
// database than three.
const (
	muchShare = 10
	muchDates = 3
)

// Change is how much more one plan deletes than another.
type Change struct {
	Copies   int    // copies that would go besides, or lose their own object
	Of       int    // all there are
	Dates    int    // the most dates that one database would lose besides
	Database string // which
	Much     bool
}

// String says it in words.
func (c Change) String() string {
	s := fmt.Sprintf("%d of %d stored copies would be deleted besides", c.Copies, c.Of)
	if c.Dates > 0 {
		s += fmt.Sprintf("; %s would lose %d dates", c.Database, c.Dates)
	}
	return s
}

// Compare tells what after deletes that before does not.
func Compare(h Holdings, before, after Plan) Change {
	c := Change{Of: len(h.Copies)}
	type date struct {
		id   string
		date backup.Date
	}
	kept, left, names := map[date]bool{}, map[date]bool{}, map[string]string{}
	was, is := dropped(h, before), dropped(h, after)
	for i, cp := range h.Copies {
		at := date{cp.DatabaseID, cp.Date}
		names[cp.DatabaseID] = cp.DatabaseName
		if is.any[i] && !was.any[i] {
			c.Copies++
		}
		kept[at] = kept[at] || !was.whole[i]
		left[at] = left[at] || !is.whole[i]
	}
	lost := map[string]int{}
	for at := range kept {
		if kept[at] && !left[at] {
			lost[at.id]++
		}
	}
	for id, n := range lost {
		if n > c.Dates || n == c.Dates && names[id] < c.Database {
			c.Dates, c.Database = n, names[id]
		}
	}
	c.Much = c.Copies*muchShare > c.Of || c.Dates > muchDates
	return c
}

// fate tells of each copy whether anything of it goes, and whether all of it.
type fate struct{ any, whole []bool }

func dropped(h Holdings, p Plan) fate {
	archive := map[string]bool{} // week → stays
	for i, a := range h.Archives {
		archive[a.Week] = !p.Archives[i].goes()
	}
	f := fate{make([]bool, len(h.Copies)), make([]bool, len(h.Copies))}
	for i, c := range h.Copies {
		there, archived := archive[c.Archived.Week]
		own := !c.ObjectGone && !p.Copies[i].Drop
		f.whole[i] = !own && !there
		f.any[i] = !c.ObjectGone && !own || c.ObjectGone && archived && !there
	}
	for _, r := range p.Rescue {
		i := slices.IndexFunc(h.Copies, func(c backup.Copy) bool { return c.ID == r.Copy.ID })
		f.any[i], f.whole[i] = false, false
	}
	return f
}

// State is what a run leaves for the next one to know.
type State struct {
	InForce *Policy    `json:"in_force,omitempty"` // the policy that was carried out last; nil before the first run
	LastRun *time.Time `json:"last_run,omitempty"` // when; nil before the first
	Pending *Pending   `json:"pending,omitempty"`
}

// Pending is a plan that waits since it would delete much.
type Pending struct {
	Policy      Policy    `json:"policy"` // what it would carry out
	Since       time.Time `json:"since"`
	Until       time.Time `json:"until"`
	Why         string    `json:"why"` // how much it would delete
	ConfirmedBy string    `json:"confirmed_by,omitempty"`
}

// Cautious is Decide, but that a plan which would delete much more than the
// policy in force would have, or than an ordinary week brings, waits for a day
// or for somebody's word. It gives the plan that may be carried out now, and
// the state that is to be kept with it.
func Cautious(h Holdings, want Policy, s State, now time.Time) (Plan, State) {
	want = want.atLeastOne()
	last, inForce := newestCopy(h), Default()
	if s.LastRun != nil {
		last = *s.LastRun
		if h.Newest.Before(last) {
			h.Newest = last
		}
	}
	if s.InForce != nil {
		inForce = *s.InForce
	}
	due := now
	if !last.IsZero() && last.Add(stride).Before(now) {
		due = last.Add(stride)
	}
	after := Decide(h, want, now)
	if after.Held != "" {
		return after, s
	}
	if inForce != want || !due.Equal(now) {
		before := decide(h, inForce, now, due)
		if change := Compare(h, before, after); change.Much {
			p := still(s.Pending, want, now)
			if p == nil {
				p = &Pending{Policy: want, Since: now, Until: now.Add(patience)}
			}
			p.Why = change.String()
			if p.ConfirmedBy == "" && p.Until.After(now) {
				s.Pending = p
				return restrain(after, before, *p), s
			}
		}
	}
	return after, State{InForce: &want, LastRun: &now}
}

// newestCopy is when the newest copy was recorded.
func newestCopy(h Holdings) (newest time.Time) {
	for _, c := range h.Copies {
		if c.CreatedAt.After(newest) {
			newest = c.CreatedAt
		}
	}
	return newest
}

// still gives a copy of p where it is about the same policy, and from an
// ordinary while ago: not from the future, nor from so long ago that the clock
// may be what has changed since.
func still(p *Pending, want Policy, now time.Time) *Pending {
	if p == nil || p.Policy != want || p.Since.After(now) || p.Since.Add(stride).Before(now) || p.Until.Sub(p.Since) < patience {
		return nil
	}
	again := *p
	return &again
}

// restrain holds back what only the new plan would delete.
func restrain(after, before Plan, p Pending) Plan {
	held := "much would be deleted at once (" + p.Why + "): it waits until " + stamp(p.Until) + ", or until an admin confirms"
	hold := func(list []Decision, was []Decision) []Decision {
		out := make([]Decision, len(list))
		for i, dec := range list {
			if dec.goes() && !was[i].goes() {
				dec.Drop, dec.once, dec.Held = false, false, held
			}
			out[i] = dec
		}
		return out
	}
	after.Rescue = before.Rescue
	after.Copies, after.Archives = hold(after.Copies, before.Copies), hold(after.Archives, before.Archives)
	return after
}

// Newest gives the newest time on record, that of the last run among them.
func Newest(h Holdings, s State) time.Time {
	newest := newestOf(h)
	if s.LastRun != nil && s.LastRun.After(newest) {
		newest = *s.LastRun
	}
	return newest
}
