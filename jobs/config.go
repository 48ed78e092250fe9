package jobs

import (
	"errors"
	"log/slog"
	"path"
	"time"

	"github.com/AutumnsGrove/Patina/backup"
	"github.com/AutumnsGrove/Patina/backup/alert"
	"github.com/AutumnsGrove/Patina/backup/d1"
	"github.com/AutumnsGrove/Patina/backup/object"
	"github.com/AutumnsGrove/Patina/backup/retention"
	"github.com/AutumnsGrove/Patina/backup/source"
	"github.com/AutumnsGrove/Patina/store"
)

// Config is what a Runner needs. Store is always needed; Bucket, and D1 or
// Source, by a process that is started.
type Config struct {
	Store   *store.Store
	Bucket  object.Bucket
	D1      *d1.Client
	Restore *d1.Client                          // what restores write with; nil: D1
	Source  func(backup.Database) source.Source // what a database is read through; nil: D1
	Log     *slog.Logger                        // nil: discarded
	Clock   func() time.Time                    // nil: time.Now

	Nightly   string          // cron spec, UTC; "0 3 * * *"
	Weekly    string          // cron spec, UTC; "0 4 * * 0"
	Discovery string          // cron spec, UTC; "30 2 * * *"
	Drill     string          // cron spec, UTC; "0 6 1 * *"
	Cleanup   string          // cron spec, UTC; "0 5 * * 0"
	Scrub     string          // cron spec, UTC; "30 5 * * *"
	Keep      retention.Fixed // what the environment says of how long copies stay

	Concurrency int                // exports at once over all processes; 3
	Compress    backup.Compression // none
	Include     []string           // globs over names that discovery takes; none: all
	Exclude     []string           // globs over names that discovery leaves out
	Version     string             // of this program, for manifests
	Redact      []backup.Database  // those whose rules of redaction the configuration says: by ID, or by name where that is empty
	HashKey     []byte             // for the rule hash; see export.HashKey

	Sealer       *alert.Sealer                                    // opens channels' addresses; without one nothing is told
	Sender       *alert.Sender                                    // carries messages; nil: one that reaches public addresses
	AlertBackoff func(try int, asked time.Duration) time.Duration // alert.Backoff
	PublicURL    string                                           // what links in messages begin with; "" for none
	Heartbeat    string                                           // pinged at start, success and failure of scheduled backups; "" for none
	Summary      string                                           // cron spec, UTC, of the daily summary; "0 8 * * *"

	Attempts        int                             // tries at an export before it fails; 3
	Backoff         func(attempt int) time.Duration // wait after the nth try; 30 s, then 2 min
	ExportTimeout   time.Duration                   // of one export, its wait for a slot included; 6 h
	SoftStopTimeout time.Duration                   // what running exports get when the process stops; 4 min
	PollOnly        bool                            // Postgres behind a transaction pooler: no LISTEN
	Timing          Timing
	Hook            func(step string) // told each step of an export's end and of a job's; may be nil
}

// Timing is how often the Runner looks; the zero value means the defaults.
type Timing struct {
	Tick      time.Duration // look for due slots: 1 min
	Heartbeat time.Duration // renew this process's lease: 15 s
	Lease     time.Duration // a process silent this long is dead: 40 s
	Sweep     time.Duration // look for what dead processes left: 5 s
	SlotPoll  time.Duration // look for a free export slot: 150 ms, critical databases thrice as often
	Progress  time.Duration // record an export's progress: 1 s
	Busy      time.Duration // look again whether a database is free: 1 s
	Proofs    time.Duration // look again whether a night's copies are proven: 30 s
	Fetch     time.Duration // the queue's shortest pause between two fetches: 50 ms
	Poll      time.Duration // fetch even though nobody said so: 1 s
	Tell      time.Duration // look for events that nobody was told of: 1 s
	Watch     time.Duration // look for what is late: 1 min
}

func def[T comparable](p *T, v T) {
	var zero T
	if *p == zero {
		*p = v
	}
}

// withDefaults fills what was left out and checks the rest; it reports every
// problem at once.
func (c Config) withDefaults() (Config, error) {
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if c.Clock == nil {
		c.Clock = time.Now
	}
	if c.Backoff == nil {
		c.Backoff = func(attempt int) time.Duration { return 30 * time.Second << (2 * (min(attempt, 4) - 1)) }
	}
	if c.Hook == nil {
		c.Hook = func(string) {}
	}
	if c.Source == nil && c.D1 != nil {
		c.Source = func(db backup.Database) source.Source { return source.D1(c.D1, db.ID, db.Name) }
	}
	c.Restore = restoreClient(c)
	def(&c.Nightly, "0 3 * * *")
	def(&c.Weekly, "0 4 * * 0")
	def(&c.Discovery, "30 2 * * *")
	def(&c.Drill, "0 6 1 * *")
	def(&c.Summary, "0 8 * * *")
	def(&c.Cleanup, "0 5 * * 0")
	def(&c.Scrub, "30 5 * * *")
	def(&c.Concurrency, 3)
	def(&c.Compress, backup.Plain)
	def(&c.Attempts, 3)
	def(&c.ExportTimeout, 6*time.Hour)
	def(&c.SoftStopTimeout, 4*time.Minute)
	if c.Sender == nil {
		c.Sender = alert.NewSender(alert.Allow{}, c.Version, c.Clock)
	}
	if c.AlertBackoff == nil {
		c.AlertBackoff = alert.Backoff
	}
	c.Timing.defaults()

	var problems []error
	if c.Store == nil {
		problems = append(problems, backup.Errorf(backup.ErrInvalid, "jobs: no store"))
	}
	if c.Concurrency < 1 || c.Concurrency > 100 {
		problems = append(problems, backup.Errorf(backup.ErrInvalid, "concurrency %d is not between 1 and 100", c.Concurrency))
	}
	problems = append(problems, CheckNightly(c.Nightly))
	for _, spec := range []string{c.Weekly, c.Discovery, c.Drill, c.Summary, c.Cleanup, c.Scrub} {
		_, err := parseSpec(spec)
		problems = append(problems, err)
	}
	for _, glob := range append(append([]string(nil), c.Include...), c.Exclude...) {
		if _, err := path.Match(glob, ""); err != nil {
			problems = append(problems, backup.Errorf(backup.ErrInvalid, "%q is not a pattern of names", glob))
		}
	}
	return c, errors.Join(problems...)
}

func (t *Timing) defaults() {
	def(&t.Tick, time.Minute)
	def(&t.Heartbeat, 15*time.Second)
	def(&t.Lease, 40*time.Second)
	def(&t.Sweep, 5*time.Second)
	def(&t.SlotPoll, 150*time.Millisecond)
	def(&t.Progress, time.Second)
	def(&t.Busy, time.Second)
	def(&t.Proofs, 30*time.Second)
	def(&t.Fetch, 50*time.Millisecond)
	def(&t.Poll, time.Second)
	def(&t.Tell, time.Second)
	def(&t.Watch, time.Minute)
}
