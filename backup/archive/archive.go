// Package archive makes the weekly archive of copies and reads out of it: an
// ordinary tar.gz in which every file is a gzip member of its own, so that any
// dump is one range request away.
//
// It owns what an archive holds, how it is laid out, that it is read back before
// it counts, and how a copy's bytes are found, be they an object or a part of an
// archive. It never deletes a copy, never writes over an object, and knows
// nothing of when an archive is due or how long it stays.
package archive

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/AutumnsGrove/Patina/backup"
	"github.com/AutumnsGrove/Patina/backup/object"
)

// Request says what an archive is to hold.
type Request struct {
	Week     object.Week
	Plan     Plan
	Manifest func(context.Context, backup.Copy) (*backup.Manifest, error) // a copy's manifest, where the plan's copy has none
	// Known tells whether the catalogue knows the copy that a member of an archive
	// found at the key is of, with the same hash. An archive with a member that it
	// does not know is not taken for ours.
	Known func(context.Context, backup.ArchiveMember) (bool, error)

	Hook  func(step string) // told "before:" and "after:" verify and manifest, and the bucket's steps; may be nil
	Pause waiter            // waits before a read that was cut is taken up again; nil: a timer
}

type waiter = func(ctx context.Context, d time.Duration) error

func (req *Request) defaults() {
	if req.Hook == nil {
		req.Hook = func(string) {}
	}
	if req.Pause == nil {
		req.Pause = backup.Pause
	}
}

// DamagedError says that a copy is not what the catalogue says, so that the
// archive was not made. It is of kind ErrCorrupt.
type DamagedError struct {
	Copy backup.Copy
	Err  error
}

// Error names the copy and what is wrong with it.
func (e *DamagedError) Error() string { return e.Copy.Key + ": " + e.Err.Error() }

// Is makes errors.Is(err, ErrCorrupt) true.
func (e *DamagedError) Is(target error) bool { return target == backup.ErrCorrupt }

// Unwrap gives the cause.
func (e *DamagedError) Unwrap() error { return e.Err }

// Key gives the key of a week's archive.
func Key(w object.Week) string { return object.Key{Kind: backup.Weekly, Week: w}.String() }

// Make makes a week's archive, reads it back, and writes its manifest beside it.
// What it gives has been verified, member by member. Where an archive lies at the
// key already, from an earlier try, that one is verified and taken as it is, if
// it is whole and of copies that are known: then adopted is true, and its
// members may be fewer or more than the plan's. The same plan gives the same
// bytes.
//
// Errors: *DamagedError for a copy that is not what the catalogue says;
// ErrConflict where something else lies at the key, which is left as it is;
// ErrInvalid for a plan without a copy; ErrUnavailable is worth another try.
func Make(ctx context.Context, b object.Bucket, req Request) (m *backup.ArchiveManifest, adopted bool, err error) {
	req.defaults()
	if len(req.Plan.Copies) == 0 {
		return nil, false, backup.Errorf(backup.ErrInvalid, "there is no copy to put into the archive %s", req.Week)
	}
	for {
		m, err = adopt(ctx, b, req)
		if !errors.Is(err, backup.ErrNotFound) {
			return m, err == nil, wrap(req, err)
		}
		m, err = write(ctx, b, req)
		if errors.Is(err, backup.ErrConflict) { // another process was first: look at what it wrote
			continue
		}
		if err == nil {
			err = finish(ctx, b, req, m)
		}
		return m, false, wrap(req, err)
	}
}

func wrap(req Request, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("archive %s: %w", req.Week, err)
}

// finish reads a new archive back and writes its manifest. An archive that does
// not hold what was written is deleted: it was made a moment ago, nobody lists
// it, and every copy that it should hold still lies where it lay.
func finish(ctx context.Context, b object.Bucket, req Request, m *backup.ArchiveManifest) error {
	req.Hook("before:verify")
	if err := verify(ctx, b, m, req.Pause); err != nil {
		if errors.Is(err, backup.ErrCorrupt) {
			err = &backup.Error{
				Kind: backup.ErrUnavailable, Message: m.Key + " was read back and is not what was written; it was deleted again, and its copies are where they were",
				Err: errors.Join(errors.New(err.Error()), b.Delete(ctx, m.Key)),
			}
		}
		return err
	}
	req.Hook("after:verify")
	return putManifest(ctx, b, req, m)
}

func putManifest(ctx context.Context, b object.Bucket, req Request, m *backup.ArchiveManifest) error {
	text, err := m.Encode()
	if err != nil {
		return fmt.Errorf("encode the manifest: %w", err)
	}
	req.Hook("before:manifest")
	if err := b.Replace(ctx, object.ManifestKey(m.Key), text, "application/json"); err != nil {
		return fmt.Errorf("store the manifest: %w", err)
	}
	req.Hook("after:manifest")
	return nil
}

// Check reads a week's archive again, from end to end, and gives what it holds.
// Where the manifest beside it is missing or of another archive, it is written
// again. ErrCorrupt: the archive is missing, damaged, or has another hash than sha.
func Check(ctx context.Context, b object.Bucket, w object.Week, sha string) (*backup.ArchiveManifest, error) {
	req := Request{Week: w}
	req.defaults()
	m, err := adopt(ctx, b, req)
	switch {
	case errors.Is(err, backup.ErrNotFound), errors.Is(err, backup.ErrConflict):
		err = corrupt("%s is missing, or not the archive that was stored", Key(w))
	case err == nil && m.SHA256 != sha:
		err = corrupt("%s is another archive than the one that was stored", Key(w))
	}
	return m, err
}

// adopt looks at what lies at the key: ErrNotFound where nothing does.
func adopt(ctx context.Context, b object.Bucket, req Request) (*backup.ArchiveManifest, error) {
	key := Key(req.Week)
	if _, err := b.Stat(ctx, key); err != nil {
		return nil, fmt.Errorf("look for %s: %w", key, err)
	}
	req.Hook("before:verify")
	m, err := examine(ctx, b, key, req.Pause)
	if err != nil && !errors.Is(err, backup.ErrCorrupt) {
		return nil, err
	}
	if err == nil {
		err = acceptable(ctx, req, m)
	}
	if errors.Is(err, backup.ErrCorrupt) {
		return nil, &backup.Error{
			Kind: backup.ErrConflict, Message: "something lies at " + key + " that is not an archive of this catalogue's copies; it was left as it is, and nothing was archived",
			Next: "Look at the object. If nobody needs it, delete it from the bucket and run patina archive " + req.Week.String() + "; until then its copies stay where they are, and go into the next week's archive.",
			Err:  errors.New(err.Error()), // its words, not its kind
		}
	}
	if err != nil {
		return nil, err
	}
	req.Hook("after:verify")
	old, err := ReadManifest(ctx, b, key)
	switch {
	case err == nil && old.SHA256 == m.SHA256:
		return m, nil
	case err != nil && !errors.Is(err, backup.ErrNotFound) && !errors.Is(err, backup.ErrCorrupt):
		return nil, err
	}
	return m, putManifest(ctx, b, req, m)
}

// acceptable tells, by ErrCorrupt, that an archive is whole and yet not one that
// could be taken for the one that was asked for.
func acceptable(ctx context.Context, req Request, m *backup.ArchiveManifest) error {
	if m.Week != req.Week.String() {
		return backup.Errorf(backup.ErrCorrupt, "it is the archive of %s", m.Week)
	}
	if req.Known == nil {
		return nil
	}
	for _, member := range m.Members {
		known, err := req.Known(ctx, member)
		if err != nil {
			return err
		}
		if !known {
			return backup.Errorf(backup.ErrCorrupt, "the catalogue has no copy that is the archive's %s", member.Name)
		}
	}
	return nil
}

// ReadManifest reads the manifest beside an archive.
func ReadManifest(ctx context.Context, b object.Bucket, key string) (*backup.ArchiveManifest, error) {
	r, err := b.Open(ctx, object.ManifestKey(key), 0, -1)
	if err != nil {
		return nil, fmt.Errorf("open the manifest of %s: %w", key, err)
	}
	defer r.Close()
	m, err := backup.DecodeArchiveManifest(r)
	if err != nil {
		return nil, fmt.Errorf("the manifest of %s: %w", key, err)
	}
	return m, nil
}
