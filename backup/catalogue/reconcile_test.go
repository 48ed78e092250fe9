package catalogue_test

import (
	"context"
	"iter"
	"strings"
	"testing"
	"time"

	"github.com/AutumnsGrove/Patina/backup"
	"github.com/AutumnsGrove/Patina/backup/catalogue"
	"github.com/AutumnsGrove/Patina/backup/object"
)

// listed is what a catalogue would say of the bench's bucket.
func (b *bench) listed() catalogue.Listed {
	var l catalogue.Listed
	for _, m := range b.copies {
		l.Copies = append(l.Copies, backup.Copy{ID: m.CopyID, DatabaseName: m.DatabaseName, Key: m.Key, Size: m.Size, SHA256: m.SHA256, Manifest: m})
	}
	return l
}

func gaps(list []catalogue.Gap) string {
	var keys []string
	for _, g := range list {
		keys = append(keys, g.Key)
	}
	return strings.Join(keys, " ")
}

func TestReconcile(t *testing.T) {
	t.Parallel()
	buckets(t, func(t *testing.T, b *bench) {
		ctx, soon, later := t.Context(), time.Now(), time.Now().Add(25*time.Hour)
		want := b.listed()
		d, err := catalogue.Reconcile(ctx, b.bucket, want, later)
		must(t, err)
		if d.Doubt() != "" || len(d.Missing)+len(d.Resized)+len(d.Manifests)+len(d.Unknown)+len(d.Uploads)+len(d.Omitted) != 0 || d.Objects != 15 {
			t.Fatalf("of a whole bucket: %+v", d)
		}
		posts20, posts21, users20, users21 := b.at("11-20/posts.sql"), b.at("11-21/posts.sql"), b.at("11-20/users.sql"), b.at("11-21/users.sql")
		must(t, b.bucket.Delete(ctx, posts20.Key))
		must(t, b.bucket.Delete(ctx, object.ManifestKey(posts21.Key)))
		b.replace(users20.Key, b.bytes(users20.Key)[:users20.Size-100])
		must(t, b.bucket.Delete(ctx, users21.Key))
		b.replace("photos/cat.jpg", []byte("a cat"))
		b.replace("daily/2026-11-22/stray.sql", []byte("-- not ours\n"))
		up, err := b.bucket.Create(ctx, "daily/2026-11-23/posts.sql", object.CreateOptions{PartSize: 5 << 20})
		must(t, err)
		_, err = up.Write(make([]byte, 6<<20))
		must(t, err)
		t.Cleanup(func() { _ = up.Abort(context.WithoutCancel(ctx)) })
		for i := range want.Copies {
			if want.Copies[i].Key == users21.Key { // known to be lost: no news
				want.Copies[i].QuarantinedAt = &soon
			}
		}
		if d, err = catalogue.Reconcile(ctx, b.bucket, want, later); err != nil {
			t.Fatal(err)
		}
		if got := gaps(d.Missing); got != posts20.Key {
			t.Errorf("missing: %s", got)
		}
		if got := gaps(d.Resized); got != users20.Key || d.Resized[0].Got != users20.Size-100 || d.Resized[0].Copy.ID != users20.CopyID {
			t.Errorf("resized: %+v", d.Resized)
		}
		if got := gaps(d.Manifests); got != object.ManifestKey(posts21.Key) {
			t.Errorf("manifests: %s", got)
		}
		if len(d.Unknown) != 2 || d.Unknown[0].Key != "daily/2026-11-22/stray.sql" || d.Unknown[1].Key != "photos/cat.jpg" {
			t.Errorf("unknown: %+v", d.Unknown)
		}
		if len(d.Uploads) != 1 || d.Uploads[0].Key != "daily/2026-11-23/posts.sql" {
			t.Errorf("uploads: %+v", d.Uploads)
		}
		if !strings.Contains(d.Doubt(), posts20.Key) {
			t.Errorf("doubt: %q", d.Doubt())
		}
		// What has just come may be on its way into the catalogue.
		if d, err = catalogue.Reconcile(ctx, b.bucket, want, soon); err != nil || len(d.Unknown)+len(d.Uploads) != 0 {
			t.Errorf("at once: %+v, %v", d, err)
		}
		// What is to be deleted is known, be it there or not.
		want.Going = []string{"daily/2026-11-22/stray.sql", "daily/2026-11-01/gone.sql"}
		if d, err = catalogue.Reconcile(ctx, b.bucket, want, later); err != nil || len(d.Unknown) != 1 || len(d.Missing) != 1 {
			t.Errorf("with removals: %+v, %v", d, err)
		}
	})
}

// omitting lists without some keys.
type omitting struct {
	object.Bucket
	key string
}

func (o omitting) List(ctx context.Context, prefix string) iter.Seq2[object.Info, error] {
	return func(yield func(object.Info, error) bool) {
		for info, err := range o.Bucket.List(ctx, prefix) {
			if info.Key != o.key && !yield(info, err) {
				return
			}
		}
	}
}

// TestReconcileOmission: a listing that leaves a key out is not believed.
func TestReconcileOmission(t *testing.T) {
	t.Parallel()
	buckets(t, func(t *testing.T, b *bench) {
		key := b.at("11-20/posts.sql").Key
		for _, left := range []string{key, object.ManifestKey(key)} {
			d, err := catalogue.Reconcile(t.Context(), omitting{b.bucket, left}, b.listed(), time.Now())
			must(t, err)
			if len(d.Omitted) != 1 || d.Omitted[0] != left || len(d.Missing)+len(d.Manifests) != 0 || !strings.Contains(d.Doubt(), "leaves out") {
				t.Errorf("%s left out: %+v, %q", left, d, d.Doubt())
			}
		}
	})
}
