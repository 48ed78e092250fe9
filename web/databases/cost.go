package databases

import (
	"github.com/AutumnsGrove/Patina/backup"
	"github.com/AutumnsGrove/Patina/store"
	"github.com/AutumnsGrove/Patina/web/ui"
)

// costMonths is how many months the page sums.
const costMonths = 12

// costJSON is what a month's backups cost, as programs get it.
type costJSON struct {
	Month       string      `json:"month"`
	Backups     int64       `json:"backups"`
	StoredBytes int64       `json:"stored_bytes"`
	Cost        backup.Cost `json:"cost"`
}

type costRow struct{ Month, Backups, Rows, Requests, Received, Stored string }

func costsOf(list []store.MonthCost) []costJSON {
	out := []costJSON{}
	for _, m := range list {
		out = append(out, costJSON{m.Month.Format("2006-01"), m.Backups, m.Stored, m.Cost})
	}
	return out
}

func costRows(list []store.MonthCost) []costRow {
	var out []costRow
	for _, m := range list {
		requests := ui.Count(int64(m.Cost.Requests))
		if m.Cost.Retries > 0 {
			requests += ", " + ui.Count(int64(m.Cost.Retries)) + " repeated"
		}
		out = append(out, costRow{m.Month.Format("January 2006"), ui.Count(m.Backups), ui.Count(m.Cost.RowsRead), requests, ui.Bytes(m.Cost.Bytes), ui.Bytes(m.Stored)})
	}
	return out
}

// costWords words what one backup cost; "" where it asked nothing.
func costWords(c backup.Cost) string {
	if c.Requests == 0 {
		return ""
	}
	return ui.Count(c.RowsRead) + " read, " + ui.Plural(int64(c.Requests), "request", "requests") + ", " + ui.Bytes(c.Bytes)
}
