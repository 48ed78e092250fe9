package jobs

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/AutumnsGrove/Patina/backup"
	"github.com/AutumnsGrove/Patina/backup/alert"
	"github.com/AutumnsGrove/Patina/store"
)

// watch looks for what is late: jobs and exports that still run, databases
// without a recent proven copy, and those that have one again. Of many
// processes one at a time looks, and each occasion is told once.
func (r *Runner) watch(ctx context.Context) error {
	return r.store.InTx(ctx, func(_ pgx.Tx, s *store.Store) error {
		if free, err := s.TryLockWatch(ctx); err != nil || !free {
			return err
		}
		t, err := thresholdsOf(ctx, s)
		if err != nil {
			return err
		}
		if err := r.watchLong(ctx, s, t); err != nil {
			return err
		}
		return r.watchStale(ctx, s)
	})
}

func (r *Runner) watchLong(ctx context.Context, s *store.Store, t thresholds) error {
	now := r.now()
	running, _, err := s.Jobs(ctx, store.JobFilter{Status: []backup.JobStatus{backup.JobRunning}, Limit: 500})
	if err != nil {
		return err
	}
	for _, j := range running {
		if j.Kind != backup.JobBackup && j.Kind != backup.JobArchive {
			continue
		}
		if e, long := alert.Long(j, now, t.all.Long); long {
			if err := r.note(ctx, s, e); err != nil {
				return err
			}
		}
	}
	if len(t.single) == 0 {
		return nil
	}
	open, err := s.OpenResults(ctx, nil)
	if err != nil {
		return err
	}
	for _, res := range open {
		if t.single[res.DatabaseID].LongSeconds == nil {
			continue // its job speaks for it
		}
		if e, long := alert.LongResult(res, now, t.of(res.DatabaseID).Long); long {
			if err := r.note(ctx, s, e); err != nil {
				return err
			}
		}
	}
	return nil
}

// watchStale leaves a muted database alone: it is told when the mute has
// ended, if it is stale then.
func (r *Runner) watchStale(ctx context.Context, s *store.Store) error {
	now := r.now()
	standings, err := s.Glances(ctx, store.DatabaseFilter{})
	if err != nil {
		return err
	}
	mutes, err := mutesAt(ctx, s, now)
	if err != nil {
		return err
	}
	told, err := s.UnrecoveredStale(ctx)
	if err != nil {
		return err
	}
	known := map[string]bool{}
	by := make(map[string]backup.Standing, len(standings))
	for _, st := range standings {
		by[st.Database.ID] = st
	}
	for _, e := range told {
		known[e.Once] = true
		st, ok := by[e.DatabaseID]
		if !ok {
			continue
		}
		if back, yes := alert.Recovered(e, st, now); yes {
			if err := r.note(ctx, s, back); err != nil {
				return err
			}
		}
	}
	for _, st := range standings {
		e, stale := alert.Stale(st, now)
		if !stale || known[e.Once] || alert.Muted(mutes, e.DatabaseID, now) {
			continue
		}
		if err := r.note(ctx, s, e); err != nil {
			return err
		}
	}
	return nil
}

func mutesAt(ctx context.Context, s *store.Store, now time.Time) ([]alert.Mute, error) {
	list, err := s.Mutes(ctx, now)
	out := make([]alert.Mute, len(list))
	for i, m := range list {
		out[i] = alert.Mute{DatabaseID: m.DatabaseID, Until: m.Until}
	}
	return out, err
}

// thresholds are those for all databases, and those of single ones.
type thresholds struct {
	all    alert.Thresholds
	single map[string]store.Thresholds
}

func thresholdsOf(ctx context.Context, s *store.Store) (thresholds, error) {
	all, single, err := s.Thresholds(ctx)
	return thresholds{override(alert.Defaults, all), single}, err
}

// of gives the thresholds that count for a database.
func (t thresholds) of(databaseID string) alert.Thresholds {
	return override(t.all, t.single[databaseID])
}

func override(t alert.Thresholds, by store.Thresholds) alert.Thresholds {
	return t.With(by.LongSeconds, by.SizePercent, by.RowsPercent)
}
