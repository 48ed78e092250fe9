// Package auth knows who asks: people with a password and a session, programs
// with a token, and what each of them may do. It owns sign-in, sign-out, the
// first admin, and the words that the audit log gets from the web.
//
// It never decides about backups, and keeps no secret it could hand out again:
// passwords are argon2id, tokens and session names are stored as hashes.
package auth

import (
	"context"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/AutumnsGrove/Patina/backup"
	"github.com/AutumnsGrove/Patina/web/ui"
)

// Right is what a route demands.
type Right int

// The rights. Viewer, operator and admin each include the one before; download
// is granted apart from them.
const (
	Public   Right = iota // nobody needs to be signed in
	View                  // metadata: what exists and how it went
	Operate               // start, cancel, retry
	Admin                 // people, tokens, settings, the audit log
	Download              // the bytes of a dump
)

// String names the right, for people.
func (r Right) String() string {
	return [...]string{"public", "viewer", "operator", "admin", "downloader"}[r]
}

// Actor is a person or a program that has shown who it is.
type Actor struct {
	ID         string // of the user or the token
	Name       string // as the audit log calls them: "ada", "token ci"
	Token      bool   // a program
	Rank       Right  // View, Operate or Admin
	Downloader bool
	Databases  []string   // UUIDs a token is restricted to; nil for all
	Session    string     // names the session or token, to count its streams
	SignIn     string     // of a person: which of theirs
	Until      *time.Time // when a token ends; nil for never, and for a person
}

// rank gives the right that a role stands for.
func rank(role string) Right {
	switch role {
	case "admin":
		return Admin
	case "operator":
		return Operate
	case "viewer":
		return View
	}
	return Public
}

// May tells whether the actor holds a right. Nobody (nil) holds Public alone.
func (a *Actor) May(r Right) bool {
	switch {
	case r == Public:
		return true
	case a == nil:
		return false
	case r == Download:
		return a.Downloader && a.Rank >= View
	}
	return a.Rank >= r
}

// Sees tells whether the actor may know of a database. What it may not see
// does not exist for it.
func (a *Actor) Sees(databaseID string) bool {
	if a == nil {
		return false
	}
	if a.Databases == nil {
		return true
	}
	for _, id := range a.Databases {
		if id == databaseID {
			return true
		}
	}
	return false
}

// Trigger says what a job that this actor starts was started by.
func (a *Actor) Trigger() backup.Trigger {
	if a.Token {
		return backup.TriggerAPI
	}
	return backup.TriggerManual
}

// Who gives what a page must know of the actor.
func (a *Actor) Who() ui.Who {
	if a == nil {
		return ui.Who{}
	}
	return ui.Who{Name: ui.Name(a.Name), Operator: a.May(Operate), Admin: a.May(Admin), Downloader: a.May(Download)}
}

type actorKey struct{}

// WithActor gives a context that carries the actor.
func WithActor(ctx context.Context, a *Actor) context.Context {
	return context.WithValue(ctx, actorKey{}, a)
}

// Of gives the actor of a request, nil where nobody is signed in.
func Of(c echo.Context) *Actor {
	a, _ := c.Request().Context().Value(actorKey{}).(*Actor)
	return a
}

type alarmKey struct{}

// WithAlarm gives a context whose pages all show an alarm.
func WithAlarm(ctx context.Context, alarm string) context.Context {
	return context.WithValue(ctx, alarmKey{}, alarm)
}

// Chrome gives what surrounds a page for whoever asks for it.
func Chrome(c echo.Context, title, section string) ui.Chrome {
	alarm, _ := c.Request().Context().Value(alarmKey{}).(string)
	return ui.Chrome{Title: ui.Name(title), Section: section, Who: Of(c).Who(), Alarm: alarm}
}
