package jobs

import (
	"context"
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/riverqueue/river"

	"github.com/AutumnsGrove/Patina/backup"
)

// The signs of life that somebody outside waits for: at the start of each
// scheduled backup, and at its end. They are queued in the transaction of what
// they tell.
const (
	pingStart   = "start"
	pingSuccess = ""
	pingFailure = "fail"
)

type heartbeatArgs struct {
	What string `json:"what"`
}

// Kind names the work in River.
func (heartbeatArgs) Kind() string { return "heartbeat" }

type heartbeatWorker struct {
	river.WorkerDefaults[heartbeatArgs]
	r *Runner
}

// Timeout bounds one ping.
func (w *heartbeatWorker) Timeout(*river.Job[heartbeatArgs]) time.Duration { return time.Minute }

// NextRetry says when the next attempt is due.
func (w *heartbeatWorker) NextRetry(job *river.Job[heartbeatArgs]) time.Time {
	return time.Now().Add(w.r.cfg.AlertBackoff(job.Attempt, 0))
}

// Work pings once. A process without the address leaves it to one that has it.
func (w *heartbeatWorker) Work(ctx context.Context, job *river.Job[heartbeatArgs]) error {
	if w.r.cfg.Heartbeat == "" {
		return nil
	}
	address, err := pingURL(w.r.cfg.Heartbeat, job.Args.What)
	if err == nil {
		err = w.r.cfg.Sender.Ping(ctx, address)
	}
	if err != nil {
		w.r.log.Warn("the heartbeat was not heard", "what", job.Args.What, "attempt", job.Attempt, "error", err)
		return plain(err)
	}
	return nil
}

// pingURL gives the address of a ping: the success's own, with /start or /fail
// behind its path for the others, as healthchecks.io and its like read it.
func pingURL(base, what string) (string, error) {
	u, err := url.Parse(base)
	if err != nil {
		return "", backup.Errorf(backup.ErrInvalid, "the heartbeat's address cannot be read")
	}
	if what != "" {
		u.Path = strings.TrimSuffix(u.Path, "/") + "/" + what
	}
	return u.String(), nil
}

// ping puts a ping into the queue.
func (r *Runner) ping(ctx context.Context, tx pgx.Tx, what string) error {
	if r.cfg.Heartbeat == "" {
		return nil
	}
	if _, err := r.river.InsertTx(ctx, tx, heartbeatArgs{what}, &river.InsertOpts{Queue: queueAlert, MaxAttempts: 6}); err != nil {
		return fmt.Errorf("queue a heartbeat: %w", err)
	}
	return nil
}

// pingEnd tells how the backup of a slot came out, a retry of it included.
func (r *Runner) pingEnd(ctx context.Context, tx pgx.Tx, job backup.Job) error {
	switch {
	case job.Slot == nil:
		return nil
	case job.Status == backup.JobCompleted:
		return r.ping(ctx, tx, pingSuccess)
	}
	return r.ping(ctx, tx, pingFailure)
}
