package jobs

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/riverqueue/river"

	"github.com/AutumnsGrove/Patina/backup"
	"github.com/AutumnsGrove/Patina/store"
)

// queueDrill runs drills, one at a time in a process: a drill takes hours where
// there is much, and the proofs of the night must not wait for it. Beside one
// proof, one copy is loaded at a time, which is what bounds the scratch disk.
const queueDrill = "drill"

// drillTimeout bounds a drill; drillAttempts how often Postgres may fail it.
const (
	drillTimeout  = 7 * 24 * time.Hour
	drillAttempts = 20
)

type drillArgs struct {
	JobID string `json:"job_id"`
}

// Kind names the work in River.
func (drillArgs) Kind() string { return "drill" }

type drillWorker struct {
	river.WorkerDefaults[drillArgs]
	r *Runner
}

// Timeout bounds the whole drill.
func (w *drillWorker) Timeout(*river.Job[drillArgs]) time.Duration { return drillTimeout }

// NextRetry says when the next attempt is due, by River's clock.
func (w *drillWorker) NextRetry(*river.Job[drillArgs]) time.Time {
	return time.Now().Add(w.r.cfg.Backoff(1))
}

// drilling is one attempt at a drill.
type drilling struct {
	r     *Runner
	job   backup.Job
	fence int64
	done  map[string][]backup.DrillResult // by database: recorded by this attempt or one before
}

// Work takes a drill from where an attempt before left it to its end.
func (w *drillWorker) Work(ctx context.Context, job *river.Job[drillArgs]) error {
	r := w.r
	j, fence, err := r.beginSolo(ctx, job.Args.JobID, job.ID)
	if errors.Is(err, store.ErrFenced) {
		return nil
	}
	if err == nil {
		d := &drilling{r: r, job: j, fence: fence, done: map[string][]backup.DrillResult{}}
		err = d.run(ctx)
	}
	switch {
	case errors.Is(err, store.ErrFenced), err == nil:
		return nil
	case errors.Is(halted(ctx), errStopping):
		return context.Canceled // River puts the job back and refunds the attempt
	case errors.Is(err, errStopping):
		return river.JobSnooze(0)
	}
	r.log.Warn("a drill was interrupted", "job_id", job.Args.JobID, "attempt", job.Attempt, "error", kindName(err))
	return plain(err)
}

func (d *drilling) run(ctx context.Context) error {
	old, err := d.r.store.DrillResults(ctx, d.job.ID)
	if err != nil {
		return err
	}
	for _, res := range old {
		d.done[res.DatabaseID] = append(d.done[res.DatabaseID], res)
	}
	standings, err := d.r.store.Standings(ctx, store.DatabaseFilter{Gone: true})
	if err != nil {
		return err
	}
	standings = slices.DeleteFunc(standings, func(s backup.Standing) bool { return len(d.done[s.Database.ID]) == 0 && !drilled(s) })
	slices.SortStableFunc(standings, func(a, b backup.Standing) int {
		return cmp.Or(cmp.Compare(a.Database.Priority.Rank(), b.Database.Priority.Rank()), cmp.Compare(a.Database.Name, b.Database.Name))
	})
	if err := d.r.store.SizeDrill(ctx, d.job.ID, len(standings)); err != nil {
		return err
	}
	for _, s := range standings {
		for _, role := range []backup.DrillRole{backup.DrillNewest, backup.DrillOldest} {
			if err := d.one(ctx, s.Database, role); errors.Is(err, errCancelled) {
				return d.end(ctx, backup.DrillCancelled)
			} else if err != nil {
				return err
			}
		}
	}
	return d.end(ctx, "")
}

// drilled tells whether a drill goes over a database: each of the account's
// that is backed up, and those of whose copies alone are left.
func drilled(s backup.Standing) bool {
	return s.Newest != nil || s.Suspect > 0 || s.Database.GoneAt == nil && !s.Database.Paused
}

// one proves one copy of a database, unless that is on record already.
func (d *drilling) one(ctx context.Context, db backup.Database, role backup.DrillRole) error {
	done := d.done[db.ID]
	if slices.ContainsFunc(done, func(r backup.DrillResult) bool { return r.Role == role }) {
		return nil
	}
	select {
	case <-d.r.stopping:
		return errStopping
	default:
	}
	res, err := d.rehearse(ctx, db, role)
	if halt := halted(ctx); halt != nil {
		return halt
	}
	if err != nil || res == nil {
		return err
	}
	d.r.cfg.Hook("before:drill.result")
	err = d.r.persist(ctx, func(ctx context.Context, _ pgx.Tx, s *store.Store) error {
		if _, err := s.HoldJob(ctx, d.job.ID, d.fence); err != nil {
			return err
		}
		return d.r.recordRehearsal(ctx, s, *res)
	})
	if err != nil {
		return err
	}
	d.done[db.ID] = append(done, *res)
	d.r.log.Info("a copy was rehearsed", "job_id", d.job.ID, "database", db.Name, "copy_id", res.CopyID, "role", string(role), "passed", res.Passed,
		"bytes", res.Size, "rows", res.Rows, "duration_ms", (res.Load + res.Check + res.Again).Milliseconds())
	d.r.cfg.Hook("after:drill.result")
	return nil
}

// rehearse chooses the copy that has the role and proves it; a nil result
// where there is nothing to prove for it. A copy that went meanwhile, by
// retention, is chosen anew.
func (d *drilling) rehearse(ctx context.Context, db backup.Database, role backup.DrillRole) (*backup.DrillResult, error) {
	for {
		id, err := d.choose(ctx, db, role)
		switch {
		case err != nil:
			return nil, err
		case id == "" && role == backup.DrillOldest:
			return nil, nil
		case id == "":
			return &backup.DrillResult{
				JobID: d.job.ID, Role: role, DatabaseID: db.ID, DatabaseName: db.Name, At: d.r.now(),
				Error: "it has no copy that could be restored", Next: "Back it up, and look at its page for why earlier ones are no good.",
			}, nil
		}
		res, err := d.r.rehearse(ctx, rehearsal{jobID: d.job.ID, role: role, database: db, copyID: id, live: role == backup.DrillNewest && db.GoneAt == nil})
		if errors.Is(err, backup.ErrNotFound) && ctx.Err() == nil {
			continue
		}
		return &res, err
	}
}

// choose gives the copy that has a role; "" for none. The oldest is one that is
// not the newest too.
func (d *drilling) choose(ctx context.Context, db backup.Database, role backup.DrillRole) (string, error) {
	if role == backup.DrillNewest {
		now, err := d.r.store.Standings(ctx, store.DatabaseFilter{Gone: true, IDs: []string{db.ID}})
		if err != nil || len(now) == 0 || now[0].Newest == nil {
			return "", err
		}
		return now[0].Newest.ID, nil
	}
	c, err := d.r.store.OldestCopy(ctx, db.ID)
	if errors.Is(err, backup.ErrNotFound) {
		return "", nil
	}
	if err != nil || slices.ContainsFunc(d.done[db.ID], func(r backup.DrillResult) bool { return r.CopyID == c.ID }) {
		return "", err
	}
	return c.ID, nil
}

// end gives the drill its verdict, its job its end, and tells of a failure, in
// one transaction.
func (d *drilling) end(ctx context.Context, verdict backup.DrillVerdict) error {
	r := d.r
	sum, totals := d.sum()
	status, why := backup.JobCompleted, ""
	switch {
	case verdict == backup.DrillCancelled:
		job, err := r.store.Job(context.WithoutCancel(ctx), d.job.ID)
		if err != nil {
			return err
		}
		status, sum.Verdict, sum.Text = backup.JobCancelled, verdict, cancelledBy(job)
	case sum.Verdict == backup.DrillFailed && sum.Passed > 0:
		status = backup.JobPartial
	case sum.Verdict == backup.DrillFailed:
		status = backup.JobFailed
	}
	if status != backup.JobCompleted {
		why = sum.Text
	}
	r.cfg.Hook("before:drill.end")
	err := r.endSolo(ctx, d.job.ID, d.fence, totals, status, why, func(ctx context.Context, _ pgx.Tx, s *store.Store) error {
		return r.endDrill(ctx, s, sum)
	})
	if err == nil {
		r.cfg.Hook("after:drill.end")
	}
	return err
}

// sum adds up what is on record: a database passed where each of its copies did.
func (d *drilling) sum() (backup.Drill, backup.Totals) {
	at := d.r.now()
	sum := backup.Drill{ID: d.job.ID, EndedAt: &at, Databases: len(d.done)}
	totals := backup.Totals{Databases: len(d.done)}
	var failed []string
	for _, list := range d.done {
		good := true
		for _, res := range list {
			good = good && res.Passed
			totals.Bytes += res.Size
			totals.Rows += res.Rows
		}
		if !good {
			failed = append(failed, list[0].DatabaseName)
		}
	}
	slices.Sort(failed)
	sum.Failed, sum.Passed = len(failed), len(d.done)-len(failed)
	totals.Failed, totals.Succeeded = sum.Failed, sum.Passed
	switch {
	case len(d.done) == 0:
		sum.Verdict, sum.Text = backup.DrillFailed, "there is no database whose copies could be restored"
	case len(failed) > 0:
		sum.Verdict, sum.Text = backup.DrillFailed, fmt.Sprintf("%d of %d databases did not restore: %s", len(failed), len(d.done), listed(failed))
	default:
		sum.Verdict, sum.Text = backup.DrillPassed, fmt.Sprintf("all %d databases restored from their stored bytes", len(d.done))
	}
	return sum, totals
}

// endDrill records the end of a drill, and the event where it failed.
func (r *Runner) endDrill(ctx context.Context, s *store.Store, d backup.Drill) error {
	if err := s.EndDrill(ctx, d); err != nil || d.Verdict != backup.DrillFailed {
		return err
	}
	_, err := s.AddEvent(ctx, backup.Event{
		ID: newID(), At: r.now(), Kind: backup.EventDrillFailed, Once: d.ID, JobID: d.ID, Message: "The drill failed: " + d.Text + ".",
		Next: "Its certificate at /drills/" + d.ID + " says of each copy what was found.",
	})
	return err
}

// listed names the first few of many.
func listed(names []string) string {
	if len(names) > 5 {
		names = append(names[:5:5], "…")
	}
	return strings.Join(names, ", ")
}

// startDrill records a drill and queues it.
func (r *Runner) startDrill(ctx context.Context, tx pgx.Tx, s *store.Store, job backup.Job) error {
	if err := r.startSolo(ctx, tx, s, job, drillArgs{job.ID}, &river.InsertOpts{Queue: queueDrill, MaxAttempts: drillAttempts}); err != nil {
		return err
	}
	return s.InsertDrill(ctx, job.ID, job.CreatedAt)
}

// startDrillSlot makes the drill of a slot.
func (r *Runner) startDrillSlot(ctx context.Context, tx pgx.Tx, s *store.Store, scheduleID string, slot time.Time) (string, error) {
	job := r.soloJob(backup.JobProve, backup.Request{Trigger: backup.TriggerMonthly, Actor: "schedule " + scheduleID})
	job.ScheduleID, job.Slot, job.Date = scheduleID, &slot, backup.DateOf(slot)
	return job.ID, r.startDrill(ctx, tx, s, job)
}

// requestDrill starts a drill now, unless one waits or runs already.
func (r *Runner) requestDrill(ctx context.Context, tx pgx.Tx, s *store.Store, req backup.Request) (backup.Started, error) {
	open, err := s.OpenDrill(ctx)
	if err != nil {
		return backup.Started{}, err
	}
	if open != "" {
		return backup.Started{}, &backup.Error{
			Kind: backup.ErrConflict, Message: "a drill is under way already; nothing was started", Next: "Wait for its end, or cancel it.",
			Err: &backup.BusyError{Name: "the drill", JobID: open},
		}
	}
	job := r.soloJob(backup.JobProve, req)
	if err := r.startDrill(ctx, tx, s, job); err != nil {
		return backup.Started{}, err
	}
	return backup.Started{JobID: job.ID, Status: job.Status}, nil
}

// endLostDrill ends the drill of a job that nothing will take up again.
func (r *Runner) endLostDrill(ctx context.Context, s *store.Store, job backup.Job) error {
	if job.Kind != backup.JobProve {
		return nil
	}
	d, err := s.Drill(ctx, job.ID)
	if errors.Is(err, backup.ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	at := r.now()
	d.EndedAt, d.Verdict, d.Text = &at, backup.DrillFailed, "its work in the queue was given up"
	if job.CancelRequestedAt != nil {
		d.Verdict, d.Text = backup.DrillCancelled, cancelledBy(job)
	}
	return r.endDrill(ctx, s, d)
}
