package jobs

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/AutumnsGrove/Patina/backup"
	"github.com/AutumnsGrove/Patina/backup/object"
	"github.com/AutumnsGrove/Patina/backup/retention"
	"github.com/AutumnsGrove/Patina/store"
)

// cleaner is one attempt at a cleanup. Whatever it died at, the next attempt
// goes on from what it finds.
type cleaner struct {
	r       *Runner
	job     backup.Job
	fence   int64
	now     time.Time
	h       backup.Holdings
	state   retention.State  // for the next run
	planned bool             // state is what a plan came to
	erasing *backup.Database // whose copies are to go, and nothing else
	report  retention.Report
}

// run is a cleanup from end to end: what is expired goes, what must stay is
// taken out of its archive, and bucket and catalogue are compared.
func (c *cleaner) run(ctx context.Context) error {
	r := c.r
	if r.cfg.Bucket == nil {
		return backup.Errorf(backup.ErrInvalid, "there is no bucket to clean up")
	}
	want, state, err := c.load(ctx)
	if err != nil {
		return err
	}
	if err := c.reconcile(ctx); err != nil {
		return err
	}
	plan, next := retention.Cautious(c.h, want, state, c.now)
	c.state, c.planned = next, true
	c.heldBack(plan)
	if err := c.record(ctx, plan); err != nil {
		return err
	}
	if err := c.carryOut(ctx, plan); err != nil {
		return err
	}
	// What went, and what was taken out of an archive, may let the archive go.
	if plan, err = c.again(ctx, want, state); err != nil {
		return err
	}
	if err := c.carryOut(ctx, plan); err != nil {
		return err
	}
	if err := c.dropArchives(ctx, plan); err != nil {
		return err
	}
	if plan, err = c.again(ctx, want, state); err != nil {
		return err
	}
	if err := c.record(ctx, plan); err != nil {
		return err
	}
	return c.tidy(ctx)
}

// load reads what a plan is made from.
func (c *cleaner) load(ctx context.Context) (want retention.Policy, state retention.State, err error) {
	incomplete := c.h.Incomplete
	c.h, want, state, err = retention.Load(ctx, c.r.store, c.r.cfg.Keep)
	c.h.Incomplete = incomplete
	return want, state, err
}

// again makes the plan anew from what is there now.
func (c *cleaner) again(ctx context.Context, want retention.Policy, state retention.State) (retention.Plan, error) {
	if _, _, err := c.load(ctx); err != nil {
		return retention.Plan{}, err
	}
	// The wait that this run has found is the wait that goes on.
	if c.state.Pending != nil {
		state.Pending = c.state.Pending
	}
	plan, _ := retention.Cautious(c.h, want, state, c.now)
	return plan, nil
}

// heldBack notes what stays although its time has come.
func (c *cleaner) heldBack(plan retention.Plan) {
	for _, d := range plan.Copies {
		if d.Held != "" {
			c.report.Stayed++
		}
	}
	switch {
	case plan.Held != "" && c.report.Stayed > 0, c.h.Incomplete != "":
		c.report.Held = plan.Held
	case c.state.Pending != nil:
		c.report.Held = fmt.Sprintf("%s: that waits until %s, or until an admin confirms", c.state.Pending.Why, c.state.Pending.Until.Format("2006-01-02 15:04"))
	}
	if c.report.Held != "" {
		c.r.log.Warn("retention holds back", "job_id", c.job.ID, "reason", c.report.Held)
	}
}

// record writes each copy's and archive's end, and why.
func (c *cleaner) record(ctx context.Context, plan retention.Plan) error {
	const most = 5000
	var list []store.Expiry
	flush := func() error {
		_, err := c.r.store.SetExpiries(ctx, list)
		list = list[:0]
		return err
	}
	for i, d := range plan.Copies {
		if cp := c.h.Copies[i]; sameEnd(cp.ExpiresAt, d.Until) && cp.ExpiresReason == d.Reason {
			continue
		}
		if list = append(list, store.Expiry{ID: d.ID, Until: d.Until, Reason: d.Reason}); len(list) == most {
			if err := flush(); err != nil {
				return err
			}
		}
	}
	for i, d := range plan.Archives {
		if a := c.h.Archives[i]; sameEnd(a.ExpiresAt, d.Until) && a.ExpiresReason == d.Reason {
			continue
		}
		if err := c.r.store.SetArchiveExpiry(ctx, d.ID, d.Until, d.Reason); err != nil {
			return err
		}
	}
	return flush()
}

// recordEnds writes each copy's and archive's end, and why, as of now. It deletes
// nothing.
func (r *Runner) recordEnds(ctx context.Context) error {
	c := &cleaner{r: r, now: r.now()}
	want, state, err := c.load(ctx)
	if err != nil {
		return err
	}
	plan, _ := retention.Cautious(c.h, want, state, c.now)
	return c.record(ctx, plan)
}

// expect gives a new copy the end that it will have unless something else comes
// to keep it.
func (r *Runner) expect(ctx context.Context, s *store.Store, c backup.Copy) (backup.Copy, error) {
	want, err := retention.Wanted(ctx, s, r.cfg.Keep)
	if err != nil {
		return c, err
	}
	d := retention.Expected(c, want)
	c.ExpiresAt, c.ExpiresReason = d.Until, d.Reason
	return c, nil
}

func sameEnd(a, b *time.Time) bool {
	return a == nil && b == nil || a != nil && b != nil && a.Equal(*b)
}

// carryOut finishes what an earlier run began to delete, takes out of archives
// what must stay, and deletes the copies' own objects that may go.
func (c *cleaner) carryOut(ctx context.Context, plan retention.Plan) error {
	if err := c.finishRemovals(ctx); err != nil {
		return err
	}
	for _, rescue := range plan.Rescue {
		if err := c.keep(ctx, rescue); err != nil {
			return err
		}
	}
	for i, d := range plan.Copies {
		if !d.Drop {
			continue
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		rm, err := c.unlist(ctx, c.h.Copies[i].Key, func() (store.Removal, error) { return c.r.store.DropCopy(ctx, d.ID, d.Reason, c.now) })
		if err != nil {
			return err
		}
		if rm.Key == "" {
			continue
		}
		c.report.Copies++
		if err := c.remove(ctx, rm); err != nil {
			return err
		}
	}
	return nil
}

func (c *cleaner) dropArchives(ctx context.Context, plan retention.Plan) error {
	for i, d := range plan.Archives {
		if !d.Drop {
			continue
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		rm, err := c.unlist(ctx, c.h.Archives[i].Key, func() (store.Removal, error) { return c.r.store.DropArchive(ctx, d.ID, d.Reason, c.now) })
		if err != nil {
			return err
		}
		if rm.Key == "" {
			continue
		}
		c.report.Archives++
		if err := c.remove(ctx, rm); err != nil {
			return err
		}
	}
	return nil
}

// unlist takes something off the list; nothing where it is being read, or may
// not go after all.
func (c *cleaner) unlist(ctx context.Context, key string, drop func() (store.Removal, error)) (store.Removal, error) {
	c.r.cfg.Hook("before:cleanup.unlist")
	rm, err := drop()
	switch {
	case errors.Is(err, store.ErrReading):
		c.report.Add(key, "stays for now: it is being read")
		return store.Removal{}, nil
	case errors.Is(err, backup.ErrConflict):
		c.report.Add(key, "stays: "+err.Error())
		return store.Removal{}, nil
	case err != nil:
		return store.Removal{}, err
	}
	c.r.cfg.Hook("after:cleanup.unlist")
	return rm, ctx.Err()
}

// finishRemovals deletes what was taken off the list before and may still be
// there.
func (c *cleaner) finishRemovals(ctx context.Context) error {
	list, err := c.r.store.Removals(ctx)
	if err != nil {
		return err
	}
	for _, rm := range list {
		if c.h.Incomplete != "" || ctx.Err() != nil {
			return ctx.Err()
		}
		if err := c.remove(ctx, rm); err != nil {
			return err
		}
	}
	return nil
}

// remove deletes an object that nothing lists any more, and its manifest. One
// that is listed again, or of another size than was recorded, is left alone.
func (c *cleaner) remove(ctx context.Context, rm store.Removal) error {
	r := c.r
	r.cfg.Hook("before:cleanup.delete")
	may, err := r.store.MayRemove(ctx, rm.Key)
	if err != nil {
		return err
	}
	info, err := r.cfg.Bucket.Stat(ctx, rm.Key)
	gone := errors.Is(err, backup.ErrNotFound)
	switch {
	case !may:
		c.report.Add(rm.Key, "stays: it is listed again")
		return r.store.Removed(ctx, rm.Key)
	case err != nil && !gone:
		return err
	case !gone && info.Size != rm.Size:
		c.report.Add(rm.Key, fmt.Sprintf("stays: it has %d bytes and %d were recorded, so it is another object", info.Size, rm.Size))
		return r.store.Removed(ctx, rm.Key)
	}
	for _, key := range []string{rm.Key, object.ManifestKey(rm.Key)} {
		if err := r.cfg.Bucket.Delete(ctx, key); err != nil {
			return err
		}
		r.cfg.Hook("after:cleanup.object")
	}
	if err := r.store.Removed(ctx, rm.Key); err != nil {
		return err
	}
	c.report.Bytes += rm.Size
	c.report.Add(rm.Key, "deleted: "+rm.Reason)
	r.log.Info("deleted", "job_id", c.job.ID, "key", rm.Key, "bytes", rm.Size, "copy_id", rm.CopyID)
	r.cfg.Hook("after:cleanup.delete")
	return nil
}

// tidy removes what nothing refers to and compacts the tables.
func (c *cleaner) tidy(ctx context.Context) (err error) {
	r := c.r
	r.cfg.Hook("before:cleanup.compact")
	if c.report.Orphaned, err = r.store.ForgetOrphanedResults(ctx); err != nil {
		return err
	}
	if err := r.store.ForgetReaders(ctx); err != nil {
		return err
	}
	rebuilt, err := r.store.Compact(ctx)
	if errors.Is(err, backup.ErrDenied) || errors.Is(err, backup.ErrUnavailable) {
		// The tables work as they are: a lock that was not to be had, or a missing right.
		r.log.Warn("the tables could not be compacted", "job_id", c.job.ID, "error", kindName(err))
		err = nil
	}
	for _, name := range rebuilt {
		c.report.Add(name, "index built anew")
	}
	r.cfg.Hook("after:cleanup.compact")
	return err
}
