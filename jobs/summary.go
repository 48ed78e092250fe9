package jobs

import (
	"context"
	"time"

	"github.com/AutumnsGrove/Patina/backup/alert"
	"github.com/AutumnsGrove/Patina/store"
)

// summarise writes the summary of the day before a slot, in the transaction
// that claimed the slot, and ends the slot.
func (r *Runner) summarise(ctx context.Context, s *store.Store, scheduleID string, slot time.Time) error {
	day := alert.Day{From: slot.Add(-24 * time.Hour), To: slot}
	var err error
	if day.Standings, err = s.Standings(ctx, store.DatabaseFilter{}); err != nil {
		return err
	}
	if day.Events, err = s.EventsBetween(ctx, day.From, day.To, 5000); err != nil {
		return err
	}
	if day.Jobs, err = s.JobsEndedBetween(ctx, day.From, day.To, 5000); err != nil {
		return err
	}
	e := alert.Summary(day)
	e.Once = scheduleID + " " + slot.UTC().Format(time.RFC3339)
	if err := r.note(ctx, s, e); err != nil {
		return err
	}
	return s.EndSlot(ctx, scheduleID, slot, "", store.SlotDone, r.now(), "")
}
