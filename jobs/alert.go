package jobs

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/riverqueue/river"

	"github.com/AutumnsGrove/Patina/backup"
	"github.com/AutumnsGrove/Patina/backup/alert"
	"github.com/AutumnsGrove/Patina/store"
)

const (
	// openEvents is how many events are decided about in one transaction.
	openEvents = 1000
	// paceWindow is how far back messages count when the next one is due.
	paceWindow = 2 * time.Hour
	// How long what was told is kept.
	deliveriesKept = 90 * 24 * time.Hour
	eventsKept     = 400 * 24 * time.Hour
)

// tell decides about the events that nobody was told of: each waits for the
// next message to every channel that wants it, and the messages that are due
// are recorded and put into the queue, all in one transaction. So an event that
// was committed is told whatever dies in between, and told once.
func (r *Runner) tell(ctx context.Context) error {
	if yes, err := r.store.SomethingToTell(ctx); err != nil || !yes {
		return err
	}
	r.cfg.Hook("before:tell")
	messages := 0
	err := r.store.InTx(ctx, func(tx pgx.Tx, s *store.Store) error {
		if free, err := s.TryLockAlerts(ctx); err != nil || !free {
			return err
		}
		channels, err := s.AlertConfigs(ctx)
		if err != nil {
			return err
		}
		if err := r.decide(ctx, s, channels); err != nil {
			return err
		}
		messages, err = r.compose(ctx, tx, s, channels)
		return err
	})
	if err == nil && messages > 0 {
		r.cfg.Hook("after:tell")
	}
	return err
}

// decide lets each event wait for the channels that want it.
func (r *Runner) decide(ctx context.Context, s *store.Store, channels []store.AlertConfig) error {
	events, err := s.OpenEvents(ctx, openEvents)
	if err != nil || len(events) == 0 {
		return err
	}
	now := r.now()
	mutes, err := mutesAt(ctx, s, now)
	if err != nil {
		return err
	}
	for _, e := range events {
		outcome := store.EventUnwanted
		for _, c := range channels {
			w := alert.Wishes{Success: c.NotifySuccess, Failure: c.NotifyFailure, Summary: c.NotifySummary}
			if !c.Enabled || !w.Wants(e) || e.Kind == backup.EventDeliveryFailing && e.Once != "" && failingChannel(e) == c.ID {
				continue
			}
			if alert.Muted(mutes, e.DatabaseID, now) {
				outcome = store.EventMuted
				break
			}
			if err := s.Await(ctx, e.ID, c.ID, string(alert.ClassOf(e))); err != nil {
				return err
			}
			outcome = store.EventTold
		}
		if outcome == store.EventUnwanted && alert.SeverityOf(e) != alert.Info && e.Kind != backup.EventDeliveryFailing && e.Kind != backup.EventSummary {
			outcome = store.EventNobody
			if alert.Muted(mutes, e.DatabaseID, now) {
				outcome = store.EventMuted
			}
		}
		if err := s.DecideEvent(ctx, e.ID, outcome, now); err != nil {
			return err
		}
	}
	return nil
}

// compose makes the messages that are due, and gives how many.
func (r *Runner) compose(ctx context.Context, tx pgx.Tx, s *store.Store, channels []store.AlertConfig) (int, error) {
	now := r.now()
	queues, err := s.Queues(ctx, now.Add(-paceWindow))
	if err != nil {
		return 0, err
	}
	n := 0
	for _, q := range queues {
		i := slices.IndexFunc(channels, func(c store.AlertConfig) bool { return c.ID == q.ChannelID })
		if i < 0 || alert.Paced(alert.Class(q.Class)) && alert.Due(q.Sent, now).After(now) {
			continue
		}
		events, err := s.Waiting(ctx, q.ChannelID, q.Class)
		if err != nil {
			return n, err
		}
		if len(events) == 0 {
			continue
		}
		if err := r.queueMessage(ctx, tx, s, channels[i], events); err != nil {
			return n, err
		}
		n++
	}
	return n, nil
}

// queueMessage records the message that tells a channel these events, and puts
// its delivery into the queue.
func (r *Runner) queueMessage(ctx context.Context, tx pgx.Tx, s *store.Store, c store.AlertConfig, events []backup.Event) error {
	facts := alert.Facts{ID: newID(), At: r.now(), Events: events, Base: r.cfg.PublicURL, Jobs: map[string]alert.JobFacts{}}
	ids := make([]string, 0, len(events))
	for _, e := range events {
		if e.Kind != backup.EventTest {
			ids = append(ids, e.ID)
		}
		if _, ok := facts.Jobs[e.JobID]; ok || !aboutJob(e.Kind) || e.JobID == "" {
			continue
		}
		job, err := s.Job(ctx, e.JobID)
		if errors.Is(err, backup.ErrNotFound) {
			continue
		}
		if err != nil {
			return err
		}
		results, err := s.JobResults(ctx, e.JobID)
		if err != nil {
			return err
		}
		facts.Jobs[e.JobID] = alert.JobFacts{Job: job, Results: results}
	}
	m := alert.Compose(facts)
	d := store.Delivery{ID: m.ID, ChannelID: c.ID, Class: string(alert.ClassOf(events[0])), Event: m.Event, Title: m.Title, CreatedAt: facts.At}
	if err := s.InsertDelivery(ctx, d, alert.Body(c.Kind, m), ids); err != nil {
		return err
	}
	return r.queueDelivery(ctx, tx, d.ID)
}

// aboutJob tells whether a message about such an event says how the job's
// databases fared.
func aboutJob(kind backup.EventKind) bool {
	return kind == backup.EventJobFailed || kind == backup.EventJobSucceeded || kind == backup.EventJobLong
}

// requestTest sends a channel a message that says nothing happened.
func (r *Runner) requestTest(ctx context.Context, tx pgx.Tx, s *store.Store, req backup.Request) (backup.Started, error) {
	c, err := s.AlertConfig(ctx, req.ChannelID)
	if err != nil {
		return backup.Started{}, err
	}
	e := backup.Event{
		ID: newID(), At: r.now(), Kind: backup.EventTest,
		Message: fmt.Sprintf("%s asked for this message, to see that the channel %s can be heard. Nothing happened.", req.Actor, c.Name),
	}
	return backup.Started{Status: backup.JobQueued}, r.queueMessage(ctx, tx, s, c, []backup.Event{e})
}

// sealAnew seals with the secret of now what the one before had sealed, so
// that it can be forgotten. What no secret opens is left to be entered anew.
func (r *Runner) sealAnew(ctx context.Context) error {
	if !r.cfg.Sealer.CanSeal() {
		return nil
	}
	return r.store.InTx(ctx, func(_ pgx.Tx, s *store.Store) error {
		channels, err := s.AlertConfigs(ctx)
		if err != nil {
			return err
		}
		for _, c := range channels {
			changed := false
			for field, sealed := range map[string]*[]byte{"url": &c.URLSealed, "secret": &c.SecretSealed, "previous": &c.PreviousSealed} {
				if *sealed == nil {
					continue
				}
				text, old, err := r.cfg.Sealer.Open(*sealed, alert.Purpose(c.ID, field))
				if err != nil {
					r.log.Warn("a channel's address cannot be opened", "channel", c.Name, "error", err)
					continue
				}
				if !old {
					continue
				}
				if *sealed, err = r.cfg.Sealer.Seal(text, alert.Purpose(c.ID, field)); err != nil {
					return err
				}
				changed = true
			}
			if !changed {
				continue
			}
			if err := s.UpdateAlertConfig(ctx, c); err != nil {
				return err
			}
			r.log.Info("sealed a channel with the secret of now", "channel", c.Name)
		}
		return nil
	})
}

// forgetAlerts deletes what was told long ago.
func (r *Runner) forgetAlerts(ctx context.Context) error {
	if err := r.store.ForgetDeliveries(ctx, r.now().Add(-deliveriesKept)); err != nil {
		return err
	}
	return r.store.ForgetEvents(ctx, r.now().Add(-eventsKept))
}

// requeueDeliveries puts the deliveries that the queue has lost into it again.
func (r *Runner) requeueDeliveries(ctx context.Context) error {
	ids, err := r.store.LostDeliveries(ctx)
	if err != nil || len(ids) == 0 {
		return err
	}
	return r.store.InTx(ctx, func(tx pgx.Tx, s *store.Store) error {
		if free, err := s.TryLockAlerts(ctx); err != nil || !free {
			return err
		}
		ids, err := s.LostDeliveries(ctx) // another process may have been quicker
		for _, id := range ids {
			if err := r.queueDelivery(ctx, tx, id); err != nil {
				return err
			}
		}
		return err
	})
}

func (r *Runner) queueDelivery(ctx context.Context, tx pgx.Tx, id string) error {
	if _, err := r.river.InsertTx(ctx, tx, deliverArgs{id}, &river.InsertOpts{Queue: queueAlert, MaxAttempts: deliverAttempts}); err != nil {
		return fmt.Errorf("queue delivery %s: %w", id, err)
	}
	return nil
}
