package drills

import (
	"time"

	"github.com/AutumnsGrove/Patina/backup"
	"github.com/AutumnsGrove/Patina/store"
	"github.com/AutumnsGrove/Patina/web/ui"
)

// entry is a drill as programs get it. Fields may be added, never renamed.
type entry struct {
	ID          string         `json:"id"`
	Trigger     backup.Trigger `json:"trigger"`
	RequestedBy string         `json:"requested_by"`
	Verdict     string         `json:"verdict"` // queued, running, passed, failed or cancelled
	CreatedAt   time.Time      `json:"created_at"`
	StartedAt   *time.Time     `json:"started_at"`
	EndedAt     *time.Time     `json:"ended_at"`
	DurationMS  int64          `json:"duration_ms"`
	Databases   int            `json:"databases"`
	Passed      int            `json:"passed"`
	Failed      int            `json:"failed"`
	Text        string         `json:"text"`
	URL         string         `json:"url"`
	JobURL      string         `json:"job_url"`
}

// detail is a drill with what was found of each copy.
type detail struct {
	entry
	RestoreMS  int64   `json:"restore_ms"`  // of the newest copies, one after another
	SlowestMS  int64   `json:"slowest_ms"`  // the longest of them
	Results    []found `json:"results"`     // what did not restore first
	NextCursor string  `json:"next_cursor"` // of the results
}

// found is what proving one copy found.
type found struct {
	Database    string             `json:"database"`
	DatabaseID  string             `json:"database_id"`
	Role        backup.DrillRole   `json:"role"`
	BackupID    string             `json:"backup_id"` // "" where there was no copy
	Key         string             `json:"key"`
	Kind        backup.CopyKind    `json:"kind"`
	Date        *backup.Date       `json:"date"`
	TakenAt     *time.Time         `json:"taken_at"`
	SizeBytes   int64              `json:"size_bytes"`
	Tables      int                `json:"tables"`
	Rows        int64              `json:"rows"`
	Consistency backup.Consistency `json:"consistency"`
	At          time.Time          `json:"at"`
	Passed      bool               `json:"passed"`
	Untried     bool               `json:"untried"`
	Error       string             `json:"error"`
	Next        string             `json:"next,omitempty"`
	LoadMS      int64              `json:"load_ms"`
	CheckMS     int64              `json:"check_ms"`
	AgainMS     int64              `json:"again_ms"`
	Findings    int                `json:"findings"`
	Source      backup.SourceState `json:"source"` // "", equal, moved, differs or unavailable
	SourceText  string             `json:"source_text"`
}

func entryOf(d backup.Drill, now time.Time) entry {
	return entry{
		ID: d.ID, Trigger: d.Trigger, RequestedBy: d.RequestedBy, Verdict: word(d), CreatedAt: d.CreatedAt, StartedAt: d.StartedAt, EndedAt: d.EndedAt,
		DurationMS: took(d, now).Milliseconds(), Databases: d.Databases, Passed: d.Passed, Failed: d.Failed, Text: d.Text,
		URL: "/drills/" + d.ID, JobURL: "/jobs/" + d.ID,
	}
}

func detailOf(c certificate, now time.Time) detail {
	out := detail{
		entry: entryOf(c.Drill, now), RestoreMS: c.Sums.Newest.Milliseconds(), SlowestMS: c.Sums.Slowest.Milliseconds(),
		Results: make([]found, 0, len(c.Results)), NextCursor: c.Next,
	}
	for _, r := range c.Results {
		f := found{
			Database: r.DatabaseName, DatabaseID: r.DatabaseID, Role: r.Role, BackupID: r.CopyID, Key: r.Key, Kind: r.Kind, TakenAt: r.TakenAt,
			SizeBytes: r.Size, Tables: r.Tables, Rows: r.Rows, Consistency: r.Consistency, At: r.At, Passed: r.Passed, Untried: r.Untried, Error: r.Error, Next: r.Next,
			LoadMS: r.Load.Milliseconds(), CheckMS: r.Check.Milliseconds(), AgainMS: r.Again.Milliseconds(), Findings: r.Findings, Source: r.Source, SourceText: r.SourceText,
		}
		if !r.Date.IsZero() {
			f.Date = &r.Date
		}
		out.Results = append(out.Results, f)
	}
	return out
}

// word gives how a drill stands, in one word.
func word(d backup.Drill) string {
	switch {
	case d.Verdict != backup.DrillOpen:
		return string(d.Verdict)
	case d.StartedAt == nil:
		return string(backup.JobQueued)
	}
	return string(backup.JobRunning)
}

// took is how long a drill ran, or has run so far.
func took(d backup.Drill, now time.Time) time.Duration {
	switch {
	case d.StartedAt == nil:
		return 0
	case d.EndedAt == nil:
		return max(0, now.Sub(*d.StartedAt))
	}
	return max(0, d.EndedAt.Sub(*d.StartedAt))
}

// timeOf gives nil for no time.
func timeOf(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	t = t.UTC()
	return &t
}

// restrict makes what a drill says what its sums do: those of the databases that
// whoever asks may see.
func restrict(d *backup.Drill, sums store.DrillSums) {
	d.Databases, d.Failed, d.Passed, d.Text = sums.Databases, sums.DatabasesFailed, sums.Databases-sums.DatabasesFailed, ""
	if d.Verdict == backup.DrillPassed || d.Verdict == backup.DrillFailed {
		d.Verdict, d.Text = backup.DrillPassed, ui.Plural(int64(d.Passed), "database", "databases")+" restored from stored bytes"
		if d.Failed > 0 {
			d.Verdict, d.Text = backup.DrillFailed, ui.Plural(int64(d.Failed), "database", "databases")+" did not restore"
		}
	}
}
