package restores

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"io"
	"mime"
	"net/http"
	"net/url"

	"github.com/labstack/echo/v4"

	"github.com/AutumnsGrove/Patina/backup"
	"github.com/AutumnsGrove/Patina/web/ui"
)

// body is what a program asks for.
type body struct {
	Target   backup.RestoreTarget `json:"target"`
	Name     string               `json:"name"`
	Tables   []string             `json:"tables"`
	Confirm  string               `json:"confirm"`
	Bookmark string               `json:"bookmark"`
}

// parse reads what a restore is asked for, from JSON or a form, and gives a hash
// of it to tell a repeat from a reuse of an idempotency key.
func parse(r *http.Request) (*backup.Restore, string, error) {
	raw, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, "", ui.BodyError(err)
	}
	media, _, err := mime.ParseMediaType(r.Header.Get(echo.HeaderContentType))
	if err != nil && r.Header.Get(echo.HeaderContentType) != "" {
		media = "unknown"
	}
	var in body
	switch media {
	case echo.MIMEApplicationForm:
		form, err := url.ParseQuery(string(raw))
		if err != nil {
			return nil, "", backup.Errorf(backup.ErrInvalid, "the form cannot be read")
		}
		in = body{Target: backup.RestoreTarget(form.Get("target")), Name: form.Get("name"), Tables: form["table"], Confirm: form.Get("confirm"), Bookmark: form.Get("bookmark")}
	case echo.MIMEApplicationJSON, "":
		d := json.NewDecoder(bytes.NewReader(raw))
		d.DisallowUnknownFields()
		if err := d.Decode(&in); err != nil || d.More() {
			return nil, "", backup.Errorf(backup.ErrInvalid, `the body is not {"target": "new" | "in_place" | "bookmark", "name", "tables", "confirm", "bookmark"}`)
		}
	default:
		return nil, "", echo.NewHTTPError(http.StatusUnsupportedMediaType, "The body is JSON or a form.")
	}
	if err := ui.CheckText(append([]string{in.Name, in.Confirm, in.Bookmark, string(in.Target)}, in.Tables...)...); err != nil {
		return nil, "", err
	}
	sum := sha256.Sum256(append([]byte(r.URL.Path+"\n"), raw...))
	return &backup.Restore{Target: in.Target, Name: in.Name, Tables: in.Tables, Confirm: in.Confirm, Bookmark: in.Bookmark}, hex.EncodeToString(sum[:]), nil
}
