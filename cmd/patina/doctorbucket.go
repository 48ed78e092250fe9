package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"syscall"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/google/uuid"

	"github.com/AutumnsGrove/Patina/backup"
	"github.com/AutumnsGrove/Patina/backup/object"
)

// probeParts is the size of an object that goes up in two parts.
const probeParts = 5<<20 + 1

// mostDrift is how far clocks may be apart: signatures bear 15 minutes, and the
// date of a copy should be right.
const mostDrift = time.Minute

// bucket does in the bucket, with small objects, all that backups and their
// removal ask of it.
func (d *doctor) bucket(ctx context.Context) {
	b, err := openBucket(ctx, d.cfg)
	if err != nil {
		d.fault("bucket", err, "Check PATINA_BUCKET and its credentials.")
		return
	}
	key := "meta/doctor-" + uuid.NewString()
	before := d.app.clock()
	info, err := put(ctx, b, key, []byte("written by patina doctor\n"))
	if err != nil {
		d.fault("bucket", fmt.Errorf("write to %s: %w", b, err), "The credentials need rights to write objects.")
		return
	}
	after := d.app.clock()
	ok := d.overwrites(ctx, b, key)
	ok = d.readsAndLists(ctx, b, key) && ok
	ok = d.parts(ctx, b, key+"-parts") && ok
	ok = d.private(ctx, b, key) && ok
	for _, k := range []string{key, key + "-parts"} {
		if err := b.Delete(ctx, k); err != nil {
			d.fault("bucket", fmt.Errorf("delete from %s: %w", b, err), "The credentials need rights to delete objects.")
			ok = false
		}
	}
	if _, err := b.Stat(ctx, key); ok && !errors.Is(err, backup.ErrNotFound) {
		d.add("bucket", findingFail, "Look for a lock or a retention rule on the bucket.", "%s keeps an object that was deleted", b)
		ok = false
	}
	if ok {
		d.add("bucket", findingOK, "", "%s can be written, read, listed and deleted from, also in parts; nothing is overwritten", b)
	}
	d.bucketClock(b, info.ModTime, before, after)
}

// overwrites finds a bucket that lets an object be written over.
func (d *doctor) overwrites(ctx context.Context, b object.Bucket, key string) bool {
	if _, err := put(ctx, b, key, []byte("written over it\n")); !errors.Is(err, backup.ErrConflict) {
		what := "without a word"
		if err != nil {
			what = err.Error()
		}
		d.add("bucket", findingFail, "Use a bucket that honours If-None-Match, as R2 and S3 do.", "%s does not refuse to overwrite an object: %s", b, what)
		return false
	}
	return true
}

func (d *doctor) readsAndLists(ctx context.Context, b object.Bucket, key string) bool {
	ok := true
	body, err := b.Open(ctx, key, 0, -1)
	if err == nil {
		_, err = io.Copy(io.Discard, body)
		err = errors.Join(err, body.Close())
	}
	if err != nil {
		d.fault("bucket", fmt.Errorf("read from %s: %w", b, err), "The credentials need rights to read objects.")
		ok = false
	}
	listed := false
	for found, err := range b.List(ctx, key) {
		if err != nil {
			d.fault("bucket", fmt.Errorf("list %s: %w", b, err), "The credentials need rights to list the bucket.")
			return false
		}
		listed = listed || found.Key == key
	}
	if !listed {
		d.add("bucket", findingFail, "Retention deletes nothing while a listing leaves out what is there: use a bucket whose listing is consistent.", "%s does not list an object that was just written", b)
	}
	return ok && listed
}

// parts sends an object in two parts, begins an upload and gives it up, and
// looks for uploads that nobody ended.
func (d *doctor) parts(ctx context.Context, b object.Bucket, key string) bool {
	body := bytes.Repeat([]byte("patina doctor\n"), probeParts/14+1)[:probeParts]
	info, err := put(ctx, b, key, body)
	if err == nil && info.Size != probeParts {
		err = backup.Errorf(backup.ErrCorrupt, "%d of %d bytes arrived", info.Size, probeParts)
	}
	if err != nil {
		d.fault("bucket", fmt.Errorf("write to %s in parts: %w", b, err), "The credentials need rights for multipart uploads.")
		return false
	}
	up, err := b.Create(ctx, key+"-2", object.CreateOptions{ContentType: "text/plain", PartSize: 5 << 20})
	if err == nil {
		_, err = up.Write(body)
		err = errors.Join(err, up.Abort(ctx))
	}
	if err != nil {
		d.fault("bucket", fmt.Errorf("give up an upload to %s: %w", b, err), "The credentials need rights to abort multipart uploads.")
		return false
	}
	for _, err := range b.Uploads(ctx) {
		if err != nil {
			d.fault("bucket", fmt.Errorf("list the uploads to %s: %w", b, err), "The credentials need rights to list multipart uploads.")
			return false
		}
	}
	return true
}

// private finds a bucket that strangers may read.
func (d *doctor) private(ctx context.Context, b object.Bucket, key string) bool {
	const next = "Close it before anything else: whoever has the address has every backup."
	words, err := object.Exposed(ctx, b, key)
	if err != nil {
		d.fault("bucket", fmt.Errorf("ask %s without credentials: %w", b, err), "Look at the bucket's public access yourself.")
		return false
	}
	if words != "" {
		d.add("bucket", findingFail, next, "%s is not private: %s", b, words)
		return false
	}
	name, isR2 := strings.CutPrefix(d.cfg.Bucket, "r2://")
	if !isR2 || d.cfg.APIToken == "" {
		return true
	}
	open, err := object.R2Domains(ctx, d.cfg.BaseURL, d.cfg.APIToken.Reveal(), name, object.Config{AccountID: d.cfg.AccountID, R2Jurisdiction: d.cfg.R2Jurisdiction})
	switch {
	case err != nil:
		d.add("bucket", findingNote, "Look in Cloudflare's dashboard: R2, "+name+", Settings, Public access: r2.dev disallowed, and no custom domain.",
			"whether %s has a public address is not known: %v", b, err)
	case len(open) > 0:
		d.add("bucket", findingFail, next, "%s is not private: anybody may read its objects at %s", b, strings.Join(open, ", "))
		return false
	}
	return true
}

// bucketClock compares this machine's clock with the time at which the bucket
// says that an object was written.
func (d *doctor) bucketClock(b object.Bucket, written, before, after time.Time) {
	drift := max(written.Sub(after), before.Sub(written).Truncate(time.Second), 0)
	switch {
	case written.IsZero():
		d.add("clock", findingNote, "", "%s does not say when an object was written", b)
	case drift > mostDrift:
		d.add("clock", findingFail, "Let this machine take its time from the network (NTP).", "this machine's clock and the bucket's are %s apart", drift.Round(time.Second))
	default:
		d.add("clock", findingOK, "", "it agrees with the bucket's")
	}
}

// put stores an object as a backup is stored.
func put(ctx context.Context, b object.Bucket, key string, body []byte) (object.Info, error) {
	up, err := b.Create(ctx, key, object.CreateOptions{ContentType: "text/plain", PartSize: 5 << 20})
	if err != nil {
		return object.Info{}, err
	}
	if _, err := up.Write(body); err != nil {
		return object.Info{}, errors.Join(err, up.Abort(ctx))
	}
	if _, err := up.Commit(ctx); err != nil {
		return object.Info{}, errors.Join(err, up.Abort(ctx))
	}
	return b.Stat(ctx, key)
}

// scratchRoom looks whether a proof has room: it loads a copy into a database
// of its own, in the system's folder for temporary files.
func (d *doctor) scratchRoom() {
	const next = "Make room, or set TMPDIR to a folder with room: proofs, drills and restores load copies there."
	dir, err := os.MkdirTemp("", "patina-doctor-")
	if err != nil {
		d.fault("scratch", fmt.Errorf("make a scratch folder: %w", err), next)
		return
	}
	defer os.RemoveAll(dir)
	var fs syscall.Statfs_t
	if err := syscall.Statfs(dir, &fs); err != nil {
		d.fault("scratch", fmt.Errorf("look at the scratch folder: %w", err), next)
		return
	}
	free := fs.Bavail * uint64(fs.Bsize) //nolint:unconvert // its type differs between systems
	if want := uint64(2*d.largest + 64<<20); free < want {
		d.add("scratch", findingFail, next, "%s has %s free, and the largest backup needs %s", os.TempDir(), humanize.IBytes(free), humanize.IBytes(want))
		return
	}
	d.add("scratch", findingOK, "", "%s has %s free", os.TempDir(), humanize.IBytes(free))
}
