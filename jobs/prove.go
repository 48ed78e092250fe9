package jobs

import (
	"context"
	"errors"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/riverqueue/river"

	"github.com/AutumnsGrove/Patina/backup"
	"github.com/AutumnsGrove/Patina/backup/prove"
	"github.com/AutumnsGrove/Patina/store"
)

// queueProve runs proofs, one at a time in a process: each loads a whole
// database, and must not hold up the next export.
const queueProve = "prove"

// proveAttempts is how often a proof that could not be tried is tried again; a
// copy that was found bad is bad the first time.
const proveAttempts = 8

// proveTimeout bounds one proof. It is above what backup/prove allows itself.
const proveTimeout = 7 * time.Hour

type proveArgs struct {
	CopyID string `json:"copy_id"`
}

// Kind names the work in River.
func (proveArgs) Kind() string { return "prove" }

type proveWorker struct {
	river.WorkerDefaults[proveArgs]
	r *Runner
}

// Timeout bounds one proof.
func (w *proveWorker) Timeout(*river.Job[proveArgs]) time.Duration { return proveTimeout }

// Work proves one copy and records what was found. A proof of a copy that is
// proven already, or gone, changes nothing.
func (w *proveWorker) Work(ctx context.Context, job *river.Job[proveArgs]) error {
	r := w.r
	c, err := r.store.Copy(ctx, job.Args.CopyID)
	if errors.Is(err, backup.ErrNotFound) || err == nil && (c.DeletedAt != nil || c.Proof == backup.ProofProven || c.Manifest == nil) {
		return nil
	}
	if err != nil {
		return plain(err)
	}
	release, err := r.store.ReadingFor(ctx, "a proof", c.ID)
	if errors.Is(err, backup.ErrNotFound) {
		return nil
	}
	if err != nil {
		return plain(err)
	}
	defer release()
	began := r.now()
	p, err := r.prove(ctx, c, prove.Options{})
	took := r.now().Sub(began).Milliseconds()
	switch {
	case err == nil:
		err = r.persist(ctx, func(ctx context.Context, _ pgx.Tx, s *store.Store) error {
			err := s.SetProof(ctx, c.ID, backup.ProofProven, r.now(), "")
			if err == nil && p != nil {
				err = s.AddFindings(ctx, c.ID, p.Findings)
			}
			return err
		})
		r.log.Info("proven", "database", c.DatabaseName, "copy_id", c.ID, "key", c.Key, "bytes", c.Size, "rows", c.Rows, "duration_ms", took)
	case errors.Is(err, backup.ErrCorrupt):
		message, _ := words(ctx, err)
		err = r.suspect(ctx, c, message)
		r.log.Error("a copy does not prove", "database", c.DatabaseName, "copy_id", c.ID, "key", c.Key, "duration_ms", took)
	default:
		r.log.Warn("a proof could not be tried", "database", c.DatabaseName, "copy_id", c.ID, "error", kindName(err))
	}
	if err != nil {
		return plain(err)
	}
	return nil
}

// suspect records that a copy does not prove, and the event, in one transaction.
func (r *Runner) suspect(ctx context.Context, c backup.Copy, message string) error {
	return r.persist(ctx, func(ctx context.Context, _ pgx.Tx, s *store.Store) error { return r.markSuspect(ctx, s, c, message) })
}

func (r *Runner) markSuspect(ctx context.Context, s *store.Store, c backup.Copy, message string) error {
	if err := s.SetProof(ctx, c.ID, backup.ProofSuspect, r.now(), message); err != nil {
		return err
	}
	_, err := s.AddEvent(ctx, backup.Event{
		ID: newID(), At: r.now(), Kind: backup.EventProofFailed, Once: c.ID, DatabaseID: c.DatabaseID, DatabaseName: c.DatabaseName,
		JobID: c.JobID, CopyID: c.ID, Message: "The copy of " + c.DatabaseName + " at " + c.Key + " does not restore: " + message,
		Next: "Earlier copies are untouched. Back the database up again, and look what the reason says.",
	})
	return err
}

// proveLater puts the proof of a copy into the queue, in the transaction that
// records the copy.
func (r *Runner) proveLater(ctx context.Context, tx pgx.Tx, copyID string) error {
	_, err := r.river.InsertTx(ctx, tx, proveArgs{copyID}, &river.InsertOpts{Queue: queueProve, MaxAttempts: proveAttempts})
	return err
}
