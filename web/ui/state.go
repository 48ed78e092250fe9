package ui

import (
	"time"

	"github.com/AutumnsGrove/Patina/backup"
)

// StateOf gives the one word for a database, and why in a sentence ("" where
// there is nothing to say).
func StateOf(s backup.Standing, now time.Time) (StateWord, string) {
	failed := s.Last != nil && s.Last.Status == backup.ResultFailed
	cause := ""
	if failed {
		cause = "The last backup failed"
		if s.Last.Error != "" {
			cause += ": " + s.Last.Error
		}
		cause = sentence(cause)
	}
	if s.Newest == nil {
		switch {
		case failed:
			return Failed, cause + " There is no copy yet."
		case s.Suspect > 0:
			return Failed, "Its only " + Plural(int64(s.Suspect), "copy is", "copies are") + " suspect."
		case s.Database.GoneAt != nil:
			return Unknown, "It is gone from the account, and no copy of it is left."
		}
		return Unknown, "No copy yet."
	}
	age := now.Sub(s.Newest.TakenAt)
	late := s.Database.Objective > 0 && age > s.Database.Objective && s.Database.GoneAt == nil
	switch {
	case s.Database.GoneAt != nil:
		return Attention, "It is gone from the account. Its copies stay."
	case late && failed:
		return Failed, cause + " The newest copy is " + Span(age) + " old."
	case late && s.Database.Paused:
		return Attention, "It is paused. The newest copy is " + Span(age) + " old."
	case late:
		return Attention, "The newest copy is " + Span(age) + " old, and should be at most " + Span(s.Database.Objective) + "."
	case failed && s.Last.CompletedAt != nil && s.Last.CompletedAt.After(s.Newest.TakenAt):
		return Attention, cause + " The copy from " + Span(age) + " ago is kept."
	case s.Suspect > 0:
		return Attention, Plural(int64(s.Suspect), "copy of it is", "copies of it are") + " suspect."
	case s.Proven != nil && (s.Database.Objective <= 0 || now.Sub(s.Proven.TakenAt) <= s.Database.Objective):
		return Proven, ""
	}
	return Stored, ""
}

// sentence ends a text with a full stop where it has no end of its own.
func sentence(s string) string {
	if s == "" {
		return s
	}
	switch s[len(s)-1] {
	case '.', '!', '?':
		return s
	}
	return s + "."
}

// urgency orders the states: what needs somebody first.
func urgency(s StateWord) int {
	switch s {
	case Failed:
		return 0
	case Attention:
		return 1
	case Unknown:
		return 2
	case Stored:
		return 3
	}
	return 4
}

// Compare orders states for a list: negative where s should be seen first.
func (s StateWord) Compare(other StateWord) int { return urgency(s) - urgency(other) }
