package jobs

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/AutumnsGrove/Patina/backup"
	"github.com/AutumnsGrove/Patina/backup/archive"
	"github.com/AutumnsGrove/Patina/backup/catalogue"
	"github.com/AutumnsGrove/Patina/backup/export"
	"github.com/AutumnsGrove/Patina/backup/object"
	"github.com/AutumnsGrove/Patina/backup/object/objecttest"
	"github.com/AutumnsGrove/Patina/backup/prove"
	"github.com/AutumnsGrove/Patina/backup/retention"
	"github.com/AutumnsGrove/Patina/store"
)

// vault is a bench with a bucket, SQLite files for databases and a clock that
// is moved by hand. Nights and archives are made by the exporter and the
// archiver themselves; cleanups and scrubs run through the queue.
type vault struct {
	*bench
	bucket object.Bucket
	files  string
	names  []string
	runner *Runner
	clock  atomic.Pointer[time.Time]
}

// friday is a day on which a vault opens.
var friday = time.Date(2026, 11, 13, 3, 0, 0, 0, time.UTC)

func newVault(t *testing.T, s3 bool, databases int, change ...func(*Config)) *vault {
	v := &vault{bench: newBench(t)}
	v.real = true
	at, cfg := "file://"+t.TempDir(), object.Config{}
	if s3 {
		at, cfg = objecttest.VersityGW(t)
	}
	var err error
	if v.bucket, err = object.Open(t.Context(), at, cfg); err != nil {
		t.Fatal(err)
	}
	v.set(friday)
	for range databases {
		v.names = append(v.names, fmt.Sprintf("db-%c", 'a'+len(v.names)))
		v.enter(v.names[len(v.names)-1], nil)
	}
	v.files = v.sqliteFiles(v.names, 10)
	v.runner = v.vaultRunner(change...)
	return v
}

func (v *vault) vaultRunner(change ...func(*Config)) *Runner {
	v.t.Helper()
	return v.start(v.bench.runner(nil, append([]func(*Config){func(c *Config) {
		overFiles(v.files, v.files)(c)
		c.Bucket, c.Clock = v.bucket, v.now
	}}, change...)...))
}

// stop ends a Runner before the test does.
func (v *vault) stop(r *Runner) {
	v.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	if err := r.Stop(ctx); err != nil {
		v.t.Fatal(err)
	}
}

func (v *vault) now() time.Time     { return *v.clock.Load() }
func (v *vault) set(at time.Time)   { v.clock.Store(&at) }
func (v *vault) id(n string) string { return uuidOf(slices.Index(v.names, n) + 1) }

// enter writes a database into the registry; gone says since when it is not
// there any more.
func (v *vault) enter(name string, gone *time.Time) {
	v.t.Helper()
	err := v.store.UpsertDatabase(v.t.Context(), backup.Database{
		ID: v.id(name), Name: name, Origin: backup.FromDiscovery, Objective: backup.DefaultObjective, FirstSeenAt: friday.AddDate(0, 0, -1), LastSeenAt: v.now(), GoneAt: gone,
	})
	if err != nil {
		v.t.Fatal(err)
	}
}

// export makes one copy of a database as it is then, and gives it.
func (v *vault) export(name string, kind backup.CopyKind, proof backup.ProofState) backup.Copy {
	v.t.Helper()
	ctx := v.t.Context()
	db, err := sql.Open("sqlite", filepath.Join(v.files, name+".db"))
	if err != nil {
		v.t.Fatal(err)
	}
	_, err = db.Exec("UPDATE notes SET body = ? WHERE id = 1", v.now().String())
	if err = errors.Join(err, db.Close()); err != nil {
		v.t.Fatal(err)
	}
	id := v.id(name)
	k := object.Key{Kind: kind, Date: backup.DateOf(v.now()), At: v.now(), JobID: newID(), Slug: name}
	m, err := export.Run(ctx, v.runner.cfg.Source(backup.Database{ID: id, Name: name}), v.bucket, export.Request{
		Key: k, CopyID: newID(), JobID: k.JobID, Kind: kind, Trigger: backup.TriggerNightly, Date: k.Date, Compress: backup.Plain, Version: "test", Clock: v.now,
	})
	if err != nil {
		v.t.Fatal(err)
	}
	copyID, err := v.store.RecordCopy(ctx, copyOf(m, v.now()))
	if err == nil && proof != backup.ProofPending {
		err = v.store.SetProof(ctx, copyID, proof, v.now(), "made so")
	}
	c, err2 := v.store.Copy(ctx, copyID)
	if err = errors.Join(err, err2); err != nil {
		v.t.Fatal(err)
	}
	return c
}

// night makes the dailies of the clock's date.
func (v *vault) night() {
	v.t.Helper()
	for _, name := range v.names {
		if db, err := v.store.Database(v.t.Context(), v.id(name)); err != nil || db.GoneAt != nil {
			continue
		}
		v.export(name, backup.Daily, backup.ProofProven)
	}
}

// archive makes the archive of the week that ends on the clock's Sunday.
func (v *vault) archive() {
	v.t.Helper()
	ctx, w := v.t.Context(), object.WeekOf(v.now())
	from, to := archive.Dates(w)
	copies, err := v.store.CopiesForArchive(ctx, from, to)
	if err != nil {
		v.t.Fatal(err)
	}
	databases, err := v.store.Databases(ctx, store.DatabaseFilter{Gone: true})
	if err != nil {
		v.t.Fatal(err)
	}
	plan := archive.Choose(w, databases, copies)
	if len(plan.Copies) == 0 {
		return
	}
	m, _, err := archive.Make(ctx, v.bucket, archive.Request{Week: w, Plan: plan, Manifest: func(ctx context.Context, c backup.Copy) (*backup.Manifest, error) {
		c, err := v.store.Copy(ctx, c.ID)
		return c.Manifest, err
	}})
	if err != nil {
		v.t.Fatal(err)
	}
	parts := map[string]backup.Archived{}
	for _, f := range m.Members {
		parts[f.CopyID] = backup.Archived{Week: m.Week, Name: f.Name, Offset: f.Offset, Length: f.Length}
	}
	err = v.store.RecordArchive(ctx, backup.Archive{
		Week: m.Week, Key: m.Key, Size: m.Size, SHA256: m.SHA256, From: m.From, To: m.To, Members: len(m.Members), Missing: m.Missing, CreatedAt: v.now(), VerifiedAt: v.now(),
	}, parts)
	if err != nil {
		v.t.Fatal(err)
	}
}

// clean runs a cleanup to its end and gives its report.
func (v *vault) clean() retention.Report {
	v.t.Helper()
	job := v.ended(v.request(v.runner, backup.Request{Action: backup.ActionCleanup, Actor: "test"}).JobID)
	if job.Status != backup.JobCompleted {
		v.t.Fatalf("the cleanup is %s: %s", job.Status, job.Error)
	}
	return v.report()
}

func (v *vault) report() (rep retention.Report) {
	v.t.Helper()
	if _, err := v.store.Setting(v.t.Context(), retention.ReportSetting, &rep); err != nil {
		v.t.Fatal(err)
	}
	return rep
}

// days passes so many days: a night each, and on Sundays the archive and a
// cleanup.
func (v *vault) days(n int) {
	v.t.Helper()
	for range n {
		v.set(v.now().AddDate(0, 0, 1))
		v.night()
		if v.now().Weekday() == time.Sunday {
			v.archive()
			v.clean()
		}
	}
}

// keys lists the bucket, without manifests.
func (v *vault) keys() []string {
	v.t.Helper()
	var keys []string
	for info, err := range v.bucket.List(v.t.Context(), "") {
		if err != nil {
			v.t.Fatal(err)
		}
		if !strings.HasSuffix(info.Key, ".json") {
			keys = append(keys, info.Key)
		}
	}
	return keys
}

func (v *vault) listed() []backup.Copy {
	v.t.Helper()
	h, err := v.store.Holdings(v.t.Context())
	if err != nil {
		v.t.Fatal(err)
	}
	return h.Copies
}

// whole checks I1: each copy that is listed and in use is there, byte for byte,
// and has a reason to be; nothing else is in the bucket, but what others names.
func (v *vault) whole(others ...string) {
	v.t.Helper()
	ctx := v.t.Context()
	want := slices.Clone(others)
	for _, c := range v.listed() {
		if !c.ObjectGone {
			want = append(want, c.Key)
		}
		if c.QuarantinedAt != nil {
			continue
		}
		if err := catalogue.Check(ctx, v.bucket, c); err != nil {
			v.t.Errorf("%s of %s is listed, and: %v", c.Kind, c.Date, err)
		}
	}
	archives, err := v.store.Archives(ctx, 0)
	if err != nil {
		v.t.Fatal(err)
	}
	for _, a := range archives {
		want = append(want, a.Key)
		if a.QuarantinedAt != nil {
			continue
		}
		if err := catalogue.CheckObject(ctx, v.bucket, a.Key, a.Size, a.SHA256); err != nil {
			v.t.Error(err)
		}
	}
	got := v.keys()
	slices.Sort(want)
	if !slices.Equal(got, slices.Compact(want)) {
		v.t.Errorf("the bucket holds\n%s\nand is to hold\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	if removals, err := v.store.Removals(ctx); err != nil || len(removals) > 0 {
		v.t.Errorf("left to be deleted: %v, %v", removals, err)
	}
}

// told gives the events of a kind.
func (v *vault) told(kind backup.EventKind) (list []backup.Event) {
	v.t.Helper()
	all, err := v.store.Events(v.t.Context(), time.Time{}, 1000)
	if err != nil {
		v.t.Fatal(err)
	}
	for _, e := range all {
		if e.Kind == kind {
			list = append(list, e)
		}
	}
	return list
}

// slow makes a Runner's proofs wait to be let on.
func slow(r *Runner, proving chan<- struct{}, goOn <-chan struct{}) {
	r.prove = func(context.Context, backup.Copy, prove.Options) (*prove.Proof, error) {
		proving <- struct{}{}
		<-goOn
		return new(prove.Proof), nil
	}
}

// inBoth runs a test over a folder and over an S3 server.
func inBoth(t *testing.T, test func(t *testing.T, s3 bool)) {
	for _, kind := range []string{"folder", "s3"} {
		t.Run(kind, func(t *testing.T) { test(t, kind == "s3") })
	}
}
