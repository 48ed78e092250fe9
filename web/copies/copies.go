// Package copies is the catalogue of stored dumps as people and programs see
// it: the list, one copy with its manifest and proof, the weekly archives, the
// download of either, and what changed between two copies.
//
// It reads the store and the bucket and changes neither, but for what is pinned
// and the audit lines of that and of each download.
package copies

import (
	"cmp"
	"errors"
	"log/slog"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/AutumnsGrove/Patina/backup"
	"github.com/AutumnsGrove/Patina/backup/object"
	"github.com/AutumnsGrove/Patina/store"
	"github.com/AutumnsGrove/Patina/web/auth"
	"github.com/AutumnsGrove/Patina/web/ui"
)

// Handler serves the section.
type Handler struct {
	Store  *store.Store
	Bucket object.Bucket
	Auth   *auth.Service
	Log    *slog.Logger
	Clock  func() time.Time
	// Comparisons has room for as many comparisons, and makings of a SQLite
	// file, as may run at once.
	Comparisons chan struct{}
}

// entry is a copy as programs get it. Fields may be added, never renamed.
type entry struct {
	ID            string             `json:"id"`
	Database      string             `json:"database"`
	DatabaseID    string             `json:"database_id"`
	Date          backup.Date        `json:"date"`
	Kind          backup.CopyKind    `json:"kind"`
	Key           string             `json:"key"`
	SizeBytes     int64              `json:"size_bytes"`
	SHA256        string             `json:"sha256"`
	BodySHA256    string             `json:"body_sha256"`
	Tables        int                `json:"tables"`
	Rows          int64              `json:"rows"`
	Consistency   backup.Consistency `json:"consistency"`
	Compression   backup.Compression `json:"compression"`
	Redactions    []string           `json:"redactions"` // table.column → null or hash; none for a whole copy
	Proof         backup.ProofState  `json:"proof"`
	TakenAt       time.Time          `json:"taken_at"`
	CreatedAt     time.Time          `json:"created_at"`
	ExpiresAt     *time.Time         `json:"expires_at"`
	ExpiresReason string             `json:"expires_reason"`
	Pinned        bool               `json:"pinned"`
	Available     bool               `json:"available"`
	Location      backup.Location    `json:"location"`
	ArchivedIn    string             `json:"archived_in"`
	DownloadURL   string             `json:"download_url"`
	URL           string             `json:"url"`
}

func entryOf(c backup.Copy) entry {
	return entry{
		ID: c.ID, Database: c.DatabaseName, DatabaseID: c.DatabaseID, Date: c.Date, Kind: c.Kind, Key: c.Key,
		SizeBytes: c.Size, SHA256: c.SHA256, BodySHA256: c.BodySHA256, Tables: c.Tables, Rows: c.Rows,
		Consistency: c.Consistency, Compression: c.Compression, Redactions: append([]string{}, c.Redactions...), Proof: c.Proof, TakenAt: c.TakenAt, CreatedAt: c.CreatedAt,
		ExpiresAt: c.ExpiresAt, ExpiresReason: c.ExpiresReason, Pinned: c.Pinned,
		Available: c.QuarantinedAt == nil && c.DeletedAt == nil, Location: c.Location(), ArchivedIn: c.Archived.Week, DownloadURL: downloadPath(c), URL: showPath(c),
	}
}

func downloadPath(c backup.Copy) string {
	return "/download/" + c.Date.String() + "/" + ui.Ref(c.DatabaseName, c.DatabaseID) + "?backup=" + c.ID
}

// List is GET /list.
func (h *Handler) List(c echo.Context) error {
	who, q := auth.Of(c), c.QueryParams()
	f, err := filterOf(q)
	if err != nil {
		return err
	}
	f.DatabaseIDs = who.Databases
	list, next, err := h.Store.Copies(c.Request().Context(), f)
	if err != nil {
		return err
	}
	entries := make([]entry, 0, len(list))
	for _, cp := range list {
		entries = append(entries, entryOf(cp))
	}
	m := view(list, q, next, h.Clock(), who.Who())
	return ui.Write(c, ui.Answer{
		JSON: map[string]any{"backups": entries, "next_cursor": next},
		Page: page(auth.Chrome(c, "Backups", "copies"), m), Part: part(m),
	})
}

func filterOf(q url.Values) (store.CopyFilter, error) {
	f := store.CopyFilter{Database: q.Get("database"), Kind: backup.CopyKind(q.Get("kind")), Cursor: q.Get("cursor")}
	if f.Kind != "" && !f.Kind.Valid() {
		return f, backup.Errorf(backup.ErrInvalid, "kind is daily, manual, weekly, safety or kept")
	}
	if d := q.Get("date"); d != "" {
		date, err := backup.ParseDate(d)
		if err != nil {
			return f, err
		}
		f.Date = date
	}
	if l := q.Get("limit"); l != "" {
		n, err := strconv.Atoi(l)
		if err != nil || n < 1 || n > 500 {
			return f, backup.Errorf(backup.ErrInvalid, "limit is a whole number from 1 to 500")
		}
		f.Limit = n
	}
	return f, ui.CheckText(f.Database)
}

// errNoCopy is said of whatever cannot be downloaded, whyever.
var errNoCopy = backup.Errorf(backup.ErrNotFound, "There is no copy of that database for that date.")

// choose finds the copy that a download asks for: the one named by ?backup=,
// which must be of that date and database, or the best of the date.
func (h *Handler) choose(c echo.Context) (backup.Copy, error) {
	ctx, who, name := c.Request().Context(), auth.Of(c), c.Param("db")
	date, err := backup.ParseDate(c.Param("date"))
	if err != nil {
		return backup.Copy{}, errNoCopy
	}
	if id := c.QueryParam("backup"); id != "" {
		cp, err := h.Store.Copy(ctx, id)
		if errors.Is(err, backup.ErrNotFound) || err == nil && (cp.DeletedAt != nil || cp.Date != date || cp.DatabaseName != name && cp.DatabaseID != name || !who.Sees(cp.DatabaseID)) {
			return cp, errNoCopy
		}
		return cp, err
	}
	candidates, err := h.Store.CopiesOn(ctx, date, name)
	if err != nil {
		return backup.Copy{}, err
	}
	candidates = slices.DeleteFunc(candidates, func(cp backup.Copy) bool { return !who.Sees(cp.DatabaseID) })
	best := Best(candidates)
	if best == nil {
		return backup.Copy{}, errNoCopy
	}
	return *best, nil
}

// Best picks the copy of a date that a download gives: the proven daily, else
// the newest proven one, else the newest stored one; never one that is
// suspect. Nil where there is none.
func Best(list []backup.Copy) *backup.Copy {
	list = slices.DeleteFunc(slices.Clone(list), func(c backup.Copy) bool {
		return c.QuarantinedAt != nil || c.DeletedAt != nil || c.Proof == backup.ProofSuspect
	})
	if len(list) == 0 {
		return nil
	}
	class := func(c backup.Copy) int {
		switch {
		case c.Proof != backup.ProofProven:
			return 2
		case c.Kind == backup.Daily:
			return 0
		}
		return 1
	}
	best := slices.MinFunc(list, func(a, b backup.Copy) int {
		return cmp.Or(class(a)-class(b), b.TakenAt.Compare(a.TakenAt), strings.Compare(b.ID, a.ID))
	})
	return &best
}
