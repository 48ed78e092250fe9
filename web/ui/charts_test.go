package ui

import (
	"flag"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/a-h/templ"

	"github.com/AutumnsGrove/Patina/backup"
)

var update = flag.Bool("update", false, "write the golden files anew")

var begin = time.Date(2026, 9, 1, 3, 0, 0, 0, time.UTC)

const day = 24 * time.Hour

func daily(in Measure, values ...float64) Series {
	s := Series{ID: "s", Title: "Size", Measure: in}
	for i, v := range values {
		s.Points = append(s.Points, Point{At: begin.Add(time.Duration(i) * day), Value: v, Href: "/jobs/j"})
	}
	return s
}

func repeat(n int, value func(i int) float64) []float64 {
	out := make([]float64, n)
	for i := range out {
		out[i] = value(i)
	}
	return out
}

func TestScales(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		in          Measure
		least, most float64
		want        string
	}{
		{InBytes, 0, 0, "0 B, 1 B"},
		{InBytes, 1, 1, "0 B, 1 B"},
		{InBytes, 90e3, 197 << 10, "0 B, 128 KiB, 256 KiB"},
		{InBytes, 1 << 20, 3 << 20, "0 B, 1 MiB, 2 MiB, 3 MiB"},
		{InBytes, 1000, 10e9, "1 B, 1 KiB, 1 MiB, 1 GiB, 1 TiB"},
		{InRows, 700, 772, "0, 500, 1k"},
		{InRows, 1, 5_000_000, "1, 100, 10k, 1M, 100M"},
		{InRows, 2_400_000, 2_400_000, "0, 1M, 2M, 3M"},
		{InMillis, 35, 1600, "0 ms, 1 s, 2 s"},
		{InMillis, 60e3, 45 * 60e3, "0 ms, 15 min, 30 min, 45 min"},
		{InMillis, 3600e3, 7 * 3600e3, "0 ms, 5 h, 10 h"},
	} {
		s := tt.in.newScale(tt.least, tt.most)
		var words []string
		for _, v := range s.ticks {
			words = append(words, tt.in.tick(v))
		}
		if got := strings.Join(words, ", "); got != tt.want {
			t.Errorf("%d from %g to %g: %s, want %s", tt.in, tt.least, tt.most, got, tt.want)
		}
		if s.share(0) != 0 || s.share(tt.most) > 1 || s.share(tt.most) < s.share(tt.least) || s.share(s.high) != 1 {
			t.Errorf("%d from %g to %g: shares %g %g %g", tt.in, tt.least, tt.most, s.share(0), s.share(tt.least), s.share(tt.most))
		}
	}
}

func TestDateTicks(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		span time.Duration
		want string
	}{
		{0, "1 Sep"},
		{3 * time.Hour, "03:00 04:00 05:00 06:00"},
		{day, "06:00 12:00 18:00 00:00"},
		{4 * day, "2 Sep|3 Sep|4 Sep|5 Sep"},
		{29 * day, "8 Sep|15 Sep|22 Sep|29 Sep"},
		{90 * day, "Oct 2026|Nov 2026"},
		{400 * day, "Jan 2027|Jul 2027"},
		{12 * 365 * day, "2029|2032|2035|2038"},
	} {
		var labels []string
		ticks := dateTicks(begin, begin.Add(tt.span))
		for _, d := range ticks {
			labels = append(labels, d.label)
		}
		got, want := strings.Join(labels, "|"), tt.want
		if !strings.Contains(want, "|") && tt.span > 0 {
			want = strings.ReplaceAll(want, " ", "|")
		}
		if got != want || len(ticks) > 5 {
			t.Errorf("%s: %s, want %s", tt.span, got, want)
		}
	}
}

// A line is drawn only between neighbours that are known to follow each other.
func TestLinesBreak(t *testing.T) {
	t.Parallel()
	s := daily(InRows, repeat(12, func(i int) float64 { return float64(100 + i) })...)
	s.Points[3].Failed = true
	s.Points = append(s.Points[:7], s.Points[10:]...) // three days are missing
	c := s.chart()
	if n := strings.Count(c.Line, "M"); n != 3 {
		t.Errorf("the line is in %d pieces: %s", n, c.Line)
	}
	if strings.Count(c.Area, "Z") != 3 || len(c.Dots) != 9 {
		t.Errorf("%d dots, area %s", len(c.Dots), c.Area)
	}
	if d := c.Dots[3]; d.Class != "failed" || !d.Stop || !d.Shown || d.Label != "Size, 4 September 2026: failed" {
		t.Errorf("the failure is %+v", d)
	}
	if c.Dots[0].Stop || !c.Dots[8].Stop {
		t.Error("the tab key stops where nothing is of note, or not at the newest")
	}
	if c.Desc != "8 backups, from 100 on 1 September 2026 to 111 on 12 September 2026. 1 failed." {
		t.Error(c.Desc)
	}
}

func TestChartsOfAllSizes(t *testing.T) {
	t.Parallel()
	for n, want := range map[int]int{0: 0, 1: 1, 2: 2, 45: 45, 90: 90, 400: maxDots} {
		c := daily(InBytes, repeat(n, func(i int) float64 { return float64(i) })...).chart()
		if len(c.Dots) > want || len(c.Dots) < want-4 || n > 1 && (c.Line == "" || strings.Count(c.Line, "L") != n-1) {
			t.Errorf("%d points: %d can be pointed at, want %d", n, len(c.Dots), want)
		}
		html := render(t, lines(c))
		if strings.Contains(html, "NaN") || strings.Contains(html, "Inf") || strings.Contains(html, "style=") {
			t.Errorf("%d points: %s", n, html)
		}
	}
	// What is of note stays, however many there are.
	many := daily(InBytes, repeat(400, func(int) float64 { return 5 })...)
	many.Points[7].Unusual, many.Points[8].Failed, many.Points[9].Unusual = true, true, true
	var note int
	for _, d := range many.chart().Dots {
		if d.Class != "plain" {
			note++
		}
	}
	if note != 3 {
		t.Errorf("%d points of note are left, want 3", note)
	}
	for name, s := range map[string]Series{
		"all zero": daily(InRows, 0, 0, 0), "huge": daily(InBytes, 1e3, 1e7, 1e10), "zeros and huge": daily(InBytes, 0, 1e3, 0, 1e10, 0),
	} {
		html := render(t, Lines(s))
		if strings.Contains(html, "NaN") || strings.Contains(html, "Inf") {
			t.Errorf("%s: %s", name, html)
		}
		if log := strings.Contains(html, "logarithmic"); log != strings.Contains(name, "huge") {
			t.Errorf("%s is logarithmic: %v", name, log)
		}
	}
	// Hostile words are inert.
	s := daily(InBytes, 1, 2)
	s.Title, s.Points[0].Note, s.Points[1].Href = `<script>"`, `"><script>alert(1)</script>`+"\u202e", "javascript:alert(1)"
	if html := render(t, Lines(s)); strings.Contains(html, "<script") || strings.Contains(html, "\u202e") {
		t.Error(html)
	}
}

func TestDays(t *testing.T) {
	t.Parallel()
	states := []DayState{DayIdle, DayProven, DayStored, DayAttention, DayFailed, DayMissed, DayProven}
	var days []Day
	for i, s := range states {
		days = append(days, Day{Date: backup.DateOf(begin).AddDays(i), State: s})
	}
	if got := Summary(days); got != "Last 7 days: 2 proven, 1 stored, 1 attention (4 September), 1 failed (5 September), 1 missed (6 September), 1 idle." {
		t.Error(got)
	}
	if got := Trouble(days); got != "1 failed, 1 missed, 1 attention" || Trouble(days[:3]) != "" {
		t.Error(got)
	}
	shapes := map[string]DayState{}
	for _, s := range dayStates {
		d := shape(s, 0)
		if other, ok := shapes[d]; ok {
			t.Errorf("%s and %s have one shape", s, other)
		}
		shapes[d] = s
	}
	s := stripOf(days)
	if len(s.Paths) != 6 || s.Wide != 7*cellWide || !strings.HasPrefix(s.Paths[0].D, "M7 1") || strings.Count(s.Paths[0].D, "z") != 2 {
		t.Errorf("%+v", s)
	}
	if n := len(render(t, DayStrip(days))); n > 1500 {
		t.Errorf("a strip has %d bytes", n)
	}
}

func TestSpark(t *testing.T) {
	t.Parallel()
	gap := math.NaN()
	for _, tt := range []struct {
		values      []float64
		path, words string
	}{
		{nil, "", "Size: nothing is known."},
		{[]float64{gap, gap}, "", "Size: nothing is known."},
		{[]float64{7}, "M2 2h1.5", "Size: 7 B."},
		{[]float64{0, 0}, "M2 22L94 22", "Size: 0 B."},
		{[]float64{1, 2, gap, 4, gap}, "M2 17L25 12M71 2h1.5", "Size: from 1 B to 4 B."},
	} {
		if got := spark(tt.values); got != tt.path {
			t.Errorf("%v draws %s, want %s", tt.values, got, tt.path)
		}
		if got := SparkWords("Size", tt.values, InBytes); got != tt.words {
			t.Errorf("%v says %s, want %s", tt.values, got, tt.words)
		}
	}
}

func TestTimeline(t *testing.T) {
	t.Parallel()
	now := begin.Add(84 * day)
	var points []RestorePoint
	for i := range 12 {
		points = append(points, RestorePoint{At: now.Add(-time.Duration(i) * 7 * day), Mark: Mark{"proven", "", "proven"}, Pinned: i == 5, Text: "1 KiB", Href: "/backups/x"})
	}
	tl := timelineOf(points, now)
	if len(tl.Dots) != 12 || tl.Dots[11].X != percent(1-edge) || tl.Dots[0].X != percent(edge) {
		t.Errorf("%d dots, from %s to %s", len(tl.Dots), tl.Dots[0].X, tl.Dots[11].X)
	}
	if d := tl.Dots[6]; !d.Stop || !strings.HasSuffix(d.Label, "1 KiB, pinned") {
		t.Errorf("the pinned copy is %+v", d)
	}
	if tl.Rest[1] != "the newest from just now, the oldest from 77 days ago" || len(tl.Bands) != 2 || tl.Bands[0].Text != "7 days" {
		t.Errorf("%+v", tl)
	}
	if tl := timelineOf(nil, now); len(tl.Dots) != 0 || tl.Bands[1].X != percent(edge) {
		t.Errorf("without a copy: %+v", tl)
	}
}

func TestPatina(t *testing.T) {
	t.Parallel()
	for age, want := range map[time.Duration]int{time.Hour: 0, 2 * day: 1, 8 * day: 2, 31 * day: 3, 400 * day: 4} {
		c := backup.Copy{Proof: backup.ProofProven, TakenAt: begin.Add(-age)}
		if got := Patina(c, begin); got != want {
			t.Errorf("after %s the patina is %d, want %d", age, got, want)
		}
		if c.Proof = backup.ProofPending; Patina(c, begin) != 0 {
			t.Error("what is not proven has a patina")
		}
	}
}

// What the charts draw is kept in testdata; -update writes it anew.
func TestDrawings(t *testing.T) {
	t.Parallel()
	trouble := daily(InBytes, repeat(14, func(i int) float64 { return 1e5 + 4e3*float64(i) })...)
	trouble.Points[4].Failed, trouble.Points[4].Note = true, "The account answered 503 three times."
	trouble.Points[9].Unusual, trouble.Points[9].Value, trouble.Points[9].Note = true, 4e5, "96% above the median of the last 7"
	now := begin.Add(40 * day)
	points := []RestorePoint{
		{At: now.Add(-time.Hour), Mark: Mark{"stored", "", "stored"}, Text: "197 KiB", Href: "/backups/c"},
		{At: now.Add(-3 * day), Mark: Mark{"failed", "", "suspect"}, Text: "196 KiB", Href: "/backups/b"},
		{At: now.Add(-40 * day), Mark: Mark{"proven", "", "proven"}, Text: "94 KiB", Pinned: true, Href: "/backups/a"},
	}
	var days []Day
	for i := range 30 {
		days = append(days, Day{Date: backup.DateOf(begin).AddDays(i), State: dayStates[(i*i)%len(dayStates)], Href: "/jobs/j"})
	}
	for name, c := range map[string]templ.Component{
		"trouble": Lines(trouble), "none": Lines(Series{ID: "s", Title: "Rows"}), "one": Lines(daily(InRows, 5)), "huge": Lines(daily(InBytes, 0, 1e3, 1e10)),
		"timeline": Timeline("t", points, now), "days": DayStrip(days), "calendar": Calendar(days), "spark": Spark("Size: 5 B.", []float64{1, 2, math.NaN(), 5}),
	} {
		got := hashed.ReplaceAllString(strings.ReplaceAll(render(t, c), "><", ">\n<"), "icons.svg") + "\n"
		file := filepath.Join("testdata", name+".golden")
		if *update {
			if err := os.WriteFile(file, []byte(got), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if got != string(want) {
			t.Errorf("%s is drawn otherwise than %s; -update keeps it:\n%s", name, file, got)
		}
	}
}

var hashed = regexp.MustCompile(`icons\.[0-9a-f]{12}\.svg`)

func render(t *testing.T, c templ.Component) string {
	t.Helper()
	var b strings.Builder
	if err := c.Render(t.Context(), &b); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// Every icon that a template or a mark names is drawn.
func TestIcons(t *testing.T) {
	t.Parallel()
	sheet, err := os.ReadFile("../../static/icons.svg")
	if err != nil {
		t.Fatal(err)
	}
	named := regexp.MustCompile(`Icon\("([a-z0-9-]+)"\)|Mark\{"[a-z]+", "([a-z0-9-]+)"`)
	files, err := filepath.Glob("../*/*.templ")
	if err != nil {
		t.Fatal(err)
	}
	code, err := filepath.Glob("../*/*.go")
	if err != nil {
		t.Fatal(err)
	}
	seen := 0
	for _, name := range append(files, code...) {
		if strings.HasSuffix(name, "_test.go") || strings.HasSuffix(name, "_templ.go") {
			continue
		}
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range named.FindAllStringSubmatch(string(text), -1) {
			seen++
			if icon := m[1] + m[2]; !strings.Contains(string(sheet), `<symbol id="`+icon+`"`) {
				t.Errorf("%s names the icon %q, which is not in static/icons.svg", name, icon)
			}
		}
	}
	if seen < 40 {
		t.Errorf("only %d icons are named: the test looks at nothing", seen)
	}
}
