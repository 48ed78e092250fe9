package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"

	"github.com/spf13/cobra"

	"github.com/AutumnsGrove/Patina/backup"
	"github.com/AutumnsGrove/Patina/backup/catalogue"
	"github.com/AutumnsGrove/Patina/backup/object"
	"github.com/AutumnsGrove/Patina/jobs"
	"github.com/AutumnsGrove/Patina/store"
)

type rebuildOptions struct {
	embedded, dryRun, deep, confirm bool
}

func (a *app) rebuildCommand() *cobra.Command {
	var o rebuildOptions
	cmd := &cobra.Command{
		Use:   "rebuild",
		Short: "Make the catalogue again from the bucket alone",
		Long: `Reads the whole bucket and makes the catalogue again from it, into an empty
Postgres: databases, backups, archives, jobs and their results out of the manifests;
people, tokens, channels, schedules, settings, pins and proofs out of the newest
file in meta/ that can be read. It happens whole or not at all. Where the catalogue
holds backups already, it is refused, unless nothing differs.

Afterwards nothing expires until an admin confirms it, on the overview or with
--confirm-retention. What is not remembered as proven is proven anew.

--dry-run needs no Postgres: it says what the bucket holds, what is orphaned, what
is damaged and what is unknown, and changes nothing.

Exit code 4: something in the bucket is damaged. What is whole was taken.`,
		Example: "  patina rebuild --dry-run --deep\n  patina rebuild\n  patina rebuild --confirm-retention",
		Args:    noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			switch {
			case o.confirm && (o.dryRun || o.deep):
				return usagef("--confirm-retention stands alone")
			case o.confirm:
				return a.withInstallation(cmd.Context(), o.embedded, a.confirmRetention)
			}
			return a.rebuild(cmd.Context(), o)
		},
	}
	cmd.Flags().BoolVar(&o.dryRun, "dry-run", false, "only say what the bucket holds; needs no Postgres")
	cmd.Flags().BoolVar(&o.deep, "deep", false, "read and hash every backup, instead of comparing sizes, headers and footers")
	cmd.Flags().BoolVar(&o.confirm, "confirm-retention", false, "let old backups expire again after a rebuild")
	embeddedFlag(cmd, &o.embedded)
	a.jsonFlag(cmd)
	return cmd
}

func (a *app) rebuild(ctx context.Context, o rebuildOptions) error {
	cfg := loadConfig(a.env, a.configFile)
	var needs []need
	if !o.dryRun && !o.embedded {
		needs = append(needs, needStore)
	}
	if err := cfg.Validate(needs...); err != nil {
		return err
	}
	bucket, err := openBucket(ctx, cfg)
	if err != nil {
		return err
	}
	r, err := a.scan(ctx, bucket, o.deep)
	if err != nil {
		return err
	}
	if o.dryRun {
		return a.reportRebuild(r)
	}
	if len(r.found.Copies) == 0 {
		return backup.Errorf(backup.ErrNotFound, "%s holds no backup: there is nothing to make a catalogue of, and nothing was changed", bucket)
	}
	log, err := a.logger(slog.LevelWarn)
	if err != nil {
		return err
	}
	in, err := a.openStore(ctx, cfg, log, o.embedded)
	if err != nil {
		return err
	}
	return closing(ctx, in, a.rebuildInto(ctx, in, bucket, r))
}

func (a *app) rebuildInto(ctx context.Context, in *installation, bucket object.Bucket, r *rebuildReport) error {
	if err := in.migrate(ctx); err != nil {
		return err
	}
	runner, err := in.runner(ctx, bucket, nil)
	if err != nil {
		return err
	}
	made, err := runner.Rebuild(ctx, r.found, r.meta, actor())
	if err != nil {
		return err
	}
	r.made = &made
	return a.reportRebuild(r)
}

// scan looks at the bucket and reads the newest settings.
func (a *app) scan(ctx context.Context, bucket object.Bucket, deep bool) (*rebuildReport, error) {
	progress := newLine(a.err, a.clock)
	found, err := catalogue.Scan(ctx, bucket, catalogue.Options{
		Deep: deep, Progress: func(done, of int) { progress.show("looking at %d of %d backups", done, of) },
	})
	progress.done()
	if err != nil {
		return nil, err
	}
	r := &rebuildReport{found: found, deep: deep}
	r.meta, r.metaKey, r.unread, err = jobs.LoadMeta(ctx, bucket, found.Meta, a.clock())
	return r, err
}

func (a *app) confirmRetention(ctx context.Context, in *installation) error {
	reason, frozen, err := in.store.RetentionFrozen(ctx)
	if err != nil {
		return err
	}
	if !frozen {
		a.say("Retention is not frozen; nothing was changed.")
		return nil
	}
	if _, err := in.store.ThawRetention(ctx); err != nil {
		return err
	}
	a.say("Retention goes on. It had been frozen: %s", printable(reason))
	return in.record(ctx, store.ConfirmRetentionAction, "retention", "done")
}

func (a *app) metaCommand() *cobra.Command {
	var useEmbedded bool
	cmd := &cobra.Command{
		Use:   "meta",
		Short: "Write what Postgres alone knows into the bucket, as every night",
		Long: `Writes meta/DATE.json into the bucket, over what was written today before: the
registry, schedules, settings, people, tokens and channels, the pins and proofs of
the backups, and the head of the audit log. Passwords and tokens are in it as hashes,
the addresses of channels sealed. The worker does this after each nightly run;
patina rebuild reads it.`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.withInstallation(cmd.Context(), useEmbedded, a.saveMeta)
		},
	}
	embeddedFlag(cmd, &useEmbedded)
	a.jsonFlag(cmd)
	return cmd
}

func (a *app) saveMeta(ctx context.Context, in *installation) error {
	bucket, err := openBucket(ctx, in.cfg)
	if err != nil {
		return err
	}
	runner, err := in.runner(ctx, bucket, nil)
	if err != nil {
		return err
	}
	key, err := runner.SaveMeta(ctx)
	if err != nil {
		return err
	}
	if a.json {
		return a.printJSON(map[string]string{"key": key})
	}
	_, err = fmt.Fprintln(a.out, key)
	return err
}

// errDamaged ends a rebuild that found damage with exit code 4.
func errDamaged(n int) error {
	return &codeError{exitCorrupt, errors.New(plural(n, "thing") + " in the bucket not as it was written; what is whole is listed")}
}
