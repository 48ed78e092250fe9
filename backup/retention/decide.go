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
	plan := Plan{Held: d.held}
	for _, c := range h.Copies {
		plan.Copies = append(plan.Copies, d.settle(c.ID, d.copy(c)))
	}
	staying := map[string]Decision{} // dailies that stay for a while, by version
	for i, c := range h.Copies {
		if c.Kind == backup.Daily && !plan.Copies[i].Drop {
			staying[version(c.DatabaseID, c.SHA256)] = plan.Copies[i]
		}
	}
	for _, a := range h.Archives {
		dec, rescue := d.archive(a, staying)
		plan.Archives = append(plan.Archives, d.settle(a.ID, dec))
		if d.held == "" {
			plan.Rescue = append(plan.Rescue, rescue...)
		}
	}
	return plan
}

// hold says why nothing may go now, or "".
func hold(h Holdings, now time.Time) string {
	newest := h.newest()
	switch {
	case h.Frozen != "":
		return h.Frozen
	case newest.After(now.Add(tolerance)) && newest.After(h.ClockRight):
		return fmt.Sprintf("the clock has gone back: it shows %s, and there is a record of %s", stamp(now), stamp(newest))
	}
	return h.Incomplete
}

// newest is the newest time on record.
func (h Holdings) newest() time.Time {
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

// version names the same bytes of one database, wherever they lie.
func version(databaseID, sha string) string { return databaseID + " " + sha }

type decider struct {
	h    Holdings
	p    Policy
	now  time.Time
	due  time.Time // now, or before
	held string

	archived map[string]Archive // version and date → the verified archive that holds it longest
	pinned   map[string]bool    // versions that are pinned, as a copy or as a member
	own      map[string]bool    // versions that have a good object of their own
	last     map[string]string  // version → why its database cannot do without it
}

// index finds what lies in archives, what is pinned, and what each database
// cannot do without.
func (d *decider) index() {
	d.archived, d.pinned, d.own, d.last = map[string]Archive{}, map[string]bool{}, map[string]bool{}, map[string]string{}
	var all []stored
	for _, c := range d.h.Copies {
		v := version(c.DatabaseID, c.SHA256)
		if c.Pinned {
			d.pinned[v] = true
		}
		if c.QuarantinedAt != nil {
			continue
		}
		if c.Proof != backup.ProofSuspect { // its bytes may be bad where a member's are good
			d.own[v] = true
		}
		all = append(all, stored{
			v, c.DatabaseID, c.DatabaseName, c.TakenAt, c.Proof == backup.ProofProven,
			c.Proof == backup.ProofSuspect, c.Kind == backup.Safety,
		})
	}
	for _, a := range d.h.Archives {
		for _, m := range a.Members {
			v := version(m.DatabaseID, m.SHA256)
			if m.Pinned {
				d.pinned[v] = true
			}
			if !a.Verified || a.Quarantined {
				continue
			}
			if old, ok := d.archived[at(v, m.Date)]; !ok || old.Last.Time().Before(a.Last.Time()) {
				d.archived[at(v, m.Date)] = a
			}
			all = append(all, stored{version: v, id: m.DatabaseID, name: m.DatabaseName, taken: m.TakenAt, proven: m.Proven})
		}
	}
	d.findLast(all)
}

func at(version string, date backup.Date) string { return version + " " + date.String() }

// stored is a version as the search for a database's last ones sees it.
type stored struct {
	version, id, name       string
	taken                   time.Time
	proven, suspect, safety bool
}

// findLast marks, for each database, the newest proven version, and where a
// copy made before a restore is the newest proven, both it and the one before.
// With nothing proven it is the newest stored one. A version from the future is
// marked too, and stands for nothing: a clock had jumped ahead.
func (d *decider) findLast(all []stored) {
	databases := map[string][]stored{}
	for _, s := range all {
		if s.taken.After(d.now.Add(tolerance)) {
			d.last[s.version] = "taken at a time that has not come yet"
			continue
		}
		databases[s.id] = append(databases[s.id], s)
	}
	for id, list := range databases {
		slices.SortStableFunc(list, func(a, b stored) int {
			return cmp.Or(b.taken.Compare(a.taken), strings.Compare(a.version, b.version))
		})
		mark := func(what string, fits func(stored) bool) bool {
			for _, s := range list {
				if !fits(s) {
					continue
				}
				if d.last[s.version] == "" {
					d.last[s.version] = d.words(what, id, s.name)
				}
				return true
			}
			return false
		}
		mark("newest proven copy", func(s stored) bool { return s.proven && !s.safety })
		if mark("newest proven copy", func(s stored) bool { return s.proven }) {
			continue
		}
		const unproven = "newest copy, none being proven,"
		if !mark(unproven, func(s stored) bool { return !s.suspect && !s.safety }) {
			mark(unproven, func(s stored) bool { return !s.suspect })
		}
		mark(unproven, func(stored) bool { return true })
	}
}

func (d *decider) words(what, id, name string) string {
	if d.h.Gone[id] {
		return what + " of " + name + ", which the account no longer has: an admin decides"
	}
	return what + " of " + name
}

// copy gives a copy's end and the reason, before anything that holds back.
func (d *decider) copy(c backup.Copy) Decision {
	v := version(c.DatabaseID, c.SHA256)
	switch {
	case c.QuarantinedAt != nil:
		return forever("in quarantine: it is never deleted by itself")
	case d.pinned[v]:
		return forever("pinned")
	case d.last[v] != "":
		return forever(d.last[v])
	case c.Proof == backup.ProofSuspect:
		return d.until(c.TakenAt.Add(d.other()), fmt.Sprintf("suspect, kept %s to be looked at", days(d.p.Other)))
	}
	switch c.Kind {
	case backup.Daily:
		return d.daily(c, v)
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

func (d *decider) daily(c backup.Copy, v string) Decision {
	a, ok := d.archived[at(v, c.Date)]
	if !ok {
		return forever("not yet in a verified archive")
	}
	end, _ := d.archiveEnd(a)
	return d.until(c.Date.AddDays(d.p.Daily).Time(), fmt.Sprintf("%s of dailies; in %s until %s", days(d.p.Daily), a.Week, backup.DateOf(end)))
}

func (d *decider) other() time.Duration { return time.Duration(d.p.Other) * day }

// archiveEnd gives the time at which an archive may go: so many weeks after
// the last day of its own. So whenever it is asked, at least the last so many
// weeks are there.
func (d *decider) archiveEnd(a Archive) (time.Time, string) {
	weeks := fmt.Sprintf("%d weeks", d.p.Weekly)
	if d.p.Weekly == 1 {
		weeks = "one week"
	}
	return a.Last.AddDays(7 * d.p.Weekly).Time(), weeks + " of archives"
}

// archive decides about an archive, and names the members that must be taken
// out of it first.
func (d *decider) archive(a Archive, staying map[string]Decision) (Decision, []Rescue) {
	switch {
	case a.Quarantined:
		return forever("in quarantine: it is never deleted by itself"), nil
	case !a.Verified:
		return forever("not yet read back and verified"), nil
	}
	end, reason := d.archiveEnd(a)
	for _, m := range a.Members {
		// A daily goes only while its archive is there.
		if s, ok := staying[version(m.DatabaseID, m.SHA256)]; ok && s.Until != nil {
			if s.Until.After(end) {
				end, reason = *s.Until, fmt.Sprintf("the daily of %s for %s stays that long", m.DatabaseName, m.Date)
			}
			if s.Held != "" && !end.After(d.due) {
				dec := d.until(end, reason)
				dec.Drop, dec.Held = false, fmt.Sprintf("the daily of %s for %s goes first, and %s", m.DatabaseName, m.Date, s.Held)
				return dec, nil
			}
		}
	}
	dec := d.until(end, reason)
	if !dec.Drop {
		return dec, nil
	}
	var rescue []Rescue
	for _, m := range a.Members {
		v := version(m.DatabaseID, m.SHA256)
		if d.own[v] || d.h.Erased[m.DatabaseID] {
			continue
		}
		why := d.last[v]
		if d.pinned[v] {
			why = "pinned"
		}
		if why != "" {
			rescue = append(rescue, Rescue{a.ID, m, why})
		}
	}
	if len(rescue) > 0 {
		dec.Drop, dec.Held = false, fmt.Sprintf("%s of its copies must be taken out first, the one of %s for %s among them: %s",
			count(len(rescue)), rescue[0].Member.DatabaseName, rescue[0].Member.Date, rescue[0].Reason)
	}
	return dec, rescue
}

// settle holds back what may not go although its time has come.
func (d *decider) settle(id string, dec Decision) Decision {
	dec.ID = id
	if !dec.Drop {
		return dec
	}
	if reader := d.h.Reading[id]; reader != "" {
		dec.Drop, dec.Held = false, "it is being read: "+reader
	}
	if d.held != "" {
		dec.Drop, dec.Held = false, d.held
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

func count(n int) string {
	if n == 1 {
		return "one"
	}
	return fmt.Sprint(n)
}
