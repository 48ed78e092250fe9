package jobs

import (
	"context"
	"fmt"

	"github.com/AutumnsGrove/Patina/backup"
	"github.com/AutumnsGrove/Patina/store"
)

// erase deletes all objects that a database which is gone has left behind, as an
// admin wanted; not what is being read. Copies in weekly archives go with these.
func (c *cleaner) erase(ctx context.Context, databaseID string) error {
	r := c.r
	if r.cfg.Bucket == nil {
		return backup.Errorf(backup.ErrInvalid, "there is no bucket to erase anything from")
	}
	db, err := r.store.Database(ctx, databaseID)
	if err != nil {
		return err
	}
	c.erasing = &db
	if err := c.eraseAll(ctx, databaseID); err != nil {
		return err
	}
	if err := c.finishRemovals(ctx); err != nil {
		return err
	}
	if n := c.report.Stayed; n > 0 {
		return &backup.Error{Kind: backup.ErrUnavailable, Message: fmt.Sprintf("%d copies are being read; they stay until that has ended", n), Next: "Ask again when nothing reads them."}
	}
	return nil
}

// tellErased puts the end of an erasure on record, in the transaction that ends
// its job.
func (c *cleaner) tellErased(ctx context.Context, s *store.Store) error {
	_, err := s.AppendAudit(ctx, store.AuditEntry{
		At: c.r.now(), Actor: c.job.RequestedBy, Action: "erase ended", Target: "database " + c.erasing.Name + " (" + c.erasing.ID + ")", Outcome: "done",
		Reason: fmt.Sprintf("job %s, %d objects, %d bytes", c.job.ID, c.report.Copies, c.report.Bytes),
	})
	return err
}

func (c *cleaner) eraseAll(ctx context.Context, databaseID string) error {
	for {
		list, _, err := c.r.store.Copies(ctx, store.CopyFilter{DatabaseID: databaseID, Quarantined: true, Limit: 1000})
		if err != nil {
			return err
		}
		went := 0
		for _, cp := range list {
			if err := ctx.Err(); err != nil {
				return err
			}
			rm, err := c.unlist(ctx, cp.Key, func() (store.Removal, error) { return c.r.store.EraseCopy(ctx, cp.ID, "erased by an admin", c.now) })
			if err != nil {
				return err
			}
			after, err := c.r.store.Copy(ctx, cp.ID)
			if err != nil {
				return err
			}
			if after.DeletedAt == nil {
				c.report.Stayed++
				continue
			}
			went++
			if rm.Key == "" {
				continue
			}
			c.report.Copies++
			if err := c.remove(ctx, rm); err != nil {
				return err
			}
		}
		if went == 0 || len(list) < 1000 {
			return nil
		}
		c.report.Stayed = 0 // those that stayed are met again
	}
}
