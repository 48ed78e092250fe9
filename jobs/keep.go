package jobs

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/jackc/pgx/v5"

	"github.com/AutumnsGrove/Patina/backup"
	"github.com/AutumnsGrove/Patina/backup/archive"
	"github.com/AutumnsGrove/Patina/backup/catalogue"
	"github.com/AutumnsGrove/Patina/backup/object"
	"github.com/AutumnsGrove/Patina/backup/retention"
	"github.com/AutumnsGrove/Patina/store"
)

// keep makes an object under kept/ of a copy that lies in an archive alone. It
// needs no place among the readers: what is needed holds its archive by itself.
func (c *cleaner) keep(ctx context.Context, rescue retention.Rescue) error {
	r := c.r
	r.cfg.Hook("before:cleanup.keep")
	cp, err := r.store.Copy(ctx, rescue.Copy.ID)
	if err != nil {
		return err
	}
	m, err := r.copyToKept(ctx, cp)
	if errors.Is(err, backup.ErrCorrupt) {
		return c.damagedInArchive(ctx, cp, err)
	}
	if err != nil {
		return err
	}
	r.cfg.Hook("before:cleanup.kept")
	if err := r.persist(ctx, func(ctx context.Context, _ pgx.Tx, s *store.Store) error { return s.MoveToKept(ctx, cp.ID, m) }); err != nil {
		return err
	}
	c.report.Kept++
	c.report.Add(m.Key, "taken out of "+rescue.Week+": "+rescue.Reason)
	r.log.Info("kept", "job_id", c.job.ID, "copy_id", cp.ID, "database", cp.DatabaseName, "key", m.Key, "bytes", m.Size)
	r.cfg.Hook("after:cleanup.keep")
	return nil
}

// keptAttempts is how many objects of other bytes may lie in the way of one
// that is to be kept.
const keptAttempts = 10

// copyToKept writes a copy's bytes, which are compared on the way, under kept/,
// and its manifest beside it. What an earlier try left there is taken as it is.
func (r *Runner) copyToKept(ctx context.Context, cp backup.Copy) (*backup.Manifest, error) {
	old, err := object.ParseKey(cp.Key)
	if err != nil {
		return nil, err
	}
	if cp.Manifest == nil {
		return nil, backup.Errorf(backup.ErrCorrupt, "%s has no manifest", cp.Key)
	}
	m := *cp.Manifest
	m.Kind = backup.Kept
	for n := range keptAttempts {
		m.Key = object.Key{Kind: backup.Kept, Date: cp.Date, Slug: old.Slug, Attempt: n, Gzip: cp.Compression == backup.Gzip}.String()
		if err = r.putCopy(ctx, cp, m.Key); !errors.Is(err, backup.ErrConflict) {
			break
		}
		there := cp
		there.Key, there.ObjectGone, there.Archived = m.Key, false, backup.Archived{}
		if err = catalogue.Check(ctx, r.cfg.Bucket, there); err == nil || !errors.Is(err, backup.ErrCorrupt) {
			break
		}
	}
	if err != nil {
		return nil, fmt.Errorf("keep %s: %w", cp.Key, err)
	}
	text, err := m.Encode()
	if err != nil {
		return nil, err
	}
	return &m, r.cfg.Bucket.Replace(ctx, object.ManifestKey(m.Key), text, "application/json")
}

// putCopy writes a copy's bytes, from wherever they lie, to a key that is free.
func (r *Runner) putCopy(ctx context.Context, cp backup.Copy, key string) error {
	if _, err := r.cfg.Bucket.Stat(ctx, key); err == nil {
		return backup.Errorf(backup.ErrConflict, "%s exists", key)
	}
	src, err := archive.OpenCopy(ctx, r.cfg.Bucket, cp)
	if err != nil {
		return err
	}
	defer src.Close()
	kind := "application/sql"
	if cp.Compression == backup.Gzip {
		kind = "application/gzip"
	}
	up, err := r.cfg.Bucket.Create(ctx, key, object.CreateOptions{ContentType: kind, Hook: r.cfg.Hook})
	if err != nil {
		return err
	}
	defer func() { _ = up.Abort(context.WithoutCancel(ctx)) }()
	if _, err := io.Copy(up, src); err != nil {
		return err
	}
	_, err = up.Commit(ctx)
	return err
}
