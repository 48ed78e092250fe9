package archive

import (
	"cmp"
	"slices"
	"strconv"

	"github.com/AutumnsGrove/Patina/backup"
	"github.com/AutumnsGrove/Patina/backup/object"
)

// Days is how many dates an archive holds.
const Days = 7

// Plan is what an archive will hold: each copy with the name that it gets there
// in its Archived.Name, by date and name, and the dates that no copy was found
// for.
type Plan struct {
	Copies  []backup.Copy
	Missing []backup.ArchiveGap
}

// Dates gives the seven UTC dates of a week's archive, which end on its Sunday.
func Dates(w object.Week) (from, to backup.Date) {
	from = w.Monday()
	return from, from.AddDays(Days - 1)
}

// Choose picks what a week's archive holds out of the copies listed: every daily
// of its dates, for a date without a good one the newest manual copy, and the
// dailies of earlier dates that came after their own week's archive was closed.
// A suspect copy is never among them, nor one that an archive holds already.
// Databases says whose dates are missed where there is no copy.
func Choose(w object.Week, databases []backup.Database, copies []backup.Copy) Plan {
	from, to := Dates(w)
	type place struct {
		database string
		date     backup.Date
	}
	var p Plan
	held, spoiled := map[place]bool{}, map[place]string{}
	standIn := map[place]backup.Copy{}
	for _, c := range copies {
		at := place{c.DatabaseID, c.Date}
		switch {
		case c.DeletedAt != nil, to.Time().Before(c.Date.Time()):
		case c.Kind != backup.Daily && c.Kind != backup.Manual, c.Kind == backup.Manual && c.Date.Time().Before(from.Time()):
		case c.Archived.Week != "":
			held[at] = true
		case c.QuarantinedAt != nil || c.Proof == backup.ProofSuspect:
			spoiled[at] = "its copy is suspect and was left out"
		case c.Kind == backup.Daily:
			held[at] = true
			p.Copies = append(p.Copies, c)
		default:
			if old, ok := standIn[at]; !ok || newer(c, old) {
				standIn[at] = c
			}
		}
	}
	for at, c := range standIn {
		if !held[at] {
			held[at] = true
			p.Copies = append(p.Copies, c)
		}
	}
	for _, db := range databases {
		for date := from; !to.Time().Before(date.Time()); date = date.AddDays(1) {
			if at := (place{db.ID, date}); !held[at] && expected(db, date) {
				p.Missing = append(p.Missing, backup.ArchiveGap{Date: date, DatabaseID: db.ID, DatabaseName: db.Name, Reason: cmp.Or(spoiled[at], "no copy was made")})
			}
		}
	}
	slices.SortFunc(p.Missing, func(a, b backup.ArchiveGap) int {
		return cmp.Or(a.Date.Time().Compare(b.Date.Time()), cmp.Compare(a.DatabaseName, b.DatabaseName), cmp.Compare(a.DatabaseID, b.DatabaseID))
	})
	p.name()
	return p
}

func newer(a, b backup.Copy) bool {
	return cmp.Or(a.TakenAt.Compare(b.TakenAt), cmp.Compare(a.ID, b.ID)) > 0
}

// expected tells whether a date should have a copy of a database: it was known
// before the date began, and had not gone.
func expected(db backup.Database, date backup.Date) bool {
	return db.FirstSeenAt.Before(date.Time()) && (db.GoneAt == nil || date.AddDays(1).Time().Before(*db.GoneAt))
}

// name gives each copy its name in the archive, and puts them into its order.
func (p *Plan) name() {
	slices.SortFunc(p.Copies, func(a, b backup.Copy) int {
		return cmp.Or(a.Date.Time().Compare(b.Date.Time()), cmp.Compare(slug(a), slug(b)), a.TakenAt.Compare(b.TakenAt), cmp.Compare(a.ID, b.ID))
	})
	taken := map[string]bool{}
	for i := range p.Copies {
		c := &p.Copies[i]
		folder, s := c.Date.String()+"/", slug(*c)
		name := folder + s + ".sql"
		if taken[name] {
			name = folder + object.Slug(c.DatabaseName, c.DatabaseID, true) + ".sql"
		}
		for n := 2; taken[name]; n++ {
			name = folder + s + "." + strconv.Itoa(n) + ".sql"
		}
		taken[name] = true
		c.Archived.Name = name
	}
}

// slug is the part of a copy's key that names its database.
func slug(c backup.Copy) string {
	if k, err := object.ParseKey(c.Key); err == nil && k.Slug != "" {
		return k.Slug
	}
	return object.Slug(c.DatabaseName, c.DatabaseID, false)
}
