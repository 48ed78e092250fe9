package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"
	"time"

	"github.com/dustin/go-humanize"

	"github.com/AutumnsGrove/Patina/backup"
	"github.com/AutumnsGrove/Patina/backup/archive"
	"github.com/AutumnsGrove/Patina/backup/export"
	"github.com/AutumnsGrove/Patina/backup/object"
	"github.com/AutumnsGrove/Patina/backup/prove"
	"github.com/AutumnsGrove/Patina/backup/restore"
	"github.com/AutumnsGrove/Patina/backup/source"
)

// requestRestore puts a restore into the queue and follows it to its end.
func (a *app) requestRestore(ctx context.Context, in *installation, id string, o restoreOptions) error {
	rs := o.request()
	req := backup.Request{Action: backup.ActionRestore, CopyID: id, Restore: &rs}
	if o.dryRun {
		r, err := in.runner(ctx, nil, nil)
		if err != nil {
			return err
		}
		plan, found, err := r.Preview(ctx, req)
		if err != nil {
			return err
		}
		return a.tellPlan(found.Name, plan)
	}
	if err := a.confirm(&rs); err != nil {
		return err
	}
	started, err := a.request(ctx, in, req, "restore", func(s backup.Started) string {
		return string(rs.Target) + " " + strings.Join(s.Databases, ", ")
	})
	if err != nil {
		return err
	}
	a.say("Job %s", started.JobID)
	if o.noWait {
		return a.unfollowed(started, nil)
	}
	return a.followRestore(ctx, in, started.JobID)
}

func (a *app) followRestore(ctx context.Context, in *installation, jobID string) error {
	line := newLine(a.err, a.clock)
	tick := time.NewTicker(pollEvery)
	defer tick.Stop()
	last := backup.RestoreStep("")
	for {
		job, err := in.store.Job(ctx, jobID)
		if err != nil {
			return err
		}
		rs, err := in.store.Restore(ctx, jobID)
		if err != nil {
			return err
		}
		if job.Status.Ended() {
			line.done()
			if job.Status != backup.JobCompleted {
				err = &backup.Error{Kind: backup.ErrInvalid, Message: rs.Outcome, Next: rs.Next}
			}
			return a.tellRestore(rs, err)
		}
		if rs.Step != last {
			line.done()
			a.say("  %s", stepWords(rs.Step))
			last = rs.Step
		}
		if rs.Step == backup.StepUpload && rs.ProgressTotal > 0 {
			line.show("  %s of %s", humanize.Bytes(uint64(rs.ProgressBytes)), humanize.Bytes(uint64(rs.ProgressTotal)))
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
	}
}

// stepWords tells what a step of a restore does.
func stepWords(s backup.RestoreStep) string {
	switch s {
	case backup.StepQueued:
		return "waiting for a worker"
	case backup.StepPreflight:
		return "looking whether it can be done, and whether the backup is whole"
	case backup.StepSafety:
		return "taking a safety copy of what is there"
	case backup.StepCreate:
		return "making the new database"
	case backup.StepBookmark:
		return "noting the way back"
	case backup.StepUpload:
		return "giving D1 the backup; nothing has been changed yet"
	case backup.StepEmpty:
		return "taking away what is there"
	case backup.StepImport:
		return "D1 loads the backup"
	case backup.StepCheck:
		return "comparing what is there with the backup"
	case backup.StepUndo:
		return "going back to what was there before"
	}
	return string(s)
}

// restoreFile restores a dump that lies in a file, or a bookmark, with nothing
// but the account.
func (a *app) restoreFile(ctx context.Context, path string, o restoreOptions) error {
	cfg := loadConfig(a.env, a.configFile)
	if err := cfg.Validate(needAccount); err != nil {
		return err
	}
	client, err := newRestoreD1(cfg, nil)
	if err != nil {
		return err
	}
	var c restore.Copy
	if path != "" {
		if c, err = fileCopy(path); err != nil {
			return err
		}
	}
	rs := o.request()
	rs.CreatedAt = a.clock()
	line := newLine(a.err, a.clock)
	rc := restore.Config{D1: client, Clock: a.clock, Safety: a.safetyFile, Hook: failpoint(), Note: func(_ backup.RestoreStep, done, total int64) {
		line.show("  %s of %s", humanize.Bytes(uint64(done)), humanize.Bytes(uint64(total)))
	}}
	if o.dryRun {
		rs.Confirm = rs.Name
		plan, err := restore.Preview(ctx, rc, c, rs)
		if err != nil {
			return err
		}
		return a.tellPlan(rs.Name, plan)
	}
	if err := a.confirm(&rs); err != nil {
		return err
	}
	rc.Save = func(_ context.Context, r *backup.Restore) error {
		line.done()
		a.say("  %s", stepWords(r.Step))
		return nil
	}
	err = restore.Run(ctx, rc, c, &rs)
	line.done()
	for tries := 0; errors.Is(err, restore.ErrUnsettled) && tries < 20; tries++ {
		a.say("  D1 does not answer: looking again")
		if e := backup.Pause(ctx, 5*time.Second); e != nil {
			return errors.Join(err, e)
		}
		err = restore.Run(ctx, rc, c, &rs)
	}
	return a.tellRestore(rs, err)
}

// safetyFile keeps what a database holds in a file here, where there may be no
// bucket.
func (a *app) safetyFile(ctx context.Context, id, name string) (*backup.Manifest, error) {
	cfg := loadConfig(a.env, a.configFile)
	client, err := newRestoreD1(cfg, nil)
	if err != nil {
		return nil, err
	}
	src := source.D1(client, id, name)
	path := object.Slug(name, id, false) + ".before-restore-" + a.clock().UTC().Format("20060102T150405.000Z") + ".sql"
	tmp, err := scratch(path)
	if err != nil {
		return nil, err
	}
	defer func() { _, _ = tmp.Close(), os.Remove(tmp.Name()) }()
	m, err := export.ToFile(ctx, src, tmp, a.exportRequest(src, newLine(io.Discard, a.clock)))
	if err != nil {
		return nil, err
	}
	m.CopyID = path
	return m, publish(tmp, path, false)
}

// fileCopy is a dump in a file, with its manifest where one lies beside it.
func fileCopy(path string) (restore.Copy, error) {
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		return restore.Copy{}, backup.Errorf(backup.ErrNotFound, "there is no file %s, and it is not the id of a backup", path)
	}
	m, err := manifestBeside(path)
	if err != nil {
		return restore.Copy{}, err
	}
	return restore.Copy{Manifest: m, Open: func(context.Context) (io.ReadCloser, error) {
		f, err := os.Open(path)
		if err != nil || compressionOf(path) != backup.Gzip {
			return f, err
		}
		return object.Decompressed(f)
	}}, nil
}

func compressionOf(path string) backup.Compression {
	if strings.HasSuffix(path, ".gz") {
		return backup.Gzip
	}
	return backup.Plain
}

// restoreFileIntoFile makes a SQLite file of a dump: nothing else is needed.
func (a *app) restoreFileIntoFile(ctx context.Context, path string, o restoreOptions) error {
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		return backup.Errorf(backup.ErrNotFound, "there is no file %s, and it is not the id of a backup", path)
	}
	m, err := manifestBeside(path)
	if err != nil {
		return err
	}
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	return a.intoFile(ctx, f, compressionOf(path), m, "", o)
}

func (a *app) restoreCopyIntoFile(ctx context.Context, in *installation, id string, o restoreOptions) error {
	c, err := in.stored(ctx, id)
	if err != nil {
		return err
	}
	bucket, err := openBucket(ctx, in.cfg)
	if err != nil {
		return err
	}
	release, err := in.store.ReadingFor(ctx, "it is being restored", id)
	if err != nil {
		return err
	}
	defer release()
	r, err := archive.OpenCopy(ctx, bucket, c)
	if err != nil {
		return err
	}
	defer r.Close()
	if err := a.intoFile(ctx, r, c.Compression, c.Manifest, id, o); err != nil {
		return err
	}
	return in.record(ctx, "restore", "backup "+id+" of "+c.DatabaseName+" into a file", "done")
}

func (a *app) intoFile(ctx context.Context, stored io.Reader, c backup.Compression, m *backup.Manifest, id string, o restoreOptions) error {
	p, err := restore.IntoFile(ctx, stored, c, m, o.into, o.tables, prove.Options{Clock: a.clock})
	rs := backup.Restore{Target: backup.RestoreFile, CopyID: id, Name: o.into, Tables: o.tables}
	if err != nil {
		return a.tellRestore(rs, err)
	}
	rs.Step = backup.StepDone
	rs.Checks = []backup.Check{
		{Name: "integrity", OK: true, Text: "SQLite's integrity_check says ok"},
		{Name: "dumped again", OK: true, Text: "a dump of it is the backup's, byte for byte (" + p.Contents.BodySHA256 + ")"},
	}
	rs.Outcome = fmt.Sprintf("%s holds %s: %d tables, %s rows", o.into, p.Header.Database, p.Contents.Tables, humanize.Comma(p.Contents.Rows))
	if len(o.tables) > 0 {
		rs.Outcome = fmt.Sprintf("%s holds %s of %s", o.into, strings.Join(o.tables, ", "), p.Header.Database)
	}
	return a.tellRestore(rs, nil)
}
