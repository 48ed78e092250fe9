package store

import (
	"context"
	"errors"

	"github.com/jackc/pgx/v5"
)

// EnsureExportSlots makes room for n exports at once over all processes.
// Slots beyond n go when they are free.
func (s *Store) EnsureExportSlots(ctx context.Context, n int) error {
	_, err := s.db.Exec(ctx, "INSERT INTO export_slots (n) SELECT generate_series(1, $1) ON CONFLICT DO NOTHING", n)
	if err == nil {
		_, err = s.db.Exec(ctx, "DELETE FROM export_slots WHERE n > $1 AND result_id IS NULL", n)
	}
	return wrapErr("make export slots", err)
}

// LockExportSlot finds a free slot and keeps it from others until the
// transaction ends; 0 when every slot is taken.
func (s *Store) LockExportSlot(ctx context.Context) (n int, err error) {
	err = s.db.QueryRow(ctx, "SELECT n FROM export_slots WHERE result_id IS NULL ORDER BY n LIMIT 1 FOR UPDATE SKIP LOCKED").Scan(&n)
	if errors.Is(err, pgx.ErrNoRows) {
		return 0, nil
	}
	return n, wrapErr("look for an export slot", err)
}

// TakeExportSlot takes a slot that this transaction has locked, for the
// attempt that holds fence.
func (s *Store) TakeExportSlot(ctx context.Context, n int, fence int64, a Attempt) error {
	_, err := s.db.Exec(ctx, "UPDATE export_slots SET result_id = $2, fence = $3, process_id = $4, taken_at = $5 WHERE n = $1",
		n, a.ResultID, fence, a.ProcessID, a.At)
	return wrapErr("take an export slot", err)
}

// FreeExportSlot gives back the slot of the attempt that held fence.
func (s *Store) FreeExportSlot(ctx context.Context, fence int64) error {
	_, err := s.db.Exec(ctx, "UPDATE export_slots SET result_id = NULL, fence = 0, process_id = NULL, taken_at = NULL WHERE fence = $1 AND result_id IS NOT NULL", fence)
	return wrapErr("give an export slot back", err)
}

// ExportSlots counts the slots and those taken.
func (s *Store) ExportSlots(ctx context.Context) (taken, total int, err error) {
	err = s.db.QueryRow(ctx, "SELECT count(result_id), count(*) FROM export_slots").Scan(&taken, &total)
	return taken, total, wrapErr("count export slots", err)
}
