package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/google/uuid"
	"github.com/spf13/cobra"

	"github.com/AutumnsGrove/Patina/backup"
	"github.com/AutumnsGrove/Patina/backup/d1"
	"github.com/AutumnsGrove/Patina/backup/object"
	"github.com/AutumnsGrove/Patina/jobs"
	"github.com/AutumnsGrove/Patina/store"
)

// The states of a finding.
const (
	findingOK    = "ok"
	findingNote  = "note"  // worth knowing; nothing is missing
	findingStale = "stale" // a database's newest backup is too old
	findingFail  = "fail"  // something is missing or does not work
)

// finding is one thing that the doctor looked at.
type finding struct {
	Check   string `json:"check"`
	State   string `json:"state"`
	Message string `json:"message"`
	Next    string `json:"next,omitempty"` // what to do
}

func (a *app) doctorCommand() *cobra.Command {
	var useEmbedded bool
	cmd := &cobra.Command{
		Use:   "doctor",
		Short: "Look at everything Patina needs, and say what to mend",
		Long: `Looks at the configuration, Postgres, the bucket, the account, the clock and the
registry, and says of each fault what to do about it. It writes and deletes one
small object in the bucket, and only reads in the account.

Exit code 0 when all is well, 3 when only backups are too old, 1 otherwise.`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return a.doctor(cmd.Context(), useEmbedded) },
	}
	embeddedFlag(cmd, &useEmbedded)
	a.jsonFlag(cmd)
	return cmd
}

// doctor collects findings.
type doctor struct {
	app      *app
	cfg      *Config
	findings []finding
}

func (d *doctor) add(check, state, next, format string, args ...any) {
	d.findings = append(d.findings, finding{check, state, fmt.Sprintf(format, args...), next})
}

// fault adds an error as a finding.
func (d *doctor) fault(check string, err error, otherwise string) {
	next := backup.Next(err)
	if next == "" {
		next = otherwise
	}
	d.add(check, findingFail, next, "%v", err)
}

func (a *app) doctor(ctx context.Context, useEmbedded bool) error {
	d := &doctor{app: a, cfg: loadConfig(a.env, a.configFile)}
	needs := []need{needAccount}
	if !useEmbedded {
		needs = append(needs, needStore, needRemoteBucket, needSecret)
	}
	var config *configError
	switch err := d.cfg.Validate(needs...); {
	case err == nil:
		d.add("configuration", findingOK, "", "it is complete")
	case errors.As(err, &config):
		for _, p := range config.problems {
			d.add("configuration", findingFail, "docs/operating.md lists every setting.", "%s", p)
		}
	}
	d.bucket(ctx)
	if d.cfg.AccountID != "" && d.cfg.APIToken != "" {
		d.account(ctx)
	}
	if useEmbedded || d.cfg.DatabaseURL != "" {
		if err := d.postgres(ctx, useEmbedded); err != nil {
			return err
		}
	}
	return d.report()
}

func (d *doctor) report() error {
	failed, stale := 0, 0
	for _, f := range d.findings {
		switch f.State {
		case findingFail:
			failed++
		case findingStale:
			stale++
		}
	}
	if d.app.json {
		if err := d.app.printJSON(map[string]any{"findings": d.findings}); err != nil {
			return err
		}
	} else {
		for _, f := range d.findings {
			fmt.Fprintf(d.app.out, "%-5s  %-13s  %s\n", f.State, f.Check, printable(f.Message))
			if f.Next != "" {
				fmt.Fprintf(d.app.out, "%22s→ %s\n", "", f.Next)
			}
		}
	}
	switch {
	case failed > 0:
		return &codeError{exitError, fmt.Errorf("%d thing(s) to mend", failed)}
	case stale > 0:
		return &codeError{exitStale, fmt.Errorf("%d database(s) have no recent backup", stale)}
	}
	return nil
}

func (d *doctor) postgres(ctx context.Context, useEmbedded bool) error {
	log, err := d.app.logger(slog.LevelError)
	if err != nil {
		return err
	}
	in, err := d.app.openStore(ctx, d.cfg, log, useEmbedded)
	if err != nil {
		d.fault("postgres", err, "Check DATABASE_URL, and that Postgres runs.")
		return nil
	}
	defer func() { _ = in.close(ctx) }()
	d.add("postgres", findingOK, "", "it answers")
	if err := in.checkMigrated(ctx); err != nil {
		d.fault("migrations", err, "Run: patina migrate")
		return nil
	}
	d.add("migrations", findingOK, "", "the tables are up to date")
	if idle, err := in.noWorker(ctx); err != nil {
		d.fault("worker", err, "")
	} else if idle {
		d.add("worker", findingFail, "Start one: patina serve", "no worker is running, so nothing will be backed up")
	} else {
		d.add("worker", findingOK, "", "one is running")
	}
	d.kept(ctx, in)
	d.registry(ctx, in)
	return nil
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
		d.fault("settings", err, "")
	case newest.IsZero():
		d.add("settings", findingNote, "Run: patina meta", "none are kept in the bucket yet; the first nightly run does it")
	case in.clock().Sub(newest) > 48*time.Hour:
		d.add("settings", findingNote, "Run: patina meta", "those kept in the bucket are of %s", newest.UTC().Format(time.RFC3339))
	default:
		d.add("settings", findingOK, "", "they are kept in the bucket as of %s", newest.UTC().Format(time.RFC3339))
	}
	if _, err := in.store.VerifyAudit(ctx, heads...); err != nil {
		d.fault("audit log", err, "")
	} else {
		d.add("audit log", findingOK, "", "it is unbroken, and holds what %d night(s) of settings remember", len(heads))
	}
}

func (d *doctor) registry(ctx context.Context, in *installation) {
	all, err := in.store.Standings(ctx, store.DatabaseFilter{})
	if err != nil {
		d.fault("registry", err, "")
		return
	}
	if len(all) == 0 {
		d.add("registry", findingFail, "Run: patina databases sync", "it holds no database")
		return
	}
	fresh := 0
	for _, s := range all {
		switch {
		case s.Database.Paused:
			d.add("registry", findingNote, "", "%s is paused", s.Database.Name)
		case s.Newest == nil:
			d.add("registry", findingStale, "Run: patina backup "+s.Database.Name+" --wait", "%s has never been backed up", s.Database.Name)
		case in.clock().Sub(s.Newest.TakenAt) > s.Database.Objective:
			d.add("registry", findingStale, "See how its last backup went: the dashboard, or patina backup "+s.Database.Name+" --wait",
				"the newest backup of %s is %s old", s.Database.Name, in.clock().Sub(s.Newest.TakenAt).Round(time.Minute))
		default:
			fresh++
		}
	}
	d.add("registry", findingOK, "", "%d of %d databases have a recent backup", fresh, len(all))
}

// bucket writes, reads, lists and deletes one small object.
func (d *doctor) bucket(ctx context.Context) {
	b, err := openBucket(ctx, d.cfg)
	if err != nil {
		d.fault("bucket", err, "Check PATINA_BUCKET and its credentials.")
		return
	}
	key := "meta/doctor-" + uuid.NewString()
	at := d.app.clock()
	info, err := put(ctx, b, key, "written by patina doctor\n")
	if err != nil {
		d.fault("bucket", fmt.Errorf("write to %s: %w", b, err), "The credentials need rights to write objects.")
		return
	}
	if _, err := put(ctx, b, key, "written over it\n"); !errors.Is(err, backup.ErrConflict) {
		d.add("bucket", findingFail, "Use a bucket that honours If-None-Match, as R2 and S3 do.", "%s let an object be overwritten: %v", b, err)
	}
	if body, err := b.Open(ctx, key, 0, -1); err != nil {
		d.fault("bucket", fmt.Errorf("read from %s: %w", b, err), "The credentials need rights to read objects.")
	} else {
		_ = body.Close()
	}
	listed := false
	for found, err := range b.List(ctx, key) {
		if err != nil {
			d.fault("bucket", fmt.Errorf("list %s: %w", b, err), "The credentials need rights to list the bucket.")
			break
		}
		listed = listed || found.Key == key
	}
	if err := b.Delete(ctx, key); err != nil {
		d.fault("bucket", fmt.Errorf("delete from %s: %w", b, err), "The credentials need rights to delete objects.")
	}
	if listed {
		d.add("bucket", findingOK, "", "%s can be written, read, listed and deleted from", b)
	}
	if drift := info.ModTime.Sub(at).Abs(); !info.ModTime.IsZero() && drift > time.Minute {
		d.add("clock", findingFail, "Let this machine take its time from the network (NTP).", "it differs from the bucket's by %s", drift.Round(time.Second))
	} else {
		d.add("clock", findingOK, "", "it agrees with the bucket's")
	}
}

func put(ctx context.Context, b object.Bucket, key, text string) (object.Info, error) {
	up, err := b.Create(ctx, key, object.CreateOptions{ContentType: "text/plain"})
	if err != nil {
		return object.Info{}, err
	}
	if _, err := up.Write([]byte(text)); err != nil {
		return object.Info{}, errors.Join(err, up.Abort(ctx))
	}
	if _, err := up.Commit(ctx); err != nil {
		return object.Info{}, errors.Join(err, up.Abort(ctx))
	}
	return b.Stat(ctx, key)
}

// account tries what an export asks of the account, on one database.
func (d *doctor) account(ctx context.Context) {
	client, err := newD1(d.cfg, nil)
	if err != nil {
		d.fault("account", err, "Check CLOUDFLARE_ACCOUNT_ID and CLOUDFLARE_API_TOKEN.")
		return
	}
	databases, err := client.List(ctx)
	if err != nil {
		d.fault("account", fmt.Errorf("list the databases: %w", err), "The API token needs the account's D1 read right.")
		return
	}
	if len(databases) == 0 {
		d.add("account", findingNote, "Check CLOUDFLARE_ACCOUNT_ID.", "it answers, and has no D1 database")
		return
	}
	d.add("account", findingOK, "", "it answers, and has %d databases", len(databases))
	d.behaviour(ctx, client, databases[0])
}

// behaviour looks at what the consistency labels rest on.
func (d *doctor) behaviour(ctx context.Context, client *d1.Client, db d1.Info) {
	before, err := client.Bookmark(ctx, db.ID, time.Time{})
	if err != nil {
		d.fault("d1", fmt.Errorf("read a bookmark of %s: %w", db.Name, err), "The API token needs the account's D1 read right.")
		return
	}
	stats, err := client.Read(ctx, db.ID, []string{probeCount, probeName}, ignoreRows{})
	if err != nil {
		d.fault("d1", fmt.Errorf("read %s in a batch: %w", db.Name, err), "The API token needs the right to query D1; where D1 Read does not suffice, give it D1 Edit.")
		return
	}
	if !stats.Primary {
		d.add("d1", findingNote, "", "%s was served by a replica; exports ask again until the primary answers", db.Name)
	}
	after, err := client.Bookmark(ctx, db.ID, time.Time{})
	switch {
	case err != nil:
		d.fault("d1", err, "")
	case before != after:
		d.add("d1", findingNote, "", "the bookmark of %s moved while nothing but a read was done here: somebody writes to it, or it does not stand still when idle", db.Name)
	default:
		d.add("d1", findingOK, "", "a batch is answered, and the bookmark of %s stands still", db.Name)
	}
}

// Two statements that cost nothing, to see that a batch is answered.
const (
	probeCount = "VALUES(1)"
	probeName  = "VALUES('patina')"
)

// ignoreRows takes answers and drops them.
type ignoreRows struct{}

func (ignoreRows) Columns(int, []string) error  { return nil }
func (ignoreRows) Row(int, []backup.Cell) error { return nil }
