package alert

import (
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/AutumnsGrove/Patina/backup"
)

// Version is that of the payload: docs/webhook.schema.json. Fields may be
// added within a version, never renamed or removed.
const Version = 1

// How much of each a payload holds, so that a receiver that takes 1 MiB takes
// any: failures come first, and what is left out is counted.
const (
	mostDatabases = 500
	mostEvents    = 100
	mostErrors    = 100
	mostText      = 1000 // bytes of one text
)

// Message is what a channel is told, and the payload of a webhook.
type Message struct {
	Version   int              `json:"version"`
	ID        string           `json:"id"` // the same at every try: receivers may drop what they have
	Timestamp time.Time        `json:"timestamp"`
	Event     backup.EventKind `json:"event"` // the gravest of events
	Status    string           `json:"status"`
	Severity  Severity         `json:"severity"`
	Title     string           `json:"title"`
	Message   string           `json:"message"`
	Next      string           `json:"next"`
	JobID     string           `json:"job_id"` // of the only or the first job; "" for none
	JobStatus backup.JobStatus `json:"job_status"`
	Trigger   backup.Trigger   `json:"trigger"`
	Databases []Database       `json:"databases"`
	Totals    Totals           `json:"totals"`
	Errors    []Failure        `json:"errors"`
	Events    []Event          `json:"events"`
	Omitted   Omitted          `json:"omitted"`
	URL       string           `json:"url"` // "" where nobody set PATINA_PUBLIC_URL
}

// Database is what became of one database in a job of the message.
type Database struct {
	JobID         string              `json:"job_id"`
	ID            string              `json:"id"`
	Name          string              `json:"name"`
	Status        backup.ResultStatus `json:"status"`
	Key           string              `json:"key"`
	SizeBytes     int64               `json:"size_bytes"`
	Tables        int                 `json:"tables"`
	Rows          int64               `json:"rows"`
	DurationMS    int64               `json:"duration_ms"`
	Consistency   backup.Consistency  `json:"consistency"`
	Proof         backup.ProofState   `json:"proof"` // "" without a copy
	Error         string              `json:"error"`
	Next          string              `json:"next"`
	Requests      int                 `json:"requests"`
	Retries       int                 `json:"retries"`
	RowsRead      int64               `json:"rows_read"`
	BytesReceived int64               `json:"bytes_received"`
}

// Totals sums the jobs of the message.
type Totals struct {
	Databases  int   `json:"databases"`
	Succeeded  int   `json:"succeeded"`
	Failed     int   `json:"failed"`
	Skipped    int   `json:"skipped"`
	Bytes      int64 `json:"bytes"`
	Rows       int64 `json:"rows"`
	DurationMS int64 `json:"duration_ms"`
}

// Failure is an error, and what to do about it.
type Failure struct {
	Database string `json:"database"` // "" where it is about none
	JobID    string `json:"job_id"`
	Message  string `json:"message"`
	Next     string `json:"next"`
}

// Event is one of the events that a message tells.
type Event struct {
	ID         string           `json:"id"`
	Event      backup.EventKind `json:"event"`
	Severity   Severity         `json:"severity"`
	Timestamp  time.Time        `json:"timestamp"`
	DatabaseID string           `json:"database_id"`
	Database   string           `json:"database"`
	JobID      string           `json:"job_id"`
	CopyID     string           `json:"copy_id"`
	Message    string           `json:"message"`
	Next       string           `json:"next"`
}

// Omitted counts what did not fit.
type Omitted struct {
	Databases int `json:"databases"`
	Errors    int `json:"errors"`
	Events    int `json:"events"`
}

// JobFacts is a job that an event is about, with its results.
type JobFacts struct {
	Job     backup.Job
	Results []backup.Result
}

// Facts is what a message is made of.
type Facts struct {
	ID     string // of the message
	At     time.Time
	Events []backup.Event      // at least one
	Jobs   map[string]JobFacts // those that the events name, as far as they are known
	Base   string              // what links begin with; "" for none
}

// Compose makes the message that tells these events.
func Compose(f Facts) Message {
	events := slices.Clone(f.Events)
	slices.SortStableFunc(events, func(a, b backup.Event) int {
		return cmp.Or(cmp.Compare(rankOf(SeverityOf(a)), rankOf(SeverityOf(b))), a.At.Compare(b.At))
	})
	first := events[0]
	m := Message{
		Version: Version, ID: f.ID, Timestamp: f.At.UTC(), Event: first.Kind, Severity: SeverityOf(first), Status: "success",
		Title: shorten(oneLine(titleOf(events)), 250), Message: shorten(first.Message, 2*mostText), Next: shorten(first.Next, mostText),
		Databases: []Database{}, Errors: []Failure{}, Events: []Event{},
	}
	if m.Severity != Info {
		m.Status = "failed"
	}
	seen := map[string]bool{}
	for _, e := range events {
		m.addEvent(e)
		if job, ok := f.Jobs[e.JobID]; ok && !seen[e.JobID] {
			seen[e.JobID] = true
			m.addJob(job, f.At)
		}
	}
	m.bound()
	if f.Base != "" {
		m.URL = f.Base + pathOf(first)
	}
	return m
}

func rankOf(s Severity) int {
	switch s {
	case Critical:
		return 0
	case Warning:
		return 1
	}
	return 2
}

// pathOf is the page on which an event is to be seen.
func pathOf(e backup.Event) string {
	switch {
	case e.JobID != "":
		return "/jobs/" + e.JobID
	case e.DatabaseID != "":
		return "/databases/" + e.DatabaseID
	case e.Kind == backup.EventDeliveryFailing, e.Kind == backup.EventTest:
		return "/alerts"
	}
	return "/"
}

func (m *Message) addEvent(e backup.Event) {
	m.Events = append(m.Events, Event{
		ID: e.ID, Event: e.Kind, Severity: SeverityOf(e), Timestamp: e.At.UTC(), DatabaseID: e.DatabaseID, Database: shorten(e.DatabaseName, mostText), JobID: e.JobID,
		CopyID: e.CopyID, Message: shorten(e.Message, mostText), Next: shorten(e.Next, mostText),
	})
	if SeverityOf(e) != Info && e.Kind != backup.EventSummary {
		m.Errors = append(m.Errors, Failure{shorten(e.DatabaseName, mostText), e.JobID, shorten(e.Message, mostText), shorten(e.Next, mostText)})
	}
}

func (m *Message) addJob(f JobFacts, now time.Time) {
	j, t := f.Job, f.Job.Totals
	if m.JobID == "" {
		m.JobID, m.JobStatus, m.Trigger = j.ID, j.Status, j.Trigger
	}
	m.Totals.Databases += t.Databases
	m.Totals.Succeeded += t.Succeeded
	m.Totals.Failed += t.Failed
	m.Totals.Skipped += t.Skipped
	m.Totals.Bytes += t.Bytes
	m.Totals.Rows += t.Rows
	if j.StartedAt != nil {
		end := now
		if j.CompletedAt != nil {
			end = *j.CompletedAt
		}
		m.Totals.DurationMS += max(end.Sub(*j.StartedAt).Milliseconds(), 0)
	}
	for _, r := range f.Results {
		d := Database{
			JobID: r.JobID, ID: r.DatabaseID, Name: shorten(r.DatabaseName, mostText), Status: r.Status, Key: r.Key, SizeBytes: r.Size, Tables: r.Tables, Rows: r.Rows,
			DurationMS: r.Duration.Milliseconds(), Consistency: r.Consistency, Error: shorten(r.Error, mostText), Next: shorten(r.Next, mostText),
			Requests: r.Cost.Requests, Retries: r.Cost.Retries, RowsRead: r.Cost.RowsRead, BytesReceived: r.Cost.Bytes,
		}
		if r.CopyID != "" {
			d.Proof = backup.ProofPending // it is proven after this is told
		}
		m.Databases = append(m.Databases, d)
		if r.Status == backup.ResultFailed {
			m.Errors = append(m.Errors, Failure{d.Name, r.JobID, d.Error, d.Next})
		}
	}
}

// bound keeps the payload within what receivers take, failures first.
func (m *Message) bound() {
	slices.SortStableFunc(m.Databases, func(a, b Database) int { return cmp.Compare(statusRank(a.Status), statusRank(b.Status)) })
	if n := len(m.Databases) - mostDatabases; n > 0 {
		m.Databases, m.Omitted.Databases = m.Databases[:mostDatabases], n
	}
	if n := len(m.Errors) - mostErrors; n > 0 {
		m.Errors, m.Omitted.Errors = m.Errors[:mostErrors], n
	}
	if n := len(m.Events) - mostEvents; n > 0 {
		m.Events, m.Omitted.Events = m.Events[:mostEvents], n
	}
}

func statusRank(s backup.ResultStatus) int {
	switch s {
	case backup.ResultFailed:
		return 0
	case backup.ResultSuccess:
		return 2
	}
	return 1
}

// Body gives the payload as it is sent and signed.
func (m Message) Body() []byte {
	b, err := json.Marshal(m)
	if err != nil {
		panic(err) // strings, numbers and times only
	}
	return b
}

// names are what people call the events: one, and several.
var names = map[backup.EventKind][2]string{
	backup.EventJobFailed:         {"a backup failed", "backups failed"},
	backup.EventJobSucceeded:      {"a backup succeeded", "backups succeeded"},
	backup.EventJobLong:           {"a backup runs long", "backups run long"},
	backup.EventSizeAnomaly:       {"a backup's size is unusual", "backups' sizes are unusual"},
	backup.EventRowsAnomaly:       {"a backup's rows are unusual", "backups' rows are unusual"},
	backup.EventSlotMissed:        {"a run was missed", "runs were missed"},
	backup.EventWeeklySkipped:     {"the weekly archive was skipped", "weekly archives were skipped"},
	backup.EventRestoreFinished:   {"a restore finished", "restores finished"},
	backup.EventRestoreFailed:     {"a restore failed", "restores failed"},
	backup.EventStale:             {"a database has no recent proven copy", "databases have no recent proven copy"},
	backup.EventRecovered:         {"a database is protected again", "databases are protected again"},
	backup.EventProofFailed:       {"a copy does not restore", "copies do not restore"},
	backup.EventDrillFailed:       {"the restore drill failed", "restore drills failed"},
	backup.EventObjectDamaged:     {"a stored object is damaged", "stored objects are damaged"},
	backup.EventDatabaseNew:       {"a new database is protected", "new databases are protected"},
	backup.EventDatabaseGone:      {"a database is gone", "databases are gone"},
	backup.EventDatabaseRenamed:   {"a database was renamed", "databases were renamed"},
	backup.EventDeliveryFailing:   {"an alert could not be delivered", "alerts could not be delivered"},
	backup.EventRetentionHeldBack: {"retention held back", "retention held back"},
	backup.EventSummary:           {"daily summary", "daily summaries"},
	backup.EventTest:              {"this is a test", "these are tests"},
}

// Title names one kind of event, for people.
func Title(kind backup.EventKind) string {
	if n, ok := names[kind]; ok {
		return n[0]
	}
	return string(kind)
}

// titleOf names the events of a message, the gravest first.
func titleOf(events []backup.Event) string {
	if len(events) == 1 {
		e := events[0]
		t := Title(e.Kind)
		switch {
		case e.DatabaseName != "":
			return e.DatabaseName + ": " + t
		case e.Kind == backup.EventDatabaseNew, e.Kind == backup.EventDatabaseGone, e.Kind == backup.EventDatabaseRenamed:
			t = names[e.Kind][1] // without a name it is about several
		case e.Kind == backup.EventSummary:
			return "Daily summary of " + e.At.UTC().Format("2006-01-02")
		}
		return strings.ToUpper(t[:1]) + t[1:]
	}
	var kinds []backup.EventKind
	n := map[backup.EventKind]int{}
	for _, e := range events {
		if n[e.Kind] == 0 {
			kinds = append(kinds, e.Kind)
		}
		n[e.Kind]++
	}
	parts := make([]string, len(kinds))
	for i, k := range kinds {
		if parts[i] = Title(k); n[k] > 1 {
			many := string(k)
			if w, ok := names[k]; ok {
				many = w[1]
			}
			parts[i] = fmt.Sprintf("%d %s", n[k], many)
		}
	}
	t := strings.Join(parts, ", ")
	return strings.ToUpper(t[:1]) + t[1:]
}
