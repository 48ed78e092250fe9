package manual

import (
	"bytes"
	"fmt"
	"io/fs"
	"net/http"
	"path"
	"slices"
	"strings"

	"github.com/labstack/echo/v4"

	"github.com/AutumnsGrove/Patina/backup"
	"github.com/AutumnsGrove/Patina/docs"
	"github.com/AutumnsGrove/Patina/store"
	"github.com/AutumnsGrove/Patina/web/auth"
	"github.com/AutumnsGrove/Patina/web/ui"
)

// exists tells whether the manual has a file. A name is one segment of letters,
// digits, hyphens and dots.
func exists(file string) bool {
	if strings.ContainsAny(file, "/\\") {
		return false
	}
	info, err := fs.Stat(docs.Manual, file)
	return err == nil && !info.IsDir()
}

// Contents is GET /docs: what the manual holds.
func (h *Handler) Contents(c echo.Context) error { return h.page(c, "README.md") }

// Runbook is GET /runbook: what to do after a disaster, with the times that this
// installation's last drill took.
func (h *Handler) Runbook(c echo.Context) error { return h.page(c, "runbook.md") }

// Page is GET /docs/:page: a page of the manual, with or without .md, or a file
// that it leads to.
func (h *Handler) Page(c echo.Context) error {
	name := c.Param("page")
	switch {
	case exists(name + ".md"):
		return h.page(c, name+".md")
	case !exists(name):
		return &backup.Error{Kind: backup.ErrNotFound, Message: "The manual has no page " + ui.Name(name) + ".", Next: "Its contents are at /docs."}
	case strings.HasSuffix(name, ".md"):
		return h.page(c, name)
	}
	text, err := docs.Manual.ReadFile(name)
	if err != nil {
		return err
	}
	if path.Ext(name) == ".json" {
		return c.Blob(http.StatusOK, echo.MIMEApplicationJSON, text)
	}
	return c.Blob(http.StatusOK, "text/plain; charset=utf-8", text)
}

// page answers a program with the Markdown, and a person with a page of it.
func (h *Handler) page(c echo.Context, file string) error {
	text, err := docs.Manual.ReadFile(file)
	if err != nil {
		return err
	}
	if file == "runbook.md" {
		if text, err = h.fillRunbook(c, text); err != nil {
			return err
		}
	}
	if ui.FaceOf(c.Request()) == ui.JSON || c.QueryParam("format") == "markdown" {
		return c.Blob(http.StatusOK, "text/markdown; charset=utf-8", text)
	}
	html, contents, err := render(text)
	if err != nil {
		return err
	}
	return ui.Render(c, http.StatusOK, page(auth.Chrome(c, title(text), "manual"), sheet{
		HTML: html, Contents: contents, Back: back(file), Name: backName(file), Print: true,
	}))
}

// back is where a page of the manual leads back to; the first page leads nowhere.
func back(file string) string {
	if file == "README.md" {
		return ""
	}
	return "/docs"
}

func backName(file string) string {
	if file == "README.md" {
		return ""
	}
	return "the manual"
}

// title is a page's first heading.
func title(text []byte) string {
	first, _, _ := bytes.Cut(text, []byte("\n"))
	return strings.TrimPrefix(string(first), "# ")
}

// The places in the runbook that an installation fills.
const (
	measuredHere  = "<!-- measured -->"
	databasesHere = "<!-- databases -->"
)

// fillRunbook puts in what this installation knows: the times of its last drill,
// and its databases.
func (h *Handler) fillRunbook(c echo.Context, text []byte) ([]byte, error) {
	ctx, who := c.Request().Context(), auth.Of(c)
	all, err := h.Store.Databases(ctx, store.DatabaseFilter{})
	if err != nil {
		return nil, err
	}
	all = slices.DeleteFunc(all, func(d backup.Database) bool { return !who.Sees(d.ID) })
	var sums store.DrillSums
	last, err := h.Store.LastDrill(ctx)
	if err != nil {
		return nil, err
	}
	if last != nil {
		f := store.DrillFilter{DatabaseIDs: who.Databases, Limit: 2 * mostMeasured}
		if sums, err = h.Store.DrillSums(ctx, last.ID, f); err != nil {
			return nil, err
		}
		if last.Results, _, err = h.Store.DrillPage(ctx, last.ID, f); err != nil {
			return nil, err
		}
	}
	text = bytes.Replace(text, []byte(measuredHere), []byte(measured(last, sums)), 1)
	return bytes.Replace(text, []byte(databasesHere), []byte(registry(all)), 1), nil
}

// mostMeasured is how many databases of a drill the runbook lists; the drill's
// own page lists all.
const mostMeasured = 50

// measured words what the last drill took: some of it, and the sums.
func measured(d *backup.Drill, sums store.DrillSums) string {
	const never = "Measured here: nothing yet. A drill measures it, on the first of each month or by `patina drill --wait`."
	if d == nil {
		return never
	}
	var rows strings.Builder
	n := 0
	for _, r := range d.Results {
		if r.Role != backup.DrillNewest || !r.Passed {
			continue
		}
		if n++; n > mostMeasured {
			break
		}
		fmt.Fprintf(&rows, "| %s, %s | %s | %s |\n", code(r.DatabaseName), ui.Bytes(r.Size), ui.Took(r.Load), ui.Took(r.Check+r.Again))
	}
	if n == 0 {
		return never
	}
	return fmt.Sprintf(`Measured here by the drill of %s, which %s: the newest copy of each database, out of the bucket into a SQLite file. D1 loads it besides, over the network.

| database | read and loaded | checked and compared |
|---|---|---|
%s| all, one after another, %s | %s | %s |
`, backup.DateOf(d.CreatedAt), d.Verdict, rows.String(), ui.Bytes(sums.NewestBytes), ui.Took(sums.Newest), ui.Took(sums.Checked))
}

// registry lists the databases, in the order in which they are to be restored.
func registry(all []backup.Database) string {
	if len(all) == 0 {
		return ""
	}
	order := []backup.Priority{backup.Critical, backup.High, backup.Normal}
	slices.SortStableFunc(all, func(a, b backup.Database) int {
		return slices.Index(order, a.Priority) - slices.Index(order, b.Priority)
	})
	var b strings.Builder
	b.WriteString("## The databases of this installation\n\nIn the order in which to restore them. Each leads to its restore guide, with every command filled in.\n\n")
	for _, d := range all[:min(len(all), 100)] {
		fmt.Fprintf(&b, "- [%s](/restore-guide/%s): %s", escape(d.Name), ui.Ref(d.Name, d.ID), d.Priority)
		if d.Description != "" {
			b.WriteString(", " + escape(d.Description))
		}
		b.WriteString("\n")
	}
	if len(all) > 100 {
		fmt.Fprintf(&b, "- and %d more, under [Databases](/databases)\n", len(all)-100)
	}
	return b.String()
}
