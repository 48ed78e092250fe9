package copies

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/AutumnsGrove/Patina/backup"
	"github.com/AutumnsGrove/Patina/backup/archive"
	"github.com/AutumnsGrove/Patina/backup/dump"
	"github.com/AutumnsGrove/Patina/web/ui"
)

// variant is a dump in another form than the one it is stored in; the zero
// variant is the stored one.
type variant struct {
	d1    bool   // as D1's importer takes it
	file  bool   // as a SQLite database
	table string // one table of it
	as    string // that table under another name
}

// variantOf reads ?for=, ?table= and ?as=.
func variantOf(c echo.Context) (variant, error) {
	v := variant{table: c.QueryParam("table"), as: c.QueryParam("as")}
	switch c.QueryParam("for") {
	case "":
	case "d1":
		v.d1 = true
	case "sqlite":
		v.file = true
	default:
		return v, backup.Errorf(backup.ErrInvalid, "A dump can be made ready for d1 or sqlite, and for nothing else.")
	}
	if v.file && v.as != "" {
		return v, backup.Errorf(backup.ErrInvalid, "In a SQLite file a table keeps its name.")
	}
	if v.as != "" && v.table == "" {
		return v, backup.Errorf(backup.ErrInvalid, "as gives one table another name: say which with table.")
	}
	return v, ui.CheckText(v.table, v.as)
}

// tag is what the variant adds to the entity tag. Names may hold anything, and
// a tag may not: they go in by their hash.
func (v variant) tag() string {
	tag := ""
	if v.table != "" {
		sum := sha256.Sum256([]byte(v.table + "\x00" + v.as))
		tag += "-table-" + hex.EncodeToString(sum[:8])
	}
	if v.d1 {
		tag += "-d1"
	}
	if v.file {
		tag += "-sqlite"
	}
	return tag
}

// said is the variant in words, for the audit log.
func (v variant) said() string {
	var parts []string
	if v.table != "" {
		parts = append(parts, "table "+v.table)
	}
	if v.as != "" {
		parts = append(parts, "as "+v.as)
	}
	if v.d1 {
		parts = append(parts, "for d1")
	}
	if v.file {
		parts = append(parts, "as a SQLite file")
	}
	return strings.Join(parts, ", ")
}

func (v variant) fileName(cp backup.Copy) string {
	name := cp.DatabaseName + "-" + cp.Date.String()
	if v.table != "" {
		name += "." + v.table
	}
	if v.d1 {
		name += ".d1"
	}
	if v.file {
		return name + ".sqlite"
	}
	return name + ".sql"
}

// write makes the variant of a dump.
func (v variant) write(w io.Writer, r io.Reader) error {
	if v.table == "" {
		return dump.ForD1(w, r)
	}
	return dump.OneTable(w, r, v.table, dump.TableOptions{ForD1: v.d1, As: v.as})
}

// sendVariant streams a variant. Its length is not known beforehand, so there
// are no ranges. The dump is verified on the way: where it is no good the
// connection is cut, unless nothing has gone out yet.
func (h *Handler) sendVariant(c echo.Context, cp backup.Copy, v variant) error {
	r, w := c.Request(), c.Response()
	header := w.Header()
	header.Set(echo.HeaderContentType, "application/sql; charset=utf-8")
	header.Set(echo.HeaderContentDisposition, attachment(v.fileName(cp)))
	header.Set("Accept-Ranges", "none")
	if r.Method == http.MethodHead {
		return c.NoContent(http.StatusOK)
	}
	body, err := h.openSQL(r.Context(), cp)
	if err != nil {
		return err
	}
	defer body.Close()
	out := &patient{ResponseWriter: w, first: func() error {
		return h.Auth.Record(c, "download", "backup "+cp.ID+" of "+cp.DatabaseName+", "+cp.Key, "sent", v.said())
	}}
	if err = v.write(out, body); err == nil {
		return nil
	}
	if !w.Committed {
		for _, name := range []string{echo.HeaderContentDisposition, "ETag", "Last-Modified"} {
			header.Del(name)
		}
		return v.refused(cp, err)
	}
	h.Log.ErrorContext(r.Context(), "download", "copy_id", cp.ID, "key", cp.Key, "error", err.Error())
	panic(http.ErrAbortHandler) // the status has gone out: only a cut connection tells
}

// refused words an error of a variant of which nothing was sent.
func (v variant) refused(cp backup.Copy, err error) error {
	var unknown *dump.UnknownTable
	switch {
	case errors.As(err, &unknown):
		return &backup.Error{Kind: backup.ErrNotFound, Message: "This backup has no such table: " + unknown.Error() + ".", Err: err}
	case errors.Is(err, dump.ErrInvalid):
		return &backup.Error{Kind: backup.ErrInvalid, Message: "That table cannot be had in this way: " + strings.TrimPrefix(err.Error(), "invalid: ") + ".", Err: err}
	case errors.Is(err, dump.ErrCorrupt), errors.Is(err, dump.ErrRefused), errors.Is(err, backup.ErrCorrupt):
		return &backup.Error{Kind: backup.ErrCorrupt, Message: "The object " + ui.Name(cp.Key) + " is not what was recorded: it was damaged in the bucket.", Next: "Choose another copy of this database.", Err: err}
	}
	return err
}

// openSQL opens the dump of a copy as SQL, whether it is stored compressed or
// not, and wherever it lies.
func (h *Handler) openSQL(ctx context.Context, cp backup.Copy) (io.ReadCloser, error) {
	body, err := archive.OpenSQL(ctx, h.Bucket, cp)
	if err != nil {
		return nil, missing(cp.Key, "Choose another copy of this database.", err)
	}
	return body, nil
}

// patient extends the deadline with every write, and does something before the
// first.
type patient struct {
	http.ResponseWriter
	first func() error
}

func (p *patient) Write(b []byte) (int, error) {
	if first := p.first; first != nil {
		p.first = nil
		if err := first(); err != nil {
			return 0, err
		}
	}
	_ = http.NewResponseController(p.ResponseWriter).SetWriteDeadline(time.Now().Add(2 * time.Minute))
	return p.ResponseWriter.Write(b)
}
