package databases

import (
	"testing"
	"time"

	"github.com/AutumnsGrove/Patina/backup"
	"github.com/AutumnsGrove/Patina/store"
)

func TestCost(t *testing.T) {
	t.Parallel()
	list := []store.MonthCost{{
		Month: time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC), Backups: 24, Stored: 8 << 20, Cost: backup.Cost{Requests: 1200, Retries: 3, RowsRead: 98765, Bytes: 9 << 20},
	}}
	if got := costRows(list)[0]; got != (costRow{"November 2026", "24", "98,765", "1,200, 3 repeated", "9.00 MiB", "8.00 MiB"}) {
		t.Errorf("%+v", got)
	}
	if got := costsOf(list)[0]; got.Month != "2026-11" || got.Cost.RowsRead != 98765 {
		t.Errorf("%+v", got)
	}
	if got := costsOf(nil); got == nil {
		t.Error("programs get null where they expect a list")
	}
	if got := costWords(list[0].Cost); got != "98,765 read, 1,200 requests, 9.00 MiB" {
		t.Error(got)
	}
	if got := costWords(backup.Cost{}); got != "" {
		t.Error(got)
	}
}
