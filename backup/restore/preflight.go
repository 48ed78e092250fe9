package restore

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/AutumnsGrove/Patina/backup"
	"github.com/AutumnsGrove/Patina/backup/dump"
	"github.com/AutumnsGrove/Patina/backup/source"
)

// Plan is what a restore would do, for a person to look at before it is done.
type Plan struct {
	Tables   []PlanTable `json:"tables"`
	Rows     int64       `json:"rows"`     // that will be written
	Bytes    int64       `json:"bytes"`    // of SQL
	Notes    []string    `json:"notes"`    // what to know
	Problems []string    `json:"problems"` // what stands in the way
}

// PlanTable is what becomes of one table.
type PlanTable struct {
	Name   string      `json:"name"`
	Action TableAction `json:"action"`
	Rows   int64       `json:"rows"`     // of the copy
	Now    int64       `json:"rows_now"` // of the target; -1 where it was not counted
}

// TableAction is what a restore does to a table.
type TableAction string

// The actions.
const (
	TableCreated  TableAction = "created"
	TableReplaced TableAction = "replaced"
	TableLost     TableAction = "lost" // it is not in the copy
)

// refusedByD1 are the findings of a copy that D1's importer will not take back,
// unless the table that they are about has no rows.
var refusedByD1 = map[string]bool{"orphans": true, "parent-missing": true, "key-mismatch": true}

// Preview gives what a restore would do. It changes nothing. Errors: where it
// cannot be found out; what forbids the restore is among the problems.
func Preview(ctx context.Context, cfg Config, copy Copy, r backup.Restore) (*Plan, error) {
	cfg.defaults()
	w := &run{Config: cfg, copy: copy, r: &r}
	p := &Plan{}
	problem := func(err error) error {
		if err == nil || backup.Kind(err) == backup.ErrUnavailable || backup.Kind(err) == nil {
			return err
		}
		text := err.Error()
		if next := backup.Next(err); next != "" {
			text += ". " + next
		}
		p.Problems = append(p.Problems, text)
		return nil
	}
	if err := problem(w.allowed()); err != nil {
		return nil, err
	}
	if err := problem(w.locate(ctx)); err != nil {
		return nil, err
	}
	if r.Target == backup.RestoreBookmark {
		p.Notes = append(p.Notes, "Everything written to "+r.Name+" since that bookmark is taken back; a bookmark of what it holds now is kept, so that this can be undone.")
		return p, nil
	}
	want, err := w.wanted(ctx)
	if err := problem(err); err != nil {
		return nil, err
	}
	if err := problem(w.holdable()); err != nil {
		return nil, err
	}
	for _, s := range want.Sections {
		if s.Kind != dump.KindSchema && (len(r.Tables) == 0 || slices.Contains(r.Tables, s.Name)) {
			p.Tables = append(p.Tables, PlanTable{Name: s.Name, Action: TableCreated, Rows: s.Rows, Now: -1})
			p.Rows += s.Rows
		}
	}
	if m := copy.Manifest; m != nil {
		p.Bytes = m.SQLSize
		for _, f := range m.Findings {
			if f.Code != "redacted" { // said below, with what it means
				p.Notes = append(p.Notes, f.Message)
			}
		}
		if len(m.Redactions) > 0 {
			p.Notes = append(p.Notes, "The copy is redacted: what is restored lacks "+strings.Join(m.Redactions, ", ")+". What relies on these columns, such as a sign-in by password, will not work with it.")
		}
		if m.Consistency == backup.Fuzzy {
			p.Notes = append(p.Notes, "The copy is fuzzy: others wrote while it was taken, so its tables may not be of one moment.")
		}
	}
	if r.Target == backup.RestoreInPlace && w.r.TargetID != "" {
		return p, w.previewPlace(ctx, p)
	}
	return p, nil
}

// previewPlace adds what is there now.
func (w *run) previewPlace(ctx context.Context, p *Plan) error {
	s, err := readShape(ctx, w.target())
	if err != nil {
		return err
	}
	if w.partial() {
		for i, t := range p.Tables {
			p.Tables[i].Name = Beside(t.Name, w.taken())
			if s.has(p.Tables[i].Name) {
				p.Problems = append(p.Problems, "the database has something called "+p.Tables[i].Name+" already: drop it or rename it first")
			}
		}
		p.Notes = append(p.Notes, "The tables that are there are not touched: the copy's are loaded beside them.")
		return nil
	}
	var l source.Lists
	var counts []string
	for _, t := range s.tables {
		counts = append(counts, "SELECT count(*) FROM "+dump.QuoteIdent(t))
	}
	if len(counts) > 0 {
		if _, err := source.D1(w.D1, w.r.TargetID, w.r.Name).Read(ctx, counts, &l); err != nil {
			return fmt.Errorf("count the rows of %s: %w", w.r.Name, err)
		}
	}
	for i, t := range s.tables {
		var n int64
		if _, err := fmt.Sscan(l.Rows[i][0][0], &n); err != nil {
			return backup.Errorf(backup.ErrUnavailable, "the rows of %s cannot be counted", t)
		}
		at := slices.IndexFunc(p.Tables, func(x PlanTable) bool { return source.Fold(x.Name) == source.Fold(t) })
		if at < 0 {
			p.Tables = append(p.Tables, PlanTable{Name: t, Action: TableLost, Now: n})
			continue
		}
		p.Tables[at].Action, p.Tables[at].Now = TableReplaced, n
	}
	p.Notes = append(p.Notes, "Everything that "+w.r.Name+" holds now is replaced. A safety copy and a bookmark of it are taken first. While it is restored, the application finds it empty or half full: stop its writers.")
	return nil
}

// preflight looks whether the restore may be done at all, and whether the copy
// is whole. It changes nothing.
func (w *run) preflight(ctx context.Context) (backup.RestoreStep, error) {
	if err := w.allowed(); err != nil {
		return "", err
	}
	if err := w.locate(ctx); err != nil {
		return "", err
	}
	if w.r.Target == backup.RestoreBookmark {
		return backup.StepSafety, nil
	}
	if err := w.holdable(); err != nil {
		return "", err
	}
	lint := dump.NewLinter()
	c, err := w.survey(ctx, lint)
	if err != nil {
		return "", err
	}
	if m := w.copy.Manifest; m != nil && (c.BodySHA256 != m.BodySHA256 || c.Rows != m.Rows) {
		return "", backup.Errorf(backup.ErrCorrupt, "the copy is whole and not the one that its manifest describes; nothing was changed")
	}
	if err := w.lintable(lint); err != nil {
		return "", err
	}
	for _, t := range w.r.Tables {
		if !slices.ContainsFunc(c.Sections, func(s dump.Section) bool { return s.Kind == dump.KindTable && s.Name == t }) {
			return "", backup.Errorf(backup.ErrInvalid, "the copy has no table called %q; nothing was changed", t)
		}
	}
	if w.r.Target == backup.RestoreNew {
		return backup.StepCreate, nil
	}
	return w.preflightPlace(ctx)
}

func (w *run) preflightPlace(ctx context.Context) (backup.RestoreStep, error) {
	if !w.partial() {
		return backup.StepSafety, nil
	}
	s, err := readShape(ctx, w.target())
	if err != nil {
		return "", err
	}
	for _, t := range w.r.Tables {
		if name := Beside(t, w.taken()); s.has(name) {
			return "", &backup.Error{
				Kind: backup.ErrConflict, Message: w.place() + " has something called " + name + " already; nothing was changed",
				Next: "Drop it or rename it, and restore again.",
			}
		}
	}
	return backup.StepBookmark, nil
}

// allowed looks at what was asked for.
func (w *run) allowed() error {
	r, m := w.r, w.copy.Manifest
	switch r.Target {
	case backup.RestoreNew, backup.RestoreInPlace, backup.RestoreBookmark:
	default:
		return backup.Errorf(backup.ErrInvalid, "%q is no target of a restore", r.Target)
	}
	if strings.TrimSpace(r.Name) == "" {
		return backup.Errorf(backup.ErrInvalid, "a restore needs the name of the database to restore into")
	}
	if r.Target == backup.RestoreBookmark && r.Bookmark == "" {
		return backup.Errorf(backup.ErrInvalid, "there is no bookmark to go back to")
	}
	if r.Target != backup.RestoreNew && r.Confirm != r.Name && (r.Confirm == "" || r.Confirm != r.TargetID) {
		return &backup.Error{
			Kind: backup.ErrInvalid, Message: "a restore over " + r.Name + " must be confirmed by its name; nothing was changed",
			Next: "Type the name of the database that will be overwritten.",
		}
	}
	if m != nil {
		return w.whole(m.Redactions)
	}
	return nil
}

// whole refuses to put a redacted copy in the place of the whole database.
func (w *run) whole(redactions []string) error {
	if len(redactions) == 0 || w.r.Target != backup.RestoreInPlace || w.partial() {
		return nil
	}
	return &backup.Error{
		Kind: backup.ErrInvalid, Message: "the copy is redacted (" + strings.Join(redactions, ", ") + "): in place it would overwrite what was left out of it; nothing was changed",
		Next: "Restore it into a new database, or single tables beside the old ones.",
	}
}

// locate finds the target in the account: a new one must not be there, any
// other must.
func (w *run) locate(ctx context.Context) error {
	if w.r.Target != backup.RestoreNew && w.r.TargetID != "" {
		info, err := w.D1.Get(ctx, w.r.TargetID)
		if err != nil {
			return fmt.Errorf("look up %s: nothing was changed: %w", w.r.Name, err)
		}
		if info.Name != w.r.Name {
			return backup.Errorf(backup.ErrConflict, "the database %s is called %s now, not %s; nothing was changed", w.r.TargetID, info.Name, w.r.Name)
		}
		return nil
	}
	found, err := w.find(ctx, w.r.Name)
	switch {
	case err != nil:
		return err
	case w.r.Target == backup.RestoreNew && found != nil:
		return taken(w.r.Name, found.ID)
	case w.r.Target == backup.RestoreNew:
		return nil
	case found == nil:
		return &backup.Error{
			Kind: backup.ErrNotFound, Message: "the account has no database called " + w.r.Name + "; nothing was changed",
			Next: "Restore into a new database of that name.",
		}
	}
	w.r.TargetID = found.ID
	return nil
}

// holdable tells whether D1 can hold the copy again, by what was found when it
// was made.
func (w *run) holdable() error {
	if w.copy.Manifest == nil {
		return nil
	}
	for _, f := range w.copy.Manifest.Findings {
		empty := slices.ContainsFunc(w.copy.Manifest.Sections, func(s backup.Section) bool { return s.Name == f.Object && s.Rows == 0 })
		if refusedByD1[f.Code] && !empty && (len(w.r.Tables) == 0 || slices.Contains(w.r.Tables, f.Object)) {
			return notForD1(f.Message)
		}
	}
	return nil
}

func (w *run) lintable(lint *dump.Linter) error {
	for _, f := range lint.Findings() {
		if len(w.r.Tables) == 0 || slices.Contains(w.r.Tables, f.Object) {
			return notForD1(f.Object + ": " + f.Message)
		}
	}
	return nil
}

func notForD1(why string) error {
	return &backup.Error{
		Kind: backup.ErrInvalid, Message: "D1's importer does not take this copy back; nothing was changed: " + why,
		Next: "Restore it into a SQLite file (--into FILE), which takes it as it is, mend it there, and export that; or restore single tables.",
	}
}

// survey reads the copy to its end: it is whole, holds only what a dump may
// hold, and this is its table of contents.
func (w *run) survey(ctx context.Context, lint *dump.Linter) (c dump.Contents, err error) {
	err = w.read(ctx, func(r io.Reader) error {
		d := dump.NewReader(r, dump.ReaderOptions{})
		h, err := d.Header()
		if err == nil {
			err = w.whole(h.Redactions) // a file may come without its manifest
		}
		if err != nil {
			return err
		}
		for {
			s, err := d.Next()
			if errors.Is(err, io.EOF) {
				c = d.Contents()
				return nil
			}
			if err != nil {
				return err
			}
			if s.Kind == dump.Framing {
				continue
			}
			if err := dump.Allowed(s); err != nil {
				return err
			}
			if lint != nil {
				lint.Add(s)
			}
		}
	})
	return c, err
}

// Window is how long Time Travel remembers: 30 days on a paid plan, 7 on the
// free one. Which of them an account has it does not say.
const (
	WindowPaid = 30 * 24 * time.Hour
	WindowFree = 7 * 24 * time.Hour
)
