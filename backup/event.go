package backup

import "time"

// Event is something that somebody may want to be told. It is written in the
// transaction that caused it, so that none is lost and none told twice.
type Event struct {
	ID           string // UUIDv7
	At           time.Time
	Kind         EventKind
	Once         string // of one kind, the same Once is recorded once; "" always
	DatabaseID   string // "" where it is about none
	DatabaseName string
	JobID        string // "" where no job is behind it
	CopyID       string // "" where it is about none
	Message      string // what happened, to what, and what was kept
	Next         string // what to do; may be empty
}

// EventKind says what happened.
type EventKind string

// The kinds of event.
const (
	EventJobFailed         EventKind = "job.failed"          // partial and cancelled too
	EventJobSucceeded      EventKind = "job.succeeded"       //
	EventJobLong           EventKind = "job.long"            // still running after 45 minutes
	EventSizeAnomaly       EventKind = "size.anomaly"        //
	EventRowsAnomaly       EventKind = "rows.anomaly"        //
	EventSlotMissed        EventKind = "slot.missed"         //
	EventWeeklySkipped     EventKind = "weekly.skipped"      // nightly still runs
	EventRestoreFinished   EventKind = "restore.finished"    //
	EventRestoreFailed     EventKind = "restore.failed"      //
	EventStale             EventKind = "stale"               // no proven copy within the objective
	EventRecovered         EventKind = "recovered"           //
	EventProofFailed       EventKind = "proof.failed"        //
	EventDrillFailed       EventKind = "drill.failed"        //
	EventObjectDamaged     EventKind = "object.damaged"      // missing or corrupted
	EventDatabaseNew       EventKind = "database.new"        //
	EventDatabaseGone      EventKind = "database.gone"       //
	EventDatabaseRenamed   EventKind = "database.renamed"    //
	EventDeliveryFailing   EventKind = "delivery.failing"    //
	EventRetentionHeldBack EventKind = "retention.held_back" //
	EventSummary           EventKind = "summary"             // of a day
	EventTest              EventKind = "test"                // a person tries a channel
)
