package ui

import (
	"strconv"
	"strings"

	"github.com/AutumnsGrove/Patina/backup"
)

// DayState is how one day of a database went.
type DayState string

// The states of a day.
const (
	DayProven    DayState = "proven"    // a copy of it was proven to restore
	DayStored    DayState = "stored"    // a copy was stored, and not proven
	DayAttention DayState = "attention" // a copy was stored, and is suspect
	DayFailed    DayState = "failed"    // it was tried, and nothing was stored
	DayMissed    DayState = "missed"    // it was due, and nothing ran
	DayIdle      DayState = "idle"      // nothing was due
)

// dayStates is the order in which a summary names them: good ones first.
var dayStates = []DayState{DayProven, DayStored, DayAttention, DayFailed, DayMissed, DayIdle}

// DayMark gives the mark of a day.
func DayMark(s DayState) Mark {
	switch s {
	case DayProven:
		return Mark{"proven", "circle-check", "proven"}
	case DayStored:
		return Mark{"stored", "circle", "stored"}
	case DayAttention:
		return Mark{"attention", "triangle-alert", "attention"}
	case DayFailed:
		return Mark{"failed", "circle-x", "failed"}
	case DayMissed:
		return Mark{"missed", "minus", "missed"}
	}
	return Mark{"idle", "dot", "idle"}
}

// Day is a day of a strip.
type Day struct {
	Date  backup.Date
	State DayState
	Href  string // its evidence; "" for none
	Note  string // more of it; "" for none
}

// Label says which day it was and how it went.
func (d Day) Label() string {
	text := shortDate(d.Date) + ": " + string(d.State)
	if d.Note != "" {
		text += ", " + d.Note
	}
	return text
}

func shortDate(d backup.Date) string { return d.Time().Format("2 January") }

// Cells of a strip, in the units of its box.
const (
	cellWide = 6
	cellHigh = 18
)

// strip is what a small strip draws: one path for all days of a state.
type strip struct {
	Wide  int
	Text  string
	Paths []stripPath
}

type stripPath struct {
	Class DayState
	D     string
}

// strip works out what is drawn of days. Each state has a shape of its own: a
// full bar, a hollow one, a bar with a gap, a cross, a dash, a dot.
func stripOf(days []Day) strip {
	s := strip{Wide: max(1, len(days)) * cellWide, Text: Summary(days)}
	paths := map[DayState]*strings.Builder{}
	for i, d := range days {
		b := paths[d.State]
		if b == nil {
			b = new(strings.Builder)
			paths[d.State] = b
		}
		b.WriteString(shape(d.State, i*cellWide))
	}
	for _, state := range dayStates {
		if b := paths[state]; b != nil {
			s.Paths = append(s.Paths, stripPath{state, b.String()})
		}
	}
	return s
}

// shape draws a day whose cell begins at x.
func shape(s DayState, x int) string {
	at := func(dx float64) string { return decimal(float64(x) + dx) }
	switch s {
	case DayProven:
		return "M" + at(1) + " 1h4v16h-4z"
	case DayStored:
		return "M" + at(1.5) + " 1.5h3v15h-3z"
	case DayAttention: // an exclamation mark
		return "M" + at(1) + " 1h4v10h-4zM" + at(1) + " 13h4v4h-4z"
	case DayFailed:
		return "M" + at(.9) + " 5l4.2 8M" + at(5.1) + " 5l-4.2 8"
	case DayMissed:
		return "M" + at(.5) + " 9h5"
	}
	return "M" + at(2.2) + " 15h1.6v1.6h-1.6z"
}

// Summary says how days went: "Last 30 days: 27 proven, 1 failed (20 November)".
func Summary(days []Day) string {
	if len(days) == 0 {
		return "No day is known."
	}
	var parts []string
	for _, state := range dayStates {
		var dates []string
		for _, d := range days {
			if d.State == state {
				dates = append(dates, shortDate(d.Date))
			}
		}
		if len(dates) == 0 {
			continue
		}
		part := strconv.Itoa(len(dates)) + " " + string(state)
		if state == DayFailed || state == DayMissed || state == DayAttention {
			const most = 3
			more := ""
			if len(dates) > most {
				dates, more = dates[len(dates)-most:], "lately "
			}
			part += " (" + more + strings.Join(dates, ", ") + ")"
		}
		parts = append(parts, part)
	}
	return "Last " + Plural(int64(len(days)), "day", "days") + ": " + strings.Join(parts, ", ") + "."
}

// Trouble says in a few words what of days was not as it should be; "" for
// nothing.
func Trouble(days []Day) string {
	n := map[DayState]int{}
	for _, d := range days {
		n[d.State]++
	}
	var parts []string
	for _, state := range []DayState{DayFailed, DayMissed, DayAttention} {
		if n[state] > 0 {
			parts = append(parts, strconv.Itoa(n[state])+" "+string(state))
		}
	}
	return strings.Join(parts, ", ")
}

// Legend gives the marks of the states that occur among days.
func Legend(days []Day) []Mark {
	var out []Mark
	for _, state := range dayStates {
		for _, d := range days {
			if d.State == state {
				out = append(out, DayMark(state))
				break
			}
		}
	}
	return out
}
