package backup

import "time"

// JobKind is what a job does.
type JobKind string

// The kinds of job.
const (
	JobBackup  JobKind = "backup"
	JobArchive JobKind = "archive"
	JobRestore JobKind = "restore"
	JobProve   JobKind = "prove"
	JobCleanup JobKind = "cleanup"
)

// Trigger is what started a job.
type Trigger string

// The triggers.
const (
	TriggerNightly Trigger = "nightly"
	TriggerWeekly  Trigger = "weekly"
	TriggerMonthly Trigger = "monthly"
	TriggerManual  Trigger = "manual" // a person, in the dashboard or on the command line
	TriggerAPI     Trigger = "api"    // a program, with an API token
)

// JobStatus is the state of a job: queued → running → one of the last four.
type JobStatus string

// The states of a job.
const (
	JobQueued    JobStatus = "queued"
	JobRunning   JobStatus = "running"
	JobCompleted JobStatus = "completed" // every database succeeded
	JobPartial   JobStatus = "partial"   // some succeeded
	JobFailed    JobStatus = "failed"    // none succeeded
	JobCancelled JobStatus = "cancelled" // stopped by a person
)

// Ended tells whether the status is final.
func (s JobStatus) Ended() bool { return s != JobQueued && s != JobRunning }

// ResultStatus is the state of one database within a job.
type ResultStatus string

// The states of a result.
const (
	ResultQueued  ResultStatus = "queued"
	ResultRunning ResultStatus = "running"
	ResultSuccess ResultStatus = "success"
	ResultFailed  ResultStatus = "failed"
	ResultSkipped ResultStatus = "skipped"
)

// Ended tells whether the status is final.
func (s ResultStatus) Ended() bool { return s != ResultQueued && s != ResultRunning }

// Totals sums the results of a job.
type Totals struct {
	Databases, Succeeded, Failed, Skipped int
	Bytes, Rows                           int64
}

// Transition is one change of a job's status, kept on the job for ever.
type Transition struct {
	Status JobStatus `json:"status"`
	At     time.Time `json:"at"`
	By     string    `json:"by,omitempty"`     // a person, a token, or the process
	Reason string    `json:"reason,omitempty"` // why, in words
}

// Job is a run over one or more databases: a row of backup_jobs.
type Job struct {
	ID                string // UUIDv7
	Kind              JobKind
	Trigger           Trigger
	Status            JobStatus
	ScheduleID        string     // with Slot: the slot this job answers for; "" for none
	Slot              *time.Time // the due time, UTC
	Date              Date       // the UTC date under which its copies are filed
	RequestedBy       string
	RetryOf           string // the job whose failures this one tries again; "" for none
	CreatedAt         time.Time
	StartedAt         *time.Time
	CompletedAt       *time.Time
	CancelRequestedAt *time.Time
	CancelRequestedBy string
	Totals            Totals
	Error             string
	Transitions       []Transition
}

// Result is what became of one database in one job: a row of backup_results.
// It outlives the object it describes.
type Result struct {
	ID           string // UUIDv7
	JobID        string
	DatabaseID   string
	DatabaseName string // as it was at the time
	Status       ResultStatus
	ScheduleID   string
	Slot         *time.Time
	Date         Date
	Attempt      int   // 0 before the first
	Fence        int64 // the token of the attempt that may write; higher wins
	RiverJobID   int64
	CreatedAt    time.Time
	StartedAt    *time.Time
	CompletedAt  *time.Time
	Duration     time.Duration
	CopyID       string // the copy it made; "" while there is none
	Key          string // the object's key; "" while there is none
	Size         int64  // stored bytes
	Tables       int
	Rows         int64
	Consistency  Consistency
	Error        string // what went wrong, for people
	Next         string // what to do about it
	Findings     []Finding
	Cost         Cost
	Progress     Progress
}

// Progress is how far a running export has come.
type Progress struct {
	Table string    // the table being read; "" before the first
	Rows  int64     // rows written so far
	Bytes int64     // SQL bytes written so far
	At    time.Time // when this was true
}

// Cost is what reading a database cost: Cloudflare bills rows read.
type Cost struct {
	Requests int   `json:"requests"`
	Retries  int   `json:"retries"`
	RowsRead int64 `json:"rows_read"`
	Bytes    int64 `json:"bytes"` // received
}

// Request asks the job layer for work. Exactly one action.
type Request struct {
	Action         Action
	Databases      []string // names, for ActionBackup; empty means all. For ActionErase one UUID
	JobID          string   // for ActionCancel and ActionRetry
	CopyID         string   // for ActionProve and ActionRestore
	Values         bool     // for ActionProve: compare with the source too, by value
	Restore        *Restore // for ActionRestore: what to put where
	Week           string   // for ActionArchive: 2026-W48
	ChannelID      string   // for ActionTest
	Trigger        Trigger
	Actor          string // who asks, for the record
	IdempotencyKey string // "" for none; remembered per actor
	BodySHA256     string // of the request, to tell a repeat from a reuse of the key
}

// Action is what a Request asks for.
type Action string

// The actions.
const (
	ActionBackup Action = "backup"
	ActionCancel Action = "cancel"
	ActionRetry  Action = "retry" // the failed databases of an ended job, as a new job

	ActionProve   Action = "prove"   // one copy, now
	ActionDrill   Action = "drill"   // the newest copy of every database, with a certificate
	ActionRestore Action = "restore" // one copy into a database
	ActionArchive Action = "archive" // one week
	ActionCleanup Action = "cleanup" // what has expired, and both ways between catalogue and bucket
	ActionTest    Action = "test"    // a message to one alert channel
	ActionErase   Action = "erase"   // all copies of one database that is gone
)

// Started answers a Request.
type Started struct {
	JobID     string
	Status    JobStatus
	Databases []string  // names that will be backed up
	Skipped   []Skipped // names that were busy, for a request of several
	Repeated  bool      // the answer of an earlier request with the same idempotency key
}

// Skipped is a database left out of a job since another job has it.
type Skipped struct {
	Name  string
	JobID string // the job that has it
}

// BusyError says that the one database asked for is already being backed up.
// It is of kind ErrConflict.
type BusyError struct {
	Name  string
	JobID string
}

// Error names the database and the job that has it.
func (e *BusyError) Error() string {
	return e.Name + " is already being backed up by job " + e.JobID
}

// Is makes errors.Is(err, ErrConflict) true.
func (e *BusyError) Is(target error) bool { return target == ErrConflict }
