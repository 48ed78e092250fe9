package copies

import (
	"strconv"
	"strings"
	"time"

	"github.com/AutumnsGrove/Patina/backup"
	"github.com/AutumnsGrove/Patina/backup/dump"
	"github.com/AutumnsGrove/Patina/web/ui"
)

// shown is what the page of one copy shows.
type shown struct {
	ID, Name, Href string
	Title          string
	Mark           ui.Mark
	Taken, Stamp   ui.Moment
	Notices        []string
	Download       string // "" where whoever looks may not
	ForD1, SQLite  string
	Restore        string // "" where whoever looks may not
	Pin            *pin   // nil where whoever looks may not
	Verify         string // "" where whoever looks may not
	Size           string
	SHA, Body      string
	Facts, Proof   []ui.Definition
	Before         *compareLink // the copy before
	Unchanged      bool         // since the copy before
	Others         []compareLink
	Tables         []tableRow
	MoreTables     int
	Loader         bool
}

// compareLink leads to what changed between two copies.
type compareLink struct {
	Href, Date, Kind string
	Taken            ui.Moment
	Mark             ui.Mark
	Note             string
	Newer            bool
}

type tableRow struct{ Name, Kind, Rows, Size, Download string }

// maxTables is how many tables the page lists.
const maxTables = 500

func showView(c backup.Copy, near neighbours, now time.Time, who ui.Who) shown {
	m := shown{
		ID: c.ID, Name: ui.Name(c.DatabaseName), Href: "/databases/" + ui.Ref(c.DatabaseName, c.DatabaseID), Title: string(c.Kind) + " copy of " + c.Date.String(),
		Mark: ui.CopyMark(c), Taken: ui.Ago(c.TakenAt, now), Stamp: ui.Stamp(c.TakenAt), Size: ui.Bytes(c.Size), SHA: c.SHA256, Body: c.BodySHA256,
		Loader: who.Downloader && c.DeletedAt == nil,
	}
	if who.Operator && c.DeletedAt == nil {
		m.Verify = showPath(c) + "/verify"
		m.Pin = &pin{ID: c.ID, What: m.Title, Back: "/backups/" + c.ID, Pinned: c.Pinned}
	}
	if m.Loader {
		m.Download = downloadPath(c)
		m.ForD1, m.SQLite = m.Download+"&for=d1", m.Download+"&for=sqlite"
	}
	if who.Admin && c.DeletedAt == nil {
		m.Restore = showPath(c) + "/restore"
	}
	if c.DeletedAt != nil {
		m.Notices = append(m.Notices, "Its bytes were deleted on "+backup.DateOf(*c.DeletedAt).String()+". What is known of it stays.")
	}
	if c.QuarantinedAt != nil {
		m.Notices = append(m.Notices, "It is in quarantine since "+ui.Stamp(*c.QuarantinedAt).Word+": nothing relies on it.")
	}
	if len(c.Redactions) > 0 {
		m.Notices = append(m.Notices, "Redacted: "+ui.Name(strings.Join(c.Redactions, ", "))+". These values are not in this copy. It is proven as it is, and restores into a new database, not over the one it came from.")
	}
	m.Proof = proofFacts(c)
	m.Facts = copyFacts(c)
	if c.Manifest != nil {
		for _, f := range c.Manifest.Findings {
			if f.Code == "redacted" {
				continue
			}
			m.Notices = append(m.Notices, ui.Name(f.Message))
		}
		m.listTables(c)
	}
	for i, other := range near.before {
		link := linkTo(other, diffPath(other.ID, c.ID), now)
		if other.BodySHA256 == c.BodySHA256 {
			link.Note = "the same content"
		}
		if i == 0 && c.DeletedAt == nil {
			m.Before, m.Unchanged = &link, other.BodySHA256 == c.BodySHA256
		}
		m.Others = append(m.Others, link)
	}
	for i := len(near.after) - 1; i >= 0; i-- {
		link := linkTo(near.after[i], diffPath(c.ID, near.after[i].ID), now)
		link.Newer = true
		if near.after[i].BodySHA256 == c.BodySHA256 {
			link.Note = "the same content"
		}
		m.Others = append([]compareLink{link}, m.Others...)
	}
	if c.DeletedAt != nil {
		m.Others = nil
	}
	return m
}

func linkTo(c backup.Copy, href string, now time.Time) compareLink {
	return compareLink{Href: href, Date: c.Date.String(), Kind: string(c.Kind), Taken: ui.Ago(c.TakenAt, now), Mark: ui.CopyMark(c)}
}

// listTables lists the tables of the copy, in the order of the dump.
func (m *shown) listTables(c backup.Copy) {
	for _, s := range c.Manifest.Sections {
		if s.Kind == dump.KindSchema {
			continue
		}
		if len(m.Tables) == maxTables {
			m.MoreTables++
			continue
		}
		r := tableRow{Name: ui.Name(s.Name), Kind: s.Kind, Rows: ui.Count(s.Rows), Size: ui.Bytes(s.Length)}
		if m.Loader {
			r.Download = m.Download + "&table=" + escapeQuery(s.Name)
		}
		m.Tables = append(m.Tables, r)
	}
}

// proofFacts says whether the copy was restored, and what came of it.
func proofFacts(c backup.Copy) []ui.Definition {
	switch c.Proof {
	case backup.ProofSuspect:
		list := []ui.Definition{{Term: "Proof", Text: "It did not pass: it is suspect."}}
		if c.ProofError != "" {
			list = append(list, ui.Definition{Term: "Why", Text: ui.Name(c.ProofError)})
		}
		return list
	case backup.ProofProven:
		list := []ui.Definition{{Term: "Proof", Text: "It was read back, loaded into a fresh SQLite, checked, and dumped again: the same to the byte."}}
		if c.ProvenAt != nil {
			list = append(list, ui.Definition{Term: "Proven at", Text: ui.Stamp(*c.ProvenAt).Word})
		}
		return list
	}
	return []ui.Definition{{Term: "Proof", Text: "Not yet: it is stored whole, and was not restored so far."}}
}

func copyFacts(c backup.Copy) []ui.Definition {
	list := []ui.Definition{
		{Term: "Size", Text: ui.Bytes(c.Size)},
		{Term: "Tables", Text: strconv.Itoa(c.Tables)},
		{Term: "Rows", Text: ui.Count(c.Rows)},
		{Term: "Consistency", Text: consistencyWords(c.Consistency)},
		{Term: "Kept", Text: expiry(c)},
	}
	if c.Compression == backup.Gzip {
		list = append(list, ui.Definition{Term: "Compression", Text: "gzip"})
	}
	if m := c.Manifest; m != nil {
		if m.SQLSize > 0 && m.SQLSize != c.Size {
			list = append(list, ui.Definition{Term: "SQL", Text: ui.Bytes(m.SQLSize)})
		}
		if m.Cost.Requests > 0 {
			list = append(list, ui.Definition{Term: "Cost", Text: ui.Plural(int64(m.Cost.Requests), "request", "requests") + ", " + ui.Plural(m.Cost.RowsRead, "row read", "rows read")})
		}
		if m.Version != "" {
			list = append(list, ui.Definition{Term: "Made by", Text: "Patina " + ui.Name(m.Version)})
		}
	}
	where := ui.Definition{Term: "Object", Text: ui.Name(c.Key), Code: true}
	if c.Location() == backup.InArchive {
		where = ui.Definition{Term: "In the weekly archive", Text: ui.Name(c.Archived.Week + ", " + c.Archived.Name), Code: true}
	}
	list = append(list, where)
	for _, b := range []struct{ term, mark string }{{"Bookmark before", c.BookmarkBefore}, {"Bookmark after", c.BookmarkAfter}} {
		if b.mark != "" {
			list = append(list, ui.Definition{Term: b.term, Text: ui.Name(b.mark), Code: true})
		}
	}
	return list
}

func consistencyWords(c backup.Consistency) string {
	switch c {
	case backup.Snapshot:
		return "snapshot: one transaction"
	case backup.Quiet:
		return "quiet: nobody wrote meanwhile"
	case backup.Fuzzy:
		return "fuzzy: others wrote meanwhile"
	}
	return string(c)
}
