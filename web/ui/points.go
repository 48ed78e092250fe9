package ui

import (
	"math"
	"time"

	"github.com/AutumnsGrove/Patina/backup"
)

// A RestorePoint is a stored copy on the timeline.
type RestorePoint struct {
	At     time.Time
	Mark   Mark
	Pinned bool
	Text   string // its size and kind
	Href   string
}

// How far Cloudflare's Time Travel reaches back.
const (
	TimeTravelFree = 7 * 24 * time.Hour
	TimeTravelPaid = 30 * 24 * time.Hour
)

// timeline is what is drawn of restore points. The width is the root of the age:
// the last days, from which most is restored, get more room than old months.
type timeline struct {
	Desc  string
	Dots  []dot
	Bands []band
	Ages  []dateMark
	Rest  [2]string
}

// band is a stretch of time up to now.
type band struct {
	X, Wide     string
	Y, TextY    string
	TextX       string
	Anchor      string
	Label, Text string
}

// Where the parts of a timeline lie, from its top.
const (
	pointsAt   = 58
	bandsAt    = 80
	bandHigh   = 16
	bandEvery  = 20
	agesAt     = bandsAt + 2*bandEvery + 14
	timelineTo = agesAt + 6
)

// timelineOf works out what is drawn of points, the newest first.
func timelineOf(points []RestorePoint, now time.Time) timeline {
	longest := TimeTravelPaid
	for _, p := range points {
		longest = max(longest, now.Sub(p.At))
	}
	place := func(age time.Duration) float64 {
		return edge + (1-2*edge)*(1-math.Sqrt(min(1, max(0, float64(age)/float64(longest)))))
	}
	t := timeline{Desc: "No copy is stored.", Rest: [2]string{"No restore point", "no copy is stored"}}
	for i, w := range []struct {
		plan  string
		reach time.Duration
	}{{"free plan", TimeTravelFree}, {"paid plan", TimeTravelPaid}} {
		x := place(w.reach)
		b := band{
			X: percent(x), Wide: percent(place(0) - x), Y: decimal(bandsAt + float64(i)*bandEvery), TextY: decimal(bandsAt + float64(i)*bandEvery + 12),
			TextX: percent(x + 0.012), Anchor: "start", Label: "Time Travel, " + w.plan, Text: Span(w.reach),
		}
		if x > 0.45 { // there is more room before it than in it
			b.TextX, b.Anchor = percent(x-0.012), "end"
		}
		t.Bands = append(t.Bands, b)
	}
	t.Ages = ageMarks(longest, place)
	for i := len(points) - 1; i >= 0; i-- { // from left to right
		p := points[i]
		x := place(now.Sub(p.At))
		left, right := max(0, x-0.02), min(1, x+0.02)
		if i < len(points)-1 {
			left = max(left, (x+place(now.Sub(points[i+1].At)))/2)
		}
		if i > 0 {
			right = min(right, (x+place(now.Sub(points[i-1].At)))/2)
		}
		d := dot{
			X: percent(x), Y: decimal(pointsAt), Left: percent(left), Width: percent(max(0, right-left)), Class: p.Mark.State, Shown: true,
			Stop: i == 0 || p.Pinned || p.Mark.State == "failed", Href: p.Href, Head: p.Mark.Word + ", " + p.At.UTC().Format("2 Jan 2006 15:04") + " UTC", Note: p.Text,
		}
		if p.Pinned {
			d.Note += ", pinned"
		}
		d.Label = "Copy of " + Clock(p.At).Word + ": " + p.Mark.Word + ", " + d.Note
		t.Dots = append(t.Dots, d)
	}
	if n := len(points); n > 0 {
		t.Rest = [2]string{Plural(int64(n), "restore point", "restore points"), "the newest from " + Ago(points[0].At, now).Word}
		if n > 1 {
			t.Rest[1] += ", the oldest from " + Ago(points[n-1].At, now).Word
		}
		t.Desc = t.Rest[0] + ", " + t.Rest[1] + "."
	}
	return t
}

// ageMarks names ages that lie far enough from one another.
func ageMarks(longest time.Duration, place func(time.Duration) float64) []dateMark {
	const day = 24 * time.Hour
	out := []dateMark{{percent(place(0)), "end", "now"}}
	last := place(0)
	for _, a := range []struct {
		age   time.Duration
		label string
	}{{day, "1 day"}, {7 * day, "7 days"}, {30 * day, "30 days"}, {90 * day, "90 days"}, {180 * day, "180 days"}, {365 * day, "1 year"}, {3 * 365 * day, "3 years"}, {10 * 365 * day, "10 years"}} {
		x := place(a.age)
		if a.age > longest || last-x < 0.17 {
			continue
		}
		anchor := "middle"
		if x < 0.12 {
			anchor = "start"
		}
		out, last = append(out, dateMark{percent(x), anchor, a.label}), x
	}
	return out
}

// Patina tells how deep the patina of a copy is, from 0 to 4: it deepens while
// the copy ages and stays proven.
func Patina(c backup.Copy, now time.Time) int {
	if c.Proof != backup.ProofProven || c.QuarantinedAt != nil {
		return 0
	}
	const day = 24 * time.Hour
	depth := 0
	for _, age := range []time.Duration{day, 7 * day, 30 * day, 90 * day} {
		if now.Sub(c.TakenAt) >= age {
			depth++
		}
	}
	return depth
}
