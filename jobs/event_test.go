package jobs

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/AutumnsGrove/Patina/backup"
	"github.com/AutumnsGrove/Patina/backup/export"
	"github.com/AutumnsGrove/Patina/store"
)

// How a job comes out is an event of the transaction that ends it.
func TestJobEvents(t *testing.T) {
	b := newBench(t)
	b.register(backup.Normal, backup.Normal)
	var mu sync.Mutex
	bad := map[string]bool{}
	hold := make(chan struct{})
	r := b.start(b.runner(func(ctx context.Context, db backup.Database, req export.Request) (*backup.Manifest, error) {
		mu.Lock()
		fails, holds := bad[db.Name], bad["hold"]
		mu.Unlock()
		switch {
		case holds:
			select {
			case <-ctx.Done():
				return nil, ctx.Err()
			case <-hold:
			}
		case fails:
			return nil, backup.Errorf(backup.ErrDenied, "the account says no")
		}
		return b.out.export(ctx, db, req)
	}))
	run := func(fail ...string) backup.Job {
		mu.Lock()
		clear(bad)
		for _, f := range fail {
			bad[f] = true
		}
		mu.Unlock()
		return b.ended(b.request(r, backup.Request{Action: backup.ActionBackup, Actor: "ada"}).JobID)
	}
	run()
	run("db-a")
	run("db-a", "db-b")
	mu.Lock()
	clear(bad)
	bad["hold"] = true
	mu.Unlock()
	id := b.request(r, backup.Request{Action: backup.ActionBackup, Actor: "ada"}).JobID
	b.until("it runs", func() bool { return b.job(id).Status == backup.JobRunning })
	b.request(r, backup.Request{Action: backup.ActionCancel, JobID: id, Actor: "grace"})
	b.ended(id)
	list, err := b.store.Events(t.Context(), time.Time{}, 10)
	if err != nil {
		t.Fatal(err)
	}
	slices.Reverse(list)
	want := []string{"job.succeeded stored 2 databases", "job.failed stored a part: 1 of 2 databases failed: db-a", "job.failed failed: 2 of 2 databases failed", "job.failed was cancelled: cancelled by grace"}
	if len(list) != len(want) {
		t.Fatalf("%+v", list)
	}
	for i, e := range list {
		kind, words, _ := strings.Cut(want[i], " ")
		if string(e.Kind) != kind || !strings.Contains(e.Message, words) || e.JobID == "" || e.Once != e.JobID {
			t.Errorf("%+v, want %s", e, want[i])
		}
	}
}

// A copy that is far from those before it is told in the transaction that
// records it; a database's own thresholds count.
func TestAnomalyEvents(t *testing.T) {
	b := newBench(t)
	b.register(backup.Normal, backup.Normal)
	var mu sync.Mutex
	size := int64(1 << 20)
	r := b.start(b.runner(func(ctx context.Context, db backup.Database, req export.Request) (*backup.Manifest, error) {
		m, err := b.out.export(ctx, db, req)
		if err == nil {
			mu.Lock()
			m.Size = size
			mu.Unlock()
		}
		return m, err
	}))
	never := 0
	if err := b.store.SetThresholds(t.Context(), uuidOf(2), store.Thresholds{SizePercent: &never}); err != nil {
		t.Fatal(err)
	}
	for i := range 5 {
		if i == 4 {
			mu.Lock()
			size = 100 << 10
			mu.Unlock()
		}
		b.ended(b.request(r, backup.Request{Action: backup.ActionBackup, Actor: "ada"}).JobID)
	}
	got := slices.DeleteFunc(b.events(), func(e string) bool { return strings.HasPrefix(e, "job.") })
	if strings.Join(got, ", ") != "size.anomaly db-a" {
		t.Errorf("%v", got)
	}
}

// setClock is a clock that tests set.
type setClock struct {
	mu sync.Mutex
	at time.Time
}

func (c *setClock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.at
}

func (c *setClock) set(at time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at = at
}

// What is late is told once, while it is late: several processes look.
func TestWatch(t *testing.T) {
	b := newBench(t)
	b.register(backup.Normal, backup.Normal, backup.Normal)
	clock := &setClock{at: time.Now()}
	r, second := b.runner(nil, func(c *Config) { c.Clock = clock.now }), b.runner(nil, func(c *Config) { c.Clock = clock.now })
	look := func(want ...string) {
		t.Helper()
		for _, x := range []*Runner{r, second, r} {
			if err := x.watch(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		got := b.events()
		slices.Sort(got)
		slices.Sort(want)
		if strings.Join(got, ", ") != strings.Join(want, ", ") {
			t.Errorf("at %v: %v, want %v", clock.now(), got, want)
		}
		b.exec("UPDATE events SET database_name = database_name") // they stay
	}
	id := b.request(r, backup.Request{Action: backup.ActionBackup, Actor: "ada"}).JobID
	if err := b.store.StartJob(t.Context(), id, clock.now(), "test"); err != nil {
		t.Fatal(err)
	}
	b.exec("UPDATE backup_results SET status = 'running', started_at = $1 WHERE database_name = 'db-a'", clock.now())
	quarter := int64(15 * 60)
	if err := b.store.SetThresholds(t.Context(), uuidOf(1), store.Thresholds{LongSeconds: &quarter}); err != nil {
		t.Fatal(err)
	}
	look()
	begin := clock.now()
	clock.set(begin.Add(20 * time.Minute))
	look("job.long db-a")
	clock.set(begin.Add(44 * time.Minute))
	look("job.long db-a")
	clock.set(begin.Add(46 * time.Minute))
	look("job.long db-a", "job.long")
	// Past its objective, but for one that is muted and one that is paused.
	if _, err := b.store.InsertMute(t.Context(), store.Mute{DatabaseID: uuidOf(2), Until: begin.Add(30 * time.Hour), CreatedBy: "ada", CreatedAt: begin}); err != nil {
		t.Fatal(err)
	}
	b.exec("UPDATE databases SET paused = true WHERE name = 'db-c'")
	clock.set(begin.Add(27 * time.Hour))
	look("job.long db-a", "job.long", "stale db-a")
	clock.set(begin.Add(31 * time.Hour)) // the mute has ended
	look("job.long db-a", "job.long", "stale db-a", "stale db-b")
	b.proven(1, clock.now())
	look("job.long db-a", "job.long", "stale db-a", "stale db-b", "recovered db-a")
	clock.set(begin.Add(60 * time.Hour)) // and late again
	look("job.long db-a", "job.long", "stale db-a", "stale db-b", "recovered db-a", "stale db-a")
}

// proven records a copy of the nth database, taken and proven at a time.
func (b *bench) proven(n int, at time.Time) {
	b.t.Helper()
	c := backup.Copy{
		ID: newID(), DatabaseID: uuidOf(n), DatabaseName: fmt.Sprintf("db-%c", 'a'+n-1), Kind: backup.Manual, Date: backup.DateOf(at), TakenAt: at,
		Key: "manual/" + newID(), Size: 1, SHA256: "a", BodySHA256: "b", Consistency: backup.Snapshot, Compression: backup.Plain, Proof: backup.ProofPending, CreatedAt: at,
		Manifest: &backup.Manifest{Format: 1},
	}
	id, err := b.store.RecordCopy(b.t.Context(), c)
	if err == nil {
		err = b.store.SetProof(b.t.Context(), id, backup.ProofProven, at, "")
	}
	if err != nil {
		b.t.Fatal(err)
	}
}

// Slots that passed while nothing ran are one event; summaries that did are none.
func TestMissedEvents(t *testing.T) {
	b := newBench(t)
	b.register(backup.Normal)
	b.exec("UPDATE databases SET first_seen_at = '2026-11-01'")
	clock := &setClock{at: at("2026-11-20T12:00:00Z")}
	r := b.runner(nil, func(c *Config) { c.Clock, c.Nightly, c.Summary = clock.now, "0 3 * * *", "0 8 * * *" })
	if err := r.enterSchedules(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, now := range []string{"2026-11-21T03:00:30Z", "2026-11-24T12:00:00Z", "2026-11-24T12:01:00Z"} {
		clock.set(at(now))
		if err := r.tick(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	list, err := b.store.Events(t.Context(), time.Time{}, 10)
	if err != nil {
		t.Fatal(err)
	}
	var missed, summaries int
	for _, e := range list {
		switch e.Kind {
		case backup.EventSlotMissed:
			missed++
			if !strings.Contains(e.Message, "2 nightly runs were missed, from 2026-11-22 03:00 to 2026-11-23 03:00 UTC") {
				t.Error(e.Message)
			}
		case backup.EventSummary:
			summaries++
			if !strings.Contains(e.Message, "objective: 0 of 1.") || !strings.Contains(e.Next, "db-a has no recent proven copy") {
				t.Errorf("%+v", e)
			}
		}
	}
	if missed != 1 || summaries != 1 {
		t.Errorf("%d missed, %d summaries: %+v", missed, summaries, list)
	}
	if slot, err := b.store.Slot(t.Context(), SummarySchedule, at("2026-11-24T08:00:00Z")); err != nil || slot.Status != store.SlotDone {
		t.Errorf("%+v %v", slot, err)
	}
}

// What changes in the account is told; a first look in one event.
func TestDiscoveryEvents(t *testing.T) {
	b := newBench(t)
	r := b.runner(nil)
	see := func(want string, found ...backup.Database) {
		t.Helper()
		b.exec("DELETE FROM events")
		if _, err := r.reconcile(t.Context(), b.store, found); err != nil {
			t.Fatal(err)
		}
		got := b.events()
		slices.Sort(got)
		if strings.Join(got, ", ") != want {
			t.Errorf("%v, want %s", got, want)
		}
	}
	db := func(n int, name string) backup.Database { return backup.Database{ID: uuidOf(n), Name: name} }
	see("database.new", db(1, "a"), db(2, "b"), db(3, "c"))
	see("", db(1, "a"), db(2, "b"), db(3, "c"))
	see("database.gone b, database.new d, database.renamed aa", db(1, "aa"), db(3, "c"), db(4, "d"))
	see("database.new b", db(1, "aa"), db(3, "c"), db(4, "d"), db(2, "b"))
	var many []backup.Database
	for i := range 60 {
		many = append(many, db(100+i, fmt.Sprint("n", i)))
	}
	see("database.gone, database.new", many...)
}
