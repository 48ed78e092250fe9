package ui

import (
	"strings"

	"github.com/AutumnsGrove/Patina/backup"
)

// ProofMark gives the mark of what proving a copy found.
func ProofMark(r backup.DrillResult) Mark {
	switch {
	case r.Passed:
		return Mark{"proven", "circle-check", "restored"}
	case r.CopyID == "":
		return Mark{"failed", "circle-x", "no copy"}
	case r.Untried:
		return Mark{"attention", "triangle-alert", "not tried"}
	}
	return Mark{"failed", "circle-x", "failed"}
}

// SourceWords says how a copy compares with its source, and more of it.
func SourceWords(r backup.DrillResult) (word, more string) {
	text := Name(r.SourceText)
	switch r.Source {
	case backup.SourceEqual:
		return "equal", ""
	case backup.SourceMoved:
		return "has moved on", strings.TrimPrefix(text, "the source has moved on: ")
	case backup.SourceDiffers:
		return "differs", text
	case backup.SourceUnknown:
		return "not compared", "the account did not answer"
	}
	return "not compared", strings.TrimPrefix(text, "not compared: ")
}
