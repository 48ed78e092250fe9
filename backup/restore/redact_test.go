package restore_test

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/AutumnsGrove/Patina/backup"
	"github.com/AutumnsGrove/Patina/backup/export"
	"github.com/AutumnsGrove/Patina/backup/object"
	"github.com/AutumnsGrove/Patina/backup/restore"
	"github.com/AutumnsGrove/Patina/backup/source"
)

// TestRedactedCopy goes into a new database, as it is, and never over the old
// one: not when its manifest says that it is redacted, and not when its header
// alone does. Single tables go beside the old ones.
func TestRedactedCopy(t *testing.T) {
	t.Parallel()
	p := newPlace(t, false)
	id := p.make(t, "shop", shop...)
	at := time.Date(2026, 11, 23, 14, 0, 0, 0, time.UTC)
	m, err := export.Run(t.Context(), source.D1(p.client, id, "shop"), p.bucket, export.Request{
		Key: object.Key{Kind: backup.Manual, Date: backup.DateOf(at), At: at, JobID: "00000000-0000-7000-8000-000000000001", Slug: "shop"}, Kind: backup.Manual, Date: backup.DateOf(at),
		CopyID: "00000000-0000-7000-8000-000000000001", Redact: []backup.Redaction{{Table: "orders", Column: "note", Rule: backup.RedactNull}},
	})
	if err != nil {
		t.Fatal(err)
	}
	bare := p.open(m)
	bare.Manifest = nil
	silent := *m
	silent.Redactions = nil
	was := p.body(t, id)
	for name, c := range map[string]restore.Copy{"manifest": p.open(m), "header alone": bare, "a manifest that is silent": p.open(&silent)} {
		var saved backup.Restore
		r := backup.Restore{Target: backup.RestoreInPlace, Name: "shop", Confirm: "shop", CreatedAt: time.Now()}
		if err := restore.Run(t.Context(), p.config(&saved), c, &r); !errors.Is(err, backup.ErrInvalid) || !strings.Contains(err.Error(), "orders.note → null") {
			t.Errorf("%s: %v", name, err)
		}
	}
	if p.body(t, id) != was {
		t.Fatal("the database was touched")
	}
	plan, err := restore.Preview(t.Context(), p.config(new(backup.Restore)), p.open(m), backup.Restore{Target: backup.RestoreNew, Name: "shop-2"})
	if err != nil || len(plan.Problems) > 0 || !slices.ContainsFunc(plan.Notes, func(n string) bool { return strings.Contains(n, "lacks orders.note") }) {
		t.Errorf("%+v, %v", plan, err)
	}
	var saved backup.Restore
	r := backup.Restore{Target: backup.RestoreNew, Name: "shop-2", CreatedAt: time.Now()}
	ok(t, r, restore.Run(t.Context(), p.config(&saved), p.open(m), &r))
	if p.body(t, r.TargetID) != m.BodySHA256 {
		t.Error("the new database is not what the copy is")
	}
	r = backup.Restore{Target: backup.RestoreInPlace, Name: "shop", Confirm: "shop", Tables: []string{"orders"}, CreatedAt: time.Now()}
	ok(t, r, restore.Run(t.Context(), p.config(&saved), p.open(m), &r))
}
