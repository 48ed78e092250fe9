// Package drills shows that copies restore: the drills with their certificates,
// and the requests that start a drill or prove one copy now.
//
// It asks for work through Requester and does none itself; what was found it
// reads from the store.
package drills

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"mime"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/AutumnsGrove/Patina/backup"
	"github.com/AutumnsGrove/Patina/store"
	"github.com/AutumnsGrove/Patina/web/auth"
	"github.com/AutumnsGrove/Patina/web/ui"
)

// Requester starts jobs.
type Requester interface {
	Request(ctx context.Context, req backup.Request) (backup.Started, error)
}

// Handler serves the section. Next gives the first drill due after a time; nil
// where none is scheduled.
type Handler struct {
	Store    *store.Store
	Requests Requester
	Auth     *auth.Service
	Next     func(after time.Time) time.Time
	Clock    func() time.Time
}

// List is GET /drills.
func (h *Handler) List(c echo.Context) error {
	ctx, who, now := c.Request().Context(), auth.Of(c), h.Clock()
	limit := 0
	if l := c.QueryParam("limit"); l != "" {
		n, err := strconv.Atoi(l)
		if err != nil || n < 1 || n > 500 {
			return backup.Errorf(backup.ErrInvalid, "limit is a whole number from 1 to 500")
		}
		limit = n
	}
	list, next, err := h.Store.Drills(ctx, limit, c.QueryParam("cursor"))
	if err != nil {
		return err
	}
	if who.Databases != nil {
		if list, err = h.restrictAll(ctx, who, list); err != nil {
			return err
		}
	}
	entries := make([]entry, 0, len(list))
	for _, d := range list {
		entries = append(entries, entryOf(d, now))
	}
	var due time.Time
	if h.Next != nil {
		due = h.Next(now)
	}
	m := viewList(list, c.QueryParams(), next, due, now, who.Who())
	m.CanStart = m.CanStart && who.Databases == nil
	return ui.Write(c, ui.Answer{
		JSON: map[string]any{"drills": entries, "next_cursor": next, "next_scheduled_at": timeOf(due)},
		Page: listPage(auth.Chrome(c, "Drills", "drills"), m), Part: listPart(m),
	})
}

// How many copies a certificate lists: a page, and for a program, where it does
// not say.
const (
	shown = 100
	sent  = 500
)

// certificate is what is told of a drill: the drill, the sums of what was found of the
// databases that whoever asks may see, and some of it.
type certificate struct {
	Drill   backup.Drill
	Sums    store.DrillSums
	Results []backup.DrillResult
	First   bool   // the page is the first
	Limit   int    //
	Next    string // cursor of the page after; "" for none
}

// Show is GET /drills/:id, the certificate.
func (h *Handler) Show(c echo.Context) error {
	who, now := auth.Of(c), h.Clock()
	cert, err := h.load(c, who)
	if err != nil {
		return err
	}
	if ui.FaceOf(c.Request()) == ui.JSON {
		return ui.Write(c, ui.Answer{JSON: detailOf(cert, now)})
	}
	m := view(cert, now, who.Who())
	p := auth.Chrome(c, m.Title, "drills")
	if m.Open {
		p.Refresh = 5
	}
	return ui.Write(c, ui.Answer{Page: page(p, m), Part: part(m)})
}

func (h *Handler) load(c echo.Context, who *auth.Actor) (certificate, error) {
	ctx, q, id := c.Request().Context(), c.QueryParams(), c.Param("id")
	missing := backup.Errorf(backup.ErrNotFound, "There is no drill %s.", ui.Name(id))
	cert := certificate{First: q.Get("cursor") == "", Limit: shown}
	if ui.FaceOf(c.Request()) == ui.JSON {
		cert.Limit = sent
	}
	var err error
	if l := q.Get("limit"); l != "" {
		if cert.Limit, err = strconv.Atoi(l); err != nil || cert.Limit < 1 || cert.Limit > sent {
			return cert, backup.Errorf(backup.ErrInvalid, "limit is a whole number from 1 to %d", sent)
		}
	}
	if cert.Drill, err = h.Store.DrillHead(ctx, id); errors.Is(err, backup.ErrNotFound) {
		return cert, missing
	} else if err != nil {
		return cert, err
	}
	f := store.DrillFilter{DatabaseIDs: who.Databases, Limit: cert.Limit, Cursor: q.Get("cursor")}
	if cert.Sums, err = h.Store.DrillSums(ctx, id, f); err != nil {
		return cert, err
	}
	if who.Databases != nil {
		if restrict(&cert.Drill, cert.Sums); cert.Sums.Copies == 0 {
			return cert, missing
		}
	}
	cert.Results, cert.Next, err = h.Store.DrillPage(ctx, id, f)
	return cert, err
}

// restrictAll keeps the drills of which a restricted token may see something.
func (h *Handler) restrictAll(ctx context.Context, who *auth.Actor, list []backup.Drill) ([]backup.Drill, error) {
	var out []backup.Drill
	for _, d := range list {
		sums, err := h.Store.DrillSums(ctx, d.ID, store.DrillFilter{DatabaseIDs: who.Databases})
		if err != nil {
			return nil, err
		}
		if sums.Copies > 0 {
			restrict(&d, sums)
			out = append(out, d)
		}
	}
	return out, nil
}

// Start is POST /drills.
func (h *Handler) Start(c echo.Context) error {
	who := auth.Of(c)
	if who.Databases != nil {
		return backup.Errorf(backup.ErrDenied, "A drill goes over every database, and this token may touch only some.")
	}
	key, err := ui.IdempotencyKey(c.Request())
	if err != nil {
		return err
	}
	s, err := h.Requests.Request(c.Request().Context(), backup.Request{
		Action: backup.ActionDrill, Trigger: who.Trigger(), Actor: who.Name, IdempotencyKey: key, BodySHA256: sum("drill"),
	})
	if err != nil {
		return err
	}
	if err := h.Auth.Record(c, "drill", "job "+s.JobID, outcome(s), ""); err != nil {
		return err
	}
	return answer(c, s, "/drills/"+s.JobID)
}

// Verify is POST /backups/:id/verify: one copy is proven again, now.
func (h *Handler) Verify(c echo.Context) error {
	ctx, who, id := c.Request().Context(), auth.Of(c), c.Param("id")
	key, err := ui.IdempotencyKey(c.Request())
	if err != nil {
		return err
	}
	values, err := wantsValues(c.Request())
	if err != nil {
		return err
	}
	cp, err := h.Store.Copy(ctx, id)
	if errors.Is(err, backup.ErrNotFound) || err == nil && (cp.DeletedAt != nil || !who.Sees(cp.DatabaseID)) {
		return backup.Errorf(backup.ErrNotFound, "There is no backup %s.", ui.Name(id))
	}
	if err != nil {
		return err
	}
	s, err := h.Requests.Request(ctx, backup.Request{
		Action: backup.ActionProve, CopyID: cp.ID, Values: values, Trigger: who.Trigger(), Actor: who.Name,
		IdempotencyKey: key, BodySHA256: sum("verify " + cp.ID + strconv.FormatBool(values)),
	})
	if err != nil {
		return err
	}
	if err := h.Auth.Record(c, "verify", "backup "+cp.ID+" of "+cp.DatabaseName, outcome(s), ""); err != nil {
		return err
	}
	return answer(c, s, "/jobs/"+s.JobID)
}

// wantsValues reads {"values": true} or the same from a form; nothing is false.
func wantsValues(r *http.Request) (bool, error) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return false, ui.BodyError(err)
	}
	if media, _, _ := mime.ParseMediaType(r.Header.Get(echo.HeaderContentType)); media == echo.MIMEApplicationForm {
		form, err := url.ParseQuery(string(body))
		if err != nil {
			return false, backup.Errorf(backup.ErrInvalid, "the form cannot be read")
		}
		return form.Get("values") == "true", nil
	}
	if len(bytes.TrimSpace(body)) == 0 {
		return false, nil
	}
	var in struct {
		Values bool `json:"values"`
	}
	d := json.NewDecoder(bytes.NewReader(body))
	d.DisallowUnknownFields()
	if err := d.Decode(&in); err != nil || d.More() {
		return false, backup.Errorf(backup.ErrInvalid, `the body is {"values": true}, or nothing`)
	}
	return in.Values, nil
}

func sum(text string) string {
	s := sha256.Sum256([]byte(text))
	return hex.EncodeToString(s[:])
}

func outcome(s backup.Started) string {
	if s.Repeated {
		return "answered as before"
	}
	return "started job " + s.JobID
}

// answer sends a program what was started, and takes a person there.
func answer(c echo.Context, s backup.Started, at string) error {
	if ui.FaceOf(c.Request()) != ui.JSON {
		return ui.Go(c, at)
	}
	names := s.Databases
	if names == nil {
		names = []string{}
	}
	c.Response().Header().Set(echo.HeaderLocation, at)
	return c.JSON(http.StatusAccepted, map[string]any{"job_id": s.JobID, "status": s.Status, "databases": names, "url": at})
}
