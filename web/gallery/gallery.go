// Package gallery shows every component of the dashboard in every state, on one
// page, while Patina itself is worked on.
//
// It reads nothing and changes nothing: what it shows is made up. Production
// never serves it.
package gallery

import (
	"math"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/AutumnsGrove/Patina/backup"
	"github.com/AutumnsGrove/Patina/web/auth"
	"github.com/AutumnsGrove/Patina/web/ui"
)

// Show is GET /dev/gallery.
func Show(c echo.Context) error {
	m := made()
	return ui.Write(c, ui.Answer{JSON: map[string]int{"charts": len(m.Charts)}, Page: page(auth.Chrome(c, "Gallery", "gallery"), m)})
}

// model is what the page shows.
type model struct {
	Now      time.Time
	Marks    []ui.Mark
	Copies   []aged
	Charts   []ui.Series
	Days     []ui.Day
	NoDays   []ui.Day
	Sparks   [][]float64
	Points   []ui.RestorePoint
	OnePoint []ui.RestorePoint
}

type aged struct {
	Mark  ui.Mark
	Depth int
	Age   string
}

// start is when the made history begins: the page is the same at each look.
var start = time.Date(2026, 9, 1, 3, 0, 0, 0, time.UTC)

const day = 24 * time.Hour

func made() model {
	m := model{Now: start.Add(90 * day)}
	for _, s := range []ui.StateWord{ui.Proven, ui.Stored, ui.Attention, ui.Failed, ui.Unknown} {
		m.Marks = append(m.Marks, ui.DatabaseMark(s))
	}
	m.Marks = append(m.Marks, ui.DayMark(ui.DayMissed), ui.DayMark(ui.DayIdle))
	for _, s := range []backup.JobStatus{backup.JobQueued, backup.JobRunning, backup.JobCompleted, backup.JobPartial, backup.JobFailed, backup.JobCancelled} {
		m.Marks = append(m.Marks, ui.JobMark(s))
	}
	for _, age := range []time.Duration{time.Hour, 2 * day, 10 * day, 40 * day, 100 * day} {
		c := backup.Copy{Proof: backup.ProofProven, TakenAt: m.Now.Add(-age)}
		m.Copies = append(m.Copies, aged{ui.CopyMark(c), ui.Patina(c, m.Now), ui.Span(age)})
	}
	m.Charts = charts()
	states := []ui.DayState{ui.DayIdle, ui.DayIdle, ui.DayProven, ui.DayProven, ui.DayStored, ui.DayProven, ui.DayAttention, ui.DayFailed, ui.DayMissed, ui.DayMissed}
	for i := range 30 {
		d := ui.Day{Date: backup.DateOf(start).AddDays(i), State: ui.DayProven, Href: "/jobs"}
		if i < len(states) {
			d.State = states[i]
		}
		if d.State == ui.DayIdle || d.State == ui.DayMissed {
			d.Href = ""
		}
		m.Days = append(m.Days, d)
		m.NoDays = append(m.NoDays, ui.Day{Date: d.Date, State: ui.DayIdle})
	}
	gap := math.NaN()
	m.Sparks = [][]float64{nil, {5}, {5, 5, 5}, {1, 2, 3, gap, gap, 4, 9, 4, gap, 5}, {0, 0, 0}}
	for i := range 24 {
		p := ui.RestorePoint{At: m.Now.Add(-time.Duration(i*i) * 4 * time.Hour), Mark: ui.CopyMark(backup.Copy{Proof: backup.ProofProven}), Text: "197 KiB, daily", Href: "/list"}
		switch i {
		case 0:
			p.Mark = ui.CopyMark(backup.Copy{Proof: backup.ProofPending})
		case 9:
			p.Mark = ui.CopyMark(backup.Copy{Proof: backup.ProofSuspect})
		case 15:
			p.Pinned = true
		}
		m.Points = append(m.Points, p)
	}
	m.OnePoint = m.Points[1:2]
	return m
}

// charts are series of every shape that a database has been seen to give.
func charts() []ui.Series {
	make := func(id, title string, in ui.Measure, n int, value func(i int) float64) ui.Series {
		s := ui.Series{ID: id, Title: title, Measure: in}
		for i := range n {
			s.Points = append(s.Points, ui.Point{At: start.Add(time.Duration(i) * day), Value: value(i), Href: "/jobs"})
		}
		return s
	}
	grows := func(i int) float64 { return 120e3 + 3e3*float64(i) + 4e3*math.Sin(float64(i)) }
	trouble := make("trouble", "Size, with trouble", ui.InBytes, 60, grows)
	trouble.Points[20].Failed, trouble.Points[20].Note = true, "The account answered 503 three times."
	trouble.Points[33].Unusual, trouble.Points[33].Value, trouble.Points[33].Note = true, 600e3, "Size 96% above the median of the last 7"
	trouble.Points = append(trouble.Points[:40], trouble.Points[48:]...)
	years := make("many", "Rows, 400 points", ui.InRows, 400, func(i int) float64 { return 5000 * (1 + 0.4*math.Sin(float64(i)/30)) })
	failed := make("all-failed", "Nothing but failures", ui.InBytes, 4, grows)
	for i := range failed.Points {
		failed.Points[i].Failed = true
	}
	return []ui.Series{
		trouble, years,
		make("huge", "1 kB to 10 GB", ui.InBytes, 30, func(i int) float64 { return 1e3 * math.Pow(10, 7*float64(i)/29) }),
		make("zeros", "Zeros", ui.InRows, 12, func(int) float64 { return 0 }),
		make("zero-huge", "Zeros and millions", ui.InRows, 20, func(i int) float64 { return float64(i%4) * 1e6 }),
		make("took", "Duration", ui.InMillis, 30, func(i int) float64 { return 900 + 700*math.Sin(float64(i)*2) }),
		make("none", "No point", ui.InBytes, 0, grows),
		make("one", "One point", ui.InBytes, 1, grows),
		make("two", "Two points", ui.InBytes, 2, grows),
		failed,
	}
}
