package ui

import (
	"time"

	"github.com/AutumnsGrove/Patina/backup"
)

// Job is a job as programs get it. Fields may be added, never renamed.
type Job struct {
	ID          string           `json:"id"`
	Kind        backup.JobKind   `json:"kind"`
	Trigger     backup.Trigger   `json:"trigger"`
	Status      backup.JobStatus `json:"status"`
	Date        backup.Date      `json:"date"`
	RequestedBy string           `json:"requested_by"`
	RetryOf     string           `json:"retry_of,omitempty"`
	CreatedAt   time.Time        `json:"created_at"`
	StartedAt   *time.Time       `json:"started_at"`
	CompletedAt *time.Time       `json:"completed_at"`
	Cancelling  bool             `json:"cancel_requested"`
	DurationMS  int64            `json:"duration_ms"`
	Totals      Totals           `json:"totals"`
	Databases   []Result         `json:"databases,omitempty"`
	Error       string           `json:"error"`
	NextCursor  string           `json:"next_cursor,omitempty"` // of its databases
}

// Totals are the sums of a job.
type Totals struct {
	Databases int   `json:"databases"`
	Succeeded int   `json:"succeeded"`
	Failed    int   `json:"failed"`
	Skipped   int   `json:"skipped"`
	Bytes     int64 `json:"bytes"`
	Rows      int64 `json:"rows"`
}

// Result is what became of one database in a job.
type Result struct {
	Name        string              `json:"name"`
	ID          string              `json:"id"`
	Status      backup.ResultStatus `json:"status"`
	BackupID    string              `json:"backup_id,omitempty"`
	Key         string              `json:"key"`
	SizeBytes   int64               `json:"size_bytes"`
	Tables      int                 `json:"tables"`
	Rows        int64               `json:"rows"`
	DurationMS  int64               `json:"duration_ms"`
	Consistency backup.Consistency  `json:"consistency"`
	Proof       backup.ProofState   `json:"proof"`
	Error       string              `json:"error"`
	Next        string              `json:"next,omitempty"`
	Attempt     int                 `json:"attempt"`
	Findings    []backup.Finding    `json:"findings,omitempty"`
	Progress    *Progress           `json:"progress,omitempty"`
}

// Progress is how far a running export has come.
type Progress struct {
	Table string `json:"table"`
	Rows  int64  `json:"rows"`
	Bytes int64  `json:"bytes"`
}

// JobOf gives a job's JSON with its totals, and with results of it; proofs holds the proof of each
// copy that is known, by the copy's UUID.
func JobOf(j backup.Job, results []backup.Result, proofs map[string]backup.ProofState, now time.Time) Job {
	out := Job{
		ID: j.ID, Kind: j.Kind, Trigger: j.Trigger, Status: j.Status, Date: j.Date, RequestedBy: j.RequestedBy,
		RetryOf: j.RetryOf, CreatedAt: j.CreatedAt, StartedAt: j.StartedAt, CompletedAt: j.CompletedAt,
		Cancelling: j.CancelRequestedAt != nil, DurationMS: JobDuration(j, now).Milliseconds(), Error: j.Error,
		Totals: Totals(j.Totals),
	}
	for _, r := range results {
		v := Result{
			Name: r.DatabaseName, ID: r.DatabaseID, Status: r.Status, BackupID: r.CopyID, Key: r.Key, SizeBytes: r.Size,
			Tables: r.Tables, Rows: r.Rows, DurationMS: r.Duration.Milliseconds(), Consistency: r.Consistency,
			Error: r.Error, Next: r.Next, Attempt: r.Attempt, Findings: r.Findings,
		}
		if r.CopyID != "" {
			if v.Proof = proofs[r.CopyID]; v.Proof == "" {
				v.Proof = backup.ProofPending
			}
		}
		if r.Status == backup.ResultRunning {
			v.Progress = &Progress{r.Progress.Table, r.Progress.Rows, r.Progress.Bytes}
			if r.StartedAt != nil {
				v.DurationMS = now.Sub(*r.StartedAt).Milliseconds()
			}
		}
		out.Databases = append(out.Databases, v)
	}
	return out
}

// JobDuration is how long a job took, or has taken so far.
func JobDuration(j backup.Job, now time.Time) time.Duration {
	switch {
	case j.StartedAt == nil:
		return 0
	case j.CompletedAt != nil:
		return j.CompletedAt.Sub(*j.StartedAt)
	}
	return max(0, now.Sub(*j.StartedAt))
}
