package jobs

import (
	"testing"
	"time"

	"github.com/AutumnsGrove/Patina/backup"
	"github.com/AutumnsGrove/Patina/backup/object"
)

// TestKeptFromAnArchive: what an archive alone holds and is needed becomes an
// object under kept/ with the same bytes and the same id, and the archive goes.
func TestKeptFromAnArchive(t *testing.T) {
	v := newVault(t, false, 2)
	v.days(9) // to Sunday 22 November, past the archive of the 15th
	copies := v.listed()
	var pinned backup.Copy
	for _, c := range copies {
		if c.DatabaseName == "db-a" && c.ObjectGone {
			pinned = c
		}
	}
	if pinned.ID == "" {
		t.Fatal("no copy lies in an archive alone")
	}
	if err := v.store.SetPinned(t.Context(), pinned.ID, true); err != nil {
		t.Fatal(err)
	}
	v.set(v.now().AddDate(0, 0, 11*7))
	v.night()
	v.archive()
	if rep := v.clean(); rep.Kept != 0 || rep.Archives != 0 || rep.Held == "" {
		t.Errorf("after weeks without a run: %+v", rep) // much at once: it waits
	}
	v.set(v.now().Add(24 * time.Hour))
	rep := v.clean()
	if rep.Kept != 1 || rep.Archives != 1 {
		t.Errorf("kept %d, archives deleted %d: %+v", rep.Kept, rep.Archives, rep)
	}
	c, err := v.store.Copy(t.Context(), pinned.ID)
	if err != nil || c.Kind != backup.Kept || c.Key != "kept/"+pinned.Date.String()+"/db-a.sql" || c.SHA256 != pinned.SHA256 || c.ObjectGone || c.ExpiresReason != "pinned" {
		t.Errorf("%+v, %v", c, err)
	}
	v.whole()
	if _, err := v.bucket.Stat(t.Context(), object.ManifestKey(c.Key)); err != nil {
		t.Error(err)
	}
	// Unpinned it goes, thirty days later and no sooner.
	if err := v.store.SetPinned(t.Context(), pinned.ID, false); err != nil {
		t.Fatal(err)
	}
	v.clean()
	v.set(v.now().AddDate(0, 0, 29))
	v.night()
	v.clean()
	if c, _ = v.store.Copy(t.Context(), pinned.ID); c.DeletedAt != nil || c.ExpiresAt == nil {
		t.Errorf("29 days later: %+v", c)
	}
	v.set(v.now().AddDate(0, 0, 1))
	v.clean()
	if c, _ = v.store.Copy(t.Context(), pinned.ID); c.DeletedAt == nil {
		t.Errorf("30 days later: %s until %s", c.ExpiresReason, c.ExpiresAt)
	}
	v.whole()
}
