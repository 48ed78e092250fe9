package jobs

import (
	"context"
	"errors"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/AutumnsGrove/Patina/backup"
	"github.com/AutumnsGrove/Patina/backup/d1"
	"github.com/AutumnsGrove/Patina/backup/d1/d1sim"
	"github.com/AutumnsGrove/Patina/backup/object"
	"github.com/AutumnsGrove/Patina/store"
)

// rig is a simulated account whose databases the bench has registered and
// backed up once: shop, and other.
type rig struct {
	*bench
	sim    *d1sim.Account
	client *d1.Client
	dir    string
	ids    map[string]string
	copies map[string]backup.Copy
}

func newRig(t *testing.T) *rig {
	t.Helper()
	a := &rig{bench: newBench(t), dir: t.TempDir(), ids: map[string]string{}, copies: map[string]backup.Copy{}}
	a.real = true
	var err error
	if a.sim, err = d1sim.New(d1sim.Config{Dir: t.TempDir(), AccountID: "acc"}); err != nil {
		t.Fatal(err)
	}
	srv := httptest.NewServer(a.sim.Handler())
	t.Cleanup(func() {
		srv.CloseClientConnections()
		srv.Close()
		_ = a.sim.Close()
	})
	if a.client, err = d1.New(d1.Config{AccountID: "acc", Token: "tok", BaseURL: srv.URL, Limiter: d1.NewLocalLimiter(1e6, 1e6)}); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"shop", "other"} {
		id, err := a.sim.Create(name)
		if err != nil {
			t.Fatal(err)
		}
		a.ids[name] = id
		a.write(name, `CREATE TABLE people(id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT)`, `CREATE TABLE orders(who INTEGER REFERENCES people(id) ON DELETE CASCADE)`,
			`INSERT INTO people(name) VALUES('Ada'), ('Bob')`, `INSERT INTO orders VALUES(1), (1), (2)`)
		if err := a.store.UpsertDatabase(t.Context(), backup.Database{ID: id, Name: name, Priority: backup.Normal, Origin: backup.FromDiscovery, Objective: backup.DefaultObjective, FirstSeenAt: time.Now(), LastSeenAt: time.Now()}); err != nil {
			t.Fatal(err)
		}
	}
	return a
}

func (a *rig) write(name string, statements ...string) {
	a.t.Helper()
	for _, s := range statements {
		if err := a.sim.Exec(a.ids[name], s); err != nil {
			a.t.Fatal(err)
		}
	}
}

// config makes a Runner work on the account.
func (a *rig) config(c *Config) {
	c.D1, c.Source = a.client, nil
	var err error
	if c.Bucket, err = object.OpenFolder(a.dir); err != nil {
		a.t.Fatal(err)
	}
}

// backUp backs everything up and waits for the proofs.
func (a *rig) backUp(r *Runner) {
	a.t.Helper()
	a.ended(a.request(r, backup.Request{Action: backup.ActionBackup}).JobID)
	a.until("each copy is proven", func() bool { return a.count("SELECT count(*) FROM backup_inventory WHERE proof = 'proven'") >= 2 })
	for name, id := range a.ids {
		list, err := a.store.NewestCopies(a.t.Context(), id, 1)
		if err != nil || len(list) != 1 {
			a.t.Fatal(list, err)
		}
		a.copies[name] = list[0]
	}
}

func (a *rig) ask(name, query string) (answer string) {
	a.t.Helper()
	id := a.ids[name]
	if id == "" {
		for _, db := range a.sim.Databases() {
			if db.Name == name {
				id = db.ID
			}
		}
	}
	if err := a.sim.DB(id).QueryRowContext(a.t.Context(), query).Scan(&answer); err != nil {
		a.t.Fatalf("%s: %v", name, err)
	}
	return answer
}

func (a *rig) restore(id string) backup.Restore {
	a.t.Helper()
	rs, err := a.store.Restore(a.t.Context(), id)
	if err != nil {
		a.t.Fatal(err)
	}
	return rs
}

const people = `SELECT group_concat(name) || ' ' || (SELECT count(*) FROM orders) FROM (SELECT name FROM people ORDER BY id)`

func TestRestoreJobs(t *testing.T) {
	a := newRig(t)
	r := a.start(a.runner(nil, a.config))
	a.backUp(r)
	a.write("shop", `DELETE FROM people WHERE id = 1`, `PRAGMA foreign_keys=ON`, `DELETE FROM orders`, `INSERT INTO people(name) VALUES('Eve')`, `CREATE TABLE later(x)`)
	req := func(rs backup.Restore) backup.Request {
		return backup.Request{Action: backup.ActionRestore, CopyID: a.copies["shop"].ID, Restore: &rs, Actor: "eve", Trigger: backup.TriggerManual}
	}

	// Into a new database, whose name is made up.
	id := a.request(r, req(backup.Restore{Target: backup.RestoreNew})).JobID
	if job := a.ended(id); job.Status != backup.JobCompleted || job.Kind != backup.JobRestore {
		t.Fatalf("%+v, %+v", job, a.restore(id))
	}
	rs := a.restore(id)
	if got := a.ask(rs.Name, people); got != "Ada,Bob 3" || rs.Step != backup.StepDone || rs.EndedAt == nil || len(rs.Checks) == 0 {
		t.Errorf("%s: %s, %+v", rs.Name, got, rs)
	}

	// One table, beside the old one.
	id = a.request(r, req(backup.Restore{Target: backup.RestoreInPlace, Tables: []string{"people"}, Confirm: "shop"})).JobID
	if job := a.ended(id); job.Status != backup.JobCompleted {
		t.Fatalf("%+v, %+v", job, a.restore(id))
	}
	beside := "people_restored_" + strings.ReplaceAll(a.copies["shop"].Date.String(), "-", "")
	if got := a.ask("shop", `SELECT group_concat(name) || (SELECT group_concat(name) FROM people) FROM `+beside); got != "Ada,BobBob,Eve" {
		t.Errorf("beside: %s", got)
	}
	a.write("shop", `DROP TABLE `+beside)

	// In place, and back again.
	was := a.ask("shop", people)
	id = a.request(r, req(backup.Restore{Target: backup.RestoreInPlace, Confirm: "shop"})).JobID
	if job := a.ended(id); job.Status != backup.JobCompleted {
		t.Fatalf("%+v, %+v", job, a.restore(id))
	}
	rs = a.restore(id)
	if got := a.ask("shop", people+` `); got != "Ada,Bob 3" {
		t.Errorf("in place: %s", got)
	}
	safety, err := a.store.Copy(t.Context(), rs.SafetyCopyID)
	if err != nil || safety.Kind != backup.Safety || safety.DatabaseID != a.ids["shop"] {
		t.Errorf("safety copy: %+v, %v", safety, err)
	}
	id = a.request(r, backup.Request{Action: backup.ActionRestore, Restore: &backup.Restore{Target: backup.RestoreBookmark, Name: "shop", Confirm: "shop", Bookmark: rs.BookmarkBefore}}).JobID
	if job := a.ended(id); job.Status != backup.JobCompleted || a.ask("shop", people) != was {
		t.Fatalf("back: %+v, %+v", a.restore(id), a.ask("shop", people))
	}

	events, err := a.store.Events(t.Context(), time.Time{}, 0)
	finished := 0
	for _, e := range events {
		if e.Kind == backup.EventRestoreFinished {
			finished++
		}
	}
	if err != nil || finished != 4 {
		t.Errorf("%d events of restores: %v", finished, err)
	}
	log, _, err := a.store.Audit(t.Context(), store.AuditFilter{Action: "restore ended"})
	if err != nil || len(log) != 4 || log[3].Actor != "eve" {
		t.Errorf("audit: %+v, %v", log, err)
	}
	a.restoresSettled()
}

func (a *rig) restoresSettled() {
	a.t.Helper()
	if n := a.count("SELECT count(*) FROM restores WHERE ended_at IS NULL") + a.count("SELECT count(*) FROM backup_jobs WHERE status IN ('queued', 'running')"); n != 0 {
		a.t.Errorf("%d restores and jobs are open", n)
	}
}

func TestRestoreRequestRefused(t *testing.T) {
	a := newRig(t)
	r := a.start(a.runner(nil, a.config))
	a.backUp(r)
	good := a.copies["shop"].ID
	suspect := a.copies["other"].ID
	if err := a.store.SetProof(t.Context(), suspect, backup.ProofSuspect, time.Now(), "a bit fell over"); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		id   string
		rs   *backup.Restore
		kind error
	}{
		"nothing":            {good, nil, backup.ErrInvalid},
		"no target":          {good, &backup.Restore{}, backup.ErrInvalid},
		"file":               {good, &backup.Restore{Target: backup.RestoreFile}, backup.ErrInvalid},
		"unknown copy":       {uuidOf(9), &backup.Restore{Target: backup.RestoreNew}, backup.ErrNotFound},
		"suspect":            {suspect, &backup.Restore{Target: backup.RestoreNew}, backup.ErrConflict},
		"unconfirmed":        {good, &backup.Restore{Target: backup.RestoreInPlace, Confirm: "Shop"}, backup.ErrInvalid},
		"unknown database":   {good, &backup.Restore{Target: backup.RestoreInPlace, Name: "nowhere", Confirm: "nowhere"}, backup.ErrNotFound},
		"bookmark unasked":   {"", &backup.Restore{Target: backup.RestoreBookmark, Name: "shop"}, backup.ErrInvalid},
		"new without a copy": {"", &backup.Restore{Target: backup.RestoreNew, Name: "x"}, backup.ErrInvalid},
	} {
		if _, err := r.Request(t.Context(), backup.Request{Action: backup.ActionRestore, CopyID: c.id, Restore: c.rs}); !errors.Is(err, c.kind) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if n := a.count("SELECT count(*) FROM restores") + a.count("SELECT count(*) FROM backup_jobs WHERE kind = 'restore'"); n != 0 {
		t.Errorf("refused requests left %d rows", n)
	}
}

// held makes restores stop before a step until they are let go.
type held struct {
	at      string
	arrived chan struct{}
	release chan struct{}
	once    sync.Once
}

func hold(at string) *held {
	return &held{at: at, arrived: make(chan struct{}), release: make(chan struct{})}
}

func (h *held) hook(step string) {
	if step == h.at {
		h.once.Do(func() { close(h.arrived) })
		<-h.release
	}
}

// TestRestoreExcludes: while a database is restored over, nobody backs it up,
// restores over it as well, or cancels what has begun to change it.
func TestRestoreExcludes(t *testing.T) {
	a := newRig(t)
	h := hold("before:restore.empty")
	r := a.start(a.runner(nil, a.config, func(c *Config) { c.Hook = h.hook }))
	a.backUp(r)
	a.write("shop", `DELETE FROM orders`)
	rs := backup.Request{Action: backup.ActionRestore, CopyID: a.copies["shop"].ID, Restore: &backup.Restore{Target: backup.RestoreInPlace, Confirm: "shop"}}
	id := a.request(r, rs).JobID
	<-h.arrived
	if _, err := r.Request(t.Context(), rs); !errors.Is(err, backup.ErrConflict) {
		t.Errorf("a second restore: %v", err)
	}
	job := a.request(r, backup.Request{Action: backup.ActionBackup, Databases: []string{"shop"}}).JobID
	a.request(r, backup.Request{Action: backup.ActionCancel, JobID: id})
	// The other database's backup comes through meanwhile, the shop's does not.
	a.ended(a.request(r, backup.Request{Action: backup.ActionBackup, Databases: []string{"other"}}).JobID)
	if got := a.results(job)["shop"].Status; got.Ended() {
		t.Errorf("a half restored database was backed up: %s", got)
	}
	close(h.release)
	if got := a.ended(id); got.Status != backup.JobCompleted {
		t.Errorf("cancelled too late: %s, %s", got.Status, got.Error)
	}
	if got := a.ended(job); got.Status != backup.JobCompleted || a.ask("shop", people) != "Ada,Bob 3" {
		t.Errorf("the backup after it: %s, and %s", got.Status, a.ask("shop", people))
	}
	a.restoresSettled()
}

// TestRestoreCancelled before anything was changed leaves what is there.
func TestRestoreCancelled(t *testing.T) {
	for _, target := range []backup.RestoreTarget{backup.RestoreNew, backup.RestoreInPlace} {
		t.Run(string(target), func(t *testing.T) {
			a := newRig(t)
			h := hold("before:restore.upload")
			r := a.start(a.runner(nil, a.config, func(c *Config) { c.Hook = h.hook }))
			a.backUp(r)
			a.write("shop", `DELETE FROM orders`)
			id := a.request(r, backup.Request{Action: backup.ActionRestore, CopyID: a.copies["shop"].ID, Restore: &backup.Restore{Target: target, Confirm: "shop"}}).JobID
			<-h.arrived
			a.request(r, backup.Request{Action: backup.ActionCancel, JobID: id, Actor: "ada"})
			close(h.release)
			job, rs := a.ended(id), a.restore(id)
			if job.Status != backup.JobCancelled || !strings.Contains(rs.Outcome, "cancelled by ada before anything was changed") || a.ask("shop", `SELECT count(*) FROM orders`) != "0" {
				t.Errorf("%s: %s", job.Status, rs.Outcome)
			}
			if target == backup.RestoreNew && !strings.Contains(rs.Outcome, rs.TargetID) || target == backup.RestoreInPlace && !strings.Contains(rs.Outcome, rs.SafetyCopyID) {
				t.Errorf("what is left is not named: %s", rs.Outcome)
			}
			a.restoresSettled()
		})
	}
}

// TestRestoreOutlivesItsProcess: stopped at any step, by a stop or by silence,
// a restore is taken up by the next process.
func TestRestoreOutlivesItsProcess(t *testing.T) {
	for _, step := range []string{"before:restore.safety", "before:restore.upload", "before:restore.import", "after:restore.ingest", "before:restore.check"} {
		t.Run(step, func(t *testing.T) {
			a := newRig(t)
			h := hold(step)
			first := a.runner(nil, a.config, func(c *Config) { c.Hook, c.SoftStopTimeout = h.hook, 10*time.Millisecond })
			if err := first.Start(t.Context()); err != nil {
				t.Fatal(err)
			}
			a.backUp(first)
			a.write("shop", `DELETE FROM orders`)
			id := a.request(first, backup.Request{Action: backup.ActionRestore, CopyID: a.copies["shop"].ID, Restore: &backup.Restore{Target: backup.RestoreInPlace, Confirm: "shop"}}).JobID
			<-h.arrived
			stopped := make(chan error, 1)
			go func() {
				ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
				defer cancel()
				stopped <- first.Stop(ctx)
			}()
			a.until("the restore is told to stop", func() bool {
				select {
				case <-first.stopping:
					return true
				default:
					return false
				}
			})
			close(h.release)
			if err := <-stopped; err != nil {
				t.Fatal(err)
			}
			a.start(a.runner(nil, a.config))
			if job := a.ended(id); job.Status != backup.JobCompleted || a.ask("shop", people) != "Ada,Bob 3" {
				t.Errorf("%s: %+v, %s", job.Status, a.restore(id), a.ask("shop", people))
			}
			a.restoresSettled()
		})
	}
}
