package jobs

import (
	"strings"
	"testing"
	"time"

	"github.com/AutumnsGrove/Patina/backup"
	"github.com/AutumnsGrove/Patina/backup/object"
)

// TestHundredDays: over a hundred days of nights and Sundays, with the turn of
// the year among them, a pin, a copy made on demand, a suspect one and a
// database that goes, the bucket holds exactly what the policy says, and every
// date of the twelve weeks can be read.
func TestHundredDays(t *testing.T) {
	for _, kind := range []string{"folder", "s3"} {
		t.Run(kind, func(t *testing.T) {
			days := 107
			if kind == "s3" {
				days = 23
			}
			v := newVault(t, kind == "s3", 2)
			v.night()
			manual := v.export("db-a", backup.Manual, backup.ProofProven)
			pinned := v.listed()[0]
			if err := v.store.SetPinned(t.Context(), pinned.ID, true); err != nil {
				t.Fatal(err)
			}
			gone := v.now().AddDate(0, 0, 5)
			v.days(3)
			v.set(v.now().AddDate(0, 0, 1))
			v.export("db-a", backup.Daily, backup.ProofSuspect) // Tuesday: suspect, and none of db-b
			v.set(v.now().AddDate(0, 0, 1))
			v.export("db-a", backup.Daily, backup.ProofProven)
			last := v.export("db-b", backup.Daily, backup.ProofProven)
			v.enter("db-b", &gone)
			v.days(days - 5)
			if v.now().Weekday() != time.Sunday {
				t.Fatalf("it is %s", v.now().Weekday())
			}
			v.whole()
			counts := map[backup.CopyKind]int{}
			have := map[string]bool{}
			for _, c := range v.listed() {
				if !c.ObjectGone {
					counts[c.Kind]++
				}
				if c.Proof != backup.ProofSuspect {
					have[c.DatabaseName+c.Date.String()] = true
				}
				if c.ExpiresReason == "" {
					t.Errorf("%s of %s has no reason to be there", c.Kind, c.Date)
				}
			}
			archives, err := v.store.Archives(t.Context(), 0)
			if err != nil {
				t.Fatal(err)
			}
			today := backup.DateOf(v.now())
			for ago := range min(days, 12*7) {
				date := today.AddDays(-ago)
				if date != (backup.Date{Year: 2026, Month: 11, Day: 17}) && !have["db-a"+date.String()] {
					t.Errorf("nothing of db-a for %s", date)
				}
			}
			stayed := func(c backup.Copy, reason string) {
				t.Helper()
				c, err := v.store.Copy(t.Context(), c.ID)
				if err != nil || c.DeletedAt != nil || !strings.Contains(c.ExpiresReason, reason) || c.ExpiresAt != nil {
					t.Errorf("%s: %q until %v, deleted %v, %v", c.Key, c.ExpiresReason, c.ExpiresAt, c.DeletedAt, err)
				}
			}
			stayed(pinned, "pinned")
			stayed(last, "newest proven copy of db-b, which the account no longer has: an admin decides")
			manual, err = v.store.Copy(t.Context(), manual.ID)
			if err != nil || (manual.DeletedAt != nil) != (days > 30) {
				t.Errorf("the copy made on demand was deleted %v, %v", manual.DeletedAt, err)
			}
			// Seven nights of db-a, the pinned daily, and the last of db-b.
			want, weeks := map[backup.CopyKind]int{backup.Daily: 9}, 12
			if days < 30 {
				want, weeks = map[backup.CopyKind]int{backup.Daily: 10, backup.Manual: 1}, 4
			}
			for k, n := range want {
				if counts[k] != n {
					t.Errorf("%d copies of kind %s have objects, want %d", counts[k], k, n)
				}
				delete(counts, k)
			}
			if len(counts) > 0 || len(archives) != weeks {
				t.Errorf("besides %v; %d archives, want %d", counts, len(archives), weeks)
			}
			before := v.keys()
			if rep := v.clean(); rep.Copies+rep.Archives+rep.Kept != 0 || rep.Held != "" {
				t.Errorf("done twice: %+v", rep)
			}
			if after := v.keys(); strings.Join(before, " ") != strings.Join(after, " ") {
				t.Errorf("done twice, it changed %v to %v", before, after)
			}
			if held := v.told(backup.EventRetentionHeldBack); len(held) != 0 {
				t.Errorf("told: %+v", held)
			}
		})
	}
}

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
