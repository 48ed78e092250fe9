package history

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
	"strings"

	"github.com/labstack/echo/v4"

	"github.com/AutumnsGrove/Patina/backup"
	"github.com/AutumnsGrove/Patina/web/auth"
	"github.com/AutumnsGrove/Patina/web/ui"
)

// maxNames bounds how many databases one request may name.
const maxNames = 50_000

// Trigger is POST /trigger.
func (h *Handler) Trigger(c echo.Context) error {
	r, who := c.Request(), auth.Of(c)
	key, err := ui.IdempotencyKey(r)
	if err != nil {
		return err
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return ui.BodyError(err)
	}
	asked, err := names(r.Header.Get(echo.HeaderContentType), body)
	if err != nil {
		return err
	}
	databases, err := h.resolve(r.Context(), who, asked)
	if err != nil {
		return err
	}
	sum := sha256.Sum256(body)
	s, err := h.Requests.Request(r.Context(), backup.Request{
		Action: backup.ActionBackup, Databases: databases, Trigger: who.Trigger(), Actor: who.Name,
		IdempotencyKey: key, BodySHA256: hex.EncodeToString(sum[:]),
	})
	if err != nil {
		return err
	}
	if s.JobID == "" {
		if len(s.Skipped) > 0 {
			return &backup.BusyError{Name: s.Skipped[0].Name, JobID: s.Skipped[0].JobID}
		}
		return backup.Errorf(backup.ErrNotFound, "There is no database to back up.")
	}
	outcome := "started"
	if s.Repeated {
		outcome = "answered as before"
	}
	if err := h.Auth.Record(c, "trigger", "job "+s.JobID, outcome, strings.Join(asked, ", ")); err != nil {
		return err
	}
	return answer(c, s)
}

// resolve gives the names of the databases asked for: nil for all of them.
// A token that sees only some gets all of those, and no other.
func (h *Handler) resolve(ctx context.Context, who *auth.Actor, asked []string) ([]string, error) {
	all := len(asked) == 1 && asked[0] == "all"
	if all && who.Databases == nil {
		return nil, nil
	}
	var out []string
	if all {
		for _, id := range who.Databases {
			db, err := h.Store.Database(ctx, id)
			if errors.Is(err, backup.ErrNotFound) || err == nil && db.GoneAt != nil {
				continue
			}
			if err != nil {
				return nil, err
			}
			out = append(out, db.Name)
		}
		if len(out) == 0 {
			return nil, backup.Errorf(backup.ErrNotFound, "There is no database to back up.")
		}
		return out, nil
	}
	seen := map[string]bool{}
	for _, name := range asked {
		db, err := auth.Database(ctx, h.Store, who, name)
		if err != nil {
			return nil, err
		}
		if !seen[db.ID] {
			seen[db.ID] = true
			out = append(out, db.Name)
		}
	}
	return out, nil
}

// names reads {"database": "name" | "all" | ["name", …]} or the same from a form.
func names(contentType string, body []byte) ([]string, error) {
	media, _, err := mime.ParseMediaType(contentType)
	if err != nil && contentType != "" {
		return nil, echo.NewHTTPError(http.StatusUnsupportedMediaType, "The body is JSON or a form.")
	}
	var list []string
	switch media {
	case echo.MIMEApplicationForm:
		form, err := url.ParseQuery(string(body))
		if err != nil {
			return nil, backup.Errorf(backup.ErrInvalid, "the form cannot be read")
		}
		list = form["database"]
	case echo.MIMEApplicationJSON, "":
		list, err = namesJSON(body)
		if err != nil {
			return nil, err
		}
	default:
		return nil, echo.NewHTTPError(http.StatusUnsupportedMediaType, "The body is JSON or a form.")
	}
	if len(list) == 0 || len(list) > maxNames {
		return nil, backup.Errorf(backup.ErrInvalid, `say which database: {"database": "name"}, "all", or a list of names`)
	}
	for _, name := range list {
		if err := ui.CheckText(name); err != nil {
			return nil, err
		}
		if name == "" {
			return nil, backup.Errorf(backup.ErrInvalid, "a database's name is not empty")
		}
		if name == "all" && len(list) > 1 {
			return nil, backup.Errorf(backup.ErrInvalid, `"all" stands alone`)
		}
	}
	return list, nil
}

func namesJSON(body []byte) ([]string, error) {
	var in struct {
		Database json.RawMessage `json:"database"`
	}
	d := json.NewDecoder(bytes.NewReader(body))
	d.DisallowUnknownFields()
	if err := d.Decode(&in); err != nil || d.More() {
		return nil, backup.Errorf(backup.ErrInvalid, `the body is not {"database": …}`)
	}
	var one string
	if json.Unmarshal(in.Database, &one) == nil && string(in.Database) != "null" {
		return []string{one}, nil
	}
	var list []string
	if json.Unmarshal(in.Database, &list) != nil {
		return nil, backup.Errorf(backup.ErrInvalid, "database is a name, \"all\", or a list of names")
	}
	return list, nil
}

// Cancel is POST /jobs/:id/cancel.
func (h *Handler) Cancel(c echo.Context) error {
	return h.change(c, backup.ActionCancel)
}

// Retry is POST /jobs/:id/retry: the failed databases again, as a new job.
func (h *Handler) Retry(c echo.Context) error {
	return h.change(c, backup.ActionRetry)
}

func (h *Handler) change(c echo.Context, action backup.Action) error {
	ctx, who, id := c.Request().Context(), auth.Of(c), c.Param("id")
	key, err := ui.IdempotencyKey(c.Request())
	if err != nil {
		return err
	}
	shown, err := h.load(ctx, who, id, nil, 1)
	if err != nil {
		return err
	}
	if shown.Hidden {
		return backup.Errorf(backup.ErrDenied, "This job is also about databases that this token may not touch.")
	}
	s, err := h.Requests.Request(ctx, backup.Request{
		Action: action, JobID: id, Trigger: who.Trigger(), Actor: who.Name,
		IdempotencyKey: key, BodySHA256: requestSum(action, id),
	})
	if err != nil {
		return err
	}
	if s.JobID == "" {
		s.JobID = id
	}
	outcome := "asked"
	if action == backup.ActionRetry {
		outcome = "started job " + s.JobID
	}
	if err := h.Auth.Record(c, string(action), "job "+id, outcome, ""); err != nil {
		return err
	}
	return answer(c, s)
}

func requestSum(action backup.Action, id string) string {
	sum := sha256.Sum256([]byte(string(action) + " " + ui.Name(id)))
	return hex.EncodeToString(sum[:])
}
