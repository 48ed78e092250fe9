package jobs

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/riverqueue/river"
	"github.com/riverqueue/river/riverdriver/riverpgxv5"
	"github.com/riverqueue/river/rivertype"

	"github.com/AutumnsGrove/Patina/backup"
	"github.com/AutumnsGrove/Patina/backup/export"
	"github.com/AutumnsGrove/Patina/backup/prove"
	"github.com/AutumnsGrove/Patina/store"
)

// queueExport runs exports; all else runs in River's default queue, so that a
// long export never holds up the end of a job.
const queueExport = "export"

// Runner takes requests for work and, once started, does it. It is safe for
// concurrent use.
type Runner struct {
	cfg     Config
	store   *store.Store
	log     *slog.Logger
	river   *river.Client[pgx.Tx]
	process store.Process
	export  func(context.Context, backup.Database, export.Request) (*backup.Manifest, error)
	prove   func(context.Context, backup.Copy, prove.Options) (*prove.Proof, error) // ErrCorrupt: the copy is no good
	hand    inHand

	mu       sync.Mutex
	started  bool
	stopping chan struct{}      // closed when Stop begins
	endLook  context.CancelFunc // ends tick, sweep, tell and watch
	endBeat  context.CancelFunc // ends the heartbeat
	loops    sync.WaitGroup
}

// New makes a Runner. Until Start it only takes requests, which a process that
// was started will do.
func New(_ context.Context, cfg Config) (*Runner, error) {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return nil, err
	}
	r := &Runner{cfg: cfg, store: cfg.Store, log: cfg.Log, process: thisProcess()}
	r.export = func(ctx context.Context, db backup.Database, req export.Request) (*backup.Manifest, error) {
		return export.Run(ctx, cfg.Source(db), cfg.Bucket, req)
	}
	r.prove = func(ctx context.Context, c backup.Copy, opt prove.Options) (*prove.Proof, error) {
		opt.Clock = cfg.Clock
		return prove.Copy(ctx, cfg.Bucket, c, opt)
	}
	workers := river.NewWorkers()
	river.AddWorker(workers, &exportWorker{r: r})
	river.AddWorker(workers, &finishWorker{r: r})
	river.AddWorker(workers, &proveWorker{r: r})
	river.AddWorker(workers, &discoverWorker{r: r})
	river.AddWorker(workers, &archiveWorker{r: r})
	river.AddWorker(workers, &deliverWorker{r: r})
	river.AddWorker(workers, &heartbeatWorker{r: r})
	river.AddWorker(workers, &restoreWorker{r: r})
	river.AddWorker(workers, &proveCopyWorker{r: r})
	river.AddWorker(workers, &drillWorker{r: r})
	river.AddWorker(workers, &metaWorker{r: r})
	river.AddWorker(workers, &cleanupWorker{r: r})
	river.AddWorker(workers, &scrubWorker{r: r})
	r.river, err = river.NewClient(riverpgxv5.New(cfg.Store.Pool()), &river.Config{
		ID:      r.process.ID,
		Logger:  slog.New(quiet{cfg.Log.Handler()}),
		Workers: workers,
		Queues: map[string]river.QueueConfig{
			queueExport:        {MaxWorkers: cfg.Concurrency},
			queueProve:         {MaxWorkers: 1},
			queueAlert:         {MaxWorkers: 4},
			queueRestore:       {MaxWorkers: 2},
			queueDrill:         {MaxWorkers: 1},
			queueCleanup:       {MaxWorkers: 1},
			river.QueueDefault: {MaxWorkers: 4},
		},
		FetchCooldown:     cfg.Timing.Fetch,
		FetchPollInterval: cfg.Timing.Poll,
		PollOnly:          cfg.PollOnly,
		JobTimeout:        5 * time.Minute,
		// Dead processes are this package's business; the rescuer must not
		// spend an attempt of a job that only runs long.
		RescueStuckJobsAfter: cfg.ExportTimeout + time.Hour,
		SoftStopTimeout:      cfg.SoftStopTimeout,
		Middleware:           []rivertype.Middleware{&r.hand},
	})
	if err != nil {
		return nil, fmt.Errorf("make the queue's client: %w", err)
	}
	return r, nil
}

// Start begins to work: schedules are entered, due slots started, and jobs
// run, until Stop. The context bounds the start alone.
func (r *Runner) Start(ctx context.Context) error {
	if r.cfg.Bucket == nil || r.cfg.Source == nil {
		return backup.Errorf(backup.ErrInvalid, "jobs: no bucket or no account to back up")
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.started {
		return backup.Errorf(backup.ErrConflict, "jobs: started already")
	}
	if err := r.store.EnsureExportSlots(ctx, r.cfg.Concurrency); err != nil {
		return err
	}
	if err := r.enterSchedules(ctx); err != nil {
		return err
	}
	r.notePolicy(ctx)
	if err := r.store.Beat(ctx, r.process); err != nil {
		return err
	}
	if err := r.buryNeighbours(ctx); err != nil {
		return err
	}
	if err := r.sealAnew(ctx); err != nil {
		return err
	}
	r.stopping = make(chan struct{})
	background := context.WithoutCancel(ctx)
	if err := r.river.Start(background); err != nil {
		return fmt.Errorf("start the queue: %w", err)
	}
	r.started = true
	var beat, look context.Context
	beat, r.endBeat = context.WithCancel(background)
	look, r.endLook = context.WithCancel(background)
	r.loops.Go(func() { r.every(beat, r.cfg.Timing.Heartbeat, "renew the lease", r.beat) })
	r.loops.Go(func() { r.every(look, r.cfg.Timing.Tick, "look for due slots", r.tick) })
	r.loops.Go(func() { r.every(look, r.cfg.Timing.Sweep, "look for lost work", r.sweep) })
	r.loops.Go(func() { r.every(look, r.cfg.Timing.Tell, "decide who is told", r.tell) })
	r.loops.Go(func() { r.every(look, r.cfg.Timing.Watch, "look for what is late", r.watch) })
	return nil
}

// Stop lets running exports finish for SoftStopTimeout; those that do not are
// cut and go back into the queue with their attempt unspent. The lease is
// renewed until then, and ended.
func (r *Runner) Stop(ctx context.Context) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.started {
		return nil
	}
	close(r.stopping)
	r.endLook()
	err := r.river.Stop(ctx)
	// The last export may have ended in that time: the next process may be far away.
	if err == nil {
		if err := r.finishAll(ctx); err != nil {
			r.log.Warn("jobs that have ended are left to the next process", "error", err)
		}
	}
	r.endBeat()
	r.loops.Wait()
	r.started = false
	if err != nil {
		return fmt.Errorf("stop the queue: %w", err)
	}
	return r.store.RemoveProcess(ctx, r.process.ID)
}

// every runs f at once and then each interval, until ctx ends.
func (r *Runner) every(ctx context.Context, interval time.Duration, doing string, f func(context.Context) error) {
	t := time.NewTicker(interval)
	defer t.Stop()
	for {
		if err := f(ctx); err != nil && ctx.Err() == nil {
			r.log.Warn(doing, "error", err)
		}
		select {
		case <-ctx.Done():
			return
		case <-t.C:
		}
	}
}

// now is the time, UTC, as Postgres can keep it.
func (r *Runner) now() time.Time { return r.cfg.Clock().UTC().Truncate(time.Microsecond) }

// newID gives a UUIDv7.
func newID() string { return uuid.Must(uuid.NewV7()).String() }

// quiet hands on River's warnings and errors: its everyday is not ours.
type quiet struct{ slog.Handler }

func (q quiet) Enabled(ctx context.Context, l slog.Level) bool {
	return l >= slog.LevelWarn && q.Handler.Enabled(ctx, l)
}

func (q quiet) WithAttrs(as []slog.Attr) slog.Handler { return quiet{q.Handler.WithAttrs(as)} }
func (q quiet) WithGroup(name string) slog.Handler    { return quiet{q.Handler.WithGroup(name)} }

// inHand knows the River jobs that this process is working on.
type inHand struct {
	river.MiddlewareDefaults
	mu   sync.Mutex
	jobs map[int64]time.Time // zero: at work; otherwise when the work returned
}

// settle is how long the end of a job may take to reach Postgres.
const settle = time.Minute

// Work remembers the job while it is worked.
func (h *inHand) Work(ctx context.Context, job *rivertype.JobRow, doInner func(context.Context) error) error {
	h.set(job.ID, time.Time{})
	defer func() { h.set(job.ID, time.Now()) }()
	return doInner(ctx)
}

func (h *inHand) set(id int64, at time.Time) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.jobs == nil {
		h.jobs = map[int64]time.Time{}
	}
	h.jobs[id] = at
}

// list gives the jobs in hand and forgets those that ended long ago.
func (h *inHand) list() []int64 {
	h.mu.Lock()
	defer h.mu.Unlock()
	ids := make([]int64, 0, len(h.jobs))
	for id, ended := range h.jobs {
		if !ended.IsZero() && time.Since(ended) > settle {
			delete(h.jobs, id)
			continue
		}
		ids = append(ids, id)
	}
	return ids
}
