// Package alert decides who is told of what, words it for each channel, and
// carries it there: to a webhook, or to Discord.
//
// It owns the rules (what is too long, too large, too old), how many messages a
// storm becomes, the payload and its signature, how an address is sealed, and
// which addresses may be reached. It never decides whether a backup is good,
// keeps nothing, and reads no clock but the one it is given.
package alert

import (
	"time"

	"github.com/AutumnsGrove/Patina/backup"
)

// Severity says how much an event matters.
type Severity string

// The severities.
const (
	Info     Severity = "info"     // good news, or news
	Warning  Severity = "warning"  // look at it by day
	Critical Severity = "critical" // something is not protected as it should be
)

// SeverityOf gives the severity of an event.
func SeverityOf(e backup.Event) Severity {
	switch e.Kind {
	case backup.EventJobFailed, backup.EventRestoreFailed, backup.EventStale, backup.EventProofFailed, backup.EventDrillFailed,
		backup.EventObjectDamaged, backup.EventSlotMissed:
		return Critical
	case backup.EventJobLong, backup.EventSizeAnomaly, backup.EventRowsAnomaly, backup.EventWeeklySkipped, backup.EventDatabaseGone,
		backup.EventDeliveryFailing, backup.EventRetentionHeldBack:
		return Warning
	case backup.EventSummary: // with something to do, it was not a good day
		if e.Next != "" {
			return Warning
		}
	}
	return Info
}

// Class is what paces messages: those of one class share their pauses, and
// good news never holds up bad.
type Class string

// The classes.
const (
	Problems Class = "problem" // what went wrong, and that it is right again
	Success  Class = "success" // each backup that succeeded, for those who want it
	News     Class = "news"    // what else is good to know
	Daily    Class = "summary" // the summary of a day
	Trial    Class = "test"    // a person pressed the button
)

// ClassOf gives the class of an event.
func ClassOf(e backup.Event) Class {
	switch {
	case e.Kind == backup.EventSummary:
		return Daily
	case e.Kind == backup.EventTest:
		return Trial
	case e.Kind == backup.EventJobSucceeded:
		return Success
	case e.Kind == backup.EventRecovered, SeverityOf(e) != Info:
		return Problems
	}
	return News
}

// Wishes are what a channel asked to be told.
type Wishes struct {
	Success bool // each backup that succeeded
	Failure bool // problems, their end, and what is new
	Summary bool // once a day
}

// Wants tells whether a channel is told of an event.
func (w Wishes) Wants(e backup.Event) bool {
	switch e.Kind {
	case backup.EventJobSucceeded:
		return w.Success
	case backup.EventSummary:
		return w.Summary
	}
	return w.Failure
}

// Mute keeps a database's events, or all, from being told until a time.
type Mute struct {
	DatabaseID string // "" for all
	Until      time.Time
}

// Muted tells whether one of the mutes covers a database at a time. The empty
// ID, of an event that is about no single database, is covered by a mute of all.
func Muted(mutes []Mute, databaseID string, at time.Time) bool {
	for _, m := range mutes {
		if at.Before(m.Until) && (m.DatabaseID == "" || m.DatabaseID == databaseID) {
			return true
		}
	}
	return false
}

// pauses are what lies between the messages of one class to one channel: the
// first leaves at once, and what comes after it is gathered.
var pauses = [...]time.Duration{0, time.Minute, 30 * time.Minute}

// pacing is how far back messages count.
const pacing = time.Hour

// Paced tells whether the messages of a class are held back at all: who asked
// to be told of each success, or once a day, is.
func Paced(c Class) bool { return c == Problems || c == News }

// Due gives the time from which a channel may get the next message of a
// class, sent being when the ones before left, in any order. So whatever
// happens within an hour is told in three messages.
func Due(sent []time.Time, now time.Time) time.Time {
	var last time.Time
	n := 0
	for _, at := range sent {
		if at.After(now) || now.Sub(at) >= pacing { // a clock may have jumped
			continue
		}
		n++
		if at.After(last) {
			last = at
		}
	}
	if n == 0 {
		return now
	}
	return last.Add(pauses[min(n, len(pauses)-1)])
}

// Backoff gives how long to wait after the nth try at a delivery that did not
// get through, the first being 1; asked is what the receiver asked for, and is
// obeyed up to a limit.
func Backoff(n int, asked time.Duration) time.Duration {
	steps := [...]time.Duration{
		10 * time.Second, 30 * time.Second, time.Minute, 2 * time.Minute, 5 * time.Minute, 10 * time.Minute, 15 * time.Minute, 30 * time.Minute,
	}
	wait := steps[min(max(n, 1), len(steps))-1]
	if n > len(steps) {
		wait = time.Hour
	}
	return max(wait, min(asked, longestAsked))
}

const (
	longestAsked = 2 * time.Hour
	// GiveUpAfter is the age at which a delivery that never got through is
	// given up.
	GiveUpAfter = 24 * time.Hour
	// FailingAfter is how many tries without success make a delivery one that
	// the other channels are told of.
	FailingAfter = 5
)
