package ui

import (
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Point is one value of a chart, or the failure that stands in its place.
type Point struct {
	At      time.Time
	Value   float64
	Failed  bool   // there is no value
	Unusual bool   //
	Note    string // why it is unusual, or failed
	Href    string // its evidence
}

// Series is what a chart draws: points in the order of time.
type Series struct {
	ID       string // unique on its page
	Title    string
	Measure  Measure
	Points   []Point
	From, To time.Time // of the axis; where they are zero, of the points
}

// How a chart is laid out, in pixels from its top: two lines of words, the plot,
// and the dates below it. Across, it is as wide as its place, but for a gutter
// on the left, which holds the words of the axis: shares of that.
const (
	plotTop    = 50
	plotHeight = 96
	plotBottom = plotTop + plotHeight
	datesAt    = plotBottom + 18
	chartHigh  = datesAt + 6
	gutter     = 56
	edge       = 0.015 // of the width, left and right of the first and last point

	// maxDots is how many points can be pointed at: of those that lie closer than
	// a finger could tell apart, the last one, and each that is of note.
	maxDots = 90
	// fewDots is up to how many of them are drawn although nothing is of note.
	fewDots = 45
	// noteLength is how much of a note fits above the plot of a small phone.
	noteLength = 46
)

// chart is a Series with everything that is drawn of it worked out.
type chart struct {
	ID, Title, Desc string
	Line, Area      string // paths in a box of 1000 by plotHeight
	Grid            []gridLine
	Dates           []dateMark
	Dots            []dot
	Rest            [2]string // the words while no point is pointed at
	Log             bool
}

type gridLine struct{ Y, Text, Label string }

type dateMark struct{ X, Anchor, Label string }

type dot struct {
	X, Y        string
	Left, Width string // of what can be pointed at
	Class       string // plain, unusual, failed
	Shown       bool   // drawn even while it is not pointed at
	Stop        bool   // the tab key stops here
	Href, Label string
	Head, Note  string
}

// chart works out what is drawn. A series without points gives none.
func (s Series) chart() chart {
	c := chart{ID: s.ID, Title: s.Title}
	if len(s.Points) == 0 {
		return c
	}
	from, to := s.From, s.To
	if from.IsZero() {
		from = s.Points[0].At
	}
	if to.IsZero() {
		to = s.Points[len(s.Points)-1].At
	}
	least, most := s.extent()
	sc := s.Measure.newScale(least, most)
	c.Log = sc.log
	for _, v := range sc.ticks {
		y := height(sc, v)
		c.Grid = append(c.Grid, gridLine{decimal(y), decimal(y + 4), s.Measure.tick(v)})
	}
	if !s.known() {
		c.Grid = []gridLine{{Y: decimal(plotBottom)}}
	}
	for _, t := range dateTicks(from, to) {
		x := across(t.at, from, to)
		anchor := "middle"
		switch {
		case x < 0.06:
			anchor = "start"
		case x > 0.94:
			anchor = "end"
		}
		c.Dates = append(c.Dates, dateMark{percent(x), anchor, t.label})
	}
	segments := s.segments()
	c.Line, c.Area = s.paths(segments, sc, from, to)
	c.Dots = s.dots(segments, sc, from, to)
	c.Rest = s.rest()
	c.Desc = s.describe()
	return c
}

// known tells whether there is any value.
func (s Series) known() bool {
	return slices.ContainsFunc(s.Points, func(p Point) bool { return !p.Failed })
}

// extent gives the smallest value above zero, and the largest.
func (s Series) extent() (least, most float64) {
	for _, p := range s.Points {
		if p.Failed {
			continue
		}
		if p.Value > 0 && (least == 0 || p.Value < least) {
			least = p.Value
		}
		most = max(most, p.Value)
	}
	return least, most
}

func height(sc scale, v float64) float64 { return plotBottom - plotHeight*sc.share(v) }

// across gives the share of the width at which a moment lies.
func across(at, from, to time.Time) float64 {
	if !to.After(from) {
		return 0.5
	}
	share := float64(at.Sub(from)) / float64(to.Sub(from))
	return edge + (1-2*edge)*min(1, max(0, share))
}

// segments cuts the points where the line must not pretend to know: at a
// failure, and where nothing was heard for much longer than usual. Each is a
// list of indices.
func (s Series) segments() [][]int {
	limit := s.usualGap() * 5 / 2
	var out [][]int
	var open []int
	last := -1
	for i, p := range s.Points {
		if p.Failed {
			if len(open) > 0 {
				out, open = append(out, open), nil
			}
			continue
		}
		if len(open) > 0 && limit > 0 && p.At.Sub(s.Points[last].At) > limit {
			out, open = append(out, open), nil
		}
		open, last = append(open, i), i
	}
	if len(open) > 0 {
		out = append(out, open)
	}
	return out
}

// usualGap is the median time between two points; 0 where there are too few to
// tell.
func (s Series) usualGap() time.Duration {
	if len(s.Points) < 4 {
		return 0
	}
	var gaps []time.Duration
	for i := 1; i < len(s.Points); i++ {
		gaps = append(gaps, s.Points[i].At.Sub(s.Points[i-1].At))
	}
	slices.Sort(gaps)
	return gaps[len(gaps)/2]
}

func (s Series) paths(segments [][]int, sc scale, from, to time.Time) (line, area string) {
	var l, a strings.Builder
	for _, seg := range segments {
		if len(seg) < 2 {
			continue // a point of its own is drawn as one
		}
		x := func(i int) string { return decimal(1000 * across(s.Points[i].At, from, to)) }
		a.WriteString("M" + x(seg[0]) + " " + decimal(plotHeight))
		for n, i := range seg {
			command := "L"
			if n == 0 {
				command = "M"
			}
			y := decimal(height(sc, s.Points[i].Value) - plotTop)
			l.WriteString(command + x(i) + " " + y)
			a.WriteString("L" + x(i) + " " + y)
		}
		a.WriteString("L" + x(seg[len(seg)-1]) + " " + decimal(plotHeight) + "Z")
	}
	return l.String(), a.String()
}

// dots gives the points that can be pointed at.
func (s Series) dots(segments [][]int, sc scale, from, to time.Time) []dot {
	alone := map[int]bool{}
	for _, seg := range segments {
		if len(seg) == 1 {
			alone[seg[0]] = true
		}
	}
	chosen := s.choose(alone, from, to)
	out := make([]dot, 0, len(chosen))
	for n, i := range chosen {
		p := s.Points[i]
		x := across(p.At, from, to)
		left, right := 0.0, 1.0
		if n > 0 {
			left = (x + across(s.Points[chosen[n-1]].At, from, to)) / 2
		}
		if n < len(chosen)-1 {
			right = (x + across(s.Points[chosen[n+1]].At, from, to)) / 2
		}
		d := dot{X: percent(x), Left: percent(left), Width: percent(max(0, right-left)), Class: "plain", Href: p.Href, Head: s.word(p) + " · " + p.At.UTC().Format("2 Jan 2006")}
		d.Stop = n == len(chosen)-1 || p.Failed || p.Unusual
		d.Shown = d.Stop || alone[i] || len(chosen) <= fewDots
		d.Label = s.Title + ", " + p.At.UTC().Format("2 January 2006") + ": " + s.word(p)
		switch {
		case p.Failed:
			d.Class, d.Y = "failed", decimal(plotBottom-8)
		case p.Unusual:
			d.Class, d.Y = "unusual", decimal(height(sc, p.Value))
			d.Label += ", unusual"
		default:
			d.Y = decimal(height(sc, p.Value))
		}
		if p.Note != "" {
			d.Label += ". " + Name(p.Note)
			d.Note = Clip(Name(p.Note), noteLength)
		}
		out = append(out, d)
	}
	return out
}

// choose gives the indices of the points that can be pointed at.
func (s Series) choose(alone map[int]bool, from, to time.Time) []int {
	var out []int
	for i, p := range s.Points {
		note := p.Failed || p.Unusual || alone[i]
		if len(s.Points) > maxDots && !note && i < len(s.Points)-1 {
			slot := math.Floor(across(p.At, from, to) * maxDots)
			if math.Floor(across(s.Points[i+1].At, from, to)*maxDots) == slot {
				continue
			}
		}
		out = append(out, i)
	}
	return out
}

func (s Series) word(p Point) string {
	if p.Failed {
		return "failed"
	}
	return s.Measure.Word(p.Value)
}

// rest words the newest point.
func (s Series) rest() [2]string {
	p := s.Points[len(s.Points)-1]
	return [2]string{s.word(p), p.At.UTC().Format("2 January 2006") + ", the newest"}
}

// describe says in a sentence what the chart shows.
func (s Series) describe() string {
	var values, failed, unusual int64
	var first, last *Point
	for i, p := range s.Points {
		switch {
		case p.Failed:
			failed++
			continue
		case p.Unusual:
			unusual++
		}
		values++
		if first == nil {
			first = &s.Points[i]
		}
		last = &s.Points[i]
	}
	text := "No backup succeeded."
	if last != nil {
		text = Plural(values, "backup", "backups") + ": " + s.word(*last) + " on " + last.At.UTC().Format("2 January 2006")
		if first != last {
			text = Plural(values, "backup", "backups") + ", from " + s.word(*first) + " on " + first.At.UTC().Format("2 January 2006") +
				" to " + s.word(*last) + " on " + last.At.UTC().Format("2 January 2006")
		}
		text += "."
	}
	if unusual > 0 {
		text += " " + Plural(unusual, "is", "are") + " unusual."
	}
	if failed > 0 {
		text += " " + strconv.FormatInt(failed, 10) + " failed."
	}
	return text
}

// Clip cuts a text to at most n characters, the last of them an ellipsis.
func Clip(text string, n int) string {
	runes := []rune(text)
	if len(runes) <= n {
		return text
	}
	return strings.TrimRight(string(runes[:n-1]), " ,.;:") + "…"
}

// glyph draws the mark of a point, around the origin.
func glyph(class string) string {
	switch class {
	case "unusual", "attention": // a triangle
		return "M0-6.5 6.5 5h-13z"
	case "failed": // a cross
		return "M-4.5-4.5l9 9M4.5-4.5l-9 9"
	case "proven": // a tick in a full disc
		return "M-6 0a6 6 0 1 0 12 0a6 6 0 1 0-12 0zM-2.8.2l2 2 3.6-4.2"
	}
	return "M-5 0a5 5 0 1 0 10 0a5 5 0 1 0-10 0z" // a ring
}
