package jobs

import (
	"context"
	"errors"
	"strings"

	"github.com/riverqueue/river/rivertype"

	"github.com/AutumnsGrove/Patina/backup"
	"github.com/AutumnsGrove/Patina/store"
)

// verdict is what becomes of an attempt.
type verdict uint8

const (
	done      verdict = iota // stored
	lost                     // another attempt has it, or it has ended: say nothing
	busy                     // the database is being exported by another job: look again soon
	notBegun                 // the process stops before the attempt began: back into the queue
	cancelled                // a person asked for it
	stopped                  // the process stops: back into the queue, attempt unspent
	again                    // worth another try later
	refused                  // there is a good result for the slot already
	failed                   // for good
)

var (
	errCancelled = errors.New("the job was asked to stop")
	errNoSlot    = errors.New("every export slot is taken")
	errStopping  = errors.New("the process is stopping")
	errTimeout   = &backup.Error{Kind: backup.ErrUnavailable, Message: "the export took longer than it may; what was stored before is untouched", Next: "Try again; if it happens every time, raise the time an export may take."}
)

// judge decides what becomes of an attempt that ended with err. The context is
// River's: its end, and why, comes before what the work made of it.
func judge(ctx context.Context, err error, attempt, attempts int) verdict {
	switch {
	case err == nil:
		return done
	case errors.Is(err, store.ErrFenced):
		return lost
	case errors.Is(err, store.ErrRunning):
		return busy
	case errors.Is(err, errStopping):
		return notBegun
	case errors.Is(err, store.ErrSlotTaken):
		return refused
	case errors.Is(err, errCancelled), errors.Is(context.Cause(ctx), rivertype.ErrJobCancelledRemotely):
		return cancelled
	case errors.Is(ctx.Err(), context.Canceled):
		return stopped
	case errors.Is(ctx.Err(), context.DeadlineExceeded):
		return failed
	case attempt >= attempts:
		return failed
	}
	switch backup.Kind(err) {
	case backup.ErrUnavailable, nil:
		return again
	}
	return failed
}

// words gives what a person reads about a failure: what happened, and what to
// do next.
func words(ctx context.Context, err error) (message, next string) {
	if errors.Is(ctx.Err(), context.DeadlineExceeded) {
		err = errTimeout
	}
	message, next = err.Error(), backup.Next(err)
	if next == "" {
		next = nextOf(backup.Kind(err))
	}
	const most = 4000 // bytes; an error text of a database may be long
	if len(message) > most {
		message = strings.ToValidUTF8(message[:most], "") + "…"
	}
	return strings.ReplaceAll(strings.ToValidUTF8(message, "\uFFFD"), "\x00", "\uFFFD"), next
}

// nextOf gives what to do about a failure of a kind where the error itself
// does not say.
func nextOf(kind error) string {
	switch kind {
	case backup.ErrDenied:
		return "Check the API token's rights and the bucket's key; patina doctor tells which is missing."
	case backup.ErrNotFound:
		return "Look whether the database still exists; patina databases sync brings the registry up to date."
	case backup.ErrUnavailable:
		return "Retry this database; earlier copies are untouched."
	case backup.ErrCorrupt:
		return "Retry this database; if it happens again, run patina doctor."
	}
	return "Retry this database; if it happens again, look at the log of the process that ran it."
}

// kindName names an error for logs and for River, which must not see an error
// text that a database or a bucket wrote.
func kindName(err error) string {
	if kind := backup.Kind(err); kind != nil {
		return kind.Error()
	}
	switch {
	case errors.Is(err, context.Canceled):
		return "stopped"
	case errors.Is(err, context.DeadlineExceeded):
		return "timed out"
	}
	return "internal"
}

// plain is err without its words.
func plain(err error) error { return errors.New(kindName(err)) }
