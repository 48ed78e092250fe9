// Package restores is putting copies back, as people and programs see it: what
// to restore where, what that would do, how far it has come, and the way back.
//
// It asks for restores and does none itself: the job layer carries them out,
// and what became of one is read from the store.
package restores

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/AutumnsGrove/Patina/backup"
	"github.com/AutumnsGrove/Patina/backup/restore"
	"github.com/AutumnsGrove/Patina/store"
	"github.com/AutumnsGrove/Patina/web/auth"
	"github.com/AutumnsGrove/Patina/web/ui"
)

// Requester starts restores, and tells what one would do.
type Requester interface {
	Request(ctx context.Context, req backup.Request) (backup.Started, error)
	Preview(ctx context.Context, req backup.Request) (*restore.Plan, backup.Restore, error)
}

// Handler serves the section.
type Handler struct {
	Store    *store.Store
	Requests Requester
	Auth     *auth.Service
	Clock    func() time.Time
}

// copyOf gives the copy of a path that whoever asks may see.
func (h *Handler) copyOf(c echo.Context) (backup.Copy, error) {
	stored, err := h.Store.Copy(c.Request().Context(), c.Param("id"))
	if errors.Is(err, backup.ErrNotFound) || err == nil && (stored.DeletedAt != nil || !auth.Of(c).Sees(stored.DatabaseID)) {
		return stored, backup.Errorf(backup.ErrNotFound, "There is no backup %s.", ui.Name(c.Param("id")))
	}
	return stored, err
}

// Form is GET /backups/:id/restore: the choice of a target, and with one chosen
// (?target=&name=&table=) what the restore would do.
func (h *Handler) Form(c echo.Context) error {
	ctx := c.Request().Context()
	stored, err := h.copyOf(c)
	if err != nil {
		return err
	}
	asked := backup.Restore{
		Target: backup.RestoreTarget(c.QueryParam("target")), Name: c.QueryParam("name"), Bookmark: c.QueryParam("bookmark"),
		Tables: c.QueryParams()["table"],
	}
	if err := ui.CheckText(append([]string{asked.Name, asked.Bookmark, string(asked.Target)}, asked.Tables...)...); err != nil {
		return err
	}
	var plan *restore.Plan
	if asked.Target != "" {
		if asked.Target != backup.RestoreNew { // over its own database, whatever the field says
			asked.Name = ""
		}
		plan, asked, err = h.Requests.Preview(ctx, backup.Request{Action: backup.ActionRestore, CopyID: stored.ID, Restore: &asked})
		if err != nil {
			return err
		}
		if !auth.Of(c).Sees(asked.TargetID) && asked.Target != backup.RestoreNew {
			return backup.Errorf(backup.ErrDenied, "This token may not touch that database.")
		}
	}
	m := form(stored, asked, plan, h.Clock())
	return ui.Write(c, ui.Answer{JSON: answerForm(stored, asked, plan), Page: formPage(auth.Chrome(c, m.Title, "copies"), m)})
}

// Start is POST /backups/:id/restore.
func (h *Handler) Start(c echo.Context) error {
	stored, err := h.copyOf(c)
	if err != nil {
		return err
	}
	rs, sum, err := parse(c.Request())
	if err != nil {
		return err
	}
	return h.start(c, stored.ID, rs, sum)
}

// Undo is POST /restores/:id/undo: back to the bookmark from before.
func (h *Handler) Undo(c echo.Context) error {
	old, err := h.load(c)
	if err != nil {
		return err
	}
	if old.BookmarkBefore == "" || old.Target == backup.RestoreNew || old.EndedAt == nil {
		return backup.Errorf(backup.ErrConflict, "This restore has no way back: it has not ended, or it changed nothing that was there.")
	}
	rs, sum, err := parse(c.Request())
	if err != nil {
		return err
	}
	return h.start(c, "", &backup.Restore{Target: backup.RestoreBookmark, Name: old.Name, Bookmark: old.BookmarkBefore, Confirm: rs.Confirm}, sum)
}

func (h *Handler) start(c echo.Context, copyID string, rs *backup.Restore, sum string) error {
	ctx, who := c.Request().Context(), auth.Of(c)
	key, err := ui.IdempotencyKey(c.Request())
	if err != nil {
		return err
	}
	if who.Databases != nil && rs.Target != backup.RestoreNew && rs.Name != "" {
		if _, err := auth.Database(ctx, h.Store, who, rs.Name); err != nil {
			return err
		}
	}
	s, err := h.Requests.Request(ctx, backup.Request{
		Action: backup.ActionRestore, CopyID: copyID, Restore: rs, Trigger: who.Trigger(), Actor: who.Name, IdempotencyKey: key, BodySHA256: sum,
	})
	if err != nil {
		return err
	}
	target := string(rs.Target)
	for _, name := range s.Databases {
		target += " " + name
	}
	if err := h.Auth.Record(c, "restore", "job "+s.JobID+", backup "+copyID, "started", target); err != nil {
		return err
	}
	at := "/restores/" + s.JobID
	if ui.FaceOf(c.Request()) != ui.JSON {
		return ui.Go(c, at)
	}
	c.Response().Header().Set(echo.HeaderLocation, at)
	names := s.Databases
	if names == nil {
		names = []string{}
	}
	return c.JSON(http.StatusAccepted, map[string]any{"job_id": s.JobID, "status": s.Status, "databases": names, "url": at})
}

// load gives the restore of a path that whoever asks may see.
func (h *Handler) load(c echo.Context) (backup.Restore, error) {
	who := auth.Of(c)
	rs, err := h.Store.Restore(c.Request().Context(), c.Param("id"))
	hidden := err == nil && who.Databases != nil && !who.Sees(rs.DatabaseID) && !who.Sees(rs.TargetID)
	if errors.Is(err, backup.ErrNotFound) || hidden {
		return rs, backup.Errorf(backup.ErrNotFound, "There is no restore %s.", ui.Name(c.Param("id")))
	}
	return rs, err
}

// Show is GET /restores/:id.
func (h *Handler) Show(c echo.Context) error {
	rs, err := h.load(c)
	if err != nil {
		return err
	}
	job, err := h.Store.Job(c.Request().Context(), rs.ID)
	if err != nil {
		return err
	}
	m := show(rs, job, h.Clock(), auth.Of(c).Who())
	p := auth.Chrome(c, m.Title, "history")
	if m.Open {
		p.Refresh = 3
	}
	return ui.Write(c, ui.Answer{JSON: answerOf(rs, job), Page: showPage(p, m), Part: showPart(m)})
}

// List is GET /restores.
func (h *Handler) List(c echo.Context) error {
	q := c.QueryParams()
	f := store.RestoreFilter{DatabaseIDs: auth.Of(c).Databases, Cursor: q.Get("cursor")}
	if l := q.Get("limit"); l != "" {
		n, err := strconv.Atoi(l)
		if err != nil || n < 1 || n > 500 {
			return backup.Errorf(backup.ErrInvalid, "limit is a whole number from 1 to 500")
		}
		f.Limit = n
	}
	list, next, err := h.Store.RestorePage(c.Request().Context(), f)
	if err != nil {
		return err
	}
	answers := make([]answer, 0, len(list))
	for _, r := range list {
		answers = append(answers, answerOf(r, backup.Job{}))
	}
	m := viewList(list, h.Clock())
	if m.First = f.Cursor == ""; next != "" {
		v := url.Values{"cursor": {next}}
		if q.Get("limit") != "" {
			v.Set("limit", q.Get("limit"))
		}
		m.NextHref = "/restores?" + v.Encode()
	}
	return ui.Write(c, ui.Answer{JSON: map[string]any{"restores": answers, "next_cursor": next}, Page: listPage(auth.Chrome(c, "Restores", "history"), m)})
}
