package backup

import "time"

// RestoreTarget says where a restore puts what it restores.
type RestoreTarget string

// The targets.
const (
	RestoreNew      RestoreTarget = "new"      // a new database of the account
	RestoreInPlace  RestoreTarget = "in_place" // over what a database holds
	RestoreFile     RestoreTarget = "file"     // a SQLite file; on the command line alone
	RestoreBookmark RestoreTarget = "bookmark" // the database's own Time Travel, in place
)

// Restore is one restore: what goes where, how far it has come, and the way
// back. It is a row of restores, and its ID is its job's.
type Restore struct {
	ID           string        // of its job, UUIDv7
	Target       RestoreTarget //
	CopyID       string        // what is restored; "" for a bookmark, or a file that no catalogue knows
	DatabaseID   string        // whose copy it is
	DatabaseName string        //
	Tables       []string      // only these, each beside the old one; none: the whole database
	Name         string        // of the database to make, or of the one restored in place
	TargetID     string        // its UUID, once it is known
	Confirm      string        // the name as a person typed it, for in place
	Bookmark     string        // for RestoreBookmark: where to

	Step           RestoreStep // the last that was begun
	SafetyCopyID   string      // what the database held just before
	BookmarkBefore string      // the same, for Time Travel: the way back
	ImportBookmark string      // what to ask D1 with for how far the import has come
	BookmarkAfter  string      // of what the import left
	ProgressBytes  int64       // of the upload
	ProgressTotal  int64
	Statements     int64 // that the import ran
	RowsWritten    int64
	Checks         []Check // what was compared at the end
	CreatedAt      time.Time
	EndedAt        *time.Time
	Outcome        string // in words, once it has ended
	Next           string // what to do, or the way back
}

// RestoreStep is how far a restore has come. What a restore did before it died
// is known from the step it had begun.
type RestoreStep string

// The steps, in order. Up to StepImport nothing that was there is changed.
const (
	StepQueued    RestoreStep = "queued"
	StepPreflight RestoreStep = "preflight" // is it allowed, is there room, is the copy whole
	StepSafety    RestoreStep = "safety"    // in place: a copy of what is there now
	StepCreate    RestoreStep = "create"    // new: the empty database
	StepBookmark  RestoreStep = "bookmark"  // the way back is noted
	StepUpload    RestoreStep = "upload"    // the SQL is given to D1; nothing is run yet
	StepEmpty     RestoreStep = "empty"     // in place: what is there is dropped
	StepImport    RestoreStep = "import"    // D1 runs the SQL
	StepCheck     RestoreStep = "check"     // what is there now, against the copy
	StepDone      RestoreStep = "done"
	StepUndo      RestoreStep = "undo" // back to the bookmark
)

// Check is one comparison and how it came out.
type Check struct {
	Name string `json:"name"` // "rows", "schema", "values", …
	OK   bool   `json:"ok"`
	Text string `json:"text"` // in words
}
