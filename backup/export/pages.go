package export

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/AutumnsGrove/Patina/backup"
	"github.com/AutumnsGrove/Patina/backup/dump"
	"github.com/AutumnsGrove/Patina/backup/source"
)

// askChanges counts the changes that this database's connection has made: it
// moves with every write, costs nothing, and so ends a doomed attempt early.
const askChanges = `SELECT total_changes()`

// inPages reads table after table, page after page, and at the end asks whether
// anybody wrote meanwhile.
func (a *attempt) inPages(ctx context.Context) ([][][]dump.Value, error) {
	r := &pager{attempt: a, limit: a.req.Limits.PageRows}
	for _, p := range a.plan.parts {
		if err := p.begin(a.w); err != nil {
			return nil, err
		}
		if !p.bare {
			if err := r.table(ctx, p); err != nil {
				return nil, fmt.Errorf("read table %s: %w", p.table.Name, err)
			}
		}
		if err := p.end(a.w); err != nil {
			return nil, err
		}
	}
	rows, err := r.rest(ctx)
	if err != nil {
		return nil, err
	}
	if a.desc.OneTransaction && a.plan.fks {
		if err := a.checkKeys(ctx); err != nil {
			return nil, err
		}
	}
	return rows, a.label(ctx)
}

// checkKeys asks a file, where it costs nothing, how many rows miss their
// parents. A schema whose keys do not match is refused an answer.
func (a *attempt) checkKeys(ctx context.Context) error {
	var l source.Lists
	_, err := a.read(ctx, []string{askForeignKeys}, &l)
	if errors.Is(err, backup.ErrInvalid) {
		return nil
	}
	if err == nil {
		a.out.foreignKeys, err = strconv.ParseInt(l.Rows[0][0][0], 10, 64)
	}
	return err
}

// label says what the copy is, or that it must be tried again.
func (a *attempt) label(ctx context.Context) error {
	if a.desc.OneTransaction {
		a.out.consistency = backup.Snapshot
		return nil
	}
	after, err := a.src.Bookmark(ctx)
	a.countBookmark()
	if err != nil {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		a.out.findings = append(a.out.findings, noBookmark(err))
	}
	a.out.after = after
	switch {
	case after != "" && after == a.out.before:
		a.out.consistency = backup.Quiet
	case after != "" && a.out.before != "" && !a.last:
		return errTorn
	default:
		a.out.consistency = backup.Fuzzy
	}
	return nil
}

// pager reads the pages of an attempt. The size of a page follows its weight.
type pager struct {
	*attempt
	limit   int    // rows of the next page
	changes string // total_changes() of the first page; "" before it
}

// pageHandler takes the answers of one page's request.
type pageHandler struct {
	*decoder
	changes string
}

func (h *pageHandler) Columns(int, []string) error { return nil }

func (h *pageHandler) Row(stmt int, cells []backup.Cell) error {
	if stmt == len(h.counts) {
		h.changes = string(cells[0].Bytes)
		return nil
	}
	return h.answer(stmt, cells)
}

// table reads one table. A page that was cut, or that held a value which must
// be asked for in another way, is gone on with after its last good row: no row
// is written twice, and none is left out.
func (r *pager) table(ctx context.Context, p *part) error {
	var last []dump.Value // of the last row written: its key
	var done int64        // rows written
	write := r.writeRow(p)
	keep := func(row []dump.Value) error {
		if err := write(row); err != nil {
			return err
		}
		last = remember(last, row, p.key)
		done++
		return nil
	}
	failures := 0
	for {
		q := r.next(p, last, done)
		selects, counts := p.selects(q)
		if !r.desc.OneTransaction {
			selects = append(selects, askChanges)
		}
		h := &pageHandler{decoder: newDecoder(p, counts, r.desc.Exact, keep)}
		before := done
		stats, err := r.read(ctx, selects, h)
		if err == nil {
			err = h.end()
		}
		if err == nil {
			if err := r.pageDone(p, h, stats); err != nil {
				return err
			}
			if q.limit == 0 || done-before < int64(q.limit) {
				return nil
			}
			failures = 0
			continue
		}
		if done > before {
			failures = 0
		}
		failures++
		if err := r.pageFailed(ctx, p, err, failures); err != nil {
			return err
		}
	}
}

// next says which page comes after the last row.
func (r *pager) next(p *part, last []dump.Value, done int64) page {
	q := page{limit: r.limit}
	if r.desc.OneTransaction {
		q.limit = 0
	}
	if done == 0 {
		return q
	}
	if p.paging != byOffset {
		if q.after = p.literals(last); q.after != nil {
			return q
		}
	}
	if q.limit == 0 {
		q.limit = -1 // OFFSET needs a LIMIT
	}
	q.offset = done
	return q
}

// remember copies the key of a row into the buffers of the row before it.
func remember(last, row []dump.Value, key []int) []dump.Value {
	if len(last) != len(row) {
		last = make([]dump.Value, len(row))
	}
	for _, k := range key {
		last[k].Kind = row[k].Kind
		last[k].Bytes = append(last[k].Bytes[:0], row[k].Bytes...)
	}
	return last
}

// pageDone sizes the next page, and ends an attempt that others wrote into.
func (r *pager) pageDone(p *part, h *pageHandler, stats backup.ReadStats) error {
	if !stats.Primary {
		return errReplica
	}
	if r.changes == "" {
		r.changes = h.changes
	}
	if h.changes != r.changes && !r.last {
		return errTorn
	}
	if rows := int64(h.rows); rows > 0 && stats.Bytes > 0 {
		fit := r.req.Limits.PageBytes * rows / stats.Bytes
		r.limit = int(max(1, min(fit, int64(r.limit)*4, maxPageRows)))
	}
	if slices.Contains(p.modes, pieces) && !h.long {
		r.restore(p)
	}
	return nil
}

// maxPageRows bounds a page of narrow rows.
const maxPageRows = 50_000

// restore goes back from pieces to what is known of each column.
func (r *pager) restore(p *part) {
	for i, s := range p.sources {
		p.modes[i] = r.modes[p.table.Name+"\x00"+s]
	}
}

// piecesRows is the first page of a table read in pieces: each of its rows may
// weigh 4 MB in hexadecimal.
const piecesRows = 4

// pageFailed decides how to go on after a page that was not whole; it returns
// the error that ends the attempt, or nil to go on.
func (r *pager) pageFailed(ctx context.Context, p *part, err error, failures int) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if place, ok := isLossy(err); ok {
		p.modes[place] = asHex
		r.modes[p.table.Name+"\x00"+p.sources[place]] = asHex
		return nil
	}
	switch {
	case errors.Is(err, source.ErrNoTable):
		return r.schemaMoved(err)
	case errors.Is(err, source.ErrTooBig) && !slices.Contains(p.modes, pieces):
		for i := range p.modes {
			p.modes[i] = pieces
		}
		r.limit = min(r.limit, piecesRows)
		return nil
	case r.sink().failed() != nil || failures > r.req.Limits.Failures || !transient(err):
		return err
	}
	r.cost.Retries++
	r.limit = max(1, r.limit/4)
	return r.req.Pause(ctx, time.Duration(failures*failures)*200*time.Millisecond)
}

func transient(err error) bool {
	return errors.Is(err, source.ErrInterrupted) || errors.Is(err, backup.ErrUnavailable)
}

func (a *attempt) sink() *sink { return a.out.sink }

// rest reads the short lists, and the schema again: where that changed, rows
// may be missing columns, and no label can say so.
func (r *pager) rest(ctx context.Context) ([][][]dump.Value, error) {
	statements := []string{askObjects}
	var which []int
	for i, e := range r.plan.extras {
		if e.query != "" {
			statements = append(statements, e.query)
			which = append(which, i)
		}
	}
	h := &restHandler{which: which, extras: newCollector(r.plan.extras)}
	stats, err := r.read(ctx, statements, h)
	switch {
	case err != nil:
		return nil, fmt.Errorf("read the counters and statistics: %w", err)
	case !stats.Primary:
		return nil, errReplica
	case digest(h.objects.Rows[0]) == r.plan.schema.Digest:
		return h.extras.rows, nil
	}
	return nil, r.schemaMoved(nil)
}

// schemaMoved begins again, or, in the last attempt, says why there is no copy.
func (a *attempt) schemaMoved(err error) error {
	if !a.last {
		return errTorn
	}
	return &backup.Error{
		Kind: backup.ErrUnavailable, Message: "the schema changed while the tables were read, in every attempt; earlier copies are untouched",
		Next: "back it up again when no migration runs", Err: err,
	}
}

type restHandler struct {
	which   []int
	objects source.Lists
	extras  *collector
}

func (h *restHandler) Columns(stmt int, names []string) error {
	if stmt == 0 {
		return h.objects.Columns(0, names)
	}
	return nil
}

func (h *restHandler) Row(stmt int, cells []backup.Cell) error {
	if stmt == 0 {
		return h.objects.Row(0, cells)
	}
	return h.extras.add(h.which[stmt-1], cells)
}
