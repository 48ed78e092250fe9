// Package manual shows what is written under docs: the manual, the runbook, and
// the restore guide filled with a database's own names, copies and commands.
//
// It renders Markdown, and lets nothing that came from outside become markup.
package manual

import (
	"context"
	"mime"
	"net/http"
	"strings"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/AutumnsGrove/Patina/backup"
	"github.com/AutumnsGrove/Patina/store"
	"github.com/AutumnsGrove/Patina/web/auth"
	"github.com/AutumnsGrove/Patina/web/ui"
)

// Handler serves the section.
type Handler struct {
	Store     *store.Store
	Bucket    string // what the bucket is called, for people: "r2://grove-patina"
	PublicURL string // what commands begin with; "" for the address asked
	Clock     func() time.Time
}

// Guide is GET /restore-guide/:db: Markdown to programs, a page to people, and
// with ?format=markdown a file to both.
func (h *Handler) Guide(c echo.Context) error {
	ctx, who := c.Request().Context(), auth.Of(c)
	db, err := auth.Database(ctx, h.Store, who, c.Param("db"))
	if err != nil {
		return err
	}
	copies, err := h.Store.NewestCopies(ctx, db.ID, looked)
	if err != nil {
		return err
	}
	text, err := h.fill(ctx, c, db, copies)
	if err != nil {
		return err
	}
	file := c.QueryParam("format") == "markdown"
	if file {
		name := ui.FileName("restore-" + db.Name + ".md")
		c.Response().Header().Set(echo.HeaderContentDisposition, mime.FormatMediaType("attachment", map[string]string{"filename": name}))
	}
	if file || ui.FaceOf(c.Request()) == ui.JSON {
		return c.Blob(http.StatusOK, "text/markdown; charset=utf-8", text)
	}
	html, contents, err := render(text)
	if err != nil {
		return err
	}
	return ui.Render(c, http.StatusOK, page(auth.Chrome(c, "Restore "+ui.Name(db.Name), "databases"), sheet{
		HTML: html, Contents: contents, Back: "/databases/" + ui.Ref(db.Name, db.ID), Name: ui.Name(db.Name), Print: true,
	}))
}

func (h *Handler) fill(ctx context.Context, c echo.Context, db backup.Database, copies []backup.Copy) ([]byte, error) {
	g := guide{Database: db, Bucket: h.Bucket, Base: strings.TrimSuffix(h.PublicURL, "/"), Now: h.Clock()}
	if g.Base == "" {
		g.Base = "http://" + ui.Name(c.Request().Host)
	}
	g, err := newGuide(g, copies, func(id string) (backup.Copy, error) { return h.Store.Copy(ctx, id) })
	if err != nil {
		return nil, err
	}
	return g.text()
}
