package main

import (
	"fmt"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/dustin/go-humanize"

	"github.com/AutumnsGrove/Patina/backup"
	"github.com/AutumnsGrove/Patina/backup/catalogue"
	"github.com/AutumnsGrove/Patina/jobs"
	"github.com/AutumnsGrove/Patina/store"
)

// rebuildReport is what a rebuild found, and what it made.
type rebuildReport struct {
	found   *catalogue.Found
	deep    bool
	meta    *store.Meta // nil for none
	metaKey string
	unread  []jobs.UnreadMeta
	made    *jobs.Rebuilt // nil for a dry run
}

// rebuildJSON is a rebuild as --json writes it.
type rebuildJSON struct {
	Bucket   string        `json:"bucket"`
	DryRun   bool          `json:"dry_run"`
	Deep     bool          `json:"deep"`
	Objects  int           `json:"objects"`
	Bytes    int64         `json:"bytes"`
	Copies   []foundJSON   `json:"copies"`
	Archives []archiveJSON `json:"archives"`
	Orphaned []orphanJSON  `json:"orphaned"`
	Damaged  []damageJSON  `json:"damaged"`
	Unknown  []objectJSON  `json:"unknown"`
	Uploads  []uploadJSON  `json:"unfinished"`
	Meta     metaJSON      `json:"meta"`
	Made     *jobs.Rebuilt `json:"rebuilt"`
}

type foundJSON struct {
	ID           string          `json:"id"`
	Database     string          `json:"database"`
	DatabaseID   string          `json:"database_id"`
	Date         backup.Date     `json:"date"`
	Kind         backup.CopyKind `json:"kind"`
	Key          string          `json:"key"`
	Size         int64           `json:"size_bytes"`
	SHA256       string          `json:"sha256"`
	TakenAt      time.Time       `json:"taken_at"`
	Location     backup.Location `json:"location"`
	Archive      string          `json:"archive,omitempty"`
	ManifestMade bool            `json:"manifest_made_again"`
}

type archiveJSON struct {
	Week    string `json:"week"`
	Key     string `json:"key"`
	Size    int64  `json:"size_bytes"`
	Members int    `json:"members"`
	Damaged bool   `json:"damaged"`
}

type orphanJSON struct {
	Key    string `json:"key"` // of the object that is gone
	CopyID string `json:"copy_id,omitempty"`
}

type damageJSON struct {
	Key    string `json:"key"`
	Reason string `json:"reason"`
	CopyID string `json:"copy_id,omitempty"`
	Mended bool   `json:"mended"`
}

type objectJSON struct {
	Key  string `json:"key"`
	Size int64  `json:"size_bytes"`
}

type uploadJSON struct {
	Key       string    `json:"key"`
	StartedAt time.Time `json:"started_at"`
}

type metaJSON struct {
	Key       string            `json:"key"` // "" for none
	WrittenAt *time.Time        `json:"written_at"`
	Unread    []jobs.UnreadMeta `json:"unreadable"`
}

func (r *rebuildReport) json() rebuildJSON {
	f := r.found
	out := rebuildJSON{
		Bucket: f.Bucket, DryRun: r.made == nil, Deep: r.deep, Objects: f.Objects, Bytes: f.Bytes, Made: r.made,
		Copies: []foundJSON{}, Archives: []archiveJSON{}, Orphaned: []orphanJSON{}, Damaged: []damageJSON{}, Unknown: []objectJSON{}, Uploads: []uploadJSON{},
		Meta: metaJSON{Key: r.metaKey, Unread: append([]jobs.UnreadMeta{}, r.unread...)},
	}
	if r.meta != nil {
		out.Meta.WrittenAt = &r.meta.WrittenAt
	}
	for _, c := range f.Copies {
		m := c.Manifest
		e := foundJSON{m.CopyID, m.DatabaseName, m.DatabaseID, m.Date, m.Kind, m.Key, m.Size, m.SHA256, m.StartedAt.UTC(), backup.InObject, c.Archived.Week, c.Made}
		if c.ObjectGone {
			e.Location = backup.InArchive
		}
		out.Copies = append(out.Copies, e)
	}
	for _, a := range f.Archives {
		e := archiveJSON{Week: a.Week.String(), Key: a.Key, Size: a.Size, Damaged: a.Fault != "" || a.Manifest == nil}
		if a.Manifest != nil {
			e.Members = len(a.Manifest.Members)
		}
		out.Archives = append(out.Archives, e)
	}
	for _, o := range f.Orphans {
		e := orphanJSON{Key: o.Key}
		if o.Manifest != nil {
			e.CopyID = o.Manifest.CopyID
		}
		out.Orphaned = append(out.Orphaned, e)
	}
	for _, d := range f.Damaged {
		e := damageJSON{Key: d.Key, Reason: d.Reason, Mended: d.Mended}
		if d.Manifest != nil {
			e.CopyID = d.Manifest.CopyID
		}
		out.Damaged = append(out.Damaged, e)
	}
	for _, u := range f.Unknown {
		out.Unknown = append(out.Unknown, objectJSON{u.Key, u.Size})
	}
	for _, u := range f.Uploads {
		out.Uploads = append(out.Uploads, uploadJSON{u.Key, u.Started})
	}
	return out
}

// reportRebuild says what was found and made. Damage ends with exit code 4.
func (a *app) reportRebuild(r *rebuildReport) error {
	tell := a.tellRebuild
	if a.json {
		tell = func(r *rebuildReport) error { return a.printJSON(r.json()) }
	}
	if err := tell(r); err != nil {
		return err
	}
	if n := len(r.found.Damaged); n > 0 {
		return errDamaged(n)
	}
	return nil
}

func (a *app) tellRebuild(r *rebuildReport) error {
	f := r.found
	if err := a.tellCopies(f); err != nil {
		return err
	}
	for _, x := range f.Archives {
		members := "what it holds is not known"
		if x.Manifest != nil {
			members = plural(len(x.Manifest.Members), "backup")
		}
		fmt.Fprintf(a.out, "archive     %s  %s, %s\n", x.Key, members, humanize.Bytes(uint64(max(0, x.Size))))
	}
	settings := "none: people, channels, pins and settings cannot come back"
	if r.meta != nil {
		settings = r.metaKey + ", written at " + r.meta.WrittenAt.UTC().Format(time.RFC3339)
	}
	fmt.Fprintf(a.out, "settings    %s\n", settings)
	for _, u := range r.unread {
		fmt.Fprintf(a.out, "unreadable  %s  %s\n", u.Key, printable(u.Reason))
	}
	for _, c := range f.Copies {
		if c.Made {
			fmt.Fprintf(a.out, "manifest    %s.json  made again from the dump\n", c.Manifest.Key)
		}
	}
	for _, o := range f.Orphans {
		fmt.Fprintf(a.out, "orphaned    %s.json  the object that it describes is gone\n", o.Key)
	}
	for _, d := range f.Damaged {
		lost := ""
		if d.Mended {
			lost = "; the dump itself is whole"
		}
		fmt.Fprintf(a.out, "damaged     %s  %s%s\n", printable(d.Key), printable(d.Reason), lost)
	}
	for _, u := range f.Unknown {
		fmt.Fprintf(a.out, "unknown     %s  %s, left alone\n", printable(u.Key), humanize.Bytes(uint64(max(0, u.Size))))
	}
	for _, u := range f.Uploads {
		fmt.Fprintf(a.out, "unfinished  %s  begun at %s\n", printable(u.Key), u.Started.UTC().Format(time.RFC3339))
	}
	a.tellMade(r)
	return nil
}

// tellCopies writes a line a database.
func (a *app) tellCopies(f *catalogue.Found) error {
	type sum struct {
		name           string
		copies         int
		bytes          int64
		oldest, newest time.Time
	}
	sums := map[string]*sum{}
	for _, c := range f.Copies {
		m := c.Manifest
		s := sums[m.DatabaseID]
		if s == nil {
			s = &sum{oldest: m.StartedAt}
			sums[m.DatabaseID] = s
		}
		s.copies++
		s.bytes += m.Size
		if m.StartedAt.Before(s.oldest) {
			s.oldest = m.StartedAt
		}
		if !m.StartedAt.Before(s.newest) {
			s.newest, s.name = m.StartedAt, m.DatabaseName
		}
	}
	list := make([]*sum, 0, len(sums))
	for _, s := range sums {
		list = append(list, s)
	}
	slices.SortFunc(list, func(a, b *sum) int { return strings.Compare(a.name, b.name) })
	fmt.Fprintf(a.out, "%s: %s of %s in %s, %s\n", f.Bucket, plural(len(f.Copies), "backup"), plural(len(sums), "database"), plural(f.Objects, "object"), humanize.Bytes(uint64(max(0, f.Bytes))))
	if len(list) == 0 {
		return nil
	}
	w := tabwriter.NewWriter(a.out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "DATABASE\tBACKUPS\tSIZE\tOLDEST\tNEWEST")
	for _, s := range list {
		fmt.Fprintf(w, "%s\t%d\t%s\t%s\t%s\n", printable(s.name), s.copies, humanize.Bytes(uint64(max(0, s.bytes))), s.oldest.UTC().Format(time.RFC3339), s.newest.UTC().Format(time.RFC3339))
	}
	return w.Flush()
}

func (a *app) tellMade(r *rebuildReport) {
	m := r.made
	switch {
	case m == nil:
		a.say("Nothing was changed: this was a dry run.")
		return
	case m.Unchanged:
		a.say("The catalogue says all of this already; nothing was changed.")
		return
	}
	a.say("The catalogue was made again: %s, %d of them proven as before, %d to be proven anew; %s, %s.",
		plural(m.Copies, "backup"), m.Proven, m.Queued, plural(m.Jobs, "job"), plural(m.Archives, "archive"))
	if m.Quarantined > 0 {
		a.say("%s entered as damaged, and given to nobody.", plural(m.Quarantined, "backup"))
	}
	if m.Mended > 0 {
		a.say("%s written to the bucket again.", plural(m.Mended, "manifest"))
	}
	for _, table := range []struct{ name, of string }{{"users", "people"}, {"api_tokens", "API tokens"}, {"alert_config", "channels"}, {"settings", "settings"}} {
		if n := m.Settings[table.name]; n.Restored < n.Kept {
			a.say("%d of %d %s came back; the others were there already, or their names are taken.", n.Restored, n.Kept, table.of)
		}
	}
	a.say("Nothing expires until an admin confirms it: on the overview, or with `patina rebuild --confirm-retention`.")
}

// plural counts things in words.
func plural(n int, of string) string {
	if n == 1 {
		return "1 " + of
	}
	return humanize.Comma(int64(n)) + " " + of + "s"
}
