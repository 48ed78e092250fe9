package ui

import (
	"math"
	"testing"
	"time"

	"github.com/AutumnsGrove/Patina/backup"
)

func TestDaysOf(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 24, 6, 0, 0, 0, time.UTC)
	on := func(ago int) backup.Date { return backup.DateOf(now).AddDays(-ago) }
	done := []backup.Day{
		{Date: on(9), Stored: true, Proven: true, JobID: "j9", Size: 90},
		{Date: on(6), Failed: true, JobID: "j6"},
		{Date: on(5), Stored: true, Failed: true, JobID: "j5", Size: 50},
		{Date: on(4), Stored: true, Proven: true, Suspect: true, JobID: "j4", Size: 40},
		{Date: on(1), Stored: true, Proven: true, JobID: "j1", Size: 10},
	}
	base := backup.Standing{
		Database: backup.Database{FirstSeenAt: now.AddDate(0, 0, -12), Objective: backup.DefaultObjective},
		Newest:   &backup.Copy{TakenAt: now.Add(-27 * time.Hour)},
	}
	edit := func(f func(*backup.Standing)) backup.Standing {
		s := base
		f(&s)
		return s
	}
	// From the oldest of the last 14 days to today; each letter is a state.
	letter := map[DayState]string{DayProven: "P", DayStored: "S", DayAttention: "A", DayFailed: "F", DayMissed: "-", DayIdle: "."}
	for _, tt := range []struct {
		name      string
		s         backup.Standing
		scheduled bool
		want      string
	}{
		{"overdue differs from idle", base, true, "..--P--FSA--P-"[1:]},
		{"in time today", edit(func(s *backup.Standing) { s.Newest = &backup.Copy{TakenAt: now.Add(-20 * time.Hour)} }), true, "..--P--FSA--P."[1:]},
		{"nothing is scheduled", base, false, "....P..FSA..P."[1:]},
		{"paused", edit(func(s *backup.Standing) { s.Database.Paused = true }), true, "....P..FSA..P."[1:]},
		{"gone two days ago", edit(func(s *backup.Standing) { at := now.AddDate(0, 0, -2); s.Database.GoneAt = &at }), true, "..--P--FSA-.P."[1:]},
	} {
		days := DaysOf(tt.s, done, tt.scheduled, now)
		if len(days) != StripDays || days[0].Date != on(29) || days[29].Date != on(0) {
			t.Fatalf("%s: %d days from %s to %s", tt.name, len(days), days[0].Date, days[len(days)-1].Date)
		}
		got := ""
		for _, d := range days[StripDays-13:] {
			got += letter[d.State]
		}
		if got != tt.want {
			t.Errorf("%s: %s, want %s", tt.name, got, tt.want)
		}
		for _, d := range days[:StripDays-13] {
			if d.State != DayIdle {
				t.Errorf("%s: %s is %s", tt.name, d.Date, d.State)
			}
		}
	}
	days := DaysOf(base, done, true, now)
	if d := days[24]; d.Href != "/jobs/j5" || d.Label() != "19 November: stored, after a failure" {
		t.Errorf("%+v", d)
	}
	// One that had results before it was first seen, as after a rebuild.
	young := edit(func(s *backup.Standing) { s.Database.FirstSeenAt = now })
	if d := DaysOf(young, done, true, now)[21]; d.State != DayMissed {
		t.Errorf("%+v", d)
	}
	sizes := SizesOf(done, now)
	if len(sizes) != StripDays || sizes[28] != 10 || sizes[20] != 90 || !math.IsNaN(sizes[29]) || !math.IsNaN(sizes[23]) {
		t.Error(sizes)
	}
}
