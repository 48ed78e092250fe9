package restore

import (
	"bufio"
	"context"
	"crypto/md5" //nolint:gosec // D1's import protocol names files by it
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/AutumnsGrove/Patina/backup"
	"github.com/AutumnsGrove/Patina/backup/d1"
	"github.com/AutumnsGrove/Patina/backup/dump"
)

// maxImport is what D1 takes in one import, in bytes.
const maxImport = 5 << 30

// patience is how long D1 may be silent, or out of reach, while an import runs.
const patience = 10 * time.Minute

// Beside names the table that a restored one becomes beside the old one.
func Beside(table string, of backup.Date) string {
	return fmt.Sprintf("%s_restored_%04d%02d%02d", table, of.Year, int(of.Month), of.Day)
}

// writeSQL writes what D1's importer shall run. The same restore always gives
// the same bytes.
func (w *run) writeSQL(ctx context.Context, out io.Writer) error {
	if !w.partial() {
		return w.read(ctx, func(r io.Reader) error { return dump.ForD1(out, r) })
	}
	for _, t := range w.r.Tables {
		opt := dump.TableOptions{ForD1: true, Reserved: w.names}
		if w.r.Target == backup.RestoreInPlace {
			opt.As = Beside(t, w.taken())
		}
		if err := w.read(ctx, func(r io.Reader) error { return dump.OneTable(out, r, t, opt) }); err != nil {
			return err
		}
	}
	return nil
}

// taken gives the date that the names of restored tables bear: the copy's.
func (w *run) taken() backup.Date {
	if w.copy.Manifest != nil {
		return w.copy.Manifest.Date
	}
	return backup.DateOf(w.r.CreatedAt)
}

// read opens the copy for one pass, whose errors are the copy's fault unless
// the bucket's.
func (w *run) read(ctx context.Context, use func(io.Reader) error) error {
	r, err := w.copy.Open(ctx)
	if err != nil {
		return fmt.Errorf("open the copy: %w", err)
	}
	defer r.Close()
	watched := &watched{ctx: ctx, r: r}
	err = use(watched)
	switch {
	case watched.err != nil:
		return fmt.Errorf("read the copy: %w", watched.err)
	case errors.Is(err, dump.ErrCorrupt), errors.Is(err, dump.ErrRefused):
		return &backup.Error{Kind: backup.ErrCorrupt, Message: "the copy is damaged or not one of Patina's", Next: "Take another copy.", Err: err}
	case errors.Is(err, dump.ErrInvalid):
		return &backup.Error{Kind: backup.ErrInvalid, Err: err}
	}
	return err
}

// watched ends with its context and remembers an error of the bucket's, which
// is no fault of the copy.
type watched struct {
	ctx context.Context
	r   io.Reader
	err error
}

// Read reads on while the context lasts.
func (w *watched) Read(b []byte) (int, error) {
	if w.ctx.Err() != nil {
		w.err = context.Cause(w.ctx)
		return 0, w.err
	}
	n, err := w.r.Read(b)
	if err != nil && !errors.Is(err, io.EOF) && backup.Kind(err) != backup.ErrCorrupt {
		w.err = err
	}
	return n, err
}

// counter counts what is written.
type counter struct{ n int64 }

// Write counts b.
func (c *counter) Write(b []byte) (int, error) { c.n += int64(len(b)); return len(b), nil }

// measure reads the copy once for the size and the hash of what D1 will get.
func (w *run) measure(ctx context.Context) error {
	sum, size := md5.New(), &counter{} //nolint:gosec // as above
	out := bufio.NewWriterSize(io.MultiWriter(sum, size), 256<<10)
	if err := w.writeSQL(ctx, out); err != nil {
		return err
	}
	if err := out.Flush(); err != nil {
		return err
	}
	if size.n > maxImport {
		return &backup.Error{
			Kind: backup.ErrInvalid, Message: fmt.Sprintf("the copy is %d bytes of SQL, and D1 imports at most %d at once; nothing was changed", size.n, int64(maxImport)),
			Next: "Restore it into a SQLite file (--into FILE), or table by table (--table).",
		}
	}
	w.upload = &d1.Upload{Size: size.n, MD5: hex.EncodeToString(sum.Sum(nil)), Open: func() (io.ReadCloser, error) { return w.stream(ctx, size.n), nil }}
	return nil
}

// stream gives the SQL as it is written, without keeping it.
func (w *run) stream(ctx context.Context, total int64) io.ReadCloser {
	r, wr := io.Pipe()
	done := int64(0)
	go func() {
		out := bufio.NewWriterSize(writerFunc(func(b []byte) (int, error) {
			n, err := wr.Write(b)
			done += int64(n)
			w.Note(backup.StepUpload, done, total)
			return n, err
		}), 256<<10)
		err := w.writeSQL(ctx, out)
		if err == nil {
			err = out.Flush()
		}
		_ = wr.CloseWithError(err)
	}()
	return r
}

type writerFunc func([]byte) (int, error)

// Write calls f.
func (f writerFunc) Write(b []byte) (int, error) { return f(b) }

// send gives D1 the SQL. Nothing in the database changes by it.
func (w *run) send(ctx context.Context) (backup.RestoreStep, error) {
	if w.r.Target == backup.RestoreBookmark {
		return backup.StepImport, nil
	}
	if w.partial() && w.r.Target == backup.RestoreInPlace {
		s, err := readShape(ctx, w.target())
		if err != nil {
			return "", err
		}
		w.names = s.names()
	}
	if err := w.measure(ctx); err != nil {
		return "", err
	}
	file, err := w.D1.ImportUpload(ctx, w.r.TargetID, *w.upload)
	if err != nil {
		return "", fmt.Errorf("give D1 the copy for %s: nothing was changed yet: %w", w.place(), err)
	}
	w.file = file
	if w.r.Target == backup.RestoreInPlace && !w.partial() {
		return backup.StepEmpty, nil
	}
	return backup.StepImport, nil
}

// empty drops what is there, in one transaction: done again, it finds nothing.
func (w *run) empty(ctx context.Context) error {
	s, err := readShape(ctx, w.target())
	if err == nil && !s.empty() {
		_, err = w.D1.Exec(ctx, w.r.TargetID, s.drops())
	}
	switch {
	case errors.Is(err, backup.ErrUnavailable):
		return w.unsettled("emptying it", err)
	case err != nil:
		return &backup.Error{
			Kind: backup.ErrInvalid, Message: w.place() + " cannot be emptied for the restore; it holds what it held", Err: err,
			Next: "Restore into a new database, and point the application at that.",
		}
	}
	return nil
}

// unsettled says that D1 was lost sight of in the middle.
func (w *run) unsettled(doing string, err error) error {
	return &backup.Error{
		Kind: backup.ErrUnavailable, Err: errors.Join(ErrUnsettled, err),
		Message: "D1 did not answer while " + w.place() + " was being restored (" + doing + "); what became of it is not known yet",
		Next:    "It is looked into by itself. " + w.wayBack(),
	}
}

// wayBack names what leads back to what was there, for people.
func (w *run) wayBack() string {
	switch {
	case w.r.BookmarkBefore == "":
		return ""
	case w.r.Target == backup.RestoreNew:
		return "Nothing but the new database was touched; delete it to begin again."
	case w.r.SafetyCopyID == "":
		return "The way back: restore " + w.r.Name + " to the bookmark " + w.r.BookmarkBefore + "."
	}
	return "The way back: restore " + w.r.Name + " to the bookmark " + w.r.BookmarkBefore + ", or restore the safety copy " + w.r.SafetyCopyID + "."
}

// load lets D1 run the SQL, and waits for the end. It is told to once: where it
// is not known whether that was heard, the database is looked at instead.
func (w *run) load(ctx context.Context, resumed bool) (backup.RestoreStep, error) {
	if w.r.Target == backup.RestoreBookmark {
		return w.travel(ctx)
	}
	if resumed && w.r.ImportBookmark == "" {
		return w.settle(ctx, nil)
	}
	at := d1.Importing{Bookmark: w.r.ImportBookmark}
	if at.Bookmark == "" {
		if w.upload == nil || w.file == "" {
			return backup.StepUpload, nil
		}
		var err error
		at, err = w.D1.ImportIngest(ctx, w.r.TargetID, w.upload.MD5, w.file)
		w.Hook("after:restore.ingest")
		if err != nil {
			return w.settle(ctx, err)
		}
		w.r.ImportBookmark = at.Bookmark
		if err := w.Save(ctx, w.r); err != nil {
			return "", err
		}
	}
	at, err := w.poll(ctx, at)
	if err != nil {
		return w.settle(ctx, err)
	}
	w.r.Statements, w.r.RowsWritten, w.r.BookmarkAfter = int64(at.Stats.Statements), at.Stats.RowsWritten, at.Stats.FinalBookmark
	return backup.StepCheck, nil
}

// poll asks until the import has ended; D1 may be out of reach for a while.
func (w *run) poll(ctx context.Context, at d1.Importing) (d1.Importing, error) {
	const between = 250 * time.Millisecond
	heard := w.Clock()
	for !at.Done {
		if err := w.Pause(ctx, between); err != nil {
			return at, err
		}
		next, err := w.D1.ImportPoll(ctx, w.r.TargetID, at.Bookmark)
		switch {
		case err == nil:
			heard, at = w.Clock(), next
		case ctx.Err() != nil, !errors.Is(err, backup.ErrUnavailable), w.Clock().Sub(heard) > patience:
			return at, err
		}
	}
	return at, nil
}

// settle finds out what became of an import whose end is not known, or that
// failed, by looking at the database.
func (w *run) settle(ctx context.Context, cause error) (backup.RestoreStep, error) {
	if ctx.Err() != nil {
		return "", context.Cause(ctx)
	}
	s, err := readShape(ctx, w.target())
	if err != nil {
		return "", w.unsettled("the import", errors.Join(cause, err))
	}
	failed := cause != nil && !errors.Is(cause, backup.ErrUnavailable) && !errors.Is(cause, d1.ErrNotImporting)
	w.r.ImportBookmark = ""
	switch {
	case w.partial() && w.r.Target == backup.RestoreInPlace:
		return w.settleBeside(ctx, s, cause, failed)
	case !failed && s.empty():
		// It never began, for it would hold the database: begin again.
		return backup.StepUpload, nil
	case !failed:
		if ok, err := w.same(ctx); err == nil && ok {
			return backup.StepCheck, nil
		}
	}
	if cause == nil {
		cause = errors.New("the import was cut off")
	}
	if w.r.Target == backup.RestoreInPlace {
		w.r.Outcome = "the import failed: " + cause.Error()
		return backup.StepUndo, nil
	}
	return "", &backup.Error{
		Kind: kindOf(cause), Message: "the import into the new database " + w.place() + " failed; it may hold a part of the copy, and nothing else was touched", Err: cause,
		Next: "Delete that database and restore again. " + hint(cause),
	}
}

// settleBeside takes away what was loaded beside the old tables, whose own rows
// an import cannot have touched.
func (w *run) settleBeside(ctx context.Context, s *shape, cause error, failed bool) (backup.RestoreStep, error) {
	out := []string{"PRAGMA defer_foreign_keys=ON"}
	for _, t := range s.tables {
		// The table that long values go through, where it is sure that this
		// restore made it.
		if w.names != nil && strings.HasPrefix(t, "patina_stage") && !slices.Contains(w.names, t) {
			out = append(out, "DROP TABLE IF EXISTS "+dump.QuoteIdent(t))
		}
	}
	begun := len(out)
	for _, t := range w.r.Tables {
		if name := Beside(t, w.taken()); s.has(name) {
			out = append(out, "DROP TABLE IF EXISTS "+dump.QuoteIdent(name))
		}
	}
	if !failed && len(out)-begun == len(w.r.Tables) {
		if ok, err := w.same(ctx); err == nil && ok {
			return backup.StepCheck, nil
		}
	}
	if len(out) > 1 {
		if _, err := w.D1.Exec(ctx, w.r.TargetID, out); err != nil {
			return "", w.unsettled("taking away the tables it had begun", err)
		}
	}
	if !failed {
		return backup.StepUpload, nil
	}
	return "", &backup.Error{
		Kind: kindOf(cause), Message: "the import into " + w.place() + " failed; what it had loaded was taken away again, and the tables that were there were not touched", Err: cause,
		Next: hint(cause),
	}
}

func kindOf(err error) error {
	if k := backup.Kind(err); k != nil {
		return k
	}
	return backup.ErrUnavailable
}

func hint(cause error) string {
	if errors.Is(cause, backup.ErrInvalid) {
		return "If D1 refuses the copy each time, restore it into a SQLite file (--into FILE), which takes it as it is."
	}
	return ""
}

// travel takes the database back to a bookmark. Done twice it leads to the same.
func (w *run) travel(ctx context.Context) (backup.RestoreStep, error) {
	_, err := w.D1.RestoreBookmark(ctx, w.r.TargetID, w.r.Bookmark)
	switch {
	case errors.Is(err, backup.ErrUnavailable):
		return "", w.unsettled("Time Travel", err)
	case err != nil:
		return "", &backup.Error{
			Kind: kindOf(err), Message: "Time Travel does not take " + w.place() + " to the bookmark " + w.r.Bookmark + "; it holds what it held", Err: err,
			Next: "A bookmark is good for 30 days on a paid plan and 7 on the free one. Restore a copy instead.",
		}
	}
	return backup.StepCheck, nil
}

// undo takes the database back to what it held before the restore, and makes
// sure of it.
func (w *run) undo(ctx context.Context, _ bool) (backup.RestoreStep, error) {
	why := w.r.Outcome
	if _, err := w.D1.RestoreBookmark(ctx, w.r.TargetID, w.r.BookmarkBefore); err != nil {
		if errors.Is(err, backup.ErrUnavailable) {
			return "", w.unsettled("going back to the bookmark", err)
		}
		return "", &backup.Error{
			Kind: kindOf(err), Message: why + "; and " + w.place() + " cannot be taken back to the bookmark " + w.r.BookmarkBefore + " either", Err: err,
			Next: "What it held is in the safety copy " + w.r.SafetyCopyID + ": restore that, in place or into a new database.",
		}
	}
	return "", &backup.Error{
		Kind: backup.ErrInvalid, Message: why + "; " + w.place() + " was taken back to what it held before",
		Next: "If D1 refuses the copy each time, restore it into a SQLite file (--into FILE), which takes it as it is.",
	}
}
