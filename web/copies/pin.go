package copies

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"mime"
	"net/http"
	"net/url"
	"strconv"

	"github.com/labstack/echo/v4"

	"github.com/AutumnsGrove/Patina/backup"
	"github.com/AutumnsGrove/Patina/web/auth"
	"github.com/AutumnsGrove/Patina/web/ui"
)

// Pin is POST /backups/:id/pin: {"pinned": true} keeps a copy for good, false
// lets it expire like any other.
func (h *Handler) Pin(c echo.Context) error {
	ctx, id := c.Request().Context(), c.Param("id")
	pinned, back, err := readPin(c.Request())
	if err != nil {
		return err
	}
	gone := backup.Errorf(backup.ErrNotFound, "There is no backup %s.", ui.Name(id))
	cp, err := h.visible(c, id)
	if errors.Is(err, backup.ErrNotFound) || err == nil && cp.DeletedAt != nil {
		return gone
	}
	if err != nil {
		return err
	}
	if err := h.Store.SetPinned(ctx, cp.ID, pinned); errors.Is(err, backup.ErrNotFound) {
		return gone
	} else if err != nil {
		return err
	}
	action := "unpin"
	if pinned {
		action = "pin"
	}
	if err := h.Auth.Record(c, action, "backup "+cp.ID, "done", cp.Key); err != nil {
		return err
	}
	if ui.FaceOf(c.Request()) != ui.JSON {
		return ui.Go(c, back)
	}
	cp.Pinned = pinned
	return c.JSON(http.StatusOK, entryOf(cp))
}

// readPin reads {"pinned": …} or the same from a form, and where a person came
// from.
func readPin(r *http.Request) (pinned bool, back string, err error) {
	bad := backup.Errorf(backup.ErrInvalid, `the body is {"pinned": true} or {"pinned": false}`)
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return false, "", ui.BodyError(err)
	}
	media, _, err := mime.ParseMediaType(r.Header.Get(echo.HeaderContentType))
	switch {
	case media == echo.MIMEApplicationForm && err == nil:
		form, err := url.ParseQuery(string(body))
		if err != nil {
			return false, "", bad
		}
		if pinned, err = strconv.ParseBool(form.Get("pinned")); err != nil {
			return false, "", bad
		}
		if back = auth.LocalPath(form.Get("back")); back == "/" {
			back = "/list"
		}
		return pinned, back, nil
	case media == echo.MIMEApplicationJSON && err == nil, r.Header.Get(echo.HeaderContentType) == "":
		var in struct {
			Pinned *bool `json:"pinned"`
		}
		d := json.NewDecoder(bytes.NewReader(body))
		d.DisallowUnknownFields()
		if err := d.Decode(&in); err != nil || in.Pinned == nil || d.More() {
			return false, "", bad
		}
		return *in.Pinned, "/list", nil
	}
	return false, "", echo.NewHTTPError(http.StatusUnsupportedMediaType, "The body is JSON or a form.")
}
