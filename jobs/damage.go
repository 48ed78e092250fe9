package jobs

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/AutumnsGrove/Patina/backup"
	"github.com/AutumnsGrove/Patina/backup/archive"
	"github.com/AutumnsGrove/Patina/backup/catalogue"
	"github.com/AutumnsGrove/Patina/backup/object"
	"github.com/AutumnsGrove/Patina/store"
)

// Damage is never deleted. A copy whose own object is damaged or gone, and that
// an archive holds whole, is read out of the archive from then on; another is
// quarantined. Of a damaged archive the copies that have objects of their own go
// into the next archive, those that can still be read out of it stay, and the
// rest is quarantined. All of it is told.

// damagedCopy records that a copy's own object is not what was stored. Mended
// tells whether an archive stands in. Errors: the bucket's and Postgres's.
func (r *Runner) damagedCopy(ctx context.Context, c backup.Copy, reason string) (mended bool, err error) {
	if c, err = r.store.Copy(ctx, c.ID); err != nil || c.DeletedAt != nil || c.ObjectGone { // it went meanwhile
		return false, err
	}
	if c.Archived.Week != "" {
		within := c
		within.ObjectGone = true
		err := catalogue.Check(ctx, r.cfg.Bucket, within)
		switch {
		case err == nil:
			return true, r.readFromArchive(ctx, c, reason)
		case !errors.Is(err, backup.ErrCorrupt):
			return false, err
		}
	}
	r.log.Error("a stored copy is damaged", "database", c.DatabaseName, "copy_id", c.ID, "key", c.Key)
	return false, r.persist(ctx, func(ctx context.Context, _ pgx.Tx, s *store.Store) error {
		if err := s.Quarantine(ctx, c.ID, r.now(), reason); err != nil {
			return err
		}
		return r.tellDamage(ctx, s, c, "The copy of "+c.DatabaseName+" for "+c.Date.String()+" at "+c.Key+" is damaged: "+reason+". It is out of use; its object stays where it is.",
			"Earlier and later copies are untouched. Back the database up again, and look what happened to the bucket.")
	})
}

// readFromArchive says that the archive stands in for a copy's own object. Where
// the damage had made the copy suspect it is proven anew.
func (r *Runner) readFromArchive(ctx context.Context, c backup.Copy, reason string) error {
	r.log.Warn("an archive stands in for a damaged object", "database", c.DatabaseName, "copy_id", c.ID, "key", c.Key, "week", c.Archived.Week)
	return r.persist(ctx, func(ctx context.Context, tx pgx.Tx, s *store.Store) error {
		if err := s.MoveToArchive(ctx, c.ID); err != nil {
			return err
		}
		if c.QuarantinedAt != nil || c.Proof == backup.ProofSuspect {
			if err := s.Unquarantine(ctx, c.ID); err != nil {
				return err
			}
			if err := r.proveLater(ctx, tx, c.ID); err != nil {
				return err
			}
		}
		return r.tellDamage(ctx, s, c, "The object "+c.Key+" of "+c.DatabaseName+" is damaged: "+reason+". Nothing is lost: the same bytes lie whole in the archive "+c.Archived.Week+", and are read from there.",
			"Look what happened to the bucket.")
	})
}

func (r *Runner) tellDamage(ctx context.Context, s *store.Store, c backup.Copy, message, next string) error {
	_, err := s.AddEvent(ctx, backup.Event{
		ID: newID(), At: r.now(), Kind: backup.EventObjectDamaged, Once: c.ID, DatabaseID: c.DatabaseID, DatabaseName: c.DatabaseName,
		JobID: c.JobID, CopyID: c.ID, Message: message, Next: next,
	})
	return err
}

// damagedArchive records that an archive is not what was stored, and which of
// the copies that lie in it alone cannot be read any more.
func (r *Runner) damagedArchive(ctx context.Context, a backup.Archive, reason string) error {
	members, err := r.store.ArchiveMembers(ctx, a.Week)
	if err != nil {
		return err
	}
	var lost, own []string
	for _, c := range members {
		if !c.ObjectGone {
			own = append(own, c.ID)
			continue
		}
		switch err := catalogue.Check(ctx, r.cfg.Bucket, c); {
		case errors.Is(err, backup.ErrCorrupt):
			lost = append(lost, c.ID)
		case err != nil:
			return err
		}
	}
	r.log.Error("an archive is damaged", "week", a.Week, "key", a.Key, "lost", len(lost), "whole", len(members)-len(lost))
	return r.persist(ctx, func(ctx context.Context, _ pgx.Tx, s *store.Store) error {
		if err := s.QuarantineArchive(ctx, a.Week, lost, r.now(), reason); err != nil {
			return err
		}
		_, err := s.AddEvent(ctx, backup.Event{
			ID: newID(), At: r.now(), Kind: backup.EventObjectDamaged, Once: "archive " + a.Week, JobID: a.JobID,
			Message: fmt.Sprintf("The archive %s at %s is damaged: %s. Of the %d copies in it, %d cannot be read any more; %d have objects of their own and go into the next archive.",
				a.Week, a.Key, reason, len(members), len(lost), len(own)),
			Next: "The archive stays where it is, and what is whole in it can be downloaded. Look what happened to the bucket.",
		})
		return err
	})
}

// reconcile compares bucket and catalogue both ways, and puts right what can be:
// damage is recorded, lost manifests are written anew, unfinished uploads given
// up. Where the listing cannot be trusted nothing is deleted in this run.
func (c *cleaner) reconcile(ctx context.Context) error {
	r := c.r
	r.cfg.Hook("before:cleanup.reconcile")
	removals, err := r.store.Removals(ctx)
	if err != nil {
		return err
	}
	listed := catalogue.Listed{Copies: c.h.Copies, Archives: c.h.Archives}
	for _, rm := range removals {
		listed.Going = append(listed.Going, rm.Key)
	}
	d, err := catalogue.Reconcile(ctx, r.cfg.Bucket, listed, c.now)
	if err != nil {
		return err
	}
	c.note(d)
	for _, g := range append(append([]catalogue.Gap(nil), d.Missing...), d.Resized...) {
		reason := "it is gone from the bucket"
		if g.Got > 0 {
			reason = fmt.Sprintf("it has %d bytes, and %d were recorded", g.Got, g.Want)
		}
		if err := c.damaged(ctx, g, reason); err != nil {
			return err
		}
	}
	for _, g := range d.Manifests {
		if err := c.writeManifest(ctx, g); err != nil {
			return err
		}
	}
	if err := c.giveUp(ctx, d.Uploads); err != nil {
		return err
	}
	r.cfg.Hook("after:cleanup.reconcile")
	_, _, err = c.load(ctx)
	return err
}

// note puts what was found into the report.
func (c *cleaner) note(d *catalogue.Difference) {
	rep := &c.report
	rep.Objects, rep.Stored = d.Objects, d.Bytes
	rep.Missing, rep.Resized, rep.Omitted, rep.Unknown = len(d.Missing), len(d.Resized), len(d.Omitted), len(d.Unknown)
	for _, key := range d.Omitted {
		rep.Add(key, "is in the bucket, and its listing leaves it out")
	}
	for _, info := range d.Unknown {
		rep.Add(info.Key, fmt.Sprintf("%d bytes that the catalogue knows nothing of; left alone", info.Size))
	}
	if doubt := d.Doubt(); doubt != "" {
		c.h.Incomplete = doubt + "; nothing is deleted in this run"
	}
}

func (c *cleaner) damaged(ctx context.Context, g catalogue.Gap, reason string) error {
	if g.Archive != nil {
		c.report.Add(g.Key, "damaged: "+reason)
		return c.r.damagedArchive(ctx, *g.Archive, reason)
	}
	mended, err := c.r.damagedCopy(ctx, *g.Copy, reason)
	if mended {
		reason += "; read out of " + g.Copy.Archived.Week + " from now on"
	}
	c.report.Add(g.Key, "damaged: "+reason)
	return err
}

// writeManifest writes a manifest that is gone anew, as the catalogue has it.
func (c *cleaner) writeManifest(ctx context.Context, g catalogue.Gap) error {
	text, err := c.manifestOf(ctx, g)
	if err != nil || text == nil {
		return err
	}
	up, err := c.r.cfg.Bucket.Create(ctx, g.Key, object.CreateOptions{ContentType: "application/json"})
	if err != nil {
		return err
	}
	defer func() { _ = up.Abort(context.WithoutCancel(ctx)) }()
	if _, err := up.Write(text); err != nil {
		return err
	}
	if _, err := up.Commit(ctx); err != nil && !errors.Is(err, backup.ErrConflict) {
		return err
	}
	c.report.Manifests++
	c.report.Add(g.Key, "written anew")
	return nil
}

// manifestOf gives the manifest that should lie at a key; nil where it need not
// any more. An archive's is read out of the archive.
func (c *cleaner) manifestOf(ctx context.Context, g catalogue.Gap) ([]byte, error) {
	if g.Archive != nil {
		m, err := archive.Examine(ctx, c.r.cfg.Bucket, g.Archive.Key)
		switch {
		case errors.Is(err, backup.ErrNotFound): // found missing itself
			return nil, nil
		case errors.Is(err, backup.ErrCorrupt):
			return nil, c.r.damagedArchive(ctx, *g.Archive, err.Error())
		case err != nil:
			return nil, err
		}
		return m.Encode()
	}
	cp, err := c.r.store.Copy(ctx, g.Copy.ID)
	if err != nil || cp.DeletedAt != nil || cp.ObjectGone || cp.QuarantinedAt != nil {
		return nil, err
	}
	return cp.Manifest.Encode()
}

// giveUp aborts uploads that were begun long ago, unless something is being
// stored now: a clock may be wrong.
func (c *cleaner) giveUp(ctx context.Context, uploads []object.PendingUpload) error {
	if len(uploads) == 0 {
		return nil
	}
	running, err := c.r.store.SomethingStores(ctx)
	if err != nil || running {
		return err
	}
	for _, u := range uploads {
		if err := c.r.cfg.Bucket.AbortUpload(ctx, u); err != nil {
			return err
		}
		c.report.Uploads++
		c.report.Add(u.Key, "an upload begun on "+u.Started.Format("2006-01-02 15:04")+" and never ended was given up")
	}
	return nil
}

// damagedInArchive records that a copy which should be taken out of its archive
// cannot be read there.
func (c *cleaner) damagedInArchive(ctx context.Context, cp backup.Copy, cause error) error {
	a, err := c.r.store.Archive(ctx, cp.Archived.Week)
	if err != nil {
		return err
	}
	c.report.Add(a.Key, "damaged: "+cause.Error())
	return c.r.damagedArchive(ctx, a, cause.Error())
}
