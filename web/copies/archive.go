package copies

import (
	"cmp"
	"context"
	"errors"
	"io"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/AutumnsGrove/Patina/backup"
	"github.com/AutumnsGrove/Patina/web/auth"
	"github.com/AutumnsGrove/Patina/web/ui"
)

// archiveEntry is a weekly archive as programs get it. Fields may be added,
// never renamed.
type archiveEntry struct {
	Week          string              `json:"week"`
	Key           string              `json:"key"`
	From          backup.Date         `json:"from"`
	To            backup.Date         `json:"to"`
	SizeBytes     int64               `json:"size_bytes"`
	SHA256        string              `json:"sha256"`
	VerifiedAt    time.Time           `json:"verified_at"`
	JobID         string              `json:"job_id"`
	ExpiresAt     *time.Time          `json:"expires_at"`
	ExpiresReason string              `json:"expires_reason"`
	Members       []memberEntry       `json:"members"`
	Missing       []backup.ArchiveGap `json:"missing"`
	NextCursor    string              `json:"next_cursor"`
	DownloadURL   string              `json:"download_url"`
}

// memberEntry is a copy that lies in an archive.
type memberEntry struct {
	entry
	Name   string `json:"name"`   // of the file in the archive
	Offset int64  `json:"offset"` // of its gzip bytes within the archive
	Length int64  `json:"length"` // of them
}

// errNoArchive is said of whatever week has none, whyever.
var errNoArchive = backup.Errorf(backup.ErrNotFound, "There is no archive of that week.")

// archive finds the archive that a request names.
func (h *Handler) archive(c echo.Context) (backup.Archive, error) {
	a, err := h.Store.Archive(c.Request().Context(), c.Param("week"))
	if errors.Is(err, backup.ErrNotFound) || err == nil && a.DeletedAt != nil {
		return a, errNoArchive
	}
	return a, err
}

// Archive is GET /archives/:week: the archive and the copies that it holds, by
// database and date.
func (h *Handler) Archive(c echo.Context) error {
	if err := ui.CheckText(c.Param("week")); err != nil {
		return errNoArchive
	}
	a, err := h.archive(c)
	if err != nil {
		return err
	}
	who, q := auth.Of(c), c.QueryParams()
	f, err := filterOf(q)
	if err != nil {
		return err
	}
	f.Archive, f.DatabaseIDs, f.Kind, f.Quarantined = a.Week, who.Databases, "", true
	f.Limit = cmp.Or(f.Limit, 100)
	list, next, err := h.Store.Copies(c.Request().Context(), f)
	if err != nil {
		return err
	}
	a.Missing = slices.DeleteFunc(a.Missing, func(g backup.ArchiveGap) bool { return !who.Sees(g.DatabaseID) })
	if !seesAll(who) && f.Cursor == "" && len(list) == 0 && len(a.Missing) == 0 {
		return errNoArchive
	}
	m := viewArchive(a, list, q, next, h.Clock(), who.Who(), seesAll(who))
	return ui.Write(c, ui.Answer{JSON: archiveOf(a, list, next), Page: archivePage(auth.Chrome(c, "Archive "+a.Week, "copies"), m)})
}

// seesAll tells whether somebody may see every database, and so the archive as a
// whole.
func seesAll(who *auth.Actor) bool { return who.Databases == nil }

func archiveOf(a backup.Archive, list []backup.Copy, next string) archiveEntry {
	e := archiveEntry{
		Week: a.Week, Key: a.Key, From: a.From, To: a.To, SizeBytes: a.Size, SHA256: a.SHA256, VerifiedAt: a.VerifiedAt, JobID: a.JobID,
		ExpiresAt: a.ExpiresAt, ExpiresReason: a.ExpiresReason, Members: make([]memberEntry, len(list)), Missing: a.Missing,
		NextCursor: next, DownloadURL: archivePath(a.Week) + "/download",
	}
	for i, c := range list {
		e.Members[i] = memberEntry{entryOf(c), c.Archived.Name, c.Archived.Offset, c.Archived.Length}
	}
	return e
}

func archivePath(week string) string { return "/archives/" + week }

// DownloadArchive is GET and HEAD /archives/:week/download: the stored bytes of
// the archive. It holds every database, so that whoever may see only some of
// them is told that there is none.
func (h *Handler) DownloadArchive(c echo.Context) error {
	if err := ui.CheckText(c.Param("week")); err != nil || !seesAll(auth.Of(c)) {
		return errNoArchive
	}
	a, err := h.archive(c)
	if err != nil {
		return err
	}
	header, etag := c.Response().Header(), `"`+a.SHA256+`"`
	header.Set("ETag", etag)
	header.Set("Last-Modified", a.CreatedAt.UTC().Format(http.TimeFormat))
	switch check(c.Request().Header, etag) {
	case notModified:
		return c.NoContent(http.StatusNotModified)
	case preconditionFailed:
		return echo.NewHTTPError(http.StatusPreconditionFailed, "The archive is another one by now.")
	}
	if c.Request().Method == http.MethodGet {
		release, err := h.Store.ReadingArchive(c.Request().Context(), "a download", a.Week)
		if errors.Is(err, backup.ErrNotFound) { // it went a moment ago
			return errNoArchive
		}
		if err != nil {
			return err
		}
		defer release()
	}
	return h.serve(c, stored{
		what: "archive", size: a.Size, sha256: a.SHA256, kind: "application/gzip", name: a.Key[strings.LastIndexByte(a.Key, '/')+1:],
		audit: "archive " + a.Week + ", " + a.Key, log: []any{"key", a.Key},
		open: func(ctx context.Context, offset, length int64) (io.ReadCloser, error) {
			body, err := h.Bucket.Open(ctx, a.Key, offset, length)
			if err != nil {
				err = missing(a.Key, "patina doctor looks at the bucket.", err)
			}
			return body, err
		},
	}, etag)
}
