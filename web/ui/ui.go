// Package ui holds what every section of the dashboard shares: the layout, the
// icons and marks, how a size, an age or a moment is worded, and which of its
// three faces an answer wears (page, fragment, JSON).
//
// It decides nothing about backups and reads no store: a section's view.go
// hands it words.
package ui

import (
	"bytes"
	"encoding/json"
	"net/http"
	"strings"
	"unicode/utf8"

	"github.com/a-h/templ"
	"github.com/labstack/echo/v4"

	"github.com/AutumnsGrove/Patina/backup"
)

// Face is the form in which a client wants its answer.
type Face int

// The faces.
const (
	JSON Face = iota // a program
	Page             // a person's browser
	Part             // htmx, which puts a fragment into a page it already shows
)

// FaceOf tells what r wants. A program is whoever asks for application/json,
// or does not say that it takes text/html.
func FaceOf(r *http.Request) Face {
	if r.Header.Get("HX-Request") == "true" {
		if r.Header.Get("HX-Request-Type") == "partial" && r.Header.Get("HX-History-Restore-Request") != "true" {
			return Part
		}
		return Page
	}
	accept := strings.ToLower(strings.Join(r.Header.Values("Accept"), ","))
	html, json := mediaIndex(accept, "text/html"), mediaIndex(accept, "application/json")
	if html >= 0 && (json < 0 || html < json) {
		return Page
	}
	return JSON
}

// mediaIndex gives the place of a media type in an Accept header, or -1 where
// it is missing or refused by q=0.
func mediaIndex(accept, media string) int {
	for i, part := range strings.Split(accept, ",") {
		name, parameters, _ := strings.Cut(part, ";")
		if strings.TrimSpace(name) != media {
			continue
		}
		q := strings.ReplaceAll(parameters, " ", "")
		if strings.HasPrefix(q, "q=0") && strings.Trim(q, "q=0.") == "" {
			continue
		}
		return i
	}
	return -1
}

// Answer is what a handler has to say, in all three faces.
type Answer struct {
	Status int             // 200 when 0
	JSON   any             //
	Page   templ.Component // the whole page
	Part   templ.Component // the fragment; the page where nil
}

// Write sends the face that the request asked for.
func Write(c echo.Context, a Answer) error {
	if a.Status == 0 {
		a.Status = http.StatusOK
	}
	switch FaceOf(c.Request()) {
	case Part:
		if a.Part != nil {
			return Render(c, a.Status, a.Part)
		}
		return Render(c, a.Status, a.Page)
	case Page:
		return Render(c, a.Status, a.Page)
	}
	if _, pretty := c.QueryParams()["pretty"]; pretty {
		return c.JSON(a.Status, a.JSON)
	}
	body, err := json.Marshal(a.JSON)
	if err != nil {
		return err
	}
	return blob(c, a.Status, echo.MIMEApplicationJSON, append(body, '\n'))
}

// Render sends HTML. It is rendered whole before the first byte leaves, so
// that an error still becomes an error page.
func Render(c echo.Context, status int, component templ.Component) error {
	var b bytes.Buffer
	if err := component.Render(c.Request().Context(), &b); err != nil {
		return err
	}
	return blob(c, status, echo.MIMETextHTMLCharsetUTF8, b.Bytes())
}

// Go takes a person on to another page after a form was sent.
func Go(c echo.Context, path string) error {
	if FaceOf(c.Request()) == Part {
		c.Response().Header().Set("HX-Redirect", path)
		return c.NoContent(http.StatusOK)
	}
	return c.Redirect(http.StatusSeeOther, path)
}

// CheckText refuses, as ErrInvalid, what no text in Postgres can be equal to.
func CheckText(values ...string) error {
	for _, v := range values {
		if !utf8.ValidString(v) || strings.ContainsRune(v, 0) {
			return backup.Errorf(backup.ErrInvalid, "a name is UTF-8, and holds no NUL")
		}
	}
	return nil
}
