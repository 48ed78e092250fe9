package retention

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/AutumnsGrove/Patina/backup"
)

// Decide applies the policy to what is stored. It is pure: the same holdings,
// policy and time give the same plan, and a plan carried out leaves nothing to
// do at the same time.
func Decide(h Holdings, p Policy, now time.Time) Plan { return decide(h, p, now, now) }

// decide is Decide where only what had come to its end by the time due may go.
func decide(h Holdings, p Policy, now, due time.Time) Plan {
	d := &decider{h: h, p: p.atLeastOne(), now: now, due: due, held: hold(h, now)}
	d.index()
	plan := Plan{Held: d.held, Copies: make([]Decision, len(h.Copies))}
	for i, c := range h.Copies {
		if !c.ObjectGone {
			plan.Copies[i] = d.settle(c.ID, d.copy(c))
		}
	}
	for _, a := range h.Archives {
		dec, rescue := d.archive(a, plan.Copies)
		plan.Archives = append(plan.Archives, d.settle(a.Week, dec))
		if d.held == "" {
			plan.Rescue = append(plan.Rescue, rescue...)
		}
	}
	for i, c := range h.Copies {
		if c.ObjectGone {
			plan.Copies[i] = d.settle(c.ID, d.member(c))
		}
	}
	return plan
}

// hold says why nothing may go now, or "".
func hold(h Holdings, now time.Time) string {
	newest := newestOf(h)
	switch {
	case h.Frozen != "":
		return h.Frozen
	case newest.After(now.Add(tolerance)) && newest.After(h.ClockRight):
		return fmt.Sprintf("the clock has gone back: it shows %s, and there is a record of %s", stamp(now), stamp(newest))
	}
	return h.Incomplete
}

// newestOf is the newest time on record.
func newestOf(h Holdings) time.Time {
	newest := h.Newest
	for _, c := range h.Copies {
		for _, at := range []*time.Time{&c.CreatedAt, &c.TakenAt, c.ProvenAt, c.QuarantinedAt} {
			if at != nil && at.After(newest) {
				newest = *at
			}
		}
	}
	return newest
}

func stamp(t time.Time) string { return t.UTC().Format("2006-01-02 15:04") }

type decider struct {
	h    Holdings
	p    Policy
	now  time.Time
	due  time.Time // now, or before
	held string

	good map[string]backup.Archive // by week, those not in quarantine
	in   map[string][]int          // week → the copies that its archive holds
	last map[string]string         // copy → why its database cannot do without it
}

// index finds what lies in which archive, and what each database cannot do
// without.
func (d *decider) index() {
	d.good, d.in, d.last = map[string]backup.Archive{}, map[string][]int{}, map[string]string{}
	for _, a := range d.h.Archives {
		if a.QuarantinedAt == nil {
			d.good[a.Week] = a
		}
	}
	databases := map[string][]backup.Copy{}
	for i, c := range d.h.Copies {
		if c.Archived.Week != "" {
			d.in[c.Archived.Week] = append(d.in[c.Archived.Week], i)
		}
		switch {
		case c.QuarantinedAt != nil, c.ObjectGone && !d.archived(c):
		case c.TakenAt.After(d.now.Add(tolerance)):
			d.last[c.ID] = "taken at a time that has not come yet"
		default:
			databases[c.DatabaseID] = append(databases[c.DatabaseID], c)
		}
	}
	for _, list := range databases {
		d.findLast(list)
	}
}

// archived tells whether a good archive holds the copy.
func (d *decider) archived(c backup.Copy) bool {
	_, ok := d.good[c.Archived.Week]
	return ok
}

// findLast marks a database's newest proven copy, and where that one was made
// before a restore, the newest proven other one as well. With nothing proven it
// is the newest stored one.
func (d *decider) findLast(list []backup.Copy) {
	slices.SortFunc(list, func(a, b backup.Copy) int {
		return cmp.Or(b.TakenAt.Compare(a.TakenAt), strings.Compare(a.ID, b.ID))
	})
	mark := func(what string, fits func(backup.Copy) bool) bool {
		i := slices.IndexFunc(list, fits)
		if i >= 0 && d.last[list[i].ID] == "" {
			d.last[list[i].ID] = d.words(what, list[i])
		}
		return i >= 0
	}
	proven := func(c backup.Copy) bool { return c.Proof == backup.ProofProven }
	mark("newest proven copy", func(c backup.Copy) bool { return proven(c) && c.Kind != backup.Safety })
	if mark("newest proven copy", proven) {
		return
	}
	const unproven = "newest copy, none being proven,"
	whole := func(c backup.Copy) bool { return c.Proof != backup.ProofSuspect }
	if !mark(unproven, func(c backup.Copy) bool { return whole(c) && c.Kind != backup.Safety }) {
		mark(unproven, whole)
	}
	mark(unproven, func(backup.Copy) bool { return true })
}

func (d *decider) words(what string, c backup.Copy) string {
	if d.h.Gone[c.DatabaseID] {
		return what + " of " + c.DatabaseName + ", which the account no longer has: an admin decides"
	}
	return what + " of " + c.DatabaseName
}

// Expected gives the end that a copy has by its own kind, were there others to
// stand for its database.
func Expected(c backup.Copy, p Policy) Decision {
	d := &decider{p: p.atLeastOne(), now: c.CreatedAt, due: c.CreatedAt}
	d.index()
	dec := d.copy(c)
	dec.ID, dec.Drop = c.ID, false
	return dec
}

// needed says why a copy stays for ever; "" where it does not.
func (d *decider) needed(c backup.Copy) string {
	if c.Pinned {
		return "pinned"
	}
	return d.last[c.ID]
}

// copy gives the end of a copy's own object and the reason, before anything
// that holds back.
func (d *decider) copy(c backup.Copy) Decision {
	switch {
	case c.QuarantinedAt != nil:
		return forever("in quarantine: it is never deleted by itself")
	case d.needed(c) != "":
		return forever(d.needed(c))
	case c.Proof == backup.ProofSuspect:
		return d.until(c.TakenAt.Add(d.other()), fmt.Sprintf("suspect, kept %s to be looked at", days(d.p.Other)))
	}
	switch c.Kind {
	case backup.Daily:
		return d.daily(c)
	case backup.Manual:
		return d.until(c.TakenAt.Add(d.other()), days(d.p.Other)+" of copies made on demand")
	case backup.Safety:
		return d.until(c.TakenAt.Add(d.other()), days(d.p.Other)+" of copies made before a restore")
	case backup.Kept:
		// When it stopped being needed is not on record, so that the end it is
		// given is the record.
		end := d.now.Add(d.other())
		if c.ExpiresAt != nil {
			end = *c.ExpiresAt
		}
		return d.until(end, "no longer pinned, and there is a newer proven copy of "+c.DatabaseName)
	}
	return forever("of a kind that no rule is made for")
}

func (d *decider) daily(c backup.Copy) Decision {
	a, ok := d.good[c.Archived.Week]
	if !ok {
		return forever("not yet in a verified archive")
	}
	end, _ := d.archiveEnd(a)
	return d.until(c.Date.AddDays(d.p.Daily).Time(), fmt.Sprintf("%s of dailies; in %s until %s", days(d.p.Daily), a.Week, backup.DateOf(end)))
}

// member gives the end of a copy that lies in an archive alone: it goes with
// the archive, never by itself.
func (d *decider) member(c backup.Copy) Decision {
	a, ok := d.good[c.Archived.Week]
	switch {
	case c.QuarantinedAt != nil || !ok:
		return forever("in quarantine: it is never deleted by itself")
	case d.needed(c) != "":
		return forever(d.needed(c) + "; in " + a.Week)
	}
	end, _ := d.archiveEnd(a)
	dec := d.until(end, "in "+a.Week)
	dec.Drop = false
	return dec
}

func (d *decider) other() time.Duration { return time.Duration(d.p.Other) * day }

// archiveEnd gives the time at which an archive may go: so many weeks after
// the last day of its own, so that whenever it is asked at least the last so
// many weeks are there. A daily goes only while its archive is there.
func (d *decider) archiveEnd(a backup.Archive) (end time.Time, reason string) {
	reason = fmt.Sprintf("%d weeks of archives", d.p.Weekly)
	if d.p.Weekly == 1 {
		reason = "one week of archives"
	}
	end = a.To.AddDays(7 * d.p.Weekly).Time()
	for _, i := range d.in[a.Week] {
		c := d.h.Copies[i]
		if c.Kind != backup.Daily || c.ObjectGone || c.QuarantinedAt != nil || c.Proof == backup.ProofSuspect || d.needed(c) != "" {
			continue
		}
		if until := c.Date.AddDays(d.p.Daily).Time(); until.After(end) {
			end, reason = until, fmt.Sprintf("the daily of %s for %s stays that long", c.DatabaseName, c.Date)
		}
	}
	return end, reason
}

// archive decides about an archive once its copies' own objects are decided
// about, and names the copies that must be taken out of it first.
func (d *decider) archive(a backup.Archive, own []Decision) (Decision, []Rescue) {
	if a.QuarantinedAt != nil {
		return forever("in quarantine: it is never deleted by itself"), nil
	}
	dec := d.until(d.archiveEnd(a))
	if !dec.Drop {
		return dec, nil
	}
	var rescue []Rescue
	for _, i := range d.in[a.Week] {
		c := d.h.Copies[i]
		reader := d.h.Reading[c.ID]
		switch {
		case !c.ObjectGone && c.Kind == backup.Daily && own[i].Held != "":
			dec.Drop, dec.Held = false, fmt.Sprintf("the daily of %s for %s goes first, and %s", c.DatabaseName, c.Date, own[i].Held)
		case !c.ObjectGone, c.QuarantinedAt != nil, d.h.Erased[c.DatabaseID]:
		case d.needed(c) != "":
			rescue = append(rescue, Rescue{a.Week, c, d.needed(c)})
		case reader != "":
			dec.Drop, dec.Held = false, fmt.Sprintf("the copy of %s for %s is being read: %s", c.DatabaseName, c.Date, reader)
		}
	}
	if len(rescue) > 0 {
		dec.Drop, dec.once, dec.Held = false, dec.Drop, fmt.Sprintf("%d of its copies must be taken out first, the one of %s for %s among them: %s",
			len(rescue), rescue[0].Copy.DatabaseName, rescue[0].Copy.Date, rescue[0].Reason)
	}
	return dec, rescue
}

// settle holds back what may not go although its time has come.
func (d *decider) settle(id string, dec Decision) Decision {
	dec.ID = id
	if !dec.goes() {
		return dec
	}
	if reader := d.h.Reading[id]; reader != "" {
		dec.Drop, dec.once, dec.Held = false, false, "it is being read: "+reader
	}
	if d.held != "" {
		dec.Drop, dec.once, dec.Held = false, false, d.held
	}
	return dec
}

func forever(reason string) Decision { return Decision{Reason: reason} }

func (d *decider) until(end time.Time, reason string) Decision {
	end = end.UTC()
	return Decision{Drop: !end.After(d.due), Until: &end, Reason: reason}
}

func days(n int) string {
	if n == 1 {
		return "one day"
	}
	return fmt.Sprintf("%d days", n)
}
