package backup

import (
	"errors"
	"fmt"
)

// The kinds of error. Every error that crosses a package border wraps one of
// them; web/errors.go maps them to a status and jobs/errors.go to cancel,
// snooze or retry.
var (
	ErrNotFound    = errors.New("not found")
	ErrInvalid     = errors.New("invalid")
	ErrConflict    = errors.New("conflict")
	ErrDenied      = errors.New("denied")
	ErrUnavailable = errors.New("unavailable")
	ErrCorrupt     = errors.New("corrupt")
)

// Error is an error with words for the person who must act on it.
type Error struct {
	Kind    error  // one of the kinds above
	Message string // what happened, to what, and what was kept safe
	Next    string // what to do next; may be empty
	Err     error  // the cause; may be nil
}

// Error gives the message and its cause, for logs.
func (e *Error) Error() string {
	switch {
	case e.Err == nil:
		return e.Message
	case e.Message == "":
		return e.Err.Error()
	}
	return e.Message + ": " + e.Err.Error()
}

// Unwrap makes errors.Is find the kind as well as the cause.
func (e *Error) Unwrap() []error {
	if e.Err == nil {
		return []error{e.Kind}
	}
	return []error{e.Kind, e.Err}
}

// Errorf makes an error of a kind whose message a person can read.
func Errorf(kind error, format string, args ...any) error {
	return &Error{Kind: kind, Message: fmt.Sprintf(format, args...)}
}

// Kind gives the kind that err wraps, or nil.
func Kind(err error) error {
	for _, k := range []error{ErrNotFound, ErrInvalid, ErrConflict, ErrDenied, ErrCorrupt, ErrUnavailable} {
		if errors.Is(err, k) {
			return k
		}
	}
	return nil
}

// Next gives what a person should do about err, or "".
func Next(err error) string {
	var e *Error
	for errors.As(err, &e) {
		if e.Next != "" {
			return e.Next
		}
		if e.Err == nil {
			return ""
		}
		err = e.Err
		e = nil
	}
	return ""
}
