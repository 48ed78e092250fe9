package alert

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/AutumnsGrove/Patina/backup"
)

// Thresholds say from when on something is worth telling; zero is never.
type Thresholds struct {
	Long time.Duration // a backup that runs longer
	Size int           // percent off the median of the last copies, stored bytes
	Rows int           // the same for rows
}

// Defaults are the thresholds where nobody chose others.
var Defaults = Thresholds{Long: 45 * time.Minute, Size: 50, Rows: 50}

// With gives the thresholds with those in place of which somebody chose others;
// nil for those that nobody did.
func (t Thresholds) With(longSeconds *int64, sizePercent, rowsPercent *int) Thresholds {
	if longSeconds != nil {
		t.Long = time.Duration(*longSeconds) * time.Second
	}
	if sizePercent != nil {
		t.Size = *sizePercent
	}
	if rowsPercent != nil {
		t.Rows = *rowsPercent
	}
	return t
}

const (
	// Window is how many backups the median is taken of.
	Window = 7
	// Lookback is how many earlier results Anomalies looks at.
	Lookback = Window + 1
	// fewest is how many earlier backups there must be before anything is unusual.
	fewest = 3
)

// What a database must change by at least, so that a tiny one may double.
const (
	sizeFloor  = 64 << 10
	rowsFloor  = 100
	emptyFloor = 20 // a median of rows from which on an empty database is told
)

// Anomalies gives the events of a backup that is far from those before it,
// which are successes of the same database, newest first. An anomaly that goes
// on is told when it begins.
func Anomalies(now backup.Result, earlier []backup.Result, t Thresholds) []backup.Event {
	var sizes, rows []int64
	for _, r := range earlier {
		rows = append(rows, r.Rows)
		if gzipped(r.Key) == gzipped(now.Key) { // another compression is another scale
			sizes = append(sizes, r.Size)
		}
	}
	var out []backup.Event
	tell := func(kind backup.EventKind, what string, value, median int64, show func(int64) string) {
		word := "more"
		if value < median {
			word = "less"
		}
		out = append(out, backup.Event{
			Kind: kind, Once: now.ID, DatabaseID: now.DatabaseID, DatabaseName: now.DatabaseName, JobID: now.JobID, CopyID: now.CopyID,
			Message: fmt.Sprintf("The backup of %s holds %s of %s: %s %s than the %s that the last ones held. It was stored; those before it are untouched.",
				now.DatabaseName, show(value), what, percentOff(value, median), word, show(median)),
			Next: "Look whether the database was meant to change that much; if not, compare with the copy before.",
		})
	}
	if median, off := unusual(now.Size, sizes, t.Size, sizeFloor, 0); off {
		tell(backup.EventSizeAnomaly, "SQL", now.Size, median, bytesWord)
	}
	if median, off := unusual(now.Rows, rows, t.Rows, rowsFloor, emptyFloor); off {
		tell(backup.EventRowsAnomaly, "data", now.Rows, median, rowsWord)
	}
	return out
}

func gzipped(key string) bool { return strings.HasSuffix(key, ".gz") }

// unusual tells whether a value begins to be unusual after earlier ones, newest
// first, and gives their median.
func unusual(v int64, earlier []int64, percent int, floor, empty int64) (median int64, off bool) {
	median, side := judge(v, earlier, percent, floor, empty)
	if side == 0 {
		return median, false
	}
	// The one before was off in the same way, and this is near it: told already.
	if _, before := judge(earlier[0], earlier[1:], percent, floor, empty); before == side && offBy(v, earlier[0], percent) == 0 {
		return median, false
	}
	return median, true
}

// judge gives the median of the last earlier values, and on which side of it v
// is unusual: -1, 0 or 1.
func judge(v int64, earlier []int64, percent int, floor, empty int64) (median int64, side int) {
	if percent <= 0 || len(earlier) < fewest {
		return 0, 0
	}
	last := slices.Clone(earlier[:min(len(earlier), Window)])
	slices.Sort(last)
	median = last[len(last)/2]
	if len(last)%2 == 0 {
		median = (last[len(last)/2-1] + median) / 2
	}
	if v == 0 && empty > 0 && median >= empty {
		return median, -1
	}
	if diff := v - median; diff > -floor && diff < floor {
		return median, 0
	}
	side = offBy(v, median, percent)
	if len(earlier) < Window && offBy(v, earlier[0], percent) != side {
		return median, 0 // in its first days a database fills, and the median lags behind
	}
	return median, side
}

// offBy tells on which side of median v lies by more than percent of it.
func offBy(v, median int64, percent int) int {
	diff := float64(v - median)
	switch limit := float64(median) * float64(percent) / 100; {
	case diff > limit:
		return 1
	case -diff > limit:
		return -1
	}
	return 0
}

func percentOff(v, median int64) string {
	if median == 0 {
		return "that much"
	}
	off := (float64(v) - float64(median)) / float64(median) * 100
	return fmt.Sprintf("%.0f%%", max(off, -off))
}

// Long tells of a job that still runs after longer than it should.
func Long(j backup.Job, now time.Time, limit time.Duration) (backup.Event, bool) {
	if limit <= 0 || j.StartedAt == nil || j.Status.Ended() || now.Sub(*j.StartedAt) <= limit {
		return backup.Event{}, false
	}
	return backup.Event{
		Kind: backup.EventJobLong, Once: j.ID, JobID: j.ID,
		Message: fmt.Sprintf("A %s run is still going after %s; it began at %s UTC. Earlier copies are untouched.", runName(j), span(now.Sub(*j.StartedAt)), clock(*j.StartedAt)),
		Next:    "Look at the job: it shows which database it is at, and whether that moves on.",
	}, true
}

// LongResult tells of one database's export that still runs after longer than
// it should.
func LongResult(r backup.Result, now time.Time, limit time.Duration) (backup.Event, bool) {
	if limit <= 0 || r.StartedAt == nil || r.Status != backup.ResultRunning || now.Sub(*r.StartedAt) <= limit {
		return backup.Event{}, false
	}
	return backup.Event{
		Kind: backup.EventJobLong, Once: r.ID, JobID: r.JobID, DatabaseID: r.DatabaseID, DatabaseName: r.DatabaseName,
		Message: fmt.Sprintf("The export of %s is still going after %s. Earlier copies are untouched.", r.DatabaseName, span(now.Sub(*r.StartedAt))),
		Next:    "Look at the job: it shows the table it is at, and whether that moves on.",
	}, true
}

// Stale tells of a database whose newest proven copy is older than its
// objective allows. A database that is paused, gone, or not yet older than its
// objective is not stale.
func Stale(s backup.Standing, now time.Time) (backup.Event, bool) {
	d := s.Database
	if d.Paused || d.GoneAt != nil || d.Objective <= 0 {
		return backup.Event{}, false
	}
	since, copyID := d.FirstSeenAt, ""
	what := "no copy of it has been proven yet"
	if s.Proven != nil {
		since, copyID = s.Proven.TakenAt, s.Proven.ID
		what = "its newest proven copy is " + span(now.Sub(since)) + " old"
	}
	if now.Sub(since) <= d.Objective {
		return backup.Event{}, false
	}
	next := "Back it up now, and look why the last run did not."
	switch {
	case s.Last != nil && s.Last.Status == backup.ResultFailed:
		next = "Its last backup failed: see the job for why, then retry it."
	case s.Newest != nil && s.Newest.TakenAt.After(since):
		next = "A newer copy is stored and not proven: see why, or prove it now."
	}
	return backup.Event{
		Kind: backup.EventStale, Once: d.ID + " " + copyID, DatabaseID: d.ID, DatabaseName: d.Name, CopyID: copyID,
		Message: fmt.Sprintf("%s is past its objective of %s: %s. What is stored stays.", d.Name, span(d.Objective), what), Next: next,
	}, true
}

// Recovered tells of a database that was told to be stale, and no longer is.
func Recovered(stale backup.Event, s backup.Standing, now time.Time) (backup.Event, bool) {
	if s.Proven == nil || now.Sub(s.Proven.TakenAt) > s.Database.Objective {
		return backup.Event{}, false
	}
	return backup.Event{
		Kind: backup.EventRecovered, Once: stale.Once, DatabaseID: stale.DatabaseID, DatabaseName: s.Database.Name, CopyID: s.Proven.ID,
		Message: fmt.Sprintf("%s is protected again: a copy taken at %s UTC is proven.", s.Database.Name, clock(s.Proven.TakenAt)),
	}, true
}

// Missed tells of slots of a schedule that passed while nothing ran, oldest first.
func Missed(schedule string, slots []time.Time) backup.Event {
	newest := slots[len(slots)-1]
	e := backup.Event{
		Kind: backup.EventSlotMissed, Once: schedule + " " + newest.UTC().Format(time.RFC3339),
		Next: "The newest due run was started at once. Look why nothing ran: the process, its host, or Postgres.",
	}
	if len(slots) == 1 {
		e.Message = fmt.Sprintf("The %s run of %s UTC was missed: nothing was running when it was due.", schedule, clock(newest))
	} else {
		e.Message = fmt.Sprintf("%d %s runs were missed, from %s to %s UTC: nothing was running when they were due.", len(slots), schedule, clock(slots[0]), clock(newest))
	}
	return e
}

// JobEnded tells how a job came out.
func JobEnded(j backup.Job, why string) backup.Event {
	e := backup.Event{Kind: backup.EventJobFailed, Once: j.ID, JobID: j.ID}
	switch j.Status {
	case backup.JobCompleted:
		e.Kind = backup.EventJobSucceeded
		e.Message = fmt.Sprintf("The %s run stored %s: %s, %s.", runName(j), plural(int64(j.Totals.Succeeded), "database"), bytesWord(j.Totals.Bytes), rowsWord(j.Totals.Rows))
		return e
	case backup.JobCancelled:
		e.Message = fmt.Sprintf("The %s run was cancelled: %s. %d of %s stored; earlier copies are untouched.", runName(j), orSo(why, "nobody said why"), j.Totals.Succeeded, plural(int64(j.Totals.Databases), "database"))
		e.Next = "Start what is missing again when it may run."
		return e
	case backup.JobPartial:
		e.Message = fmt.Sprintf("The %s run stored a part: %s. The others were stored, and earlier copies are untouched.", runName(j), why)
	default:
		e.Message = fmt.Sprintf("The %s run failed: %s. Earlier copies are untouched.", runName(j), orSo(why, "no reason was recorded"))
	}
	e.Next = "The job's page says why for each database; retry it there."
	return e
}

// runName is what people call a run.
func runName(j backup.Job) string {
	switch {
	case j.Kind != backup.JobBackup:
		return string(j.Kind)
	case j.Trigger == backup.TriggerNightly:
		return "nightly backup"
	}
	return "backup"
}

func orSo(s, otherwise string) string {
	if s == "" {
		return otherwise
	}
	return s
}
