package store

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/AutumnsGrove/Patina/backup"
)

// QueueState is how the queue stands, by Postgres's clock.
type QueueState struct {
	Workers int          // processes whose lease is alive
	Leader  bool         // one of them leads: it schedules what waits for a time
	Depth   []QueueDepth // by queue and state, without what has ended
}

// QueueDepth counts the jobs of one queue in one state.
type QueueDepth struct {
	Queue, State string
	Jobs         int64
	Oldest       time.Duration // how long the first of them has been due
}

// QueueState tells how the queue stands; a process silent for longer than
// alive does not count. Errors: ErrUnavailable where the queue has no tables.
func (s *Store) QueueState(ctx context.Context, alive time.Duration) (QueueState, error) {
	var q QueueState
	var there bool
	err := s.db.QueryRow(ctx, "SELECT to_regclass('river_job') IS NOT NULL, (SELECT count(*) FROM processes WHERE heartbeat_at > clock_timestamp() - $1::interval)", alive).Scan(&there, &q.Workers)
	if err == nil && !there {
		err = backup.Errorf(backup.ErrUnavailable, "the queue has no tables")
	}
	if err != nil {
		return q, wrapErr("look at the queue", err)
	}
	if err := s.db.QueryRow(ctx, "SELECT EXISTS (SELECT FROM river_leader WHERE expires_at > clock_timestamp())").Scan(&q.Leader); err != nil {
		return q, wrapErr("look at the queue's leader", err)
	}
	rows, err := s.db.Query(ctx, `SELECT queue, state::text, count(*), greatest(extract(epoch FROM clock_timestamp() - min(scheduled_at)), 0)::float8
		FROM river_job WHERE state IN ('available', 'pending', 'retryable', 'running', 'scheduled') GROUP BY queue, state ORDER BY queue, state`)
	if err != nil {
		return q, wrapErr("count the queue", err)
	}
	var d QueueDepth
	var seconds float64
	_, err = pgx.ForEachRow(rows, []any{&d.Queue, &d.State, &d.Jobs, &seconds}, func() error {
		d.Oldest = time.Duration(seconds * float64(time.Second))
		q.Depth = append(q.Depth, d)
		return nil
	})
	return q, wrapErr("count the queue", err)
}
