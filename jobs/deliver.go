package jobs

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/riverqueue/river"

	"github.com/AutumnsGrove/Patina/backup"
	"github.com/AutumnsGrove/Patina/backup/alert"
	"github.com/AutumnsGrove/Patina/store"
)

// queueAlert carries messages: a receiver that is slow or dead holds up
// nothing but other messages.
const queueAlert = "alert"

// deliverAttempts is how often the queue tries a delivery after what is not
// the receiver's doing; how often the receiver is tried is alert.Backoff's.
const deliverAttempts = 1000

type deliverArgs struct {
	DeliveryID string `json:"delivery_id"`
}

// Kind names the work in River.
func (deliverArgs) Kind() string { return "deliver" }

type deliverWorker struct {
	river.WorkerDefaults[deliverArgs]
	r *Runner
}

// Timeout bounds one try, and the record of it.
func (w *deliverWorker) Timeout(*river.Job[deliverArgs]) time.Duration { return 2 * time.Minute }

// NextRetry says when the next attempt is due where Postgres was away.
func (w *deliverWorker) NextRetry(*river.Job[deliverArgs]) time.Time {
	return time.Now().Add(w.r.cfg.AlertBackoff(1, 0))
}

// Work tries a delivery once. A process that dies between the receiver's
// answer and the record of it leaves the delivery pending: it is sent again,
// under the same ID.
func (w *deliverWorker) Work(ctx context.Context, job *river.Job[deliverArgs]) error {
	r := w.r
	var d store.Delivery
	var body []byte
	var c store.AlertConfig
	err := r.persist(ctx, func(ctx context.Context, _ pgx.Tx, s *store.Store) (err error) {
		if d, body, err = s.BeginTry(ctx, job.Args.DeliveryID); err != nil {
			return err
		}
		c, err = s.AlertConfig(ctx, d.ChannelID)
		return err
	})
	if errors.Is(err, store.ErrFenced) || errors.Is(err, backup.ErrNotFound) {
		return nil // delivered, given up, or its channel was deleted
	}
	if err != nil {
		return plain(err)
	}
	began := r.now()
	out := alert.Outcome{Error: "the channel is disabled"}
	if c.Enabled || alert.Class(d.Class) == alert.Trial {
		out = r.carry(ctx, c, d, body)
		r.cfg.Hook("delivered")
	}
	wait := r.weigh(&d, c, out)
	if ctx.Err() != nil && d.Status == store.DeliveryPending {
		wait = 0 // the process stops: the next one tries at once
	}
	if d.Status == store.DeliveryPending {
		next := r.now().Add(wait)
		d.NextAt = &next
	}
	err = r.persist(ctx, func(ctx context.Context, _ pgx.Tx, s *store.Store) error {
		try := store.Try{N: d.Tries, At: began, Took: out.Took, Status: out.Status, Request: out.Request, Answer: out.Answer, Error: d.Error}
		if err := s.EndTry(ctx, d, try); err != nil {
			return err
		}
		return r.noteDelivery(ctx, s, c, d, out)
	})
	if errors.Is(err, store.ErrFenced) {
		return nil
	}
	if err != nil {
		return plain(err)
	}
	r.log.Info("alert", "channel", c.Name, "delivery_id", d.ID, "event", d.Event, "status", d.Status, "attempt", d.Tries, "http_status", out.Status, "duration_ms", out.Took.Milliseconds())
	if d.Status == store.DeliveryPending {
		return river.JobSnooze(wait)
	}
	return nil
}

// carry makes one try. What keeps us from trying counts as one.
func (r *Runner) carry(ctx context.Context, c store.AlertConfig, d store.Delivery, body []byte) alert.Outcome {
	t := alert.Target{Kind: c.Kind}
	for field, sealed := range map[string][]byte{"url": c.URLSealed, "secret": c.SecretSealed, "previous": c.PreviousSealed} {
		if sealed == nil {
			continue
		}
		text, _, err := r.cfg.Sealer.Open(sealed, alert.Purpose(c.ID, field))
		if err != nil {
			return alert.Outcome{Error: strings.TrimSpace("the channel's address cannot be opened: " + err.Error() + ". " + backup.Next(err))}
		}
		switch field {
		case "url":
			t.URL = text
		case "secret":
			t.Secrets = append([]string{text}, t.Secrets...)
		default:
			t.Secrets = append(t.Secrets, text)
		}
	}
	return r.cfg.Sender.Send(ctx, t, d.ID, body)
}

// weigh decides what a try leaves a delivery at, and how long to wait for the
// next one.
func (r *Runner) weigh(d *store.Delivery, c store.AlertConfig, out alert.Outcome) time.Duration {
	now := r.now()
	end := func(status store.DeliveryStatus) {
		d.Status, d.NextAt, d.EndedAt = status, nil, &now
	}
	d.Error = out.Error
	switch {
	case out.Delivered:
		end(store.DeliveryDone)
	case alert.Class(d.Class) == alert.Trial:
		end(store.DeliveryDead)
		d.SeenAt = &now // whoever asked for it is looking
	case out.Gone:
		end(store.DeliveryDead)
	case !c.Enabled:
		end(store.DeliveryDead)
	case now.Sub(d.CreatedAt) >= alert.GiveUpAfter:
		end(store.DeliveryDead)
		d.Error += "; given up after " + fmt.Sprint(d.Tries) + " tries"
	default:
		return r.cfg.AlertBackoff(d.Tries, out.RetryAfter)
	}
	return 0
}

// noteDelivery disables a channel whose receiver is gone, and tells the others
// that one cannot be reached, once a day.
func (r *Runner) noteDelivery(ctx context.Context, s *store.Store, c store.AlertConfig, d store.Delivery, out alert.Outcome) error {
	if out.Gone {
		c.Enabled, c.DisabledReason, c.UpdatedAt = false, "the receiver said that it is gone for good (410)", r.now()
		if err := s.UpdateAlertConfig(ctx, c); err != nil {
			return err
		}
	}
	if alert.Class(d.Class) == alert.Trial || d.Tries != alert.FailingAfter && d.Status != store.DeliveryDead || d.Status == store.DeliveryDone {
		return nil
	}
	message := fmt.Sprintf("The channel %s cannot be reached: %s. What it should have said is kept, and tried again.", c.Name, d.Error)
	if d.Status == store.DeliveryDead {
		message = fmt.Sprintf("The channel %s did not get a message, and it was given up: %s.", c.Name, d.Error)
	}
	return r.note(ctx, s, backup.Event{
		Kind: backup.EventDeliveryFailing, Once: c.ID + " " + r.now().Format(time.DateOnly) + " " + string(d.Status),
		Message: message, Next: "See the channel's deliveries on the page Alerts, and send a test once it is mended.",
	})
}

// failingChannel gives the channel that a failing delivery was for.
func failingChannel(e backup.Event) string {
	id, _, _ := strings.Cut(e.Once, " ")
	return id
}
