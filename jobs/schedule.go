package jobs

import (
	"context"
	"math/bits"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/robfig/cron/v3"

	"github.com/AutumnsGrove/Patina/backup"
	"github.com/AutumnsGrove/Patina/store"
)

// The schedules.
const (
	NightlySchedule   = "nightly"
	WeeklySchedule    = "weekly"
	DiscoverySchedule = "discovery"
	DrillSchedule     = "drill"
	SummarySchedule   = "summary"
	CleanupSchedule   = "cleanup"
	ScrubSchedule     = "scrub"
)

// The kinds of schedule.
const (
	kindBackup    = "backup"
	kindArchive   = "archive"
	kindDiscovery = "discovery"
	kindDrill     = "drill"
	kindSummary   = "summary"
	kindCleanup   = "cleanup"
	kindScrub     = "scrub"
)

// parseSpec reads a cron spec of five fields, or @daily and its like, in UTC.
// Errors: ErrInvalid, also for a spec that never comes due.
func parseSpec(spec string) (*cron.SpecSchedule, error) {
	bad := func(why string) error {
		return &backup.Error{
			Kind: backup.ErrInvalid, Message: "the schedule \"" + spec + "\" " + why,
			Next: `Write it as five fields in UTC: minute, hour, day of month, month, day of week; "0 3 * * *" is 03:00 every day.`,
		}
	}
	if strings.Contains(spec, "TZ=") {
		return nil, bad("names a time zone: schedules are in UTC")
	}
	s, err := cron.ParseStandard(spec)
	if err != nil {
		return nil, bad("cannot be read")
	}
	at, ok := s.(*cron.SpecSchedule)
	if !ok {
		return nil, bad("has no fixed times of day")
	}
	at.Location = time.UTC
	if at.Next(time.Date(2024, 1, 1, 0, 0, 0, 0, time.UTC)).IsZero() {
		return nil, bad("never comes due")
	}
	return at, nil
}

// NextRun gives the first time after the given one at which spec is due, in
// UTC. Errors: ErrInvalid.
func NextRun(spec string, after time.Time) (time.Time, error) {
	s, err := parseSpec(spec)
	if err != nil {
		return time.Time{}, err
	}
	return s.Next(after.UTC()), nil
}

// CheckNightly refuses, as ErrInvalid, a spec that can come due twice on one
// UTC date: the scheduled copies of a date are one a database.
func CheckNightly(spec string) error {
	s, err := parseSpec(spec)
	if err != nil {
		return err
	}
	const star = 1 << 63 // how the parser marks "*"
	if bits.OnesCount64(s.Hour&^star)*bits.OnesCount64(s.Minute&^star) != 1 {
		return &backup.Error{
			Kind: backup.ErrInvalid, Message: "the nightly schedule \"" + spec + "\" can come due twice on one UTC date",
			Next: `Give one minute and one hour, such as "0 3 * * *"; start further backups of a day by hand or through the API.`,
		}
	}
	return nil
}

// Next gives the times at which the nightly and the weekly run are due next.
func (r *Runner) Next(now time.Time) (nightly, weekly time.Time) {
	nightly, _ = NextRun(r.cfg.Nightly, now) // the specs were checked by New
	weekly, _ = NextRun(r.cfg.Weekly, now)
	return nightly, weekly
}

// NextCleanup gives the time at which the cleanup is due next.
func (r *Runner) NextCleanup(now time.Time) time.Time {
	at, _ := NextRun(r.cfg.Cleanup, now) // the spec was checked by New
	return at
}

// enterSchedules writes the schedules that this program runs into the ledger.
// A discovery that has never run is due at once: nothing can be backed up that
// is not in the registry.
func (r *Runner) enterSchedules(ctx context.Context) error {
	now := r.now()
	for _, sc := range []store.Schedule{
		{ID: NightlySchedule, Kind: kindBackup, Spec: r.cfg.Nightly},
		{ID: WeeklySchedule, Kind: kindArchive, Spec: r.cfg.Weekly},
		{ID: DrillSchedule, Kind: kindDrill, Spec: r.cfg.Drill},
		{ID: SummarySchedule, Kind: kindSummary, Spec: r.cfg.Summary},
		{ID: CleanupSchedule, Kind: kindCleanup, Spec: r.cfg.Cleanup},
		{ID: ScrubSchedule, Kind: kindScrub, Spec: r.cfg.Scrub},
	} {
		sc.CreatedAt = now
		if _, err := r.store.PutSchedule(ctx, sc); err != nil {
			return err
		}
	}
	if r.cfg.D1 == nil {
		return nil
	}
	sc := store.Schedule{ID: DiscoverySchedule, Kind: kindDiscovery, Spec: r.cfg.Discovery, CreatedAt: now}
	return r.store.InTx(ctx, func(tx pgx.Tx, s *store.Store) error {
		created, err := s.PutSchedule(ctx, sc)
		if err != nil || !created {
			return err
		}
		_, _, err = r.startSlot(ctx, tx, s, sc, now.Truncate(time.Minute))
		return err
	})
}

// tick starts what is due and records what was missed.
func (r *Runner) tick(ctx context.Context) error {
	schedules, err := r.store.Schedules(ctx)
	if err != nil {
		return err
	}
	for _, sc := range schedules {
		switch sc.Kind {
		case kindBackup, kindDiscovery, kindDrill, kindSummary, kindCleanup, kindScrub:
		case kindArchive:
			if err := r.resumeWeekly(ctx, sc); err != nil {
				return err
			}
		default:
			continue
		}
		if err := r.tickSchedule(ctx, sc); err != nil {
			return err
		}
	}
	if err := r.store.ForgetAnswers(ctx, r.now().Add(-answersKept)); err != nil {
		return err
	}
	return r.forgetAlerts(ctx)
}

// tickSchedule starts the newest due slot of a schedule, in one transaction
// with its job, and records those before it as missed. The ledger is what
// keeps two processes, or two ticks, from doing it twice.
func (r *Runner) tickSchedule(ctx context.Context, sc store.Schedule) error {
	now := r.now()
	if err := r.store.ForgetFutureMissed(ctx, sc.ID, now); err != nil {
		return err
	}
	last, err := r.store.LedgerBefore(ctx, sc.ID, now)
	if err != nil {
		return err
	}
	if last.Before(sc.CreatedAt) {
		last = sc.CreatedAt
	}
	due, err := dueSlots(sc.Spec, last, now)
	if err != nil || len(due) == 0 {
		return err
	}
	newest, older := due[len(due)-1], due[:len(due)-1]
	if sc.Paused {
		_, err := r.store.RecordSlots(ctx, sc.ID, due, store.SlotSkipped, now, "the schedule is paused")
		return err
	}
	return r.store.InTx(ctx, func(tx pgx.Tx, s *store.Store) error {
		if _, _, err := r.startSlot(ctx, tx, s, sc, newest); err != nil {
			return err
		}
		missed, err := s.RecordSlots(ctx, sc.ID, older, store.SlotMissed, now, "nothing was running when it was due")
		if missed > 0 {
			r.log.Warn("slots were missed", "schedule", sc.ID, "slots", missed, "newest", newest)
			return r.noteMissed(ctx, s, sc, older[len(older)-int(missed):])
		}
		return err
	})
}

// dueSlots gives the slots after last, up to now.
func dueSlots(spec string, last, now time.Time) ([]time.Time, error) {
	s, err := parseSpec(spec)
	if err != nil {
		return nil, err
	}
	const most = 40_000 // a century of nights; the newest of them count
	var due []time.Time
	for at := s.Next(last.UTC()); !at.IsZero() && !at.After(now); at = s.Next(at) {
		if due = append(due, at); len(due) > 2*most {
			due = append(due[:0], due[most:]...)
		}
	}
	return due, nil
}

// StartSlot starts one slot of a schedule now, whether it is due yet or not,
// unless the ledger has it already: then started is false, and jobID the job
// that answers for it. Errors: ErrNotFound for an unknown schedule, ErrInvalid
// for a time at which it is never due.
func (r *Runner) StartSlot(ctx context.Context, scheduleID string, slot time.Time) (jobID string, started bool, err error) {
	slot = slot.UTC()
	err = r.store.InTx(ctx, func(tx pgx.Tx, s *store.Store) error {
		sc, err := s.Schedule(ctx, scheduleID)
		if err != nil {
			return err
		}
		at, err := NextRun(sc.Spec, slot.Add(-time.Second))
		if err != nil {
			return err
		}
		if !at.Equal(slot) {
			return backup.Errorf(backup.ErrInvalid, "the schedule %s is never due at %s", scheduleID, slot.Format(time.RFC3339))
		}
		jobID, started, err = r.startSlot(ctx, tx, s, sc, slot)
		return err
	})
	return jobID, started, err
}

func (r *Runner) startSlot(ctx context.Context, tx pgx.Tx, s *store.Store, sc store.Schedule, slot time.Time) (jobID string, started bool, err error) {
	claimed, err := s.ClaimSlot(ctx, sc.ID, slot, r.now())
	if err != nil {
		return "", false, err
	}
	if !claimed {
		old, err := s.Slot(ctx, sc.ID, slot)
		return old.JobID, false, err
	}
	switch sc.Kind {
	case kindDiscovery:
		return "", true, r.queueDiscovery(ctx, tx, s, sc.ID, slot)
	case kindSummary:
		return "", true, r.summarise(ctx, s, sc.ID, slot)
	case kindArchive:
		return r.startWeekly(ctx, tx, s, sc.ID, slot)
	case kindDrill:
		jobID, err = r.startDrillSlot(ctx, tx, s, sc.ID, slot)
	case kindScrub:
		return "", true, r.queueScrub(ctx, tx, s, sc.ID, slot)
	case kindCleanup:
		jobID, err = r.startCleanupSlot(ctx, tx, s, sc.ID, slot)
	default:
		jobID, err = r.startNightly(ctx, tx, s, sc.ID, slot)
	}
	return jobID, true, err
}
