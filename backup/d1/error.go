package d1

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"
	"unicode"

	"github.com/AutumnsGrove/Patina/backup"
)

// What a caller may want to answer with another question; found by errors.Is.
var (
	// ErrTooBig: SQLite would have to make a string or blob above 2,000,000 bytes.
	ErrTooBig = errors.New("string or blob too big")
	// ErrNoTable: a table or column is not there (any more).
	ErrNoTable = errors.New("no such table or column")
	// ErrInterrupted: the answer was cut, or never came. Rows that were handed
	// over before are good.
	ErrInterrupted = errors.New("the answer was cut")
	// ErrNotImporting: a poll found no import, which never began or has ended.
	ErrNotImporting = errors.New("no import is running")
)

// Error is a call that did not succeed.
type Error struct {
	Op         string // "read", "list", …
	DatabaseID string // "" for calls on the account
	Status     int    // of HTTP; 0 where no answer came
	Code       int    // Cloudflare's; 0 where there is none
	Message    string // Cloudflare's, or what was wrong with the answer
	RetryAfter time.Duration

	interrupted bool
	garbled     bool // an answer that is not of the API's shape
}

// Error says what happened. It never holds a token or a URL.
func (e *Error) Error() string {
	var b strings.Builder
	b.WriteString("Cloudflare D1")
	if e.Op != "" {
		b.WriteString(": " + e.Op)
	}
	if e.DatabaseID != "" {
		b.WriteString(" " + e.DatabaseID)
	}
	b.WriteString(": " + e.Message)
	switch {
	case e.Code != 0 && e.Status != 0:
		fmt.Fprintf(&b, " (status %d, code %d)", e.Status, e.Code)
	case e.Status != 0:
		fmt.Fprintf(&b, " (status %d)", e.Status)
	}
	return b.String()
}

// busyWords are in messages of a database that would answer another time,
// whatever their status.
var busyWords = []string{"overloaded", "timed out", "timeout", "time out", "reset", "internal error", "network connection lost", "try again", "long-running"}

// sqlWords are in messages about a statement. They name what it names, which may
// look like busyWords: "no such table: password_reset: SQLITE_ERROR".
var sqlWords = []string{"no such table", "no such column", "sqlite_error", "sqlite_constraint", "sqlite_auth", "sqlite_toobig", "sqlite_mismatch"}

func has(message string, words []string) bool {
	m := strings.ToLower(message)
	return slices.ContainsFunc(words, func(w string) bool { return strings.Contains(m, w) })
}

// kind maps the error to one of backup's.
func (e *Error) kind() error {
	switch {
	case e.interrupted || e.garbled || e.Status == http.StatusTooManyRequests || e.Status >= 500 || e.Status == http.StatusRequestTimeout:
		return backup.ErrUnavailable
	case e.Status == http.StatusUnauthorized || e.Status == http.StatusForbidden || e.Code == 10000:
		return backup.ErrDenied
	case e.Status == http.StatusNotFound || e.Code == 7404:
		return backup.ErrNotFound
	case has(e.Message, busyWords) && !has(e.Message, sqlWords):
		return backup.ErrUnavailable
	}
	return backup.ErrInvalid
}

// Unwrap gives the kind, and what a caller may ask for besides.
func (e *Error) Unwrap() []error {
	kinds := []error{e.kind()}
	m := strings.ToLower(e.Message)
	switch {
	case e.interrupted:
		kinds = append(kinds, ErrInterrupted)
	case strings.Contains(m, "not currently importing"):
		kinds = append(kinds, ErrNotImporting)
	case strings.Contains(m, "string or blob too big"):
		kinds = append(kinds, ErrTooBig)
	case strings.Contains(m, "no such table"), strings.Contains(m, "no such column"):
		kinds = append(kinds, ErrNoTable)
	}
	return kinds
}

// Next says what a person should do.
func (e *Error) next() string {
	switch e.kind() {
	case backup.ErrDenied:
		return "check that CLOUDFLARE_API_TOKEN is valid for this account and has the right D1: Read (D1: Edit for restores)"
	case backup.ErrNotFound:
		return "check CLOUDFLARE_ACCOUNT_ID, and run patina databases sync: the database may have been deleted"
	case backup.ErrUnavailable:
		return "it is tried again by itself; if it goes on, see https://www.cloudflarestatus.com"
	}
	return ""
}

// named completes an error with what was called, for people.
func named(err error, op, id string) error {
	var e *Error
	if !errors.As(err, &e) {
		return err
	}
	named := *e
	named.Op, named.DatabaseID = op, id
	return &backup.Error{Kind: named.kind(), Next: named.next(), Err: &named}
}

// errorOf reads the body of an answer that is not 2xx.
func errorOf(status int, body []byte) *Error {
	var e envelope[json.RawMessage]
	if err := json.Unmarshal(body, &e); err != nil || len(e.Errors) == 0 {
		return &Error{Status: status, Message: "answered " + http.StatusText(status), garbled: status < 400}
	}
	return failure(status, e.Errors)
}

// failure is an answer that says itself that it failed.
func failure(status int, errs []apiError) *Error {
	if len(errs) == 0 {
		return &Error{Status: status, Message: "the answer says that it failed, and not why", garbled: true}
	}
	e := &Error{Status: status, Code: errs[0].Code, Message: clean(errs[0].Message)}
	for _, more := range errs[1:] {
		e.Message += "; " + clean(more.Message)
	}
	return e
}

// maxMessage bounds what is kept of a message, in bytes.
const maxMessage = 2000

// clean makes Cloudflare's words fit for one line of a log or a page.
func clean(s string) string {
	s = strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return ' '
		}
		return r
	}, s)
	if len(s) > maxMessage {
		s = strings.ToValidUTF8(s[:maxMessage], "") + "…"
	}
	return s
}

// notJSON is an answer of another shape, as proxies give them.
func notJSON(text []byte) *Error {
	what := "something that is not JSON"
	if strings.HasPrefix(strings.ToLower(strings.TrimSpace(string(text[:min(len(text), 200)]))), "<") {
		what = "a page of HTML"
	} else if len(text) == 0 {
		what = "nothing"
	}
	return &Error{Status: http.StatusOK, Message: "answered with " + what, garbled: true}
}
