package databases

import (
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/AutumnsGrove/Patina/backup"
	"github.com/AutumnsGrove/Patina/backup/alert"
	"github.com/AutumnsGrove/Patina/store"
	"github.com/AutumnsGrove/Patina/web/ui"
)

// drawn is how many results and copies the charts are made of, at most.
const drawn = 400

// ranges are the days that the charts can look back.
var ranges = []int{30, 90, 365}

// usualRange is how many days they look back where nobody asks for others.
const usualRange = 90

// rangeOf reads how many days are asked for: one of the ranges.
func rangeOf(asked string) int {
	n, err := strconv.Atoi(asked)
	if err != nil || !slices.Contains(ranges, n) {
		return usualRange
	}
	return n
}

// history is what the page shows of how a database's backups went.
type history struct {
	Days     []ui.Day
	Summary  string
	Ranges   []rangeLink
	Series   []ui.Series
	Rows     []historyRow // the same data, the newest first
	Fullness string       // said where not everything is drawn; "" otherwise
}

type rangeLink struct {
	Label, Href string
	Chosen      bool
}

type historyRow struct {
	Href                   string
	At                     ui.Moment
	Mark                   ui.Mark
	Size, Rows, Took, Note string
}

// historyOf works out the charts, and their table, of results, which are the
// newest first.
func historyOf(f facts, now time.Time) history {
	d := f.Standing.Database
	h := history{Days: ui.DaysOf(f.Standing, f.Days, f.Scheduled, now)}
	h.Summary = ui.Summary(h.Days)
	for _, n := range ranges {
		label := strconv.Itoa(n) + " days"
		if n == 365 {
			label = "a year"
		}
		h.Ranges = append(h.Ranges, rangeLink{label, "/databases/" + ui.Ref(d.Name, d.ID) + "?days=" + strconv.Itoa(n) + "#history", n == f.Range})
	}
	since := now.AddDate(0, 0, -f.Range)
	size := ui.Series{ID: "size", Title: "Size", Measure: ui.InBytes, To: now}
	rows := ui.Series{ID: "rows", Title: "Rows", Measure: ui.InRows, To: now}
	took := ui.Series{ID: "took", Title: "Duration", Measure: ui.InMillis, To: now}
	for i, r := range f.Results {
		if !r.Status.Ended() || r.Status == backup.ResultSkipped {
			continue
		}
		if r.CreatedAt.Before(since) {
			break
		}
		point := ui.Point{At: r.CreatedAt, Href: "/jobs/" + r.JobID}
		row := historyRow{Href: point.Href, At: ui.Clock(r.CreatedAt), Mark: ui.ResultMark(r.Status), Size: "–", Rows: "–", Took: "–"}
		if r.Duration > 0 {
			row.Took = ui.Took(r.Duration)
		}
		if r.Status == backup.ResultFailed {
			point.Failed, point.Note = true, ui.Name(r.Error)
			row.Note = point.Note
			size.Points, rows.Points, took.Points = append(size.Points, point), append(rows.Points, point), append(took.Points, point)
			h.Rows = append(h.Rows, row)
			continue
		}
		odd := oddities(r, f.Results[i+1:], f.Thresholds)
		with := func(v float64, note string) ui.Point {
			p := point
			p.Value, p.Unusual, p.Note = v, note != "", note
			return p
		}
		size.Points = append(size.Points, with(float64(r.Size), odd.size))
		rows.Points = append(rows.Points, with(float64(r.Rows), odd.rows))
		took.Points = append(took.Points, with(float64(r.Duration)/float64(time.Millisecond), odd.took))
		row.Size, row.Rows, row.Note = ui.Bytes(r.Size), ui.Count(r.Rows), odd.words()
		h.Rows = append(h.Rows, row)
	}
	if len(f.Results) == drawn && f.Results[drawn-1].CreatedAt.After(since) {
		h.Fullness = "Only the last " + strconv.Itoa(drawn) + " backups are drawn."
	}
	for _, s := range []ui.Series{size, rows, took} {
		slices.Reverse(s.Points)
		h.Series = append(h.Series, s)
	}
	return h
}

// odd says what of a backup is unusual; "" for what is not.
type odd struct{ size, rows, took string }

func (o odd) words() string {
	var parts []string
	for _, p := range []struct{ what, note string }{{"size", o.size}, {"rows", o.rows}, {"duration", o.took}} {
		if p.note != "" {
			parts = append(parts, p.what+": "+p.note)
		}
	}
	return strings.Join(parts, "; ")
}

// oddities says what of a backup would have been told as unusual, by the rules of
// today; older are the results before it, the newest first.
func oddities(r backup.Result, older []backup.Result, t alert.Thresholds) odd {
	var o odd
	earlier := make([]backup.Result, 0, alert.Lookback)
	for _, e := range older {
		if e.Status == backup.ResultSuccess && len(earlier) < alert.Lookback {
			earlier = append(earlier, e)
		}
	}
	for _, e := range alert.Anomalies(r, earlier, t) {
		switch e.Kind {
		case backup.EventSizeAnomaly:
			o.size = apart(r.Size, earlier, func(e backup.Result) int64 { return e.Size })
		case backup.EventRowsAnomaly:
			o.rows = apart(r.Rows, earlier, func(e backup.Result) int64 { return e.Rows })
		}
	}
	if t.Long > 0 && r.Duration > t.Long {
		o.took = "longer than " + ui.Span(t.Long)
	}
	return o
}

// apart says how far a value is from the one before it.
func apart(v int64, earlier []backup.Result, of func(backup.Result) int64) string {
	before := of(earlier[0])
	if before == 0 {
		return "unusual; it was 0 before"
	}
	percent := math.Round(100 * (float64(v)/float64(before) - 1))
	word := "more"
	if percent < 0 {
		percent, word = -percent, "less"
	}
	return ui.Count(int64(percent)) + "% " + word + " than the one before"
}

// thresholdsFor gives the thresholds that count for a database.
func thresholdsFor(all store.Thresholds, own store.Thresholds) alert.Thresholds {
	return alert.Defaults.With(all.LongSeconds, all.SizePercent, all.RowsPercent).With(own.LongSeconds, own.SizePercent, own.RowsPercent)
}

// restorePoints are the stored copies as the timeline shows them.
func restorePoints(copies []backup.Copy) []ui.RestorePoint {
	out := make([]ui.RestorePoint, 0, len(copies))
	for _, c := range copies {
		out = append(out, ui.RestorePoint{At: c.TakenAt, Mark: ui.CopyMark(c), Pinned: c.Pinned, Text: ui.Bytes(c.Size) + ", " + string(c.Kind), Href: "/backups/" + c.ID})
	}
	return out
}
