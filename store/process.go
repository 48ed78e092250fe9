package store

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/AutumnsGrove/Patina/backup"
)

// Process is one that may run jobs. Its lease is its heartbeat, by Postgres's
// clock, so that clocks of hosts may differ.
type Process struct {
	ID          string // UUID; River's client id
	Hostname    string
	PID         int
	Namespace   string // in which the pid means something; "" where unknown
	StartedAt   time.Time
	HeartbeatAt time.Time
}

// Beat renews a process's lease, and enters it first if it is not there.
func (s *Store) Beat(ctx context.Context, p Process) error {
	_, err := s.db.Exec(ctx, `
		INSERT INTO processes (id, hostname, pid, namespace, started_at, heartbeat_at)
		VALUES ($1, $2, $3, $4, clock_timestamp(), clock_timestamp())
		ON CONFLICT (id) DO UPDATE SET heartbeat_at = clock_timestamp()`, p.ID, p.Hostname, p.PID, p.Namespace)
	return wrapErr("renew the lease", err)
}

// RemoveProcess ends a lease at once: the process has stopped or is known dead.
func (s *Store) RemoveProcess(ctx context.Context, id string) error {
	_, err := s.db.Exec(ctx, "DELETE FROM processes WHERE id = $1", id)
	return wrapErr("end a lease", err)
}

// Processes lists the processes, those long silent included until their jobs
// were handed back.
func (s *Store) Processes(ctx context.Context) ([]Process, error) {
	rows, err := s.db.Query(ctx, "SELECT id::text, hostname, pid, namespace, started_at, heartbeat_at FROM processes ORDER BY started_at, id")
	if err != nil {
		return nil, wrapErr("list processes", err)
	}
	out, err := pgx.CollectRows(rows, pgx.RowToStructByPos[Process])
	return out, wrapErr("list processes", err)
}

// HandBack takes from processes silent for longer than ttl what they were
// running, and from the process self the River jobs that it took longer than
// ttl ago and does not have in hand: their end could not be recorded. Each
// such River job is closed and put into the queue anew, as a row of its own, so
// that nothing a woken process reports can touch it; the attempt is not spent,
// and the result gets a new fencing token. Export slots of silent processes, and
// those whose attempt no longer runs, become free. It gives the ids of the River jobs that were handed
// back. Any number of processes may call it at once; only Postgres's clock is read.
func (s *Store) HandBack(ctx context.Context, ttl time.Duration, self string, inHand []int64) (handed []int64, err error) {
	if inHand == nil {
		inHand = []int64{}
	}
	err = s.InTx(ctx, func(_ pgx.Tx, s *Store) error {
		rows, err := s.db.Query(ctx, `SELECT id FROM river_job WHERE state = 'running' AND (
				NOT EXISTS (SELECT FROM processes p WHERE p.id::text = attempted_by[array_upper(attempted_by, 1)] AND p.heartbeat_at > clock_timestamp() - $1::interval)
				OR attempted_by[array_upper(attempted_by, 1)] = $2::text AND id <> ALL($3) AND attempted_at < clock_timestamp() - $1::interval)
			ORDER BY id LIMIT 500 FOR UPDATE SKIP LOCKED`, ttl, self, inHand)
		if err != nil {
			return err
		}
		if handed, err = pgx.CollectRows(rows, pgx.RowTo[int64]); err != nil {
			return err
		}
		for _, id := range handed {
			if err := s.handBack(ctx, id); err != nil {
				return err
			}
		}
		if _, err := s.db.Exec(ctx, `
			UPDATE export_slots e SET result_id = NULL, fence = 0, process_id = NULL, taken_at = NULL
			WHERE result_id IS NOT NULL AND (
				NOT EXISTS (SELECT FROM processes p WHERE p.id = e.process_id AND p.heartbeat_at > clock_timestamp() - $1::interval)
				OR NOT EXISTS (SELECT FROM backup_results r WHERE r.id = e.result_id AND r.fence = e.fence AND r.status = 'running'))`, ttl); err != nil {
			return err
		}
		_, err = s.db.Exec(ctx, "DELETE FROM processes WHERE heartbeat_at <= clock_timestamp() - $1::interval", ttl)
		return err
	})
	return handed, wrapErr("hand back the jobs of silent processes", err)
}

// handBack replaces one River job; one that was to be cancelled is only closed.
func (s *Store) handBack(ctx context.Context, id int64) error {
	var cancelled bool
	err := s.db.QueryRow(ctx, `
		UPDATE river_job SET state = 'cancelled', finalized_at = now(), metadata = metadata || '{"handed_back": true}'
		WHERE id = $1 RETURNING metadata ? 'cancel_attempted_at'`, id).Scan(&cancelled)
	if err != nil {
		return err
	}
	next := id
	if !cancelled {
		err = s.db.QueryRow(ctx, `
			INSERT INTO river_job (args, attempt, attempted_by, errors, kind, max_attempts, metadata, priority, queue, tags, unique_key, unique_states)
			SELECT args, greatest(attempt - 1, 0), attempted_by, errors, kind, max_attempts, metadata, priority, queue, tags, unique_key, unique_states
			FROM river_job WHERE id = $1 RETURNING id`, id).Scan(&next)
		if err != nil {
			return err
		}
		if _, err := s.db.Exec(ctx, "UPDATE schedule_slots SET river_job_id = $2 WHERE river_job_id = $1 AND status = 'running'", id, next); err != nil {
			return err
		}
	}
	if _, err := s.db.Exec(ctx, `
		UPDATE backup_jobs SET river_job_id = $2, fence = nextval('fence')
		WHERE river_job_id = $1 AND status IN ('queued', 'running')`, id, next); err != nil {
		return err
	}
	_, err = s.db.Exec(ctx, `
		UPDATE backup_results SET river_job_id = $2, fence = nextval('fence'), status = 'queued', process_id = NULL
		WHERE river_job_id = $1 AND status IN ('queued', 'running')`, id, next)
	return err
}

// lost is the condition that nothing will ever run River job q.
const lost = "(q.id IS NULL OR q.state IN ('cancelled', 'discarded', 'completed'))"

// LostResults gives the open results that nothing will ever end: their River
// job was cancelled, discarded, completed or is gone.
func (s *Store) LostResults(ctx context.Context) ([]backup.Result, error) {
	return s.results(ctx, `status IN ('queued', 'running') AND id IN (
		SELECT r.id FROM backup_results r LEFT JOIN river_job q ON q.id = r.river_job_id
		WHERE r.status IN ('queued', 'running') AND `+lost+`) ORDER BY created_at, id LIMIT 1000`)
}

// LostSlots gives the running slots without a job of ours that nothing will
// ever end.
func (s *Store) LostSlots(ctx context.Context) ([]Slot, error) {
	return s.slots(ctx, `status = 'running' AND job_id IS NULL AND NOT EXISTS (
		SELECT FROM river_job q WHERE q.id = schedule_slots.river_job_id AND NOT `+lost+`) ORDER BY slot LIMIT 1000`)
}
