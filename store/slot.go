package store

import (
	"context"
	"errors"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/AutumnsGrove/Patina/backup"
)

// Schedule is a cron spec in UTC whose due times are slots.
type Schedule struct {
	ID        string
	Kind      string // "backup", "archive", "discovery", "drill", "cleanup", "meta", "scrub" or "summary"
	Spec      string
	CreatedAt time.Time // slots before it do not count
	Paused    bool
}

// Slot is one due time of a schedule: a line of the ledger.
type Slot struct {
	ScheduleID string
	Slot       time.Time
	Status     SlotStatus
	JobID      string // "" where no job of ours answers for it
	RiverJobID int64  // for a slot without a job
	Reason     string
	CreatedAt  time.Time
	EndedAt    *time.Time
}

// SlotStatus is the state of a slot: running, then one of the others.
type SlotStatus string

// The states of a slot.
const (
	SlotRunning SlotStatus = "running"
	SlotDone    SlotStatus = "done"
	SlotFailed  SlotStatus = "failed"
	SlotSkipped SlotStatus = "skipped"
	SlotMissed  SlotStatus = "missed"
)

// PutSchedule creates a schedule, or gives it another spec; then it counts as
// created anew, since its earlier due times were those of the old spec.
func (s *Store) PutSchedule(ctx context.Context, sc Schedule) (created bool, err error) {
	err = s.db.QueryRow(ctx, `
		INSERT INTO schedules (id, kind, spec, created_at) VALUES ($1, $2, $3, $4)
		ON CONFLICT (id) DO UPDATE SET kind = excluded.kind, spec = excluded.spec,
			created_at = CASE WHEN schedules.spec = excluded.spec THEN schedules.created_at ELSE excluded.created_at END
		RETURNING xmax = 0`, sc.ID, sc.Kind, sc.Spec, sc.CreatedAt).Scan(&created)
	return created, wrapErr("keep schedule "+sc.ID, err)
}

// Schedule gives one schedule. Errors: ErrNotFound.
func (s *Store) Schedule(ctx context.Context, id string) (Schedule, error) {
	var sc Schedule
	err := s.db.QueryRow(ctx, "SELECT id, kind, spec, created_at, paused FROM schedules WHERE id = $1", id).
		Scan(&sc.ID, &sc.Kind, &sc.Spec, &sc.CreatedAt, &sc.Paused)
	return sc, wrapErr("schedule "+strconv.Quote(id), err)
}

// Schedules lists the schedules by name.
func (s *Store) Schedules(ctx context.Context) ([]Schedule, error) {
	rows, err := s.db.Query(ctx, "SELECT id, kind, spec, created_at, paused FROM schedules ORDER BY id")
	if err != nil {
		return nil, wrapErr("list schedules", err)
	}
	out, err := pgx.CollectRows(rows, pgx.RowToStructByPos[Schedule])
	return out, wrapErr("list schedules", err)
}

// LedgerBefore gives the last but one of a schedule's recorded slots at or
// before now; zero when there are not two. What is due is looked for from there
// on, so that a gap before the newest slot, left by a clock that had jumped, is
// found too.
func (s *Store) LedgerBefore(ctx context.Context, scheduleID string, now time.Time) (time.Time, error) {
	var at time.Time
	err := s.db.QueryRow(ctx, "SELECT slot FROM schedule_slots WHERE schedule_id = $1 AND slot <= $2 ORDER BY slot DESC OFFSET 1 LIMIT 1", scheduleID, now).Scan(&at)
	if errors.Is(err, pgx.ErrNoRows) {
		return time.Time{}, nil
	}
	return at.UTC(), wrapErr("read the ledger", err)
}

// ForgetFutureMissed removes slots recorded as missed that have not come yet:
// a clock had jumped ahead.
func (s *Store) ForgetFutureMissed(ctx context.Context, scheduleID string, now time.Time) error {
	_, err := s.db.Exec(ctx, "DELETE FROM schedule_slots WHERE schedule_id = $1 AND slot > $2 AND status = 'missed'", scheduleID, now)
	return wrapErr("forget slots that have not come", err)
}

// ClaimSlot records a slot as running; false where the ledger has it already,
// whoever wrote it. A second claim waits for the first one's transaction.
func (s *Store) ClaimSlot(ctx context.Context, scheduleID string, slot, at time.Time) (bool, error) {
	tag, err := s.db.Exec(ctx, `
		INSERT INTO schedule_slots (schedule_id, slot, status, created_at) VALUES ($1, $2, 'running', $3)
		ON CONFLICT DO NOTHING`, scheduleID, slot, at)
	return err == nil && tag.RowsAffected() == 1, wrapErr("claim a slot", err)
}

// RecordSlots records slots that ended without running: missed or skipped, and
// why. Those in the ledger already stay as they are. It gives how many were new.
func (s *Store) RecordSlots(ctx context.Context, scheduleID string, slots []time.Time, status SlotStatus, at time.Time, reason string) (int64, error) {
	tag, err := s.db.Exec(ctx, `
		INSERT INTO schedule_slots (schedule_id, slot, status, reason, created_at, ended_at)
		SELECT $1, slot, $3, $5, $4, $4 FROM unnest($2::timestamptz[]) AS slot ON CONFLICT DO NOTHING`,
		scheduleID, slots, status, at, reason)
	return tag.RowsAffected(), wrapErr("record slots", err)
}

// AssignSlot says which job answers for a slot from now on, and that the slot
// is running (again).
func (s *Store) AssignSlot(ctx context.Context, scheduleID string, slot time.Time, jobID string, riverJobID int64, reason string) error {
	_, err := s.db.Exec(ctx, `
		UPDATE schedule_slots SET job_id = nullif($3, '')::uuid, river_job_id = $4, status = 'running', reason = $5, ended_at = NULL
		WHERE schedule_id = $1 AND slot = $2`, scheduleID, slot, jobID, riverJobID, reason)
	return wrapErr("assign a slot", err)
}

// EndSlot ends a running slot that jobID ("" for none) answers for; any other
// is left alone.
func (s *Store) EndSlot(ctx context.Context, scheduleID string, slot time.Time, jobID string, status SlotStatus, at time.Time, reason string) error {
	_, err := s.db.Exec(ctx, `
		UPDATE schedule_slots SET status = $4, reason = $6, ended_at = $5
		WHERE schedule_id = $1 AND slot = $2 AND coalesce(job_id::text, '') = $3 AND status = 'running'`,
		scheduleID, slot, jobID, status, at, reason)
	return wrapErr("end a slot", err)
}

// Slot gives one slot. Errors: ErrNotFound.
func (s *Store) Slot(ctx context.Context, scheduleID string, slot time.Time) (Slot, error) {
	rows, err := s.slots(ctx, "schedule_id = $1 AND slot = $2", scheduleID, slot)
	if err == nil && len(rows) == 0 {
		err = backup.Errorf(backup.ErrNotFound, "the schedule %q has no slot %s", scheduleID, slot.Format(time.RFC3339))
	}
	if err != nil {
		return Slot{}, err
	}
	return rows[0], nil
}

// Slots lists a schedule's slots, newest first, at most limit (100 when 0).
func (s *Store) Slots(ctx context.Context, scheduleID string, limit int) ([]Slot, error) {
	if limit <= 0 {
		limit = 100
	}
	return s.slots(ctx, "schedule_id = $1 ORDER BY slot DESC LIMIT "+strconv.Itoa(limit), scheduleID)
}

func (s *Store) slots(ctx context.Context, condition string, args ...any) ([]Slot, error) {
	rows, err := s.db.Query(ctx, `SELECT schedule_id, slot, status, coalesce(job_id::text, ''), river_job_id, reason, created_at, ended_at
		FROM schedule_slots WHERE `+condition, args...)
	if err != nil {
		return nil, wrapErr("read slots", err)
	}
	out, err := pgx.CollectRows(rows, pgx.RowToStructByPos[Slot])
	return out, wrapErr("read slots", err)
}
