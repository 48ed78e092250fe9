package ui

import "time"

// Who is the person or program that looks at a page, as far as a page must
// know: what to call them, and which buttons to show. Rights are enforced
// elsewhere.
type Who struct {
	Name       string // "" while nobody is signed in
	Operator   bool   // may start, cancel and retry
	Admin      bool
	Downloader bool
}

// Chrome is what surrounds the content of a page.
type Chrome struct {
	Title   string // of the window, before " · Patina"
	Section string // the entry of the menu that is marked
	Who     Who
	Refresh int // seconds after which a browser without JavaScript asks again; 0 never
	Plain   bool
	Notice  string // one sentence above the content; "" for none
	Alarm   string // what operators see on every page; "" for none
}

// Moment is a point in time on a page.
type Moment struct {
	At   time.Time
	Word string // what is shown: "3 h ago", or the time itself
}

// Machine gives the time for the datetime attribute.
func (m Moment) Machine() string { return m.At.UTC().Format(time.RFC3339) }

// Mark is a state: a shape, a colour and a word, never one alone.
type Mark struct {
	State string // a class of the style sheet: proven, stored, attention, failed, unknown, running
	Icon  string
	Word  string
}

// A Definition is a term and what is said of it, in a list of facts.
type Definition struct {
	Term, Text string
	Code       bool // set in the monospaced typeface
}

// menu is what the bar at the top leads to.
type entry struct{ name, href, section string }

func menu(w Who) []entry {
	entries := []entry{
		{"Overview", "/", "overview"},
		{"Databases", "/databases", "databases"},
		{"Backups", "/list", "copies"},
		{"Jobs", "/jobs", "history"},
		{"Drills", "/drills", "drills"},
	}
	if w.Admin {
		entries = append(entries, entry{"Alerts", "/alerts", "alerts"}, entry{"Audit", "/audit", "audit"})
	}
	return append(entries, entry{"Settings", "/settings", "settings"})
}

// SettingsPages are the pages of the settings that somebody may see.
func SettingsPages(w Who) []SettingsPage {
	pages := []SettingsPage{{"Your account", "/settings/account", "Your password, and where you are signed in."}}
	if !w.Admin {
		return pages
	}
	return append(
		pages,
		SettingsPage{"People", "/settings/people", "Who may sign in, what they may do, and where they are signed in."},
		SettingsPage{"API tokens", "/settings/tokens", "What programs sign in with: their rights, their databases, their end."},
		SettingsPage{"Retention", "/settings/retention", "How long copies stay, and what a cleanup would do."},
		SettingsPage{"Redaction", "/settings/redaction", "Which columns' values no copy holds."},
	)
}

// A SettingsPage is one of the pages that the settings lead to.
type SettingsPage struct{ Name, Href, What string }

// Failure is an error as a page tells it.
type Failure struct {
	Title  string
	Detail string // what happened, to what, and what was kept
	Next   string // what to do; "" where there is nothing
	Href   string // where more is to be seen; "" for nowhere
	Label  string // of that link
}
