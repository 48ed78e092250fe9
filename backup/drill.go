package backup

import "time"

// Drill is a rehearsal: copies of every database are restored from their stored
// bytes, timed, and compared. It is a row of drills, and its ID is its job's.
type Drill struct {
	ID          string
	Trigger     Trigger
	RequestedBy string
	CreatedAt   time.Time
	StartedAt   *time.Time
	EndedAt     *time.Time
	Verdict     DrillVerdict
	Databases   int // whose copies were to be proven
	Passed      int // databases all of whose copies passed
	Failed      int
	Text        string        // the verdict in words
	Results     []DrillResult // where a query asked for them
}

// DrillVerdict is how a drill ended.
type DrillVerdict string

// The verdicts.
const (
	DrillOpen      DrillVerdict = ""          // queued or running
	DrillPassed    DrillVerdict = "passed"    // every copy restored
	DrillFailed    DrillVerdict = "failed"    // at least one did not, or could not be tried
	DrillCancelled DrillVerdict = "cancelled" // stopped by a person
)

// DrillRole says why a copy was proven.
type DrillRole string

// The roles.
const (
	DrillNewest DrillRole = "newest" // of its database
	DrillOldest DrillRole = "oldest" // that is kept
	DrillAsked  DrillRole = "asked"  // somebody wanted this one proven
)

// DrillResult is what proving one copy found: a row of drill_results.
type DrillResult struct {
	JobID        string
	Role         DrillRole
	DatabaseID   string
	DatabaseName string
	At           time.Time // when it ended
	CopyID       string    // "" where there was no copy
	Key          string
	Kind         CopyKind
	Date         Date
	TakenAt      *time.Time
	Size         int64 // stored bytes
	Tables       int
	Rows         int64
	Consistency  Consistency
	Passed       bool
	Untried      bool   // it did not pass, and nothing speaks against the copy itself
	Error        string // why it did not pass
	Next         string // what to do about it

	Load     time.Duration // fetched, hashed and loaded: the time to a SQLite file that works
	Check    time.Duration // integrity, keys, row counts
	Again    time.Duration // dumped once more and compared
	Findings int           // things to know that are no failure

	Source     SourceState // of the copy against its database
	SourceText string      // in words; "" where nobody compared
}

// SourceState says how a copy compares by value with its source.
type SourceState string

// The states.
const (
	SourceNotAsked SourceState = ""            // nobody compared
	SourceEqual    SourceState = "equal"       // no difference is seen
	SourceMoved    SourceState = "moved"       // the source was written to since, so that differences are to be expected
	SourceDiffers  SourceState = "differs"     // nobody wrote since, and yet they differ
	SourceUnknown  SourceState = "unavailable" // the source could not be asked
)
