// Package restore puts copies back: into a new D1 database, over what one holds,
// beside the tables of one, or into a SQLite file; and takes a database back to
// a bookmark of its own Time Travel.
//
// It owns the steps of a restore, in which order they come, what each may do
// when it is done again after a crash, and what is compared at the end. Before
// it changes anything that was there it has a way back. It never deletes a
// database, never overwrites a file, and keeps no record itself: it hands each
// step to be recorded before it takes it.
package restore

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/AutumnsGrove/Patina/backup"
	"github.com/AutumnsGrove/Patina/backup/d1"
	"github.com/AutumnsGrove/Patina/backup/source"
)

// Copy is what is restored.
type Copy struct {
	Manifest *backup.Manifest // nil for a lone file
	// Open gives its SQL from the start, decompressed. It is called for each
	// time that the text is read.
	Open func(context.Context) (io.ReadCloser, error)
}

// Config is what a restore works with. D1 is needed for all but files.
type Config struct {
	D1    *d1.Client
	Clock func() time.Time
	// Save records how far the restore has come, before each step and after
	// each change worth keeping. An error of it ends the restore there.
	Save func(context.Context, *backup.Restore) error
	// Safety makes a copy of what a database holds, and gives its manifest; done
	// twice for one restore it gives the same copy. Needed in place.
	Safety func(ctx context.Context, id, name string) (*backup.Manifest, error)
	// Hook is told "before:" and "after:" each step; it may be nil.
	Hook func(step string)
	// Note is told how far the bytes of a step have come; it may be nil.
	Note  func(step backup.RestoreStep, done, total int64)
	Pause func(context.Context, time.Duration) error // waits; nil: a timer
}

func (c *Config) defaults() {
	if c.Clock == nil {
		c.Clock = time.Now
	}
	if c.Hook == nil {
		c.Hook = func(string) {}
	}
	if c.Note == nil {
		c.Note = func(backup.RestoreStep, int64, int64) {}
	}
	if c.Save == nil {
		c.Save = func(context.Context, *backup.Restore) error { return nil }
	}
	if c.Pause == nil {
		c.Pause = backup.Pause
	}
}

// ErrUnsettled says that D1 did not answer while the target was being changed:
// what became of it is not known yet. Running the restore again finds out.
var ErrUnsettled = errors.New("what became of the target is not known yet")

// run is one restore at work.
type run struct {
	Config
	copy   Copy
	r      *backup.Restore
	upload *d1.Upload // measured; nil until then
	file   string     // under which D1 keeps what was uploaded
	names  []string   // that the target uses: tables beside them need others
}

// Run carries a restore out from the step that r has come to, and ends it: r
// then has its outcome in words, and the way back. A nil error means that the
// target holds what the copy does.
//
// It may be called again with the r that was saved last, after a crash or after
// an error that wraps ErrUnsettled. Errors before anything was changed are of
// backup's kinds; ErrUnavailable is worth another try.
func Run(ctx context.Context, cfg Config, copy Copy, r *backup.Restore) error {
	cfg.defaults()
	w := &run{Config: cfg, copy: copy, r: r}
	step := r.Step
	if step == "" || step == backup.StepQueued {
		step = backup.StepPreflight
	}
	resumed := step == r.Step
	for step != backup.StepDone {
		if err := context.Cause(ctx); err != nil {
			return err
		}
		r.Step = step
		if err := w.Save(ctx, r); err != nil {
			return err
		}
		w.Hook("before:restore." + string(step))
		next, err := w.take(ctx, step, resumed)
		if err != nil {
			return w.failed(err)
		}
		w.Hook("after:restore." + string(step))
		step, resumed = next, false
	}
	return nil
}

// Changing tells whether a restore at this step may have changed what was
// there, so that it must be brought to an end rather than dropped.
func Changing(s backup.RestoreStep) bool {
	switch s {
	case backup.StepEmpty, backup.StepImport, backup.StepCheck, backup.StepUndo:
		return true
	}
	return false
}

// take does one step and gives the next. Resumed says that the step may have
// been begun before.
func (w *run) take(ctx context.Context, step backup.RestoreStep, resumed bool) (backup.RestoreStep, error) {
	switch step {
	case backup.StepPreflight:
		return w.preflight(ctx)
	case backup.StepSafety:
		return backup.StepBookmark, w.safety(ctx)
	case backup.StepCreate:
		return backup.StepBookmark, w.create(ctx, resumed)
	case backup.StepBookmark:
		return w.bookmark(ctx)
	case backup.StepUpload:
		return w.send(ctx)
	case backup.StepEmpty:
		return backup.StepImport, w.empty(ctx)
	case backup.StepImport:
		return w.load(ctx, resumed)
	case backup.StepCheck:
		return w.check(ctx)
	case backup.StepUndo:
		return w.undo(ctx, resumed)
	}
	return "", backup.Errorf(backup.ErrInvalid, "%q is no step of a restore", step)
}

// failed puts what the person must know into the record.
func (w *run) failed(err error) error {
	if errors.Is(err, context.Canceled) && !Changing(w.r.Step) {
		return err
	}
	w.r.Outcome, w.r.Next = err.Error(), backup.Next(err)
	return err
}

// place names the target for people.
func (w *run) place() string {
	if w.r.TargetID == "" {
		return w.r.Name
	}
	return w.r.Name + " (" + w.r.TargetID + ")"
}

func (w *run) target() source.Source { return source.D1(w.D1, w.r.TargetID, w.r.Name) }

// partial tells whether only some tables are restored, beside the old ones.
func (w *run) partial() bool { return len(w.r.Tables) > 0 }

// safety keeps a copy of what is there.
func (w *run) safety(ctx context.Context) error {
	m, err := w.Safety(ctx, w.r.TargetID, w.r.Name)
	if err != nil {
		return fmt.Errorf("take the safety copy of %s: nothing was changed: %w", w.r.Name, err)
	}
	w.r.SafetyCopyID = m.CopyID
	return nil
}

// create makes the new database. An answer that was lost, or a crash, may have
// left one of this name: it is ours where it is empty and no older than the
// restore.
func (w *run) create(ctx context.Context, resumed bool) error {
	if w.r.TargetID != "" {
		return nil
	}
	if resumed {
		found, err := w.find(ctx, w.r.Name)
		if err != nil {
			return err
		}
		if found != nil {
			return w.adopt(ctx, found)
		}
	}
	info, err := w.D1.Create(ctx, w.r.Name, d1.CreateOptions{})
	if errors.Is(err, backup.ErrUnavailable) {
		if found, e := w.find(ctx, w.r.Name); e == nil && found != nil {
			return w.adopt(ctx, found)
		}
	}
	if err != nil {
		return fmt.Errorf("make the database %s: nothing was restored: %w", w.r.Name, err)
	}
	w.r.TargetID = info.ID
	return w.Save(ctx, w.r)
}

// adopt takes a database that an earlier try of this restore must have made.
func (w *run) adopt(ctx context.Context, found *d1.Info) error {
	s, err := readShape(ctx, source.D1(w.D1, found.ID, found.Name))
	if err != nil {
		return err
	}
	if !s.empty() || found.CreatedAt.Before(w.r.CreatedAt.Add(-time.Minute)) {
		return taken(w.r.Name, found.ID)
	}
	w.r.TargetID = found.ID
	return w.Save(ctx, w.r)
}

func taken(name, id string) error {
	return &backup.Error{
		Kind: backup.ErrConflict, Message: "the account has a database called " + name + " already (" + id + "), which was left as it is",
		Next: "Choose another name for the new database, or restore in place.",
	}
}

func (w *run) find(ctx context.Context, name string) (*d1.Info, error) {
	all, err := w.D1.List(ctx)
	if err != nil {
		return nil, fmt.Errorf("look for the database %s: %w", name, err)
	}
	for i := range all {
		if all[i].Name == name {
			return &all[i], nil
		}
	}
	return nil, nil
}

// bookmark notes the way back. Nothing was changed before it.
func (w *run) bookmark(ctx context.Context) (backup.RestoreStep, error) {
	b, err := w.D1.Bookmark(ctx, w.r.TargetID, time.Time{})
	if err != nil {
		return "", &backup.Error{
			Kind: backup.Kind(err), Message: "Time Travel gives no bookmark of " + w.place() + ", so there would be no way back; nothing was changed", Err: err,
			Next: "Try again, or restore into a new database.",
		}
	}
	w.r.BookmarkBefore = b
	if w.r.Target == backup.RestoreBookmark {
		return backup.StepImport, nil
	}
	return backup.StepUpload, nil
}
