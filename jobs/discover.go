package jobs

import (
	"context"
	"fmt"
	"path"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/riverqueue/river"

	"github.com/AutumnsGrove/Patina/backup"
	"github.com/AutumnsGrove/Patina/store"
)

// Discovery is what a look at the account found.
type Discovery struct {
	Found    int       // databases in the account
	New      []string  // names that entered the registry, and are protected from now on
	Renamed  []Renamed // databases known by another name before
	Gone     []string  // names that the account no longer has; their copies stay
	Back     []string  // names that had been gone
	Excluded []string  // names left out by the include and exclude patterns
}

// Renamed is a database whose name changed.
type Renamed struct{ ID, From, To string }

type discoverArgs struct {
	ScheduleID string    `json:"schedule_id"`
	Slot       time.Time `json:"slot"`
}

// Kind names the work in River.
func (discoverArgs) Kind() string { return "discover" }

type discoverWorker struct {
	river.WorkerDefaults[discoverArgs]
	r *Runner
}

// NextRetry says when the next attempt is due, by River's clock.
func (w *discoverWorker) NextRetry(job *river.Job[discoverArgs]) time.Time {
	return time.Now().Add(w.r.cfg.Backoff(job.Attempt))
}

// Work looks at the account and ends the slot.
func (w *discoverWorker) Work(ctx context.Context, job *river.Job[discoverArgs]) error {
	r := w.r
	_, err := r.Discover(ctx)
	status, why := store.SlotDone, ""
	switch judge(ctx, err, job.Attempt, job.MaxAttempts) {
	case done:
	case again, stopped:
		r.log.Warn("discovery will be tried again", "attempt", job.Attempt, "error", kindName(err))
		if ctx.Err() != nil {
			return ctx.Err()
		}
		return plain(err)
	default:
		status = store.SlotFailed
		why, _ = words(ctx, err)
		r.log.Warn("discovery failed", "attempt", job.Attempt, "error", kindName(err))
	}
	return r.persist(ctx, func(ctx context.Context, _ pgx.Tx, s *store.Store) error {
		if status == store.SlotFailed {
			if err := r.noteDiscoveryFailed(ctx, s, job.Args.Slot, why); err != nil {
				return err
			}
		}
		return s.EndSlot(ctx, job.Args.ScheduleID, job.Args.Slot, "", status, r.now(), why)
	})
}

// queueDiscovery puts a slot's discovery into the queue, in the transaction
// that claimed the slot.
func (r *Runner) queueDiscovery(ctx context.Context, tx pgx.Tx, s *store.Store, scheduleID string, slot time.Time) error {
	in, err := r.river.InsertTx(ctx, tx, discoverArgs{scheduleID, slot}, &river.InsertOpts{MaxAttempts: r.cfg.Attempts})
	if err != nil {
		return fmt.Errorf("queue discovery: %w", err)
	}
	return s.AssignSlot(ctx, scheduleID, slot, "", in.Job.ID, "")
}

// Discover compares the account with the registry: what is new is entered and
// protected from then on, what is gone is marked, what has another name gets
// it. Copies are never touched. An account that shows no database at all while
// the registry holds some changes nothing: ErrUnavailable.
func (r *Runner) Discover(ctx context.Context) (Discovery, error) {
	var d Discovery
	if r.cfg.D1 == nil {
		return d, backup.Errorf(backup.ErrInvalid, "there is no account to look at")
	}
	account, err := r.cfg.D1.List(ctx)
	if err != nil {
		return d, fmt.Errorf("list the account's databases: %w", err)
	}
	found := make([]backup.Database, len(account))
	for i, a := range account {
		found[i] = backup.Database{ID: a.ID, Name: a.Name, EstimatedSize: a.Size}
	}
	err = r.store.InTx(ctx, func(_ pgx.Tx, s *store.Store) error {
		if err := s.LockRequests(ctx); err != nil { // another look may be at it: what is new is told once
			return err
		}
		d, err = r.reconcile(ctx, s, found)
		return err
	})
	if err == nil && len(d.New)+len(d.Gone)+len(d.Renamed)+len(d.Back) > 0 {
		r.log.Info("the account changed", "found", d.Found, "new", len(d.New), "gone", len(d.Gone), "renamed", len(d.Renamed), "back", len(d.Back))
	}
	return d, err
}

// Wanted tells whether discovery takes a database of this name: one that a glob
// of include matches, or any where there is none, and none of exclude.
func Wanted(include, exclude []string, name string) bool {
	matches := func(globs []string) bool {
		for _, g := range globs {
			if ok, _ := path.Match(g, name); ok {
				return true
			}
		}
		return false
	}
	return (len(include) == 0 || matches(include)) && !matches(exclude)
}

func (r *Runner) wanted(name string) bool { return Wanted(r.cfg.Include, r.cfg.Exclude, name) }

// reconcile writes what the account shows into the registry. Those that are
// gone go first, and those renamed pass through a name of their own: two
// databases may have swapped names.
func (r *Runner) reconcile(ctx context.Context, s *store.Store, found []backup.Database) (Discovery, error) {
	d := Discovery{Found: len(found)}
	known, err := s.Databases(ctx, store.DatabaseFilter{Gone: true})
	if err != nil {
		return d, err
	}
	var news []backup.Event
	if len(found) == 0 && len(known) > 0 {
		return d, &backup.Error{
			Kind: backup.ErrUnavailable, Message: "the account shows no database at all, although the registry holds some; nothing was changed",
			Next: "Check the account id and the API token's rights: D1 Read on this account.",
		}
	}
	now := r.now()
	inAccount := make(map[string]string, len(found))
	for _, f := range found {
		inAccount[f.ID] = f.Name
	}
	registry := make(map[string]backup.Database, len(known))
	for _, k := range known {
		registry[k.ID] = k
		name, there := inAccount[k.ID]
		switch {
		case !there && k.GoneAt == nil:
			d.Gone = append(d.Gone, k.Name)
			news = append(news, goneEvent(k))
			k.GoneAt = &now
			err = s.UpsertDatabase(ctx, k)
		case there && k.GoneAt == nil && name != k.Name:
			d.Renamed = append(d.Renamed, Renamed{k.ID, k.Name, name})
			news = append(news, renamedEvent(k, name))
			k.Name = k.ID
			err = s.UpsertDatabase(ctx, k)
		}
		if err != nil {
			return d, err
		}
	}
	for _, f := range found {
		db, isKnown := registry[f.ID]
		switch {
		case isKnown && db.GoneAt != nil:
			d.Back = append(d.Back, f.Name)
			news = append(news, backEvent(f))
		case isKnown:
		case !r.wanted(f.Name):
			d.Excluded = append(d.Excluded, f.Name)
			continue
		default:
			d.New = append(d.New, f.Name)
			news = append(news, newEvent(f))
			db = backup.Database{ID: f.ID, Priority: backup.Normal, Origin: backup.FromDiscovery, Objective: backup.DefaultObjective, FirstSeenAt: now}
		}
		db.Name, db.LastSeenAt, db.GoneAt = f.Name, now, nil
		if f.EstimatedSize > 0 {
			db.EstimatedSize = f.EstimatedSize
		}
		if err := s.UpsertDatabase(ctx, db); err != nil {
			return d, err
		}
	}
	return d, r.noteDiscovery(ctx, s, d, news)
}

// scheduled gives the databases of a scheduled run.
func (r *Runner) scheduled(ctx context.Context, s *store.Store) ([]backup.Database, error) {
	all, err := s.Databases(ctx, store.DatabaseFilter{})
	if err != nil {
		return nil, err
	}
	var out []backup.Database
	for _, db := range all {
		if db.GoneAt == nil && !db.Paused {
			out = append(out, db)
		}
	}
	return out, nil
}
