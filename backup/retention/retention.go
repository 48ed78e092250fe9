// Package retention decides which stored copies and archives stay, until when,
// and why, in words.
//
// It owns the rules and nothing else: from a policy, what is stored and a time
// it makes a plan. It deletes nothing, reads no clock, and never lets go of the
// newest proven copy of a database, of a pinned one, of a daily that sits in no
// verified archive, or of anything it does not know.
package retention

import (
	"time"

	"github.com/AutumnsGrove/Patina/backup"
)

// Policy says how long copies stay. What is below 1 counts as 1.
type Policy struct {
	Daily  int `json:"daily_days"`   // days that a daily has its own object
	Weekly int `json:"weekly_weeks"` // weeks that a weekly archive stays
	Other  int `json:"other_days"`   // days of manual, safety and suspect copies
}

// Default is seven days of dailies, twelve weeks of archives, and thirty days
// of everything else.
func Default() Policy { return Policy{Daily: 7, Weekly: 12, Other: 30} }

func (p Policy) atLeastOne() Policy {
	return Policy{Daily: max(1, p.Daily), Weekly: max(1, p.Weekly), Other: max(1, p.Other)}
}

// Holdings is what is stored and known at one moment.
type Holdings = backup.Holdings

// Decision is what becomes of one copy or archive.
type Decision struct {
	ID     string     // of a copy; of an archive its week
	Drop   bool       // may be deleted now; of a copy that an archive holds too, its own object
	Until  *time.Time // when it may go; nil: no end is set
	Reason string     // why it stays until then
	Held   string     // why it stays although its time has come; "" otherwise

	once bool // an archive that goes once what is needed was taken out of it
}

// goes tells whether it goes in the end.
func (d Decision) goes() bool { return d.Drop || d.once }

// Rescue is a copy that lies in an archive alone and must become an object of
// its own, under kept/, before the archive may go.
type Rescue struct {
	Week   string
	Copy   backup.Copy
	Reason string
}

// Plan is what the rules make of the holdings.
type Plan struct {
	Held     string     // why nothing at all may go; "" otherwise
	Copies   []Decision // in the order of the holdings
	Archives []Decision // likewise; an archive goes after the copies
	Rescue   []Rescue   // from archives whose time has come
}

// Drops counts the copies and the archives that may be deleted.
func (p Plan) Drops() (copies, archives int) {
	for _, d := range p.Copies {
		if d.Drop {
			copies++
		}
	}
	for _, d := range p.Archives {
		if d.Drop {
			archives++
		}
	}
	return copies, archives
}

// day is a UTC day.
const day = 24 * time.Hour

// tolerance is by how much clocks of hosts that share a catalogue may differ.
const tolerance = time.Minute
