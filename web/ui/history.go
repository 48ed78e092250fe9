package ui

import (
	"math"
	"time"

	"github.com/AutumnsGrove/Patina/backup"
)

// StripDays is how many days a strip shows.
const StripDays = 30

// StripFrom is the date at which a strip begins.
func StripFrom(now time.Time) backup.Date { return backup.DateOf(now).AddDays(1 - StripDays) }

// DaysOf says how the last days of a database went, the oldest first. done are
// the days on which backups ended, by date; scheduled tells whether one is due
// every day.
func DaysOf(s backup.Standing, done []backup.Day, scheduled bool, now time.Time) []Day {
	today, first := backup.DateOf(now), backup.DateOf(s.Database.FirstSeenAt)
	if len(done) > 0 && done[0].Date.Time().Before(first.Time()) {
		first = done[0].Date
	}
	by := map[backup.Date]backup.Day{}
	for _, d := range done {
		by[d.Date] = d
	}
	out := make([]Day, 0, StripDays)
	for date := StripFrom(now); !date.Time().After(today.Time()); date = date.AddDays(1) {
		if d, ok := by[date]; ok {
			out = append(out, dayOf(d))
			continue
		}
		due := scheduled && !s.Database.Paused && !date.Time().Before(first.Time())
		switch {
		case s.Database.GoneAt != nil && !date.Time().Before(backup.DateOf(*s.Database.GoneAt).Time()):
			due = false
		case date == today: // until it is late
			due = due && s.Newest != nil && s.Database.Objective > 0 && now.Sub(s.Newest.TakenAt) > s.Database.Objective
		case date == first: // it may have come after the hour
			due = false
		}
		state := DayIdle
		if due {
			state = DayMissed
		}
		out = append(out, Day{Date: date, State: state})
	}
	return out
}

func dayOf(d backup.Day) Day {
	v := Day{Date: d.Date, State: DayFailed, Href: "/jobs/" + d.JobID}
	switch {
	case d.Suspect:
		v.State, v.Note = DayAttention, "a copy of it is suspect"
	case d.Proven:
		v.State = DayProven
	case d.Stored:
		v.State = DayStored
	}
	if d.Failed && d.Stored && v.Note == "" {
		v.Note = "after a failure"
	}
	return v
}

// SizesOf gives the size of each of the last days for a sparkline; NaN where
// nothing was stored.
func SizesOf(done []backup.Day, now time.Time) []float64 {
	from := StripFrom(now).Time()
	out := make([]float64, StripDays)
	for i := range out {
		out[i] = math.NaN()
	}
	for _, d := range done {
		i := int(d.Date.Time().Sub(from) / (24 * time.Hour))
		if d.Stored && i >= 0 && i < len(out) {
			out[i] = float64(d.Size)
		}
	}
	return out
}
