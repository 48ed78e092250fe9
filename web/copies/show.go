package copies

import (
	"context"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/AutumnsGrove/Patina/backup"
	"github.com/AutumnsGrove/Patina/store"
	"github.com/AutumnsGrove/Patina/web/auth"
	"github.com/AutumnsGrove/Patina/web/ui"
)

// detail is one copy as programs get it.
type detail struct {
	entry
	ProvenAt       *time.Time       `json:"proven_at"`
	ProofError     string           `json:"proof_error"`
	QuarantinedAt  *time.Time       `json:"quarantined_at"`
	DeletedAt      *time.Time       `json:"deleted_at"`
	JobID          string           `json:"job_id"`
	BookmarkBefore string           `json:"bookmark_before"`
	BookmarkAfter  string           `json:"bookmark_after"`
	PreviousID     string           `json:"previous_id"` // the copy of the same database before this one; "" for none
	DiffURL        string           `json:"diff_url"`    // against that
	Manifest       *backup.Manifest `json:"manifest"`
}

// around is how many copies before and after one are offered for comparison.
const around = 6

// neighbours are the copies of the same database near one in time, of those
// whose bytes are there, newest first.
type neighbours struct {
	before, after []backup.Copy
}

// Show is GET /backups/:id: the manifest of a copy, its proof, and what it can
// be compared with.
func (h *Handler) Show(c echo.Context) error {
	ctx, who, now := c.Request().Context(), auth.Of(c), h.Clock()
	cp, err := h.visible(c, c.Param("id"))
	if err != nil {
		return err
	}
	near, err := h.near(ctx, cp)
	if err != nil {
		return err
	}
	d := detail{
		entry: entryOf(cp), ProvenAt: cp.ProvenAt, ProofError: cp.ProofError, QuarantinedAt: cp.QuarantinedAt, DeletedAt: cp.DeletedAt, JobID: cp.JobID,
		BookmarkBefore: cp.BookmarkBefore, BookmarkAfter: cp.BookmarkAfter, Manifest: cp.Manifest,
	}
	if len(near.before) > 0 {
		d.PreviousID, d.DiffURL = near.before[0].ID, diffPath(near.before[0].ID, cp.ID)
	}
	m := showView(cp, near, now, who.Who())
	return ui.Write(c, ui.Answer{JSON: d, Page: showPage(auth.Chrome(c, "Backup of "+m.Name, "copies"), m)})
}

// visible gives a copy with its manifest, where whoever asks may know of it.
func (h *Handler) visible(c echo.Context, id string) (backup.Copy, error) {
	cp, err := h.Store.Copy(c.Request().Context(), id)
	if err == nil && !auth.Of(c).Sees(cp.DatabaseID) {
		return backup.Copy{}, backup.Errorf(backup.ErrNotFound, "there is no backup %q", id)
	}
	return cp, err
}

// near finds the copies of the same database before and after one.
func (h *Handler) near(ctx context.Context, cp backup.Copy) (n neighbours, err error) {
	older, _, err := h.Store.Copies(ctx, store.CopyFilter{DatabaseID: cp.DatabaseID, To: cp.Date, Limit: 4 * around})
	if err != nil {
		return n, err
	}
	newer, _, err := h.Store.Copies(ctx, store.CopyFilter{DatabaseID: cp.DatabaseID, From: cp.Date, Limit: 500})
	if err != nil {
		return n, err
	}
	for _, other := range older {
		if earlier(other, cp) && len(n.before) < around {
			n.before = append(n.before, other)
		}
	}
	for _, other := range newer {
		if earlier(cp, other) {
			n.after = append(n.after, other)
		}
	}
	n.after = n.after[max(0, len(n.after)-around):]
	return n, nil
}

// earlier tells whether a copy was taken before another one.
func earlier(a, b backup.Copy) bool {
	if !a.TakenAt.Equal(b.TakenAt) {
		return a.TakenAt.Before(b.TakenAt)
	}
	return a.ID < b.ID
}

func showPath(c backup.Copy) string { return "/backups/" + c.ID }

func diffPath(from, to string) string { return "/backups/" + from + "/diff/" + to }
