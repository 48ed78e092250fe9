package ui

import "github.com/AutumnsGrove/Patina/backup"

// JobMark gives the mark of a job's status.
func JobMark(s backup.JobStatus) Mark {
	switch s {
	case backup.JobQueued:
		return Mark{"unknown", "hourglass", "queued"}
	case backup.JobRunning:
		return Mark{"running", "loader", "running"}
	case backup.JobCompleted:
		return Mark{"proven", "check", "completed"}
	case backup.JobPartial:
		return Mark{"attention", "triangle-alert", "partial"}
	case backup.JobFailed:
		return Mark{"failed", "circle-x", "failed"}
	case backup.JobCancelled:
		return Mark{"unknown", "ban", "cancelled"}
	}
	return Mark{"unknown", "circle-question-mark", string(s)}
}

// ResultMark gives the mark of what became of one database in a job.
func ResultMark(s backup.ResultStatus) Mark {
	switch s {
	case backup.ResultQueued:
		return Mark{"unknown", "hourglass", "queued"}
	case backup.ResultRunning:
		return Mark{"running", "loader", "running"}
	case backup.ResultSuccess:
		return Mark{"proven", "check", "success"}
	case backup.ResultFailed:
		return Mark{"failed", "circle-x", "failed"}
	case backup.ResultSkipped:
		return Mark{"unknown", "circle-minus", "skipped"}
	}
	return Mark{"unknown", "circle-question-mark", string(s)}
}

// CopyMark gives the mark of a stored copy.
func CopyMark(c backup.Copy) Mark {
	switch {
	case c.QuarantinedAt != nil || c.Proof == backup.ProofSuspect:
		return Mark{"failed", "circle-x", "suspect"}
	case c.Proof == backup.ProofProven:
		return Mark{"proven", "circle-check", "proven"}
	}
	return Mark{"stored", "circle", "stored"}
}

// StateWord is how safe a database is, in the one word that pages and programs use.
type StateWord string

// The states of a database.
const (
	Proven    StateWord = "proven"
	Stored    StateWord = "stored"
	Attention StateWord = "attention"
	Failed    StateWord = "failed"
	Unknown   StateWord = "unknown"
)

// DatabaseMark gives the mark of a database's state.
func DatabaseMark(s StateWord) Mark {
	switch s {
	case Proven:
		return Mark{"proven", "circle-check", "proven"}
	case Stored:
		return Mark{"stored", "circle", "stored"}
	case Attention:
		return Mark{"attention", "triangle-alert", "attention"}
	case Failed:
		return Mark{"failed", "circle-x", "failed"}
	}
	return Mark{"unknown", "circle-question-mark", "unknown"}
}
