package main

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/AutumnsGrove/Patina/backup"
	"github.com/AutumnsGrove/Patina/jobs"
	"github.com/AutumnsGrove/Patina/store"
)

// postgres looks at the server, and at everything that is kept in it.
func (d *doctor) postgres(ctx context.Context) error {
	log, err := d.app.logger(slog.LevelError)
	if err != nil {
		return err
	}
	in, err := d.app.openStore(ctx, d.cfg, log, d.options.embedded)
	if err != nil {
		d.fault("postgres", err, "Check DATABASE_URL, and that Postgres runs.")
		return nil
	}
	defer func() { _ = in.close(ctx) }()
	d.server(ctx, in)
	if err := in.checkMigrated(ctx); err != nil {
		d.fault("migrations", err, "Run: patina migrate")
		return nil
	}
	d.add("migrations", findingOK, "", "the tables are up to date, ours and the queue's")
	if idle, err := in.noWorker(ctx); err != nil {
		d.fault("worker", err, "Check that Postgres answers.")
	} else if idle {
		d.add("worker", findingFail, "Start one: patina serve", "no worker is running, so nothing will be backed up")
	} else {
		d.add("worker", findingOK, "", "one is running")
	}
	d.schedules(ctx, in)
	d.channels(ctx, in)
	d.kept(ctx, in)
	d.coverage(ctx, in)
	return nil
}

// server looks at Postgres itself.
func (d *doctor) server(ctx context.Context, in *installation) {
	before := in.clock()
	e, err := in.store.Examine(ctx)
	if err != nil {
		d.fault("postgres", err, "Check DATABASE_URL, and that Postgres runs.")
		return
	}
	ok := true
	fail := func(next, format string, args ...any) {
		ok = false
		d.add("postgres", findingFail, next, format, args...)
	}
	if e.Major < store.OldestPostgres {
		fail(fmt.Sprintf("Use Postgres %d or newer.", store.OldestPostgres), "it is version %s, which is too old", e.Version)
	}
	if e.ReadOnly {
		fail("Point DATABASE_URL at the primary, and use a role that may write.", "it takes no writes: a standby, or a role that may only read")
	}
	if !e.Creates {
		fail("As its owner: GRANT CREATE, USAGE ON SCHEMA public TO the role of DATABASE_URL;", "the role of DATABASE_URL may not make tables, so that migrations fail")
	}
	if len(e.Denied) > 0 {
		fail("Run migrations and Patina as one role, or: GRANT ALL ON ALL TABLES IN SCHEMA public TO that role;", "the role of DATABASE_URL may not read and write %s", named(e.Denied))
	}
	if !e.Notifies {
		fail("Use the direct address of Postgres, not that of a transaction pooler (PgBouncer, port 6543 or the like).", "a note from one connection does not reach another: the queue would only notice new work by chance")
	}
	if ok {
		d.add("postgres", findingOK, "", "version %s answers, and its role has the rights", e.Version)
	}
	if drift := max(e.Clock.Sub(in.clock()), before.Sub(e.Clock)); drift > mostDrift {
		d.add("clock", findingFail, "Let both machines take their time from the network (NTP).", "this machine's clock and Postgres's are %s apart", drift.Round(time.Second))
	}
}

// lateSlot is how long after its time a slot may be claimed: the tick comes
// once a minute.
const lateSlot = 5 * time.Minute

// recentSlots is how far back missed and failed slots are told.
const recentSlots = 7 * 24 * time.Hour

// schedules looks whether each schedule's due times are in the ledger.
func (d *doctor) schedules(ctx context.Context, in *installation) {
	list, err := in.store.Schedules(ctx)
	if err != nil {
		d.fault("schedules", err, "Check that Postgres answers.")
		return
	}
	fine := len(list)
	for _, sc := range list {
		slots, err := in.store.Slots(ctx, sc.ID, 20)
		if err != nil {
			d.fault("schedules", err, "Check that Postgres answers.")
			return
		}
		if !d.schedule(sc, slots, in.clock()) {
			fine--
		}
	}
	if len(list) == 0 {
		d.add("schedules", findingFail, "Start a worker: patina serve", "none is entered: no worker has ever run on this Postgres")
	} else if fine > 0 {
		d.add("schedules", findingOK, "", "%d of %d schedules run on time", fine, len(list))
	}
}

// schedule looks at one; it tells whether all is well.
func (d *doctor) schedule(sc store.Schedule, slots []store.Slot, now time.Time) bool {
	if sc.Paused {
		d.add("schedules", findingNote, "Resume it when you are done: the dashboard, Settings.", "%s is paused: nothing starts by itself", sc.ID)
		return false
	}
	last, missed := sc.CreatedAt, 0
	for _, s := range slots {
		if s.Slot.After(last) {
			last = s.Slot
		}
		if s.Status == store.SlotMissed && now.Sub(s.Slot) < recentSlots {
			missed++
		}
	}
	due, err := jobs.NextRun(sc.Spec, last)
	if err != nil {
		d.fault("schedules", fmt.Errorf("%s: %w", sc.ID, err), "Correct the schedule.")
		return false
	}
	if late := now.Sub(due); late > lateSlot {
		d.add("schedules", findingFail, "Look whether a worker runs, and in its log: the tick of every minute has not claimed that time.",
			"%s was due at %s, %s ago, and did not start", sc.ID, due.Format(time.RFC3339), late.Round(time.Minute))
		return false
	}
	fine := true
	if missed > 0 {
		fine = false
		d.add("schedules", findingNote, "See that a worker runs all the time; the newest missed time was run late.", "%d times of %s passed in the last 7 days while no worker ran", missed, sc.ID)
	}
	if len(slots) > 0 && slots[0].Status == store.SlotFailed {
		fine = false
		d.add("schedules", findingNote, "See what failed: the dashboard, or patina list.", "the last run of %s, of %s, failed: %s", sc.ID, slots[0].Slot.Format(time.RFC3339), slots[0].Reason)
	}
	return fine
}

// metaHeads is how many nights' settings the doctor compares the audit log with.
const metaHeads = 7

// kept looks at what is written to the bucket every night, and compares the audit
// log with the heads in it.
func (d *doctor) kept(ctx context.Context, in *installation) {
	var heads []store.AuditHead
	var newest time.Time
	began, err := in.store.AuditBegan(ctx)
	if err == nil {
		if b, bucketErr := openBucket(ctx, d.cfg); bucketErr == nil { // or that has been said
			heads, newest, err = jobs.AuditHeads(ctx, b, began, metaHeads)
		}
	}
	switch {
	case err != nil:
		d.fault("settings", err, "Check that the bucket answers.")
	case newest.IsZero():
		d.add("settings", findingNote, "Run: patina meta", "none are kept in the bucket yet; the first nightly run does it")
	case in.clock().Sub(newest) > 48*time.Hour:
		d.add("settings", findingNote, "Run: patina meta", "those kept in the bucket are of %s", newest.UTC().Format(time.RFC3339))
	default:
		d.add("settings", findingOK, "", "they are kept in the bucket as of %s", newest.UTC().Format(time.RFC3339))
	}
	if _, err := in.store.VerifyAudit(ctx, heads...); err != nil {
		d.fault("audit log", err, "Find out who can write to Postgres besides Patina.")
	} else {
		d.add("audit log", findingOK, "", "it is unbroken, and holds what %d night(s) of settings remember", len(heads))
	}
}

// proofDelay is how long after it was stored a copy may wait for its proof.
const proofDelay = time.Hour

// coverage compares the account with the registry, and says which databases
// lack a recent, proven backup.
func (d *doctor) coverage(ctx context.Context, in *installation) {
	all, err := in.store.Standings(ctx, store.DatabaseFilter{})
	if err != nil {
		d.fault("coverage", err, "Check that Postgres answers.")
		return
	}
	if len(all) == 0 && len(d.account) > 0 {
		d.add("coverage", findingFail, "Run: patina databases sync", "the registry holds no database: nothing will be backed up")
		return
	}
	d.unprotected(all)
	fresh, stale := 0, 0
	for _, s := range all {
		if s.Newest != nil {
			d.largest = max(d.largest, loadedSize(s.Newest))
		}
		why, next := standing(s, in.clock())
		switch {
		case s.Database.Paused:
			d.add("coverage", findingNote, "Resume it when it should be backed up again: the dashboard.", "%s is paused", s.Database.Name)
		case why == "":
			fresh++
		default:
			if stale++; stale <= 20 {
				d.add("coverage", findingStale, next, "%s", why)
			}
		}
	}
	if stale > 20 {
		d.add("coverage", findingStale, "See the overview in the dashboard.", "%d more databases have no recent backup that is proven", stale-20)
	}
	d.add("coverage", findingOK, "", "%d of %d databases have a recent backup that is proven", fresh, len(all))
}

// loadedSize bounds what a copy takes when it is loaded.
func loadedSize(c *backup.Copy) int64 {
	if c.Compression == backup.Gzip {
		return 8 * c.Size
	}
	return c.Size
}

// standing says why a database counts as stale, and what to do; "" where it does not.
func standing(s backup.Standing, now time.Time) (why, next string) {
	name := s.Database.Name
	again := "See how its last backup went: the dashboard, or patina backup " + name + " --wait"
	switch {
	case s.Newest == nil:
		return name + " has never been backed up", "Run: patina backup " + name + " --wait"
	case now.Sub(s.Newest.TakenAt) > s.Database.Objective:
		return fmt.Sprintf("the newest backup of %s is %s old", name, now.Sub(s.Newest.TakenAt).Round(time.Minute)), again
	case s.Proven != nil && now.Sub(s.Proven.TakenAt) <= s.Database.Objective, s.Newest.Proof == backup.ProofPending && now.Sub(s.Newest.CreatedAt) < proofDelay:
		return "", ""
	case s.Proven == nil:
		return name + " has backups, and none of them is proven", "Run: patina verify " + s.Newest.ID
	}
	return fmt.Sprintf("the newest proven backup of %s is %s old", name, now.Sub(s.Proven.TakenAt).Round(time.Minute)), "Run: patina verify " + s.Newest.ID
}

// unprotected compares what the account shows with the registry.
func (d *doctor) unprotected(all []backup.Standing) {
	if d.account == nil {
		return // that has been said
	}
	known, there := map[string]bool{}, map[string]bool{}
	for _, s := range all {
		known[s.Database.ID] = true
	}
	var open, excluded, gone []string
	for _, db := range d.account {
		there[db.ID] = true
		switch {
		case known[db.ID]:
		case jobs.Wanted(d.cfg.Include, d.cfg.Exclude, db.Name):
			open = append(open, db.Name)
		default:
			excluded = append(excluded, db.Name)
		}
	}
	for _, s := range all {
		if !there[s.Database.ID] {
			gone = append(gone, s.Database.Name)
		}
	}
	if len(open) > 0 {
		d.add("coverage", findingFail, "Run: patina databases sync", "%d of the account's databases are not protected: %s", len(open), named(open))
	}
	if len(excluded) > 0 {
		d.add("coverage", findingNote, "Nothing, if that is meant.", "%d databases are left out by [discovery] of the configuration: %s", len(excluded), named(excluded))
	}
	if len(gone) > 0 {
		d.add("coverage", findingNote, "Run: patina databases sync", "the account no longer has %s; their backups stay", named(gone))
	}
}
