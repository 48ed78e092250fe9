package copies

import (
	"errors"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/AutumnsGrove/Patina/backup"
	"github.com/AutumnsGrove/Patina/backup/archive"
	"github.com/AutumnsGrove/Patina/backup/restore"
)

// A SQLite file is made before its first byte is sent: of dumps up to this
// size, within this time, and as many at once as comparisons may run.
const (
	mostSQLite = 4 << 30 // bytes of SQL
	longSQLite = 20 * time.Minute
)

// sendSQLite restores a copy into a SQLite file, which proves it, and sends that.
func (h *Handler) sendSQLite(c echo.Context, cp backup.Copy, v variant) error {
	r, w := c.Request(), c.Response()
	header := w.Header()
	header.Set(echo.HeaderContentType, "application/vnd.sqlite3")
	header.Set(echo.HeaderContentDisposition, attachment(v.fileName(cp)))
	header.Set("Accept-Ranges", "none")
	if r.Method == http.MethodHead {
		return c.NoContent(http.StatusOK)
	}
	err := h.makeSQLite(c, cp, v)
	if err != nil && !w.Committed {
		for _, name := range []string{echo.HeaderContentDisposition, "ETag", "Last-Modified", echo.HeaderContentLength} {
			header.Del(name)
		}
	}
	return err
}

func (h *Handler) makeSQLite(c echo.Context, cp backup.Copy, v variant) error {
	r, w := c.Request(), c.Response()
	if cp.Manifest == nil {
		full, err := h.Store.Copy(r.Context(), cp.ID)
		if err != nil {
			return err
		}
		cp = full
	}
	if cp.Manifest != nil && cp.Manifest.SQLSize > mostSQLite {
		return &backup.Error{Kind: backup.ErrInvalid, Message: "This backup is too large to be made a SQLite file while a page waits.", Next: "patina restore " + cp.ID + " --into FILE.sqlite makes one of any size."}
	}
	select {
	case h.Comparisons <- struct{}{}:
		defer func() { <-h.Comparisons }()
	default:
		return &backup.Error{Kind: backup.ErrUnavailable, Message: "The server is busy with other copies just now.", Next: "Try again in a minute."}
	}
	_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(longSQLite))
	dir, err := os.MkdirTemp("", "patina-sqlite-")
	if err != nil {
		return &backup.Error{Kind: backup.ErrUnavailable, Message: "The server has no room for the file.", Err: err}
	}
	defer func() { _ = os.RemoveAll(dir) }()
	body, err := archive.OpenCopy(r.Context(), h.Bucket, cp)
	if err != nil {
		return missing(cp.Key, "Choose another copy of this database.", err)
	}
	defer body.Close()
	path := filepath.Join(dir, "restored.sqlite")
	var tables []string
	if v.table != "" {
		tables = []string{v.table}
	}
	if err := restore.File(r.Context(), body, cp, path, tables); err != nil {
		if errors.Is(err, backup.ErrInvalid) {
			return &backup.Error{Kind: backup.ErrNotFound, Message: "This backup has no such table.", Err: err}
		}
		return v.refused(cp, err)
	}
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	if err := h.Auth.Record(c, "download", "backup "+cp.ID+" of "+cp.DatabaseName+", "+cp.Key, "sent", v.said()); err != nil {
		return err
	}
	w.Header().Set(echo.HeaderContentLength, strconv.FormatInt(info.Size(), 10))
	_, err = io.Copy(&patient{ResponseWriter: w}, f)
	return err
}
