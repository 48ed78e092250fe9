package web

import (
	"errors"
	"net/http"
	"unicode"

	"github.com/labstack/echo/v4"

	"github.com/AutumnsGrove/Patina/backup"
	"github.com/AutumnsGrove/Patina/web/auth"
	"github.com/AutumnsGrove/Patina/web/ui"
)

// problem is an error as programs get it: RFC 9457.
type problem struct {
	Type      string `json:"type"`
	Title     string `json:"title"`
	Status    int    `json:"status"`
	Detail    string `json:"detail,omitempty"`
	Next      string `json:"next,omitempty"`
	JobID     string `json:"job_id,omitempty"`
	RequestID string `json:"request_id,omitempty"`
}

// statusOf is the one place where a kind of error becomes a status.
func statusOf(err error) int {
	var h *echo.HTTPError
	if errors.As(err, &h) {
		return h.Code
	}
	kind := backup.Kind(err)
	var e *backup.Error
	if errors.As(err, &e) { // its own kind, not that of its cause
		kind = e.Kind
	}
	switch kind {
	case backup.ErrNotFound:
		return http.StatusNotFound
	case backup.ErrInvalid:
		return http.StatusBadRequest
	case backup.ErrConflict:
		return http.StatusConflict
	case backup.ErrDenied:
		return http.StatusForbidden
	case backup.ErrUnavailable:
		return http.StatusServiceUnavailable
	}
	return http.StatusInternalServerError
}

// titles are the headings of an error page, in words.
var titles = map[int]string{
	http.StatusBadRequest:                   "That request cannot be read",
	http.StatusUnauthorized:                 "Sign in first",
	http.StatusForbidden:                    "You may not do this",
	http.StatusNotFound:                     "There is nothing here",
	http.StatusMethodNotAllowed:             "That cannot be done here",
	http.StatusConflict:                     "Something else is in the way",
	http.StatusRequestEntityTooLarge:        "That is too much at once",
	http.StatusRequestedRangeNotSatisfiable: "That range is not there",
	http.StatusTooManyRequests:              "Too many tries",
	http.StatusInternalServerError:          "Something went wrong here",
	http.StatusServiceUnavailable:           "A part that is needed does not answer",
}

// problemOf words an error for whoever asked. Causes stay in the log: only
// what was written for people is shown.
func problemOf(err error) problem {
	p := problem{Type: "about:blank", Status: statusOf(err)}
	p.Title = http.StatusText(p.Status)
	var h *echo.HTTPError
	var e *backup.Error
	var busy *backup.BusyError
	switch {
	case errors.As(err, &busy):
		p.Detail, p.JobID = busy.Error(), busy.JobID
	case errors.As(err, &h):
		if text, ok := h.Message.(string); ok && text != p.Title {
			p.Detail = text
		}
	case errors.As(err, &e):
		p.Detail, p.Next = e.Message, backup.Next(err)
		if doing(e) {
			p.Detail = ""
		}
	}
	if p.Detail == "" {
		switch p.Status {
		case http.StatusBadRequest:
			p.Detail = "A part of the request is not valid."
		case http.StatusServiceUnavailable:
			p.Detail = "Postgres or the bucket does not answer just now."
		case http.StatusNotFound:
			p.Detail = "No such thing is known, or you may not see it."
		case http.StatusInternalServerError:
			p.Detail = "Nothing was changed by this request as far as we know. The log has the cause, under the request's number."
		}
	}
	return p
}

// doing tells whether an error's message only names what was being done when
// something below failed ("list backups"): words for the log.
func doing(e *backup.Error) bool {
	return e.Err != nil && e.Message != "" && unicode.IsLower([]rune(e.Message)[0])
}

// serveError answers an error that a handler returned, and logs it where it is
// ours.
func (s *Server) serveError(err error, c echo.Context) {
	if c.Response().Committed {
		return
	}
	p := problemOf(err)
	p.RequestID = c.Response().Header().Get(echo.HeaderXRequestID)
	if p.Status >= http.StatusInternalServerError {
		s.cfg.Log.ErrorContext(c.Request().Context(), "request", "request_id", p.RequestID, "path", c.Request().URL.Path, "error", err.Error())
	}
	if p.Status == http.StatusUnauthorized {
		c.Response().Header().Add(echo.HeaderWWWAuthenticate, `Bearer realm="patina"`)
	}
	if err := s.writeProblem(c, p); err != nil {
		s.cfg.Log.WarnContext(c.Request().Context(), "answer an error", "request_id", p.RequestID, "error", err.Error())
	}
}

func (s *Server) writeProblem(c echo.Context, p problem) error {
	if c.Request().Method == http.MethodHead {
		return c.NoContent(p.Status)
	}
	face := ui.FaceOf(c.Request())
	if face == ui.JSON {
		c.Response().Header().Set(echo.HeaderContentType, "application/problem+json")
		return c.JSON(p.Status, p)
	}
	if p.Status == http.StatusUnauthorized {
		if face == ui.Part { // a fragment cannot show the sign-in page
			c.Response().Header().Set("HX-Refresh", "true")
			return c.NoContent(p.Status)
		}
		return s.auth.SignInPage(c, p.Status, p.Detail)
	}
	if auth.Of(c) == nil { // a path that is no route, say: show whoever it is the way back
		if who, err := s.auth.Identify(c.Request()); err == nil && who != nil {
			c.SetRequest(c.Request().WithContext(auth.WithActor(c.Request().Context(), who)))
		}
	}
	title := titles[p.Status]
	if title == "" {
		title = p.Title
	}
	next := p.Next
	if p.Status >= http.StatusInternalServerError && p.RequestID != "" {
		next += " (Request " + p.RequestID + ".)"
	}
	f := ui.Failure{Title: title, Detail: ui.Name(p.Detail), Next: ui.Name(next)}
	if p.JobID != "" {
		f.Href, f.Label = "/jobs/"+p.JobID, "See that job"
	} else if p.Status >= http.StatusInternalServerError {
		f.Href, f.Label = "/docs/operating#when-something-is-wrong", "What to do when something is wrong"
	}
	if face == ui.Part {
		return ui.Render(c, p.Status, ui.ProblemPart(f))
	}
	return ui.Render(c, p.Status, ui.Problem(auth.Chrome(c, title, ""), f))
}
