package retention

import (
	"slices"
	"time"

	"github.com/AutumnsGrove/Patina/backup"
)

// What a plan does with a copy or an archive.
const (
	Delete = "delete" // its time has come
	Hold   = "hold"   // its time has come, and it stays for now
	TakeUp = "keep"   // it is taken out of its archive, since it must stay
	Stay   = "stay"   // its time has not come, or never comes
)

// Entry is one line of a plan, as pages and programs show it.
type Entry struct {
	Action     string          `json:"action"` // delete, hold, keep or stay
	ID         string          `json:"id"`     // of a copy; of an archive its week
	Kind       backup.CopyKind `json:"kind"`   // weekly for an archive
	Key        string          `json:"key"`
	DatabaseID string          `json:"database_id,omitempty"`
	Database   string          `json:"database,omitempty"`
	Date       backup.Date     `json:"date"`
	Size       int64           `json:"size_bytes"`
	Until      *time.Time      `json:"expires_at"`
	Reason     string          `json:"reason"`         // why it stays until then
	Held       string          `json:"held,omitempty"` // why it stays although its time has come
}

// Entries words a plan, line by line: first what goes, then what is held back,
// then what is taken out of archives, and with all the rest too.
func (p Plan) Entries(h Holdings, all bool) []Entry {
	kept := map[string]string{}
	for _, r := range p.Rescue {
		kept[r.Copy.ID] = r.Reason
	}
	var out []Entry
	add := func(e Entry, d Decision) {
		e.Until, e.Reason, e.Held = d.Until, d.Reason, d.Held
		switch {
		case d.Drop:
			e.Action = Delete
		case d.Held != "":
			e.Action = Hold
		case kept[e.ID] != "":
			e.Action = TakeUp
		default:
			e.Action = Stay
		}
		if all || e.Action != Stay {
			out = append(out, e)
		}
	}
	for i, d := range p.Copies {
		c := h.Copies[i]
		add(Entry{ID: c.ID, Kind: c.Kind, Key: c.Key, DatabaseID: c.DatabaseID, Database: c.DatabaseName, Date: c.Date, Size: c.Size}, d)
	}
	for i, d := range p.Archives {
		a := h.Archives[i]
		add(Entry{ID: a.Week, Kind: backup.Weekly, Key: a.Key, Date: a.To, Size: a.Size}, d)
	}
	rank := map[string]int{Delete: 0, Hold: 1, TakeUp: 2, Stay: 3}
	slices.SortStableFunc(out, func(a, b Entry) int { return rank[a.Action] - rank[b.Action] })
	return out
}
