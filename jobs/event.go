package jobs

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/AutumnsGrove/Patina/backup"
	"github.com/AutumnsGrove/Patina/backup/alert"
	"github.com/AutumnsGrove/Patina/store"
)

// Events are written in the transaction that caused them; whom to tell is
// decided afterwards, in alert.go.

// note records an event, once for its occasion.
func (r *Runner) note(ctx context.Context, s *store.Store, e backup.Event) error {
	e.ID, e.At = newID(), r.now()
	_, err := s.AddEvent(ctx, e)
	return err
}

// noteSolo tells of a job of one piece of work that failed, where nothing
// closer to it does: restores, proofs and drills have events of their own.
func (r *Runner) noteSolo(ctx context.Context, s *store.Store, job backup.Job, why string) error {
	failed := job.Status == backup.JobFailed || job.Status == backup.JobPartial
	if !failed || job.Kind != backup.JobArchive && job.Kind != backup.JobCleanup {
		return nil
	}
	e := alert.JobEnded(job, why)
	e.Next = "The job's page says why; what is stored stays until it has run well."
	return r.note(ctx, s, e)
}

// noteAnomalies tells of a stored copy that is far from those before it.
func (r *Runner) noteAnomalies(ctx context.Context, s *store.Store, res backup.Result) error {
	t, err := thresholdsOf(ctx, s)
	if err != nil {
		return err
	}
	earlier, err := s.Successes(ctx, res.DatabaseID, res.ID, alert.Lookback)
	if err != nil {
		return err
	}
	for _, e := range alert.Anomalies(res, earlier, t.of(res.DatabaseID)) {
		if err := r.note(ctx, s, e); err != nil {
			return err
		}
	}
	return nil
}

// noteMissed tells of slots that passed while nothing ran. A look at the
// account or a summary that was missed is made up for by the next.
func (r *Runner) noteMissed(ctx context.Context, s *store.Store, sc store.Schedule, slots []time.Time) error {
	if sc.Kind == kindDiscovery || sc.Kind == kindSummary || len(slots) == 0 {
		return nil
	}
	return r.note(ctx, s, alert.Missed(sc.ID, slots))
}

func (r *Runner) noteDiscoveryFailed(ctx context.Context, s *store.Store, slot time.Time, why string) error {
	return r.note(ctx, s, backup.Event{
		Kind: backup.EventJobFailed, Once: DiscoverySchedule + " " + slot.UTC().Format(time.RFC3339),
		Message: "The daily look at the account failed: " + why + ". Databases that are registered are backed up as before; a new one would not be found.",
		Next:    "Check the API token with patina doctor; patina databases sync looks again.",
	})
}

// mostNews is how many databases of one look are told of one by one.
const mostNews = 20

// noteDiscovery tells what a look at the account changed: of a first look, or
// of one that found a great many, in one event a kind.
func (r *Runner) noteDiscovery(ctx context.Context, s *store.Store, d Discovery, news []backup.Event) error {
	first := len(d.New) > 1 && len(d.New) == len(news) && d.Found == len(d.New)+len(d.Excluded)
	if !first && len(news) <= mostNews {
		for _, e := range news {
			if err := r.note(ctx, s, e); err != nil {
				return err
			}
		}
		return nil
	}
	var several []backup.Event
	add := func(kind backup.EventKind, names []string, what, next string) {
		if len(names) > 0 {
			several = append(several, backup.Event{Kind: kind, Message: fmt.Sprintf("%d %s: %s.", len(names), what, some(names)), Next: next})
		}
	}
	add(backup.EventDatabaseNew, append(append([]string(nil), d.New...), d.Back...), "databases were found in the account and are backed up from now on", "")
	add(backup.EventDatabaseGone, d.Gone, "databases are gone from the account; their copies stay", goneNext)
	var renamed []string
	for _, n := range d.Renamed {
		renamed = append(renamed, n.From+" is now "+n.To)
	}
	add(backup.EventDatabaseRenamed, renamed, "databases were renamed", "")
	for _, e := range several {
		if err := r.note(ctx, s, e); err != nil {
			return err
		}
	}
	return nil
}

// some lists the first of many names.
func some(names []string) string {
	if len(names) > 10 {
		return strings.Join(names[:10], ", ") + fmt.Sprintf(" and %d more", len(names)-10)
	}
	return strings.Join(names, ", ")
}

const goneNext = "If it was deleted by mistake, restore its newest proven copy into a new database."

func newEvent(db backup.Database) backup.Event {
	return backup.Event{
		Kind: backup.EventDatabaseNew, DatabaseID: db.ID, DatabaseName: db.Name,
		Message: db.Name + " was found in the account, and is backed up from now on.",
	}
}

func backEvent(db backup.Database) backup.Event {
	return backup.Event{
		Kind: backup.EventDatabaseNew, DatabaseID: db.ID, DatabaseName: db.Name,
		Message: db.Name + " is in the account again, and is backed up as before.",
	}
}

func goneEvent(db backup.Database) backup.Event {
	return backup.Event{
		Kind: backup.EventDatabaseGone, DatabaseID: db.ID, DatabaseName: db.Name,
		Message: db.Name + " is gone from the account. Its copies stay.", Next: goneNext,
	}
}

func renamedEvent(db backup.Database, name string) backup.Event {
	return backup.Event{
		Kind: backup.EventDatabaseRenamed, DatabaseID: db.ID, DatabaseName: name,
		Message: db.Name + " is called " + name + " now. It is the same database, and its copies stay with it.",
	}
}
