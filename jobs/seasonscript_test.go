package jobs

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/AutumnsGrove/Patina/backup"
	"github.com/AutumnsGrove/Patina/backup/archive"
	"github.com/AutumnsGrove/Patina/backup/prove"
)

// TestThreeMonths: over fifteen weeks of nights, with the turn of the ISO year
// among them, failures, late retries, nights that were missed, copies made by
// hand, copies that do not load, damage, pins, and databases that come, go, are
// renamed and are made anew under an old name, the bucket holds exactly what the
// policy says, each object with its reason, and every date of every database
// that the policy still has can be downloaded and proven.
func TestThreeMonths(t *testing.T) {
	for _, kind := range []string{"folder", "s3"} {
		t.Run(kind, func(t *testing.T) {
			s := newSeason(t, kind == "s3")
			days := 109
			if kind == "s3" {
				days = 18
			}
			for n := range days {
				s.day(n)
			}
			today := seasonStart.AddDays(days - 1)
			if today.Time().Weekday() != time.Sunday {
				t.Fatalf("it is %s", today.Time().Weekday())
			}
			s.downloads(true)
			s.empty()
			before := s.listing()
			s.at(today, 15, 0)
			s.clean()
			if after := s.listing(); !slices.Equal(before, after) {
				t.Errorf("cleaned up twice, the bucket holds\n%s\nand not\n%s", strings.Join(after, "\n"), strings.Join(before, "\n"))
			}
			if kind == "folder" {
				s.everythingHappened()
			}
		})
	}
}

// The season's script, by days since its start. The thirteenth Sunday, day 73, is
// 3 January 2027.
var (
	outage = [2]int{37, 40} // from the Saturday's midnight to the Tuesday's noon
	hungry = [2]int{58, 68} // grove-domain-jobs cannot be read for ten nights
)

// day lets one day pass.
func (s *season) day(n int) {
	s.t.Helper()
	date := seasonStart.AddDays(n)
	if n >= outage[0] && n < outage[1] {
		return
	}
	if n == outage[1] {
		s.comeBack(date)
		return
	}
	s.discover(date)
	failing, spoiled := s.troubles(n)
	if n == 24 {
		s.longNight(date)
	} else {
		s.night(date, failing, spoiled)
	}
	if date.Time().Weekday() == time.Sunday {
		s.at(date, 4, 0)
		s.idle()
		s.archived(date)
		s.at(date, 5, 0)
		s.idle()
		s.books.clean(s.now())
		s.exactly()
	}
	s.at(date, 5, 30)
	s.idle()
	if date.Time().Weekday() == time.Sunday {
		s.reasons()
		if n%28 == 3 {
			s.downloads(false)
		}
	}
	s.set(date.Time().Add(10 * time.Hour))
	s.retries(n)
	s.noon(n, date)
	if date.Time().Weekday() == time.Wednesday && s.random.IntN(3) == 0 {
		s.at(date, 15, 0)
		s.clean()
		s.exactly()
	}
}

// troubles gives the databases that cannot be read in a night, and those whose
// copies do not load.
func (s *season) troubles(n int) (failing, spoiled []string) {
	for _, db := range s.sim.Databases() {
		switch {
		case n >= hungry[0] && n < hungry[1] && db.Name == "grove-domain-jobs", n == 66 && db.Name == "groveauth":
			failing = append(failing, db.Name)
		case n == 72 && db.Name == "groveauth":
			spoiled = append(spoiled, db.Name)
		case s.random.IntN(30) == 0:
			failing = append(failing, db.Name)
		case s.random.IntN(60) == 0:
			spoiled = append(spoiled, db.Name)
		}
	}
	return failing, spoiled
}

// retries makes up for some of what failed, up to two days later.
func (s *season) retries(n int) {
	s.t.Helper()
	for back := range 3 {
		date := seasonStart.AddDays(n - back)
		if len(s.failed[date]) == 0 {
			continue
		}
		after := s.random.IntN(2) == 0 && (n-back < hungry[0] || n-back >= hungry[1])
		if after || n == 67 && back == 1 {
			s.retry(date)
			s.set(s.now().Add(time.Minute))
		}
	}
}

// noon is what people do, and what befalls the account and the bucket.
func (s *season) noon(n int, date backup.Date) {
	s.t.Helper()
	s.at(date, 12, 0)
	names := make([]string, 0, 8)
	for _, db := range s.sim.Databases() {
		names = append(names, db.Name)
	}
	if known := len(s.books.databases) >= 3; known && (s.random.IntN(8) == 0 || n == 72) {
		if n == 72 || s.random.IntN(4) == 0 {
			s.byHand(names...)
		} else {
			s.byHand(names[s.random.IntN(len(names))])
		}
	}
	if back := s.random.IntN(50); s.random.IntN(25) == 0 {
		name := names[s.random.IntN(len(names))]
		if s.books.best(s.id(name), date.AddDays(-back)) != nil {
			s.pin(name, date.AddDays(-back), true)
		}
	}
	ago := func(day int) backup.Date { return seasonStart.AddDays(day) }
	switch n {
	case 5:
		s.pin("groveauth", ago(4), true)
	case 60:
		s.pin("groveauth", ago(4), false)
	case 7:
		s.create("grove-domain-jobs")
	case 12:
		s.flip("scout-db", ago(11)) // no archive has it yet
	case 18:
		s.flip("groveauth", ago(14)) // an archive has it
	case 30:
		s.pin("scout-db", ago(6), true) // it lies in an archive alone
	case 44:
		s.rename("scout-db", "scout-two")
	case 50:
		s.drop("autumnsgrove-posts")
		s.create("autumnsgrove-posts")
	case 75:
		s.drop("grove-domain-jobs")
	}
}

func (s *season) rename(from, to string) {
	s.t.Helper()
	if err := s.sim.Rename(s.id(from), to); err != nil {
		s.t.Fatal(err)
	}
}

func (s *season) drop(name string) {
	s.t.Helper()
	if err := s.sim.Delete(s.id(name)); err != nil {
		s.t.Fatal(err)
	}
}

// longNight is a nightly that still runs when the archive is due: that is told at
// once, and the archive waits.
func (s *season) longNight(date backup.Date) {
	s.t.Helper()
	open := make(chan struct{})
	s.hold.Store(&open)
	s.set(date.Time().Add(3 * time.Hour))
	s.mark("night of " + date.String())
	s.tick(s.runner)
	s.at(date, 4, 0)
	if n := s.count("SELECT count(*) FROM events WHERE kind = $1", backup.EventWeeklySkipped); n != 1 {
		s.t.Fatalf("the archive that waits was told %d times", n)
	}
	s.hold.Store(nil)
	close(open)
	s.idle()
	s.stored(date, nil)
}

// comeBack ends an outage: the newest night is made up for, those before it are
// missed, and the archive of the Sunday is made once the night has ended.
func (s *season) comeBack(date backup.Date) {
	s.t.Helper()
	s.set(date.Time().Add(12 * time.Hour))
	s.mark("night of " + date.String())
	s.tick(s.runner)
	s.idle()
	s.stored(date, nil)
	s.tick(s.runner)
	s.idle()
	s.archived(date.AddDays(-2))
	s.clean()
	s.exactly()
	s.reasons()
}

// listing gives every key of the bucket, in order.
func (s *season) listing() (keys []string) {
	s.t.Helper()
	for info, err := range s.bucket.List(s.t.Context(), "") {
		if err != nil {
			s.t.Fatal(err)
		}
		keys = append(keys, info.Key)
	}
	slices.Sort(keys)
	return keys
}

// exactly compares the bucket with the books, and looks that nothing is left
// half done.
func (s *season) exactly() {
	s.t.Helper()
	s.empty()
	got, want := s.listing(), s.books.keys()
	for _, key := range got {
		if !slices.Contains(want, key) {
			s.t.Errorf("%s: the bucket holds %s, and the policy does not", s.now().Format(time.DateTime), key)
		}
	}
	for _, key := range want {
		if !slices.Contains(got, key) {
			s.t.Errorf("%s: the policy holds %s, and the bucket does not", s.now().Format(time.DateTime), key)
		}
	}
	if removals, err := s.store.Removals(s.t.Context()); err != nil || len(removals) > 0 {
		s.t.Errorf("left to be deleted: %v, %v", removals, err)
	}
	for u, err := range s.bucket.Uploads(s.t.Context()) {
		s.t.Errorf("an upload of %s is left: %v", u.Key, err)
	}
	if s.t.Failed() {
		s.t.FailNow()
	}
}

// reasons compares what the catalogue says of each copy and archive with the
// books: where it lies, until when it stays, and why.
func (s *season) reasons() {
	s.t.Helper()
	h, err := s.store.Holdings(s.t.Context())
	if err != nil {
		s.t.Fatal(err)
	}
	listed := map[string]backup.Copy{}
	for _, c := range h.Copies {
		listed[c.Key] = c
	}
	last, there := s.books.last(), 0
	for _, want := range s.books.copies {
		if want.gone {
			continue
		}
		there++
		got, ok := listed[want.key]
		until, words := s.books.end(want, last)
		switch {
		case !ok:
			s.t.Errorf("%s is not listed", want.key)
		case got.ObjectGone == want.own, got.Archived.Week != want.week, got.SHA256 != want.sha:
			s.t.Errorf("%s has its object: %v, lies in %q and is %s; want %v, %q and %s", want.key, !got.ObjectGone, got.Archived.Week, got.SHA256, want.own, want.week, want.sha)
		case !strings.Contains(got.ExpiresReason, words), until.IsZero() != (got.ExpiresAt == nil), got.ExpiresAt != nil && !got.ExpiresAt.Equal(until):
			s.t.Errorf("%s: %q until %v, want %q until %v", want.key, got.ExpiresReason, got.ExpiresAt, words, until)
		}
	}
	if there != len(h.Copies) || there == 0 {
		s.t.Errorf("%d copies are listed, and %d should be", len(h.Copies), there)
	}
	for _, a := range h.Archives {
		want := s.books.archive(a.Week)
		if want == nil || a.ExpiresAt == nil || !a.ExpiresAt.Equal(want.sunday.AddDays(84).Time()) || a.ExpiresReason != "12 weeks of archives" {
			s.t.Errorf("the archive %s: %q until %v", a.Week, a.ExpiresReason, a.ExpiresAt)
		}
	}
}

// archived puts the archive that a Sunday brought into the books, and reads it as
// anybody's tar would.
func (s *season) archived(sunday backup.Date) {
	s.t.Helper()
	a := s.books.close(sunday)
	zip, err := gzip.NewReader(bytes.NewReader(s.read("weekly/" + a.week + ".tar.gz")))
	if err != nil {
		s.t.Fatal(err)
	}
	got, index := map[string]string{}, backup.ArchiveManifest{}
	for files := tar.NewReader(zip); ; {
		f, err := files.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			s.t.Fatal(err)
		}
		text, err := io.ReadAll(files)
		switch {
		case err != nil:
			s.t.Fatal(err)
		case f.Name == "index.json":
			err = json.Unmarshal(text, &index)
		case !strings.HasSuffix(f.Name, ".sql.json"):
			sum := sha256.Sum256(text)
			got[f.Name] = hex.EncodeToString(sum[:])
		}
		if err != nil {
			s.t.Fatal(err)
		}
	}
	if want := a.files(); !maps.Equal(got, want) {
		s.t.Fatalf("%s holds\n%v\nand is to hold\n%v", a.week, got, want)
	}
	var missing []string
	for _, g := range index.Missing {
		missing = append(missing, g.Date.String()+" "+g.DatabaseID)
	}
	slices.Sort(missing)
	slices.Sort(a.missing)
	if !slices.Equal(missing, a.missing) || index.Week != a.week {
		s.t.Fatalf("%s names as missing\n%v\nand is to name\n%v", a.week, missing, a.missing)
	}
}

// downloads reads every date of every database that is left as a download does,
// compares it with what was stored then, and with proving proves it anew.
func (s *season) downloads(proving bool) {
	s.t.Helper()
	ctx, dates := s.t.Context(), 0
	for _, db := range s.books.databases {
		for date := seasonStart; !date.Time().After(s.now()); date = date.AddDays(1) {
			want := s.books.best(db.id, date)
			c, err := s.store.BestCopy(ctx, db.id, date)
			if want == nil {
				if backup.Kind(err) != backup.ErrNotFound {
					s.t.Errorf("%s of %s should be gone: %+v, %v", db.name, date, c, err)
				}
				continue
			}
			if err != nil {
				s.t.Errorf("%s of %s: %v", db.name, date, err)
				continue
			}
			dates++
			r, err := archive.OpenRange(ctx, s.bucket, c, 0, -1)
			if err != nil {
				s.t.Errorf("%s of %s: %v", db.name, date, err)
				continue
			}
			sum := sha256.New()
			_, err = io.Copy(sum, r)
			_ = r.Close()
			if got := hex.EncodeToString(sum.Sum(nil)); err != nil || got != want.sha || c.SHA256 != want.sha {
				s.t.Errorf("%s of %s, %s: %v, its hash is %s and should be %s", db.name, date, c.Key, err, got, want.sha)
			}
			if !proving {
				continue
			}
			full, err := s.store.Copy(ctx, c.ID)
			if err == nil {
				_, err = s.runner.prove(ctx, full, prove.Options{})
			}
			if err != nil {
				s.t.Errorf("%s of %s, %s: %v", db.name, date, c.Key, err)
			}
		}
	}
	if dates < 9 {
		s.t.Fatalf("only %d dates could be downloaded", dates)
	}
	s.t.Logf("%s: %d dates of %d databases downloaded", s.now().Format(time.DateOnly), dates, len(s.books.databases))
}

// everythingHappened looks that the season was what it says it is.
func (s *season) everythingHappened() {
	s.t.Helper()
	n := map[string]int{}
	for _, a := range s.books.archives {
		n["archives"]++
		n["missing"] += len(a.missing)
		if a.deleted {
			n["archives gone"]++
		}
		if a.week == "2026-W53" || a.week == "2027-W01" {
			n["the turn of the year"]++
		}
		for _, c := range a.members {
			if c.kind == backup.Manual {
				n["stand-ins"]++
			}
			if c.date.Time().Before(a.sunday.AddDays(-6).Time()) {
				n["late"]++
			}
		}
	}
	for _, c := range s.books.copies {
		switch {
		case c.quarantined:
			n["in quarantine"]++
		case c.kind == backup.Kept:
			n["kept"]++
		case c.suspect && c.gone:
			n["suspect and gone"]++
		case c.kind == backup.Manual && c.gone:
			n["by hand and gone"]++
		case c.own && c.date.AddDays(20).Time().Before(s.now()) && !c.pinned:
			n["the last of a database that is gone"]++
		}
	}
	n["weeks that waited"] = s.count("SELECT count(*) FROM events WHERE kind = $1", backup.EventWeeklySkipped)
	n["missed nights"] = s.count("SELECT count(*) FROM schedule_slots WHERE schedule_id = $1 AND status = 'missed'", NightlySchedule)
	n["damage"] = s.count("SELECT count(*) FROM events WHERE kind = $1", backup.EventObjectDamaged)
	s.t.Logf("%v", n)
	for what, least := range map[string]int{
		"archives": 16, "archives gone": 4, "the turn of the year": 2, "missing": 10, "stand-ins": 1, "late": 2, "in quarantine": 1, "kept": 1,
		"suspect and gone": 1, "by hand and gone": 2, "the last of a database that is gone": 2, "weeks that waited": 2, "missed nights": 3, "damage": 2,
	} {
		if n[what] < least {
			s.t.Errorf("%s: %d, and a season has %d at least", what, n[what], least)
		}
	}
	if results := s.count("SELECT count(*) FROM backup_results WHERE status = 'success'"); results != len(s.books.copies) {
		s.t.Errorf("%d results of %d copies are left: results outlive their objects", results, len(s.books.copies))
	}
	if held := s.count("SELECT count(*) FROM events WHERE kind = $1", backup.EventRetentionHeldBack); held != 0 {
		s.t.Errorf("something was held back %d times", held)
	}
	if s.books.archive("2026-W53") == nil || len(s.books.settings) != 90 {
		s.t.Errorf("2026-W53 is gone, or the settings of %d nights stay", len(s.books.settings))
	}
}
