package export

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/AutumnsGrove/Patina/backup"
	"github.com/AutumnsGrove/Patina/backup/dump"
	"github.com/AutumnsGrove/Patina/backup/object"
	"github.com/AutumnsGrove/Patina/backup/source"
)

// run is one export over all its attempts.
type run struct {
	src        source.Source
	desc       source.Description
	req        Request
	started    time.Time
	cost       backup.Cost
	modes      map[string]mode // what attempts learned of columns, by table and source
	bulky      bool            // a snapshot met a value too long for one answer
	noKeys     bool            // foreign_key_check was refused
	cut        int             // snapshots whose answer was cut
	schemaCuts int             // answers with the schema that were cut
	paged      bool            // a snapshot did not come through: page instead
}

// outcome is a finished attempt: its dump is uploaded and not yet committed.
type outcome struct {
	sink          *sink
	contents      dump.Contents
	consistency   backup.Consistency
	before, after string
	foreignKeys   int64
	findings      []backup.Finding
	redactions    []string
}

// Reasons to begin an attempt again. Only errTorn uses up one of the tries.
var (
	errTorn  = errors.New("the database was written to while it was read")
	errAgain = errors.New("read again in another way")
)

func newRun(src source.Source, req Request) *run {
	return &run{src: src, desc: src.Describe(), req: req, started: req.Clock(), modes: map[string]mode{}}
}

// read asks the source and counts what it cost.
func (r *run) read(ctx context.Context, statements []string, h backup.RowHandler) (backup.ReadStats, error) {
	stats, err := r.src.Read(ctx, statements, h)
	r.cost.Requests++
	r.cost.RowsRead += stats.RowsRead
	r.cost.Bytes += stats.Bytes
	return stats, err
}

// maxAgain bounds the attempts that begin again because something was learned:
// each of them changes how at least one column is read.
const maxAgain = 1000

// export makes attempts until one is good. create opens the object anew for
// each of them.
func (r *run) export(ctx context.Context, create func(context.Context) (object.Upload, error)) (*outcome, error) {
	torn := 0
	for range maxAgain {
		a := &attempt{run: r, last: torn+1 >= r.req.Limits.Attempts}
		out, err := a.make(ctx, create)
		switch {
		case err == nil:
			return out, nil
		case errors.Is(err, errTorn) && !a.last:
			torn++
		case errors.Is(err, errAgain):
		default:
			return nil, err
		}
		r.cost.Retries++
	}
	return nil, backup.Errorf(backup.ErrUnavailable, "gave up after %d attempts to read the database", maxAgain)
}

// attempt is one reading of the whole database.
type attempt struct {
	*run
	last bool // keep the copy although others wrote, and call it fuzzy
	plan *plan
	w    *dump.Writer
	out  *outcome
	rows int64 // since progress was told
}

// first is what an attempt must know before it reads rows: the bookmark and the
// schema, asked for side by side.
func (a *attempt) first(ctx context.Context) error {
	type answer struct {
		bookmark string
		err      error
	}
	ch := make(chan answer, 1)
	go func() {
		b, err := a.src.Bookmark(ctx)
		ch <- answer{b, err}
	}()
	s, err := discover(ctx, counted{a.run})
	b := <-ch
	a.countBookmark()
	if err != nil && transient(err) && ctx.Err() == nil && a.schemaCuts < 2 {
		a.schemaCuts++
		return errAgain
	}
	if err != nil {
		return err
	}
	a.out.before = b.bookmark
	if b.err != nil {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		a.out.findings = append(a.out.findings, noBookmark(b.err))
	}
	a.plan = newPlan(s, a.modes)
	if err := a.plan.redact(a.req.Redact, a.req.HashKey); err != nil {
		return err
	}
	if a.bulky {
		for _, p := range a.plan.parts {
			for i := range p.modes {
				p.modes[i] = pieces
			}
		}
	}
	a.out.findings = append(a.out.findings, a.plan.findings...)
	return nil
}

func (r *run) countBookmark() {
	if r.desc.ID != "" {
		r.cost.Requests++
	}
}

func noBookmark(err error) backup.Finding {
	return backup.Finding{Code: "no-bookmark", Message: "Time Travel gave no bookmark, so it cannot be shown that nobody wrote meanwhile: " + err.Error()}
}

// counted is the source with its cost counted.
type counted struct{ *run }

func (c counted) Read(ctx context.Context, statements []string, h backup.RowHandler) (backup.ReadStats, error) {
	return c.read(ctx, statements, h)
}

// make reads everything into a new upload. On an error nothing is left of it.
func (a *attempt) make(ctx context.Context, create func(context.Context) (object.Upload, error)) (*outcome, error) {
	a.out = &outcome{foreignKeys: -1}
	if err := a.first(ctx); err != nil {
		return nil, err
	}
	upload, err := create(ctx)
	if err != nil {
		return nil, fmt.Errorf("begin the upload: %w", err)
	}
	s := newSink(upload, a.req.Compress)
	a.out.sink = s
	if err := a.fill(ctx, s); err != nil {
		s.discard(ctx)
		return nil, err
	}
	if err := s.finish(); err != nil {
		_ = upload.Abort(ctx)
		return nil, fmt.Errorf("upload: %w", err)
	}
	return a.out, nil
}

func (a *attempt) fill(ctx context.Context, s *sink) error {
	snapshot := a.desc.OneTransaction || a.fits()
	h := dump.Header{Database: a.desc.Name, DatabaseID: a.desc.ID, JobID: a.req.JobID, TakenAt: a.req.Clock(), Bookmark: a.out.before, Redactions: backup.RedactionTexts(a.plan.redacted)}
	if snapshot {
		h.Consistency = string(backup.Snapshot)
	}
	a.w = dump.NewWriter(s, h)
	for _, o := range a.plan.schema.Objects {
		a.w.Reserve(o.Name)
	}
	var lists [][][]dump.Value
	var err error
	if snapshot && !a.desc.OneTransaction {
		lists, err = a.inOne(ctx)
	} else {
		lists, err = a.inPages(ctx)
	}
	if n := a.out.foreignKeys; n > 0 {
		a.out.findings = append(a.out.findings, orphans(n))
	}
	if err == nil {
		err = a.writeRest(lists)
	}
	if err != nil {
		if failed := s.failed(); failed != nil {
			return fmt.Errorf("upload: %w", failed)
		}
		return err
	}
	a.out.contents, err = a.w.Finish(dump.Footer{Consistency: string(a.out.consistency), BookmarkAfter: a.out.after, Duration: a.req.Clock().Sub(a.started)})
	a.tell()
	if err == nil {
		a.found()
	}
	return err
}

// maxImport is the largest file that D1 imports, in bytes
// (developers.cloudflare.com/d1/platform/limits).
const maxImport = 5_000_000_000

// found adds what was learned while the dump was written: of its rows, and of
// what D1 would not take back.
func (a *attempt) found() {
	if rules := a.plan.redacted; len(rules) > 0 {
		a.out.redactions = backup.RedactionTexts(rules)
		a.out.findings = append(a.out.findings, leftOut(a.out.redactions))
	}
	for i, p := range a.plan.parts { // each has its section
		if a.out.contents.Sections[i].Rows > 0 {
			a.out.findings = append(a.out.findings, p.refused...)
		}
		a.out.findings = append(a.out.findings, p.findings()...)
	}
	for _, f := range a.w.Findings() {
		a.out.findings = append(a.out.findings, backup.Finding{Code: f.Code, Object: f.Object, Message: f.Message})
	}
	if n := a.out.contents.Size; n > maxImport {
		a.out.findings = append(a.out.findings, backup.Finding{
			Code: "import-too-large", Message: fmt.Sprintf("the dump has %d bytes, and D1 imports files of at most %d: it goes back in parts, a few tables each", n, int64(maxImport)),
		})
	}
}

func leftOut(rules []string) backup.Finding {
	return backup.Finding{Code: "redacted", Message: "redacted on purpose, and not in this copy: " + strings.Join(rules, ", ")}
}

func orphans(n int64) backup.Finding {
	return backup.Finding{Code: "orphans", Message: fmt.Sprintf("%d rows reference a row that does not exist: SQLite takes them back, and D1's importer refuses them", n)}
}

// fits tells whether the rows may come in one answer.
func (a *attempt) fits() bool {
	size := a.plan.schema.Size
	return !a.paged && size > 0 && size <= a.req.Limits.SnapshotBytes
}

// tell reports progress.
func (a *attempt) tell() {
	table, rows, bytes := a.w.Progress()
	a.req.Progress(backup.Progress{Table: table, Rows: rows, Bytes: bytes, At: a.req.Clock()})
	a.rows = 0
}

const tellRows = 1000

// writeRow gives what writes the rows of a part.
func (a *attempt) writeRow(p *part) func([]dump.Value) error {
	return func(row []dump.Value) error {
		if a.rows++; a.rows >= tellRows {
			a.tell()
		}
		row = p.apply(row)
		if p.watch != nil {
			p.watch.row(row)
		}
		return a.w.Row(row)
	}
}

// writeRest writes what follows the tables: counters, then the rest of the
// schema, then the planner's statistics and the full-text indexes.
func (a *attempt) writeRest(lists [][][]dump.Value) error {
	if err := a.writeExtras(partSequences, lists); err != nil {
		return err
	}
	for _, p := range []struct{ part, kind string }{{partIndexes, "index"}, {partViews, "view"}, {partTriggers, "trigger"}} {
		statements := a.plan.schemaPart(p.kind)
		if len(statements) == 0 {
			continue
		}
		if err := a.writePart(p.part, statements); err != nil {
			return err
		}
	}
	if err := a.writeExtras(partStatistics, lists); err != nil {
		return err
	}
	return a.writeExtras(partSearch, lists)
}

func (a *attempt) writeExtras(part string, lists [][][]dump.Value) error {
	var statements []string
	for i, e := range a.plan.extras {
		switch {
		case e.part != part:
		case e.table.Name != "":
			if err := a.writeOwn(e, lists[i]); err != nil {
				return err
			}
		default:
			for _, row := range lists[i] {
				statements = append(statements, insert(e.into, row))
			}
			if e.last != "" {
				statements = append(statements, e.last)
			}
		}
	}
	if len(statements) == 0 {
		return nil
	}
	return a.writePart(part, statements)
}

func insert(into string, row []dump.Value) string {
	b := []byte("INSERT INTO " + into + " VALUES(")
	for j, v := range row {
		if j > 0 {
			b = append(b, ',')
		}
		b = dump.AppendLiteral(b, v)
	}
	return string(append(b, ')'))
}

// writeOwn writes a table of SQLite's own as a part.
func (a *attempt) writeOwn(e extra, rows [][]dump.Value) error {
	if err := a.w.BeginPart(e.part); err != nil {
		return err
	}
	if err := a.w.BeginTable(e.table); err != nil {
		return err
	}
	for _, row := range rows {
		if err := a.w.Row(row); err != nil {
			return err
		}
	}
	if err := a.w.EndTable(); err != nil {
		return err
	}
	return a.w.EndPart()
}

func (a *attempt) writePart(name string, statements []string) error {
	if err := a.w.BeginPart(name); err != nil {
		return err
	}
	for _, s := range statements {
		if err := a.w.Statement(s); err != nil {
			return err
		}
	}
	return a.w.EndPart()
}
