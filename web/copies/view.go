package copies

import (
	"net/url"
	"strings"
	"time"

	"github.com/AutumnsGrove/Patina/backup"
	"github.com/AutumnsGrove/Patina/web/ui"
)

// model is what the list of copies shows.
type model struct {
	Rows            []row
	Database        string
	Date, Kind      string
	Kinds           []string
	First           bool
	Unfiltered      bool
	Loader          bool
	Operator        bool   // may pin
	Here            string // this very page, to come back to
	NextHref, Begin string
}

type row struct {
	ID          string
	Name, Href  string
	Copy        string // its page
	Date, Kind  string
	Taken       ui.Moment
	Mark        ui.Mark
	Consistency string
	Redacted    string // what it leaves out; "" for nothing
	Size, Rows  string
	Expiry      string
	Pinned      bool
	What        string // which copy, for people who do not see the row
	Archive     string // the week of the archive that holds it; "" for none
	Alone       bool   // it lies there alone
	Download    string
}

// pin is a copy's button that pins it.
type pin struct {
	ID, What string
	Back     string // the page to come back to
	Pinned   bool
}

func view(list []backup.Copy, q url.Values, next string, now time.Time, who ui.Who) model {
	m := model{
		Database: ui.Name(q.Get("database")), Date: q.Get("date"), Kind: q.Get("kind"),
		Kinds: []string{"daily", "manual", "weekly", "safety", "kept"}, First: q.Get("cursor") == "", Loader: who.Downloader, Operator: who.Operator,
	}
	m.Unfiltered = m.Database == "" && m.Date == "" && m.Kind == ""
	keep := url.Values{}
	for _, k := range []string{"database", "date", "kind", "limit"} {
		if q.Get(k) != "" {
			keep.Set(k, q.Get(k))
		}
	}
	m.Begin = "/list?" + keep.Encode()
	m.Here = m.Begin
	if cursor := q.Get("cursor"); cursor != "" {
		m.Here += "&cursor=" + url.QueryEscape(cursor)
	}
	if next != "" {
		keep.Set("cursor", next)
		m.NextHref = "/list?" + keep.Encode()
	}
	for _, c := range list {
		m.Rows = append(m.Rows, rowOf(c, now))
	}
	return m
}

func rowOf(c backup.Copy, now time.Time) row {
	return row{
		Name: ui.Name(c.DatabaseName), Href: "/databases/" + ui.Ref(c.DatabaseName, c.DatabaseID),
		Copy: showPath(c), Date: c.Date.String(), Kind: string(c.Kind), Taken: ui.Ago(c.TakenAt, now), Mark: ui.CopyMark(c),
		Consistency: string(c.Consistency), Redacted: redactedColumns(c.Redactions), Size: ui.Bytes(c.Size), Rows: ui.Count(c.Rows), Expiry: expiry(c),
		Archive: c.Archived.Week, Alone: c.Location() == backup.InArchive, Download: downloadPath(c),
		ID: c.ID, Pinned: c.Pinned, What: ui.Name(c.DatabaseName) + " of " + c.Date.String(),
	}
}

// redactedColumns names what a copy leaves out, short enough for a line.
func redactedColumns(redactions []string) string {
	if len(redactions) == 0 {
		return ""
	}
	var names []string
	for _, r := range redactions[:min(len(redactions), 3)] {
		name, _, _ := strings.Cut(r, " → ")
		names = append(names, ui.Name(name))
	}
	if n := len(redactions) - len(names); n > 0 {
		names = append(names, ui.Count(int64(n))+" more")
	}
	return "redacted: " + strings.Join(names, ", ")
}

// expiry says until when a copy stays, and why.
func expiry(c backup.Copy) string {
	reason := ""
	if c.ExpiresReason != "" {
		reason = ": " + ui.Name(c.ExpiresReason)
	}
	switch {
	case c.Pinned:
		return "pinned: kept for good"
	case c.ExpiresAt != nil:
		return "kept until " + backup.DateOf(*c.ExpiresAt).String() + reason
	}
	return "no end is set" + reason
}
