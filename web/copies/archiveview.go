package copies

import (
	"net/url"
	"strconv"
	"time"

	"github.com/AutumnsGrove/Patina/backup"
	"github.com/AutumnsGrove/Patina/web/ui"
)

// archiveModel is what the page of an archive shows.
type archiveModel struct {
	Week     string
	Mark     ui.Mark
	Verified ui.Moment
	Size     string
	SHA      string
	Facts    []ui.Definition
	Missing  []gap
	More     int // missing dates that are not listed
	Rows     []memberRow
	Job      string // the address of the job that made it; "" for none
	Loader   bool   // may have the archive as a whole
	Each     bool   // may have its dumps

	First           bool
	Begin, NextHref string
}

type gap struct{ Name, Href, Date, Reason string }

type memberRow struct {
	row
	File   string
	Packed string
}

// gapsShown is how many missing dates a page lists.
const gapsShown = 200

func viewArchive(a backup.Archive, list []backup.Copy, q url.Values, next string, now time.Time, who ui.Who, all bool) archiveModel {
	m := archiveModel{
		Week: a.Week, Mark: ui.Mark{State: "proven", Icon: "check", Word: "verified"}, Verified: ui.Ago(a.VerifiedAt, now), Size: ui.Bytes(a.Size), SHA: a.SHA256,
		Loader: who.Downloader && all, Each: who.Downloader, First: q.Get("cursor") == "", Begin: archivePath(a.Week),
	}
	m.Facts = []ui.Definition{
		{Term: "Dates", Text: a.From.String() + " to " + a.To.String()},
		{Term: "Kept", Text: archiveExpiry(a)},
	}
	if all { // otherwise the number tells of others
		m.Facts = append(m.Facts, ui.Definition{Term: "Copies", Text: strconv.Itoa(a.Members)})
	}
	m.Facts = append(m.Facts, ui.Definition{Term: "Object", Text: a.Key, Code: true})
	if a.QuarantinedAt != nil {
		m.Mark = ui.Mark{State: "failed", Icon: "circle-x", Word: "damaged"}
	}
	if a.JobID != "" {
		m.Job = "/jobs/" + a.JobID
	}
	if next != "" {
		m.NextHref = m.Begin + "?" + url.Values{"cursor": {next}}.Encode()
	}
	for i, g := range a.Missing {
		if i == gapsShown {
			m.More = len(a.Missing) - gapsShown
			break
		}
		m.Missing = append(m.Missing, gap{ui.Name(g.DatabaseName), "/databases/" + ui.Ref(g.DatabaseName, g.DatabaseID), g.Date.String(), ui.Name(g.Reason)})
	}
	for _, c := range list {
		m.Rows = append(m.Rows, memberRow{row: rowOf(c, now), File: c.Archived.Name, Packed: ui.Bytes(c.Archived.Length)})
	}
	return m
}

// archiveExpiry says until when an archive stays, and why.
func archiveExpiry(a backup.Archive) string {
	return expiry(backup.Copy{ExpiresAt: a.ExpiresAt, ExpiresReason: a.ExpiresReason})
}
