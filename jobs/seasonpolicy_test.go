package jobs

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/AutumnsGrove/Patina/backup"
)

// This file is what docs/operating.md says of archives and of how long copies
// stay, written down a second time and without a line of the program's own: what
// a season must have in its bucket is worked out here, from what was done to it.

// seasonCopy is one copy that was made.
type seasonCopy struct {
	db, name string // UUID, and the name at that time
	date     backup.Date
	kind     backup.CopyKind
	taken    time.Time
	key      string
	sha      string // of the object, as it was read right after it was made
	size     int64

	suspect, quarantined, pinned bool
	own, gone                    bool   // has an object of its own; is not listed any more
	week                         string // whose archive holds it
}

// good tells whether it counts as a copy at all.
func (c *seasonCopy) good() bool { return !c.suspect && !c.quarantined && !c.gone }

// seasonArchive is one archive that was made.
type seasonArchive struct {
	week    string
	sunday  backup.Date
	members []*seasonCopy
	missing []string // "date uuid"
	deleted bool
}

// seasonDatabase is one database that the account had at some time.
type seasonDatabase struct {
	id, name string
	seen     time.Time // when it was found
	left     time.Time // when it was found to be gone; zero while it is there
}

// seasonBooks are the policy, and what it is applied to.
type seasonBooks struct {
	databases []*seasonDatabase
	copies    []*seasonCopy
	archives  []*seasonArchive
	settings  []string // keys of the nights' settings, oldest first
	debris    []string // damaged objects that archives stand in for
}

// isoWeek counts weeks by hand: the year is that of the week's Thursday.
func isoWeek(sunday backup.Date) string {
	thursday := sunday.AddDays(-3)
	jan1 := backup.Date{Year: thursday.Year, Month: time.January, Day: 1}
	return fmt.Sprintf("%d-W%02d", thursday.Year, int(thursday.Time().Sub(jan1.Time()).Hours()/24)/7+1)
}

// close makes the archive of the week that ends on a Sunday: each good daily of
// its seven dates and each earlier one that no archive has; for a date without
// one its newest manual copy; what is missing, by name. Without a copy there is
// no archive.
func (b *seasonBooks) close(sunday backup.Date) *seasonArchive {
	a := &seasonArchive{week: isoWeek(sunday), sunday: sunday}
	first := sunday.AddDays(-6)
	for _, c := range b.copies {
		if c.kind == backup.Daily && c.good() && c.week == "" && !c.date.Time().After(sunday.Time()) {
			a.members = append(a.members, c)
		}
	}
	for _, db := range b.databases {
		for date := first; !date.Time().After(sunday.Time()); date = date.AddDays(1) {
			var newest *seasonCopy
			covered := false
			for _, c := range b.copies {
				if c.db != db.id || c.date != date || c.gone {
					continue
				}
				covered = covered || c.week != "" || c.kind == backup.Daily && c.good()
				if c.kind == backup.Manual && c.good() && (newest == nil || c.taken.After(newest.taken)) {
					newest = c
				}
			}
			switch {
			case covered:
			case newest != nil:
				a.members = append(a.members, newest)
			case db.seen.Before(date.Time()) && (db.left.IsZero() || date.AddDays(1).Time().Before(db.left)):
				a.missing = append(a.missing, date.String()+" "+db.id)
			}
		}
	}
	if len(a.members) == 0 {
		return nil
	}
	for _, c := range a.members {
		c.week = a.week
	}
	b.archives = append(b.archives, a)
	return a
}

// archive gives a week's archive while it is there.
func (b *seasonBooks) archive(week string) *seasonArchive {
	for _, a := range b.archives {
		if a.week == week && !a.deleted {
			return a
		}
	}
	return nil
}

// last gives the newest proven copy of each database. In a season each copy
// that is good is proven.
func (b *seasonBooks) last() map[*seasonCopy]bool {
	newest := map[string]*seasonCopy{}
	for _, c := range b.copies {
		if n := newest[c.db]; c.good() && (n == nil || c.taken.After(n.taken)) {
			newest[c.db] = c
		}
	}
	out := map[*seasonCopy]bool{}
	for _, c := range newest {
		out[c] = true
	}
	return out
}

// end gives until when a copy stays, the zero time for ever, and words that the
// reason must have in it.
func (b *seasonBooks) end(c *seasonCopy, last map[*seasonCopy]bool) (until time.Time, words string) {
	switch {
	case c.quarantined:
		return time.Time{}, "in quarantine"
	case c.pinned:
		return time.Time{}, "pinned"
	case last[c]:
		return time.Time{}, "newest proven copy of " + c.name
	case !c.own:
		return b.archive(c.week).sunday.AddDays(84).Time(), "in " + c.week
	case c.suspect:
		return c.taken.Add(30 * 24 * time.Hour), "suspect, kept 30 days"
	case c.kind == backup.Manual:
		return c.taken.Add(30 * 24 * time.Hour), "30 days of copies made on demand"
	case c.week == "":
		return time.Time{}, "not yet in a verified archive"
	}
	return c.date.AddDays(7).Time(), "7 days of dailies; in " + c.week
}

// clean is the cleanup: what has come to its end goes, and what must stay of an
// archive that goes is taken out of it first.
func (b *seasonBooks) clean(now time.Time) {
	last := b.last()
	for _, c := range b.copies {
		if c.gone || !c.own {
			continue
		}
		if until, _ := b.end(c, last); !until.IsZero() && !until.After(now) {
			c.own = false
			c.gone = c.week == ""
		}
	}
	for _, a := range b.archives {
		if a.deleted || a.sunday.AddDays(84).Time().After(now) {
			continue
		}
		a.deleted = true
		for _, c := range a.members {
			c.week = ""
			switch {
			case c.own || c.gone:
			case c.pinned || last[c]:
				c.own, c.kind, c.key = true, backup.Kept, "kept/"+c.date.String()+"/"+c.name+".sql"
			default:
				c.gone = true
			}
		}
	}
}

// saved notes that the settings of a date were written; the newest 90 stay.
func (b *seasonBooks) saved(date backup.Date) {
	key := "meta/" + date.String() + ".json"
	if !slices.Contains(b.settings, key) {
		b.settings = append(b.settings, key)
	}
	slices.Sort(b.settings)
	b.settings = b.settings[max(0, len(b.settings)-90):]
}

// keys gives every key that the bucket is to hold, in order.
func (b *seasonBooks) keys() []string {
	keys := append(slices.Clone(b.settings), b.debris...)
	add := func(key string) { keys = append(keys, key, key+".json") }
	for _, c := range b.copies {
		if c.own && !c.gone {
			add(c.key)
		}
	}
	for _, a := range b.archives {
		if !a.deleted {
			add("weekly/" + a.week + ".tar.gz")
		}
	}
	slices.Sort(keys)
	return keys
}

// files gives the names that an archive must hold besides its table of contents,
// with the hash of each dump.
func (a *seasonArchive) files() map[string]string {
	files := map[string]string{}
	for _, c := range a.members {
		files[c.date.String()+"/"+c.name+".sql"] = c.sha
	}
	return files
}

// best gives the copy that a download of a date must give; nil where none is
// left.
func (b *seasonBooks) best(db string, date backup.Date) *seasonCopy {
	var best *seasonCopy
	for _, c := range b.copies {
		if c.db != db || c.date != date || !c.good() {
			continue
		}
		daily := strings.HasPrefix(c.key, "daily/")
		if best == nil || daily || !strings.HasPrefix(best.key, "daily/") && c.taken.After(best.taken) {
			best = c
		}
	}
	return best
}
