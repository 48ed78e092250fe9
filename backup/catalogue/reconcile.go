package catalogue

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/AutumnsGrove/Patina/backup"
	"github.com/AutumnsGrove/Patina/backup/object"
)

// settled is how old something must be before it counts as left behind: what is
// younger may be on its way into the catalogue.
const settled = 24 * time.Hour

// Listed is what the catalogue says lies in the bucket. It must have been read
// before the bucket is listed, so that whatever it names was there.
type Listed struct {
	Copies   []backup.Copy
	Archives []backup.Archive
	Going    []string // keys of objects that are to be deleted
}

// Difference is where the bucket and the catalogue do not agree.
type Difference struct {
	Objects   int                    // keys listed
	Bytes     int64                  // of them
	Omitted   []string               // keys that the listing leaves out although they are there
	Missing   []Gap                  // objects that are gone
	Resized   []Gap                  // objects of another size than was recorded
	Manifests []Gap                  // objects whose manifest is gone
	Unknown   []object.Info          // objects that the catalogue knows nothing of
	Uploads   []object.PendingUpload // of ours, begun more than a day ago and never ended
}

// Gap is an object of the catalogue that is not as the catalogue says.
type Gap struct {
	Key     string
	Want    int64           // bytes
	Got     int64           // bytes; 0 for one that is gone
	Copy    *backup.Copy    // whose it is
	Archive *backup.Archive // or that
}

// Reconcile compares the catalogue with the bucket, both ways, by keys and
// sizes, and changes nothing. A key that the listing lacks is asked for by name
// before it counts as gone. What lies in quarantine is left out.
// Errors: those of the bucket.
func Reconcile(ctx context.Context, b object.Bucket, want Listed, now time.Time) (*Difference, error) {
	r := reconciler{known: map[string]*entry{}}
	r.enter(want)
	d := &Difference{}
	for info, err := range b.List(ctx, "") {
		if err != nil {
			return nil, fmt.Errorf("list the bucket: %w", err)
		}
		d.Objects++
		d.Bytes += info.Size
		r.meet(d, info, now)
	}
	if err := r.rest(ctx, b, d); err != nil {
		return nil, err
	}
	for u, err := range b.Uploads(ctx) {
		if err != nil {
			return nil, fmt.Errorf("list the unfinished uploads: %w", err)
		}
		if ours(u.Key) && u.Started.Before(now.Add(-settled)) {
			d.Uploads = append(d.Uploads, u)
		}
	}
	return d, nil
}

// ours tells whether a key is one that this program builds.
func ours(key string) bool {
	base := strings.TrimSuffix(key, object.ManifestKey(""))
	if _, err := object.ParseKey(base); err == nil {
		return true
	}
	_, err := object.ParseMetaKey(key)
	return err == nil || key == object.ReadmeKey
}

// entry is a key that the catalogue knows.
type entry struct {
	Gap
	any      bool // whatever its size, and whether it is there or not
	manifest bool
	seen     bool
}

type reconciler struct {
	known map[string]*entry
	order []string // of the keys, as they were entered
}

func (r *reconciler) enter(want Listed) {
	add := func(e entry) {
		if _, twice := r.known[e.Key]; !twice {
			r.order = append(r.order, e.Key)
		}
		r.known[e.Key] = &e
	}
	for _, key := range want.Going {
		add(entry{Gap: Gap{Key: key}, any: true})
		add(entry{Gap: Gap{Key: object.ManifestKey(key)}, any: true})
	}
	for i := range want.Copies {
		c := &want.Copies[i]
		if c.ObjectGone { // what was damaged may lie there still, and its archive stands in for it
			add(entry{Gap: Gap{Key: c.Key}, any: true})
			add(entry{Gap: Gap{Key: object.ManifestKey(c.Key)}, any: true})
		} else {
			add(entry{Gap: Gap{Key: c.Key, Want: c.Size, Copy: c}, any: c.QuarantinedAt != nil})
			add(entry{Gap: Gap{Key: object.ManifestKey(c.Key), Copy: c}, any: c.QuarantinedAt != nil, manifest: true})
		}
	}
	for i := range want.Archives {
		a := &want.Archives[i]
		add(entry{Gap: Gap{Key: a.Key, Want: a.Size, Archive: a}, any: a.QuarantinedAt != nil})
		add(entry{Gap: Gap{Key: object.ManifestKey(a.Key), Archive: a}, any: a.QuarantinedAt != nil, manifest: true})
	}
}

// meet looks at one object of the listing.
func (r *reconciler) meet(d *Difference, info object.Info, now time.Time) {
	e := r.known[info.Key]
	if e == nil {
		_, err := object.ParseMetaKey(info.Key)
		if err != nil && info.Key != object.ReadmeKey && info.ModTime.Before(now.Add(-settled)) {
			d.Unknown = append(d.Unknown, info)
		}
		return
	}
	e.seen = true
	r.compare(d, e, info)
}

func (r *reconciler) compare(d *Difference, e *entry, info object.Info) {
	if !e.any && !e.manifest && info.Size != e.Want {
		e.Got = info.Size
		d.Resized = append(d.Resized, e.Gap)
	}
}

// rest asks by name for what the listing lacked.
func (r *reconciler) rest(ctx context.Context, b object.Bucket, d *Difference) error {
	for _, key := range r.order {
		e := r.known[key]
		if e.seen || e.any {
			continue
		}
		info, err := b.Stat(ctx, key)
		switch {
		case err == nil:
			d.Omitted = append(d.Omitted, key)
			r.compare(d, e, info)
		case !errors.Is(err, backup.ErrNotFound):
			return fmt.Errorf("look for %s: %w", key, err)
		case e.manifest:
			d.Manifests = append(d.Manifests, e.Gap)
		default:
			d.Missing = append(d.Missing, e.Gap)
		}
	}
	return nil
}

// Doubt says why nothing should be deleted on the word of this listing; "" where
// it agrees with the catalogue.
func (d *Difference) Doubt() string {
	more := func(n int) string {
		if n == 1 {
			return ""
		}
		return fmt.Sprintf(" and %d more", n-1)
	}
	switch {
	case len(d.Omitted) > 0:
		return "the bucket's listing leaves out " + d.Omitted[0] + more(len(d.Omitted)) + ", although it is there"
	case len(d.Missing) > 0:
		return "of the catalogue's objects " + d.Missing[0].Key + more(len(d.Missing)) + " is not in the bucket"
	}
	return ""
}
