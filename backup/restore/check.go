package restore

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/AutumnsGrove/Patina/backup"
	"github.com/AutumnsGrove/Patina/backup/dump"
	"github.com/AutumnsGrove/Patina/backup/export"
	"github.com/AutumnsGrove/Patina/backup/source"
)

// check compares what the target holds now with the copy: the target is dumped
// again, and the body must be the copy's. Tables beside the old ones, whose
// names differ, are compared by their values.
func (w *run) check(ctx context.Context) (backup.RestoreStep, error) {
	w.r.Checks = nil
	if w.r.Target == backup.RestoreBookmark {
		return w.checkTravel(ctx)
	}
	ok, err := w.same(ctx)
	if err != nil {
		return "", w.unsettled("comparing it with the copy", err)
	}
	if !ok {
		return "", w.differs(ctx)
	}
	w.r.Outcome = w.praise()
	w.r.Next = w.wayOn()
	return backup.StepDone, nil
}

// same tells whether the target holds what the copy does. What it finds is
// among the restore's checks.
func (w *run) same(ctx context.Context) (ok bool, err error) {
	if w.partial() {
		ok, w.r.Checks, err = w.sameTables(ctx)
		return ok, err
	}
	return w.identical(ctx)
}

// identical dumps the target again and tells whether its body is the copy's.
func (w *run) identical(ctx context.Context) (bool, error) {
	want, err := w.wanted(ctx)
	if err != nil {
		return false, err
	}
	got, err := export.Contents(ctx, w.target())
	if err != nil {
		return false, err
	}
	ok, checks := compare(got, want)
	w.r.Checks = checks
	return ok, nil
}

// wanted is the table of contents of the copy.
func (w *run) wanted(ctx context.Context) (dump.Contents, error) {
	if m := w.copy.Manifest; m != nil {
		c := dump.Contents{Tables: m.TableCount, Rows: m.Rows, BodySHA256: m.BodySHA256}
		for _, s := range m.Sections {
			c.Sections = append(c.Sections, dump.Section{Name: s.Name, Kind: s.Kind, Rows: s.Rows, SHA256: s.SHA256})
		}
		return c, nil
	}
	return w.survey(ctx, nil)
}

// compare sets two tables of contents side by side.
func compare(got, want dump.Contents) (bool, []backup.Check) {
	here := map[string]dump.Section{}
	for _, s := range got.Sections {
		here[s.Kind+" "+s.Name] = s
	}
	var missing, changed, more []string
	for _, s := range want.Sections {
		key := s.Kind + " " + s.Name
		g, ok := here[key]
		delete(here, key)
		switch {
		case !ok:
			missing = append(missing, s.Name)
		case g.Rows != s.Rows:
			changed = append(changed, fmt.Sprintf("%s (%d rows, the copy has %d)", s.Name, g.Rows, s.Rows))
		case g.SHA256 != s.SHA256:
			changed = append(changed, s.Name)
		}
	}
	for _, s := range got.Sections {
		if s.Kind == dump.KindSchema && s.Name == "sequences" && s.Rows == 0 {
			continue // SQLite never drops sqlite_sequence: empty, it says nothing
		}
		if _, left := here[s.Kind+" "+s.Name]; left {
			more = append(more, s.Name)
		}
	}
	list := func(name, good, bad string, names []string) backup.Check {
		if len(names) == 0 {
			return backup.Check{Name: name, OK: true, Text: good}
		}
		if len(names) > 10 {
			names = append(names[:10:10], fmt.Sprintf("and %d more", len(names)-10))
		}
		return backup.Check{Name: name, Text: bad + ": " + strings.Join(names, ", ")}
	}
	checks := []backup.Check{
		list("tables", fmt.Sprintf("all %d tables of the copy are there", want.Tables), "missing", missing),
		list("rows", fmt.Sprintf("all %d rows, values and types are those of the copy", want.Rows), "differ from the copy", changed),
		list("nothing else", "there is nothing that the copy does not have", "not in the copy", more),
	}
	if got.BodySHA256 == want.BodySHA256 {
		return true, append(checks, backup.Check{Name: "dumped again", OK: true, Text: "a dump of it is the copy's, byte for byte (" + want.BodySHA256 + ")"})
	}
	if len(missing)+len(changed)+len(more) > 0 {
		return false, checks
	}
	return true, append(checks, backup.Check{Name: "dumped again", OK: true, Text: "each part of a dump of it is the copy's, byte for byte"})
}

// differs says how the target differs from the copy, and whether somebody wrote
// to it meanwhile.
func (w *run) differs(ctx context.Context) error {
	var bad []string
	for _, c := range w.r.Checks {
		if !c.OK {
			bad = append(bad, c.Name+" "+c.Text)
		}
	}
	message := "the copy was loaded into " + w.place() + ", which differs from it: " + strings.Join(bad, "; ")
	if now, err := w.D1.Bookmark(ctx, w.r.TargetID, time.Time{}); err == nil && w.r.BookmarkAfter != "" && now != w.r.BookmarkAfter {
		message += ". Somebody has written to it since the import ended, which may be why"
	}
	return &backup.Error{Kind: backup.ErrCorrupt, Message: message, Next: w.wayBack()}
}

func (w *run) praise() string {
	what := fmt.Sprintf("%s holds what the copy does", w.place())
	if w.partial() {
		names := w.r.Tables
		if w.r.Target == backup.RestoreInPlace {
			names = nil
			for _, t := range w.r.Tables {
				names = append(names, Beside(t, w.taken()))
			}
		}
		what = fmt.Sprintf("%s holds %s as the copy does", w.place(), strings.Join(names, ", "))
	}
	return what
}

// wayOn says what a person does after a restore that went well.
func (w *run) wayOn() string {
	switch {
	case w.r.Target == backup.RestoreNew:
		return "Bind the Worker to the new database: database_name = \"" + w.r.Name + "\", database_id = \"" + w.r.TargetID + "\" in its configuration, and deploy it."
	case w.partial():
		return "Compare the tables with the old ones, and move rows over or rename them. " + w.wayBack()
	}
	return w.wayBack()
}

// checkTravel makes sure that the database answers and, where the bookmark is a
// copy's own, that it holds what the copy does.
func (w *run) checkTravel(ctx context.Context) (backup.RestoreStep, error) {
	got, err := export.Contents(ctx, w.target())
	if err != nil {
		return "", w.unsettled("comparing it with the copy", err)
	}
	w.r.Outcome = fmt.Sprintf("%s is back at the bookmark %s: %d tables, %d rows", w.place(), w.r.Bookmark, got.Tables, got.Rows)
	w.r.Checks = []backup.Check{{Name: "readable", OK: true, Text: fmt.Sprintf("%d tables, %d rows", got.Tables, got.Rows)}}
	w.r.Next = w.wayBack()
	m := w.copy.Manifest
	if m == nil || len(m.Redactions) > 0 || m.Consistency == backup.Fuzzy || m.BookmarkBefore != w.r.Bookmark {
		return backup.StepDone, nil
	}
	want, err := w.wanted(ctx)
	if err != nil {
		return "", err
	}
	ok, checks := compare(got, want)
	w.r.Checks = checks
	if !ok {
		return "", w.differs(ctx)
	}
	w.r.Outcome = fmt.Sprintf("%s is back at the bookmark %s, and holds what the copy of that moment does", w.place(), w.r.Bookmark)
	return backup.StepDone, nil
}

// sameTables compares restored tables with those of the copy, whose names
// differ: what D1 was given is loaded into a scratch database, and the values of
// both are added up.
func (w *run) sameTables(ctx context.Context) (bool, []backup.Check, error) {
	names := slices.Clone(w.r.Tables)
	if w.r.Target == backup.RestoreInPlace {
		for i, t := range names {
			names[i] = Beside(t, w.taken())
		}
	}
	want, err := w.expected(ctx, names)
	if err != nil {
		return false, nil, err
	}
	got, err := source.Summarise(ctx, w.target(), names)
	if err != nil {
		return false, nil, err
	}
	got.Of, want.Of = w.r.Name, "the copy"
	differ := got.Differences(want)
	if len(differ) == 0 {
		return true, []backup.Check{{Name: "values", OK: true, Text: fmt.Sprintf("%s: %d rows, whose values add up to those of the copy, column by column", strings.Join(names, ", "), got.Rows())}}, nil
	}
	if len(differ) > 10 {
		differ = append(differ[:10:10], fmt.Sprintf("and %d more", len(differ)-10))
	}
	return false, []backup.Check{{Name: "values", Text: strings.Join(differ, "; ")}}, nil
}

// expected adds up what D1 was given.
func (w *run) expected(ctx context.Context, names []string) (source.Summary, error) {
	dir, err := os.MkdirTemp("", "patina-restore-")
	if err != nil {
		return source.Summary{}, &backup.Error{Kind: backup.ErrUnavailable, Message: "no scratch folder can be made", Err: err}
	}
	defer func() { _ = os.RemoveAll(dir) }()
	path := filepath.Join(dir, "expected.sqlite")
	if err := loadScript(ctx, path, func(out io.Writer) error { return w.writeSQL(ctx, out) }); err != nil {
		return source.Summary{}, err
	}
	src, err := source.OpenFile(ctx, path)
	if err != nil {
		return source.Summary{}, err
	}
	defer func() { _ = src.Close() }()
	return source.Summarise(ctx, src, names)
}
