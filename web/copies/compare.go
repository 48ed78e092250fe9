package copies

import (
	"context"
	"errors"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/AutumnsGrove/Patina/backup"
	"github.com/AutumnsGrove/Patina/backup/archive"
	"github.com/AutumnsGrove/Patina/backup/dump"
	"github.com/AutumnsGrove/Patina/web/auth"
	"github.com/AutumnsGrove/Patina/web/ui"
)

// Bounds of a comparison that a page waits for. It reads what differs of both
// copies; `patina diff` has no bounds.
const (
	patience  = 50 * time.Second
	pageRows  = 100
	pageValue = 200  // bytes of a value on a page
	jsonValue = 4096 // and in JSON
	mostRows  = 1000
	mostBytes = 4 << 20 // of the values of all rows
)

// comparison is what differs between two copies, as programs get it.
type comparison struct {
	Before detailRef `json:"before"`
	After  detailRef `json:"after"`
	Same   bool      `json:"same"`
	*dump.Difference
	Rows      []dump.RowDiff `json:"rows,omitempty"`
	RowsFound int64          `json:"rows_found,omitempty"`
}

// detailRef names one of the two.
type detailRef struct {
	ID       string          `json:"id"`
	Database string          `json:"database"`
	Date     backup.Date     `json:"date"`
	Kind     backup.CopyKind `json:"kind"`
	TakenAt  time.Time       `json:"taken_at"`
	URL      string          `json:"url"`
}

func refOf(c backup.Copy) detailRef {
	return detailRef{c.ID, c.DatabaseName, c.Date, c.Kind, c.TakenAt, showPath(c)}
}

// question is what a comparison is asked.
type question struct {
	table string
	rows  bool
	limit int
}

func questionOf(c echo.Context) (q question, err error) {
	q = question{table: c.QueryParam("table"), limit: pageRows}
	switch c.QueryParam("rows") {
	case "", "0":
	case "1":
		q.rows = true
	default:
		return q, backup.Errorf(backup.ErrInvalid, "rows is 1 or 0")
	}
	if q.rows && q.table == "" {
		return q, backup.Errorf(backup.ErrInvalid, "rows are shown of one table: say which with table")
	}
	if l := c.QueryParam("limit"); l != "" {
		if q.limit, err = strconv.Atoi(l); err != nil || q.limit < 1 || q.limit > mostRows {
			return q, backup.Errorf(backup.ErrInvalid, "limit is a whole number from 1 to %d", mostRows)
		}
	}
	return q, ui.CheckText(q.table)
}

// Compare is GET /backups/:id/diff/:other: what changed from the older of the
// two to the newer. The rows themselves are for those who may download, and
// are on record as a download is.
func (h *Handler) Compare(c echo.Context) error {
	before, err := h.visible(c, c.Param("id"))
	if err != nil {
		return err
	}
	after, err := h.visible(c, c.Param("other"))
	if err != nil {
		return err
	}
	if earlier(after, before) {
		before, after = after, before
	}
	q, err := questionOf(c)
	if err != nil {
		return err
	}
	if q.rows {
		if err := h.rowsAllowed(c, before, after, q); err != nil {
			return err
		}
	}
	answer, err := h.compare(c, before, after, q)
	if err != nil {
		return err
	}
	m := compareView(answer, before, after, q, h.Clock(), auth.Of(c).Who())
	return ui.Write(c, ui.Answer{JSON: answer, Page: comparePage(auth.Chrome(c, m.Title, "copies"), m)})
}

// rowsAllowed lets in those who may download, and puts it on record.
func (h *Handler) rowsAllowed(c echo.Context, before, after backup.Copy, q question) error {
	who := auth.Of(c)
	target := "rows of " + q.table + " that differ between backups " + before.ID + " and " + after.ID + " of " + after.DatabaseName
	if who.May(auth.Download) {
		return h.Auth.Record(c, "download", target, "sent", "")
	}
	err := backup.Errorf(backup.ErrDenied, "What rows hold needs the %s right, which %s does not have.", auth.Download, who.Name)
	return errors.Join(err, h.Auth.Record(c, "denied", target, "refused", "needs "+auth.Download.String()))
}

// compare reads both copies where they differ.
func (h *Handler) compare(c echo.Context, before, after backup.Copy, q question) (*comparison, error) {
	for _, cp := range []backup.Copy{before, after} {
		if cp.DeletedAt != nil {
			return nil, backup.Errorf(backup.ErrNotFound, "The copy of %s was deleted, so that it cannot be compared any more.", cp.Date)
		}
	}
	select {
	case h.Comparisons <- struct{}{}:
		defer func() { <-h.Comparisons }()
	default:
		c.Response().Header().Set(echo.HeaderRetryAfter, "10")
		return nil, &backup.Error{Kind: backup.ErrUnavailable, Message: "Other copies are being compared just now.", Next: "Try again in a few seconds."}
	}
	ctx, cancel := context.WithTimeout(c.Request().Context(), patience)
	defer cancel()
	// Not every writer has a deadline (a test's recorder), and none is needed there.
	_ = http.NewResponseController(c.Response()).SetWriteDeadline(time.Now().Add(2 * patience))
	release, err := h.Store.ReadingFor(ctx, "a comparison", before.ID, after.ID)
	if err != nil {
		return nil, err
	}
	defer release()
	a, err := archive.Side(ctx, h.Bucket, before)
	if err != nil {
		return nil, err
	}
	b, err := archive.Side(ctx, h.Bucket, after)
	if err != nil {
		return nil, err
	}
	answer := &comparison{Before: refOf(before), After: refOf(after)}
	opt := dump.DiffOptions{Table: q.table}
	if q.rows {
		most := jsonValue
		if ui.FaceOf(c.Request()) != ui.JSON {
			most = pageValue
		}
		kept := 0
		opt.Row = func(r dump.RowDiff) error {
			if answer.RowsFound++; len(answer.Rows) < q.limit && kept < mostBytes {
				r = r.Clone(most)
				kept += sizeOf(r)
				answer.Rows = append(answer.Rows, r)
			}
			return ctx.Err()
		}
	}
	if answer.Difference, err = dump.Diff(a, b, opt); err != nil {
		return nil, compareError(ctx, before, after, err)
	}
	answer.Same = answer.Difference.Same()
	return answer, nil
}

// sizeOf is about what a row takes, in bytes.
func sizeOf(r dump.RowDiff) (n int) {
	for _, f := range r.Fields {
		n += len(f.Name) + 64
		for _, v := range []*dump.DiffValue{f.Before, f.After} {
			if v != nil {
				n += len(v.Bytes)
			}
		}
	}
	return n
}

// compareError words what keeps two copies from being compared.
func compareError(ctx context.Context, before, after backup.Copy, err error) error {
	var unknown *dump.UnknownTable
	switch {
	case errors.As(err, &unknown):
		return &backup.Error{Kind: backup.ErrNotFound, Message: "Neither of the two has such a table: " + unknown.Error() + ".", Err: err}
	case errors.Is(ctx.Err(), context.DeadlineExceeded):
		return &backup.Error{
			Kind: backup.ErrUnavailable, Message: "The two copies are too large to be compared while a page waits.",
			Next: "patina diff " + before.ID + " " + after.ID + " compares them without a bound.", Err: err,
		}
	case errors.Is(err, dump.ErrCorrupt), errors.Is(err, backup.ErrCorrupt):
		return &backup.Error{
			Kind: backup.ErrCorrupt, Message: "One of the two copies is not what was recorded: it was damaged in the bucket.",
			Next: "patina verify says which of them.", Err: err,
		}
	case errors.Is(err, backup.ErrNotFound):
		return missing(after.Key, "Choose another copy of this database.", err)
	case errors.Is(err, dump.ErrInvalid):
		return &backup.Error{Kind: backup.ErrInvalid, Message: "The two cannot be compared: " + strings.TrimPrefix(err.Error(), "invalid: ") + ".", Err: err}
	}
	return err
}
