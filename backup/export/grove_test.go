package export_test

import (
	"testing"

	"github.com/AutumnsGrove/Patina/backup"
	"github.com/AutumnsGrove/Patina/backup/d1/d1sim"
	"github.com/AutumnsGrove/Patina/backup/export/exporttest"
)

// TestGrove: the six databases of the demo load again and equal their sources.
func TestGrove(t *testing.T) {
	t.Parallel()
	a := newAccount(t)
	if err := d1sim.Grove(t.Context(), a.Account); err != nil {
		t.Fatal(err)
	}
	for _, d := range d1sim.GroveDatabases() {
		m, err := a.export(t, d.ID, d.Name)
		if err != nil {
			t.Fatal(err)
		}
		if m.Consistency != backup.Snapshot || m.ForeignKeys != 0 || len(m.Findings) != 0 || m.Cost.Requests != 3 || m.Rows < 100 {
			t.Errorf("%s: %s, %d orphans, %d requests, findings %v", d.Name, m.Consistency, m.ForeignKeys, m.Cost.Requests, m.Findings)
		}
		_, db := load(t, fetch(t, a.bucket, m.Key))
		exporttest.Equal(t, exporttest.AskSQL(a.DB(d.ID)), exporttest.AskSQL(db))
	}
}
