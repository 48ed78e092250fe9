package restores

import (
	"time"

	"github.com/AutumnsGrove/Patina/backup"
	"github.com/AutumnsGrove/Patina/backup/restore"
)

// answer is a restore as programs get it. Fields may be added, never renamed.
type answer struct {
	ID             string               `json:"id"`
	Status         backup.JobStatus     `json:"status,omitempty"`
	Target         backup.RestoreTarget `json:"target"`
	Backup         string               `json:"backup,omitempty"`
	Database       string               `json:"database"`
	DatabaseID     string               `json:"database_id"`
	Name           string               `json:"name"`
	TargetID       string               `json:"target_id"`
	Tables         []string             `json:"tables"`
	Step           backup.RestoreStep   `json:"step"`
	Outcome        string               `json:"outcome"`
	Next           string               `json:"next"`
	Checks         []backup.Check       `json:"checks"`
	Bookmark       string               `json:"bookmark,omitempty"`
	BookmarkBefore string               `json:"bookmark_before"`
	SafetyBackup   string               `json:"safety_backup,omitempty"`
	Statements     int64                `json:"statements"`
	RowsWritten    int64                `json:"rows_written"`
	BytesSent      int64                `json:"bytes_sent"`
	BytesTotal     int64                `json:"bytes_total"`
	CreatedAt      time.Time            `json:"created_at"`
	EndedAt        *time.Time           `json:"ended_at"`
}

func answerOf(r backup.Restore, j backup.Job) answer {
	a := answer{
		ID: r.ID, Status: j.Status, Target: r.Target, Backup: r.CopyID, Database: r.DatabaseName, DatabaseID: r.DatabaseID, Name: r.Name, TargetID: r.TargetID,
		Tables: r.Tables, Step: r.Step, Outcome: r.Outcome, Next: r.Next, Checks: r.Checks, Bookmark: r.Bookmark, BookmarkBefore: r.BookmarkBefore,
		SafetyBackup: r.SafetyCopyID, Statements: r.Statements, RowsWritten: r.RowsWritten, BytesSent: r.ProgressBytes, BytesTotal: r.ProgressTotal,
		CreatedAt: r.CreatedAt, EndedAt: r.EndedAt,
	}
	if a.Tables == nil {
		a.Tables = []string{}
	}
	if a.Checks == nil {
		a.Checks = []backup.Check{}
	}
	return a
}

// answerForm is the choice, and with a target chosen what the restore would do.
func answerForm(c backup.Copy, asked backup.Restore, plan *restore.Plan) any {
	tables := []string{}
	if c.Manifest != nil {
		for _, s := range c.Manifest.Sections {
			if s.Kind == "table" {
				tables = append(tables, s.Name)
			}
		}
	}
	out := map[string]any{
		"backup": c.ID, "database": c.DatabaseName, "proof": c.Proof, "bookmark": c.BookmarkBefore, "tables": tables,
		"targets": []backup.RestoreTarget{backup.RestoreNew, backup.RestoreInPlace, backup.RestoreBookmark},
	}
	if plan != nil {
		out["target"], out["name"], out["plan"] = asked.Target, asked.Name, plan
	}
	return out
}
