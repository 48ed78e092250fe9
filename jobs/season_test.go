package jobs

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http/httptest"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/AutumnsGrove/Patina/backup"
	"github.com/AutumnsGrove/Patina/backup/d1"
	"github.com/AutumnsGrove/Patina/backup/d1/d1sim"
	"github.com/AutumnsGrove/Patina/backup/export"
	"github.com/AutumnsGrove/Patina/backup/object"
	"github.com/AutumnsGrove/Patina/backup/object/objecttest"
	"github.com/AutumnsGrove/Patina/backup/prove"
)

// season is an installation whose clock is moved from slot to slot: a simulated
// account, the real client, exporter and prover, Postgres, River and a bucket.
// Everything that is stored or deleted is so by the jobs that the schedules
// start; books say what must have come of it.
type season struct {
	*bench
	sim    *d1sim.Account
	bucket object.Bucket
	runner *Runner
	clock  atomic.Pointer[time.Time]
	books  seasonBooks
	random *rand.Rand

	spoil  map[string]bool               // keys whose proofs fail
	hold   atomic.Pointer[chan struct{}] // what exports wait for
	failed map[backup.Date][]string      // UUIDs that a night failed for
	jobOf  map[backup.Date]string        // nightly jobs
}

// seasonStart is a Thursday: two Sundays come before the season is a fortnight
// old, and its thirteenth lies behind the turn of the ISO year.
var seasonStart = backup.Date{Year: 2026, Month: time.October, Day: 22}

func newSeason(t *testing.T, s3 bool) *season {
	s := &season{bench: newBench(t), random: rand.New(rand.NewPCG(2026, 53)), spoil: map[string]bool{}, failed: map[backup.Date][]string{}, jobOf: map[backup.Date]string{}}
	s.real = true
	s.set(seasonStart.Time())
	var err error
	if s.sim, err = d1sim.New(d1sim.Config{Dir: t.TempDir(), AccountID: "acc", Token: "tok", Clock: s.now}); err != nil {
		t.Fatal(err)
	}
	srv := httptest.NewServer(s.sim.Handler())
	t.Cleanup(func() {
		srv.CloseClientConnections()
		srv.Close()
		_ = s.sim.Close()
	})
	client, err := d1.New(d1.Config{
		AccountID: "acc", Token: "tok", BaseURL: srv.URL, Limiter: d1.NewLocalLimiter(1e6, 1e6),
		Pause: func(ctx context.Context, _ time.Duration) error { return ctx.Err() },
	})
	if err != nil {
		t.Fatal(err)
	}
	at, cfg := "file://"+t.TempDir(), object.Config{}
	if s3 {
		at, cfg = objecttest.VersityGW(t)
	}
	if s.bucket, err = object.Open(t.Context(), at, cfg); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"groveauth", "scout-db", "autumnsgrove-posts"} {
		s.create(name)
	}
	s.runner = s.bench.runner(nil, func(c *Config) {
		c.Bucket, c.D1, c.Source, c.Clock = s.bucket, client, nil, s.now
		c.Nightly, c.Weekly, c.Discovery, c.Cleanup, c.Scrub = "0 3 * * *", sundays, "30 2 * * *", "0 5 * * 0", "30 5 * * *"
		c.Timing.Tick, c.Timing.Sweep, c.Timing.Tell, c.Timing.Watch, c.Timing.Heartbeat, c.Timing.Lease = time.Hour, time.Hour, time.Hour, time.Hour, time.Hour, 2*time.Hour
		c.Timing.Proofs = 20 * time.Millisecond
	})
	exp, prv := s.runner.export, s.runner.prove
	s.runner.export = func(ctx context.Context, db backup.Database, req export.Request) (*backup.Manifest, error) {
		if open := s.hold.Load(); open != nil {
			<-*open
		}
		return exp(ctx, db, req)
	}
	s.runner.prove = func(ctx context.Context, c backup.Copy, opt prove.Options) (*prove.Proof, error) {
		if s.spoil[c.Key] {
			return nil, backup.Errorf(backup.ErrCorrupt, "it does not load")
		}
		return prv(ctx, c, opt)
	}
	s.start(s.runner)
	s.idle()
	return s
}

func (s *season) now() time.Time   { return *s.clock.Load() }
func (s *season) set(at time.Time) { s.clock.Store(&at) }

// at moves the clock to a time of a date, and lets the schedules look.
func (s *season) at(date backup.Date, hour, minute int) {
	s.t.Helper()
	s.set(date.Time().Add(time.Duration(hour)*time.Hour + time.Duration(minute)*time.Minute))
	s.tick(s.runner)
}

// idle waits until all that was begun has ended: slots, jobs, results and proofs.
func (s *season) idle() {
	s.t.Helper()
	s.until("everything has ended", func() bool {
		return s.count(`SELECT (SELECT count(*) FROM schedule_slots WHERE status = 'running') + (SELECT count(*) FROM backup_jobs WHERE status IN ('queued', 'running'))
			+ (SELECT count(*) FROM backup_results WHERE status IN ('queued', 'running'))
			+ (SELECT count(*) FROM backup_inventory WHERE proof = 'pending' AND deleted_at IS NULL)`) == 0
	})
}

// empty waits until nothing is left in the queue either.
func (s *season) empty() {
	s.t.Helper()
	s.until("the queue is empty", func() bool {
		return s.count("SELECT count(*) FROM river_job WHERE state NOT IN ('completed', 'cancelled', 'discarded')") == 0
	})
}

// create makes a database in the account, with a little of everything.
func (s *season) create(name string) {
	s.t.Helper()
	id, err := s.sim.Create(name)
	if err != nil {
		s.t.Fatal(err)
	}
	for _, q := range []string{
		`CREATE TABLE log(day TEXT PRIMARY KEY, what TEXT)`,
		`CREATE TABLE pages(id INTEGER PRIMARY KEY, title TEXT NOT NULL, body BLOB, seen REAL)`,
		`INSERT INTO pages VALUES(1, '` + name + `', x'00ff', 0.1), (2, 'it''s', NULL, -1e300)`,
	} {
		if err := s.sim.Exec(id, q); err != nil {
			s.t.Fatal(err)
		}
	}
}

func (s *season) id(name string) string {
	s.t.Helper()
	for _, db := range s.sim.Databases() {
		if db.Name == name {
			return db.ID
		}
	}
	s.t.Fatalf("the account has no %s", name)
	return ""
}

// mark writes into each database what only the next copy can hold.
func (s *season) mark(what string) {
	s.t.Helper()
	for _, db := range s.sim.Databases() {
		if err := s.sim.Exec(db.ID, `INSERT INTO log VALUES(?1, ?2)`, s.now().Format(time.RFC3339), what); err != nil {
			s.t.Fatal(err)
		}
	}
}

// discover is the look at the account at 02:30.
func (s *season) discover(date backup.Date) {
	s.t.Helper()
	s.at(date, 2, 30)
	s.idle()
	known := map[string]bool{}
	for _, db := range s.sim.Databases() {
		known[db.ID] = true
		i := slices.IndexFunc(s.books.databases, func(d *seasonDatabase) bool { return d.id == db.ID })
		if i < 0 {
			s.books.databases = append(s.books.databases, &seasonDatabase{id: db.ID, name: db.Name, seen: s.now()})
			continue
		}
		s.books.databases[i].name = db.Name
	}
	for _, d := range s.books.databases {
		if !known[d.id] && d.left.IsZero() {
			d.left = s.now()
		}
	}
}

// failing makes the account refuse to read some databases.
func (s *season) failing(names []string) (restore func()) {
	s.t.Helper()
	var fired []func() int
	for _, name := range names {
		fired = append(fired, s.sim.Faults().Add(d1sim.Fault{Effect: d1sim.HTML, Database: s.id(name), Call: "raw", Times: -1}))
	}
	return func() {
		s.t.Helper()
		for i, f := range fired {
			if f() == 0 {
				s.t.Errorf("the fault of %s did not fire", names[i])
			}
		}
		s.sim.Faults().Clear()
	}
}

// night is the nightly run of a date; some databases fail in it, some copies
// turn out not to load.
func (s *season) night(date backup.Date, failing, spoiled []string) {
	s.t.Helper()
	s.set(date.Time().Add(3 * time.Hour))
	for _, name := range spoiled {
		s.spoil["daily/"+date.String()+"/"+name+".sql"] = true
	}
	s.mark("night of " + date.String())
	restore := s.failing(failing)
	s.tick(s.runner)
	s.idle()
	restore()
	s.stored(date, failing)
}

// stored puts what a night stored into the books.
func (s *season) stored(date backup.Date, failing []string) {
	s.t.Helper()
	slot, err := s.store.Slot(s.t.Context(), NightlySchedule, date.Time().Add(3*time.Hour))
	if err != nil {
		s.t.Fatal(err)
	}
	s.jobOf[date] = slot.JobID
	s.books.saved(backup.DateOf(s.now()))
	s.until("the settings are written", func() bool {
		_, err := s.bucket.Stat(s.t.Context(), object.MetaKey(backup.DateOf(s.now())))
		return err == nil
	})
	for _, db := range s.sim.Databases() {
		if slices.Contains(failing, db.Name) {
			s.failed[date] = append(s.failed[date], db.ID)
			continue
		}
		s.daily(db, date, "night of "+date.String())
	}
}

func (s *season) daily(db d1sim.Database, date backup.Date, mark string) {
	s.t.Helper()
	s.enter(&seasonCopy{db: db.ID, name: db.Name, date: date, kind: backup.Daily, key: "daily/" + date.String() + "/" + db.Name + ".sql"}, mark)
}

// enter reads a copy that was just made and puts it into the books.
func (s *season) enter(c *seasonCopy, mark string) {
	s.t.Helper()
	text := s.read(c.key)
	if !strings.Contains(string(text), "'"+mark+"'") {
		s.t.Fatalf("%s does not hold %q", c.key, mark)
	}
	sum := sha256.Sum256(text)
	c.sha, c.size, c.taken, c.own, c.suspect = hex.EncodeToString(sum[:]), int64(len(text)), s.now(), true, s.spoil[c.key]
	s.books.copies = append(s.books.copies, c)
}

func (s *season) read(key string) []byte {
	s.t.Helper()
	r, err := s.bucket.Open(s.t.Context(), key, 0, -1)
	if err != nil {
		s.t.Fatalf("%s: %v", key, err)
	}
	defer r.Close()
	text, err := io.ReadAll(r)
	if err != nil {
		s.t.Fatal(err)
	}
	return text
}

// byHand backs up some databases on demand.
func (s *season) byHand(names ...string) {
	s.t.Helper()
	mark := "by hand " + s.now().Format(time.RFC3339)
	s.mark(mark)
	job := s.ended(s.request(s.runner, backup.Request{Action: backup.ActionBackup, Databases: names, Actor: "ada"}).JobID)
	s.idle()
	hex := strings.ReplaceAll(job.ID, "-", "")
	for _, name := range names {
		key := fmt.Sprintf("manual/%s/%s-%s/%s.sql", backup.DateOf(s.now()), s.now().Format("150405Z"), hex[len(hex)-8:], name)
		s.enter(&seasonCopy{db: s.id(name), name: name, date: backup.DateOf(s.now()), kind: backup.Manual, key: key}, mark)
	}
}

// retry does once more what failed in the night of a date: it comes late, and
// is filed under that date.
func (s *season) retry(date backup.Date) {
	s.t.Helper()
	mark := "late " + s.now().Format(time.RFC3339)
	s.mark(mark)
	s.ended(s.request(s.runner, backup.Request{Action: backup.ActionRetry, JobID: s.jobOf[date], Actor: "ada"}).JobID)
	s.idle()
	s.books.saved(backup.DateOf(s.now()))
	for _, db := range s.sim.Databases() {
		if slices.Contains(s.failed[date], db.ID) {
			s.daily(db, date, mark)
		}
	}
	delete(s.failed, date)
}

// clean runs a cleanup that somebody asks for.
func (s *season) clean() {
	s.t.Helper()
	job := s.ended(s.request(s.runner, backup.Request{Action: backup.ActionCleanup, Actor: "ada"}).JobID)
	s.idle()
	if job.Status != backup.JobCompleted {
		s.t.Fatalf("the cleanup is %s: %s", job.Status, job.Error)
	}
	s.books.clean(s.now())
}

// pin sets or takes away the pin of the copy that stands for a date.
func (s *season) pin(name string, date backup.Date, pinned bool) {
	s.t.Helper()
	c := s.books.best(s.id(name), date)
	stored, err := s.store.BestCopy(s.t.Context(), s.id(name), date)
	if err == nil {
		err = s.store.SetPinned(s.t.Context(), stored.ID, pinned)
	}
	if err != nil || c == nil {
		s.t.Fatalf("pin %s of %s: %v", name, date, err)
	}
	c.pinned = pinned
}

// flip damages a stored object by a bit.
func (s *season) flip(name string, date backup.Date) {
	s.t.Helper()
	c := s.books.best(s.id(name), date)
	text := s.read(c.key)
	text[len(text)/2] ^= 1
	if err := s.bucket.Replace(s.t.Context(), c.key, text, ""); err != nil {
		s.t.Fatal(err)
	}
	if c.week == "" {
		c.quarantined = true
		return
	}
	c.own = false // its archive stands in
	s.books.debris = append(s.books.debris, c.key, c.key+".json")
}
