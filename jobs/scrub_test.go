package jobs

import (
	"bytes"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/AutumnsGrove/Patina/backup"
	"github.com/AutumnsGrove/Patina/backup/catalogue"
	"github.com/AutumnsGrove/Patina/backup/object/objecttest"
	"github.com/AutumnsGrove/Patina/store"
)

// scrub reads a day's share back.
func (v *vault) scrub() Scrubbed {
	v.t.Helper()
	done, err := v.runner.Scrub(v.t.Context())
	if err != nil {
		v.t.Fatal(err)
	}
	return done
}

// TestScrubGoesRound: in a month of daily scrubs every object is read back, none
// twice before all others once, and no day reads much more than its share.
func TestScrubGoesRound(t *testing.T) {
	v := newVault(t, false, 2)
	v.night()
	v.days(16)
	reads := map[string]int{}
	for day := range 30 {
		v.set(v.now().AddDate(0, 0, 1))
		before, err := v.store.LeastRead(t.Context(), 1000)
		if err != nil {
			t.Fatal(err)
		}
		done := Scrubbed{}
		total, _, err := v.store.InUse(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		budget := (total + scrubRound - 1) / scrubRound
		if err := v.runner.scrub(t.Context(), budget, v.now(), &done); err != nil {
			t.Fatal(err)
		}
		if done.Objects == 0 || done.Damaged != 0 || done.Bytes > budget+50_000 {
			t.Errorf("day %d: %+v of a budget of %d", day, done, budget)
		}
		for _, o := range before[:done.Objects] {
			reads[o.Key]++
		}
	}
	left, err := v.store.LeastRead(t.Context(), 1000)
	if err != nil {
		t.Fatal(err)
	}
	for _, o := range left {
		if o.ReadAt == nil || v.now().Sub(*o.ReadAt) > 31*24*time.Hour || reads[o.Key] == 0 {
			t.Errorf("%s was read back on %v, %d times", o.Key, o.ReadAt, reads[o.Key])
		}
	}
}

// TestScrubFindsDamage: a flipped bit, a cut, a lost and a swapped object are
// found every time. What an archive holds too is read from there; the rest is
// quarantined, told, and never deleted.
func TestScrubFindsDamage(t *testing.T) {
	inBoth(t, func(t *testing.T, s3 bool) {
		v := newVault(t, s3, 1)
		v.night()
		v.days(9) // Sunday the 22nd: 16 to 22 have objects and lie in the archive
		for range 4 {
			v.set(v.now().AddDate(0, 0, 1))
			v.night() // 23 to 26 lie in none
		}
		ctx := t.Context()
		get := func(key string) []byte { return objecttest.Get(t, v.bucket, key, 0, -1) }
		put := func(key string, b []byte) {
			if err := v.bucket.Replace(ctx, key, b, ""); err != nil {
				t.Fatal(err)
			}
		}
		flip := func(b []byte) []byte {
			b = bytes.Clone(b)
			b[len(b)/2] ^= 1
			return b
		}
		key := func(day string) string { return "daily/2026-11-" + day + "/db-a.sql" }
		for _, first := range []string{"18", "23"} { // of the archived, and of the others
			d := map[string][3]string{"18": {"18", "19", "20"}, "23": {"23", "24", "25"}}[first]
			put(key(d[0]), flip(get(key(d[0]))))
			put(key(d[1]), get(key("26"))) // another whole dump
			if err := v.bucket.Delete(ctx, key(d[2])); err != nil {
				t.Fatal(err)
			}
		}
		put(key("21"), get(key("21"))[:1000])
		v.set(v.now().AddDate(0, 0, 1))
		var done Scrubbed
		if err := v.runner.scrub(ctx, 1<<40, v.now(), &done); err != nil {
			t.Fatal(err)
		}
		if done.Damaged != 7 || done.Mended != 4 {
			t.Errorf("%+v", done)
		}
		for _, c := range v.listed() {
			day := c.Date.String()[8:]
			mended, lost := slices.Contains([]string{"18", "19", "20", "21"}, day), slices.Contains([]string{"23", "24", "25"}, day)
			if lost != (c.QuarantinedAt != nil) || mended && !c.ObjectGone {
				t.Errorf("the %s: quarantined %v, gone %v", day, c.QuarantinedAt, c.ObjectGone)
			}
			if c.QuarantinedAt == nil {
				if err := catalogue.Check(ctx, v.bucket, c); err != nil {
					t.Error(err)
				}
			} else if !strings.Contains(c.ProofError, c.Key) {
				t.Errorf("the %s says: %s", day, c.ProofError)
			}
		}
		told := v.told(backup.EventObjectDamaged)
		if len(told) != 7 || strings.Count(told[0].Message+told[1].Message+told[2].Message+told[3].Message+told[4].Message+told[5].Message+told[6].Message, "Nothing is lost") != 4 {
			t.Errorf("told: %+v", told)
		}
		done = Scrubbed{}
		if err := v.runner.scrub(ctx, 1<<40, v.now().Add(time.Hour), &done); err != nil || done.Damaged != 0 || len(v.told(backup.EventObjectDamaged)) != 7 {
			t.Errorf("again: %+v, %v", done, err)
		}
		v.set(v.now().AddDate(0, 0, 60))
		v.clean()
		if got := v.keys(); !slices.Contains(got, key("23")) || !slices.Contains(got, key("18")) {
			t.Errorf("what is damaged was deleted: %v", got)
		}
	})
}

// TestScrubFindsDamagedArchive: of an archive with a flipped bit, the copy that
// the bit belongs to is quarantined if the archive alone held it; the others are
// read out of it still; those with objects of their own go into the next
// archive; and nothing deletes it, nor a daily on its word.
func TestScrubFindsDamagedArchive(t *testing.T) {
	v := newVault(t, false, 1)
	v.night()
	v.days(9) // the archive of the 15th alone holds 13 to 15, that of the 22nd with their objects 16 to 22
	ctx := t.Context()
	var alone []backup.Copy
	for _, c := range v.listed() {
		if c.ObjectGone {
			alone = append(alone, c)
		}
	}
	if len(alone) != 3 {
		t.Fatalf("%d copies lie in an archive alone", len(alone))
	}
	for _, key := range []string{"weekly/2026-W46.tar.gz", "weekly/2026-W47.tar.gz"} {
		b := objecttest.Get(t, v.bucket, key, 0, -1)
		if b[alone[1].Archived.Offset+alone[1].Archived.Length/2] ^= 1; strings.Contains(key, "W47") {
			b[len(b)/2] ^= 1
		}
		if err := v.bucket.Replace(ctx, key, b, ""); err != nil {
			t.Fatal(err)
		}
	}
	v.set(v.now().AddDate(0, 0, 1))
	done := v.scrub()
	if done.Damaged != 2 {
		t.Errorf("%+v", done)
	}
	for i, c := range alone {
		now, err := v.store.Copy(ctx, c.ID)
		if err != nil || (now.QuarantinedAt != nil) != (i == 1) {
			t.Errorf("the %s is quarantined %v, %v", c.Date, now.QuarantinedAt, err)
		}
		if err := catalogue.Check(ctx, v.bucket, now); (err != nil) != (i == 1) {
			t.Errorf("the %s: %v", c.Date, err)
		}
	}
	if told := v.told(backup.EventObjectDamaged); len(told) != 2 {
		t.Errorf("told: %+v", told)
	}
	v.days(6) // the next archive takes those that have objects of their own
	archived, err := v.store.Archived(ctx, func() (ids []string) {
		for _, c := range v.listed() {
			if !c.ObjectGone || c.Archived.Week == "2026-W48" {
				ids = append(ids, c.ID)
			}
		}
		return ids
	}()...)
	if err != nil || len(archived) != 13 {
		t.Errorf("%d copies lie in the next archive: %v, %v", len(archived), archived, err)
	}
	if list, err := v.store.ArchiveMembers(ctx, "2026-W48"); err != nil || len(list) != 13 {
		t.Errorf("it holds %d, %v", len(list), err)
	}
	v.set(v.now().AddDate(0, 0, 100))
	v.clean()
	if got := v.keys(); !slices.Contains(got, "weekly/2026-W46.tar.gz") {
		t.Errorf("the damaged archive was deleted: %v", got)
	}
}

// TestScrubSlot: a day's slot runs a scrub and ends.
func TestScrubSlot(t *testing.T) {
	v := newVault(t, false, 1, func(c *Config) { c.Scrub = "30 5 * * *" })
	v.night()
	v.set(time.Date(2026, 11, 14, 5, 30, 30, 0, time.UTC))
	v.until("the slot has ended", func() bool {
		slots, err := v.store.Slots(t.Context(), ScrubSchedule, 10)
		return err == nil && len(slots) > 0 && slots[0].Status == store.SlotDone
	})
	if list, err := v.store.LeastRead(t.Context(), 10); err != nil || len(list) != 1 || list[0].ReadAt == nil || !list[0].ReadAt.Equal(v.now()) {
		t.Errorf("%+v, %v", list, err)
	}
}
