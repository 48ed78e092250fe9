package alert

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/AutumnsGrove/Patina/backup"
)

// Day is everything that a daily summary is made of.
type Day struct {
	From, To  time.Time
	Standings []backup.Standing // of every database in the account
	Jobs      []backup.Job      // that ended in it
	Events    []backup.Event    // of it
}

// mostLines is how many lines a summary gives to one heading.
const mostLines = 12

// Summary words a day: what is protected, what ran, and what happened. Where
// something is left to do it says so.
func Summary(d Day) backup.Event {
	var lines, todo []string
	proven, oldest := 0, time.Duration(0)
	for _, s := range d.Standings {
		if s.Database.GoneAt != nil {
			continue
		}
		if _, stale := Stale(s, d.To); stale {
			todo = append(todo, s.Database.Name+" has no recent proven copy")
			continue
		}
		if s.Suspect > 0 {
			todo = append(todo, fmt.Sprintf("%s has %d copies that do not restore", s.Database.Name, s.Suspect))
		}
		if s.Proven != nil {
			proven++
			oldest = max(oldest, d.To.Sub(s.Proven.TakenAt))
		}
	}
	lines = append(lines, fmt.Sprintf("Databases with a proven copy within their objective: %d of %d.", proven, len(d.Standings)))
	if proven > 0 {
		lines = append(lines, fmt.Sprintf("The oldest of the newest is %s old.", span(oldest)))
	}
	lines = append(lines, jobLines(d.Jobs)...)
	counts := map[backup.EventKind]int{}
	var order []backup.EventKind
	for _, e := range d.Events {
		if e.Kind == backup.EventSummary || e.Kind == backup.EventJobSucceeded {
			continue
		}
		if counts[e.Kind] == 0 {
			order = append(order, e.Kind)
		}
		counts[e.Kind]++
	}
	if len(order) == 0 {
		lines = append(lines, "Nothing else happened.")
	}
	for _, k := range order {
		what := Title(k)
		if counts[k] > 1 {
			what = fmt.Sprintf("%d times: %s", counts[k], what)
		}
		lines = append(lines, what+".")
	}
	e := backup.Event{Kind: backup.EventSummary, Message: strings.Join(lines, " ")}
	if len(todo) > 0 {
		slices.Sort(todo)
		if n := len(todo) - mostLines; n > 0 {
			todo = append(todo[:mostLines], fmt.Sprintf("and %d more", n))
		}
		e.Next = "Look at it: " + strings.Join(todo, "; ") + "."
	}
	return e
}

// jobLines words the runs of a day by kind.
func jobLines(jobs []backup.Job) []string {
	if len(jobs) == 0 {
		return []string{"No run ended."}
	}
	var kinds []string
	runs, good := map[string]int{}, map[string]int{}
	var t backup.Totals
	for _, j := range jobs {
		name := runName(j)
		if runs[name] == 0 {
			kinds = append(kinds, name)
		}
		runs[name]++
		if j.Status == backup.JobCompleted {
			good[name]++
		}
		if j.Kind == backup.JobBackup {
			t.Succeeded += j.Totals.Succeeded
			t.Failed += j.Totals.Failed
			t.Bytes += j.Totals.Bytes
			t.Rows += j.Totals.Rows
		}
	}
	var parts []string
	for _, k := range kinds {
		parts = append(parts, fmt.Sprintf("%d of %s completed", good[k], plural(int64(runs[k]), k)))
	}
	return []string{
		"Runs: " + strings.Join(parts, ", ") + ".",
		fmt.Sprintf("Stored: %s, %s, %s; %d failed.", plural(int64(t.Succeeded), "database"), bytesWord(t.Bytes), rowsWord(t.Rows), t.Failed),
	}
}
