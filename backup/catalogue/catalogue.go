// Package catalogue reads a whole bucket and says what it holds: the copies,
// with their manifests, and everything that is missing, damaged, foreign or
// unfinished. From that alone the catalogue can be made again.
//
// It owns what counts as a copy and what as damage. It knows no Postgres, reads
// no dump that it can vouch for without, and changes nothing in the bucket but
// the manifests that Mend writes anew. What it does not know it leaves alone.
package catalogue

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/AutumnsGrove/Patina/backup"
	"github.com/AutumnsGrove/Patina/backup/object"
)

// Options say how a bucket is looked at; the zero value means the defaults.
type Options struct {
	// Deep reads and hashes every copy. Otherwise sizes and footers are compared
	// with the manifests, and only what does not fit is read whole.
	Deep     bool
	Workers  int                // objects looked at at once; 8
	Progress func(done, of int) // told after each object; may be nil
}

// Found is what a bucket holds.
type Found struct {
	Bucket   string
	Objects  int   // keys listed
	Bytes    int64 // of them
	Copies   []Copy
	Orphans  []Orphan               // manifests whose object is gone
	Damaged  []Damage               // what is not as it was written
	Unknown  []object.Info          // keys that are none of Patina's
	Uploads  []object.PendingUpload // begun, and neither finished nor given up
	Archives []Archive              // weekly archives
	Meta     []backup.Date          // of the nights whose settings are there, newest first
	Readme   bool                   // README.txt is there
}

// Copy is one whole copy.
type Copy struct {
	Manifest   *backup.Manifest
	Made       bool            // the manifest is not the bucket's: it was made again
	Archived   backup.Archived // the weekly archive that holds it, alone or too
	ObjectGone bool            // it has no object of its own
}

// Orphan is a manifest without its object.
type Orphan struct {
	Key      string           // of the object that is gone
	Manifest *backup.Manifest // nil where it cannot be read either
}

// Damage is something that is not as it was written.
type Damage struct {
	Key      string           // of the object, or of its manifest
	Reason   string           // in words
	Manifest *backup.Manifest // what should lie there; nil where nothing tells
	Mended   bool             // the copy itself is whole, and its manifest was made again
}

// Archive is a weekly archive.
type Archive struct {
	Week     object.Week
	Key      string
	Size     int64
	StoredAt time.Time
	Manifest *backup.ArchiveManifest // nil where nothing tells what it holds
	Made     bool                    // the manifest is not the bucket's: it was made again
	Fault    string                  // why only what of it is whole counts; "" for nothing
}

// listing is what the keys alone tell.
type listing struct {
	objects   map[string]object.Info
	manifests map[string]object.Info // by the key of their object
	archived  map[string]bool        // manifests of archives, by the archive's key
}

// Scan reads the bucket. What it holds in memory grows with the number of
// objects, not with their size. Errors: those of the bucket; damage is none.
func Scan(ctx context.Context, b object.Bucket, opt Options) (*Found, error) {
	if opt.Workers <= 0 {
		opt.Workers = 8
	}
	if opt.Progress == nil {
		opt.Progress = func(int, int) {}
	}
	f := &Found{Bucket: b.String()}
	l, err := f.list(ctx, b)
	if err != nil {
		return nil, err
	}
	for u, err := range b.Uploads(ctx) {
		if err != nil {
			return nil, fmt.Errorf("list the unfinished uploads: %w", err)
		}
		f.Uploads = append(f.Uploads, u)
	}
	if err := f.inspectAll(ctx, b, l, opt); err != nil {
		return nil, err
	}
	if err := f.orphans(ctx, b, l); err != nil {
		return nil, err
	}
	if err := f.archives(ctx, b, opt.Deep); err != nil {
		return nil, err
	}
	f.unique()
	slices.SortFunc(f.Damaged, func(a, b Damage) int { return strings.Compare(a.Key, b.Key) })
	return f, nil
}

// list sorts the keys into what they are.
func (f *Found) list(ctx context.Context, b object.Bucket) (listing, error) {
	l := listing{map[string]object.Info{}, map[string]object.Info{}, map[string]bool{}}
	for info, err := range b.List(ctx, "") {
		if err != nil {
			return l, fmt.Errorf("list the bucket: %w", err)
		}
		f.Objects++
		f.Bytes += info.Size
		base, isManifest := strings.CutSuffix(info.Key, object.ManifestKey(""))
		key, err := object.ParseKey(base)
		switch {
		case err == nil && key.Kind == backup.Weekly && isManifest:
			l.archived[base] = true
		case err == nil && key.Kind == backup.Weekly:
			f.Archives = append(f.Archives, Archive{Week: key.Week, Key: info.Key, Size: info.Size, StoredAt: info.ModTime})
		case err == nil && isManifest:
			l.manifests[base] = info
		case err == nil:
			l.objects[info.Key] = info
		case info.Key == object.ReadmeKey:
			f.Readme = true
		default:
			date, err := object.ParseMetaKey(info.Key)
			if err != nil {
				f.Unknown = append(f.Unknown, info)
				continue
			}
			f.Meta = append(f.Meta, date)
		}
	}
	slices.Reverse(f.Meta) // the list is sorted
	for _, a := range f.Archives {
		delete(l.archived, a.Key)
	}
	for _, key := range slices.Sorted(maps.Keys(l.archived)) {
		f.Orphans = append(f.Orphans, Orphan{Key: key})
	}
	return l, nil
}

// inspectAll looks at every object, some at once.
func (f *Found) inspectAll(ctx context.Context, b object.Bucket, l listing, opt Options) error {
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	keys := slices.Sorted(maps.Keys(l.objects))
	looks := make([]look, len(keys))
	next := make(chan int)
	var mu sync.Mutex
	var workers sync.WaitGroup
	done := 0
	for range min(opt.Workers, len(keys)) {
		workers.Go(func() {
			for i := range next {
				var err error
				if looks[i], err = inspect(ctx, b, l.objects[keys[i]], opt.Deep); err != nil {
					stop(err)
				}
				mu.Lock()
				done++
				opt.Progress(done, len(keys))
				mu.Unlock()
			}
		})
	}
	for i := range keys {
		if ctx.Err() != nil {
			break
		}
		next <- i
	}
	close(next)
	workers.Wait()
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	for _, k := range looks {
		if k.copy != nil {
			f.Copies = append(f.Copies, *k.copy)
		}
		f.Damaged = append(f.Damaged, k.damage...)
	}
	return nil
}

// orphans finds the manifests whose object is gone. It asks once more: a list
// may leave keys out.
func (f *Found) orphans(ctx context.Context, b object.Bucket, l listing) error {
	for _, key := range slices.Sorted(maps.Keys(l.manifests)) {
		if _, ok := l.objects[key]; ok {
			continue
		}
		info, err := b.Stat(ctx, key)
		switch {
		case err == nil:
			k, err := inspect(ctx, b, info, false)
			if err != nil {
				return err
			}
			if k.copy != nil {
				f.Copies = append(f.Copies, *k.copy)
			}
			f.Damaged = append(f.Damaged, k.damage...)
			continue
		case !errors.Is(err, backup.ErrNotFound):
			return fmt.Errorf("look for %s: %w", key, err)
		}
		o := Orphan{Key: key}
		m, err := readManifest(ctx, b, key)
		switch {
		case err == nil:
			o.Manifest = m
		case errors.Is(err, backup.ErrNotFound): // gone meanwhile
			continue
		case !errors.Is(err, backup.ErrCorrupt):
			return err
		}
		f.Orphans = append(f.Orphans, o)
	}
	return nil
}

// unique keeps of the copies that claim to be the same one the first alone.
func (f *Found) unique() {
	slices.SortFunc(f.Copies, func(a, b Copy) int { return strings.Compare(a.Manifest.Key, b.Manifest.Key) })
	seen := map[string]string{}
	f.Copies = slices.DeleteFunc(f.Copies, func(c Copy) bool {
		first, twice := seen[c.Manifest.CopyID]
		if twice {
			f.Damaged = append(f.Damaged, Damage{Key: object.ManifestKey(c.Manifest.Key), Reason: "it claims to be the copy at " + first})
			return true
		}
		seen[c.Manifest.CopyID] = c.Manifest.Key
		return false
	})
}

// Lost counts the damage that costs a copy.
func (f *Found) Lost() int {
	n := 0
	for _, d := range f.Damaged {
		if !d.Mended {
			n++
		}
	}
	return n
}

// Mend writes the manifests that were made again beside their objects, and
// gives their number. It changes nothing else.
func Mend(ctx context.Context, b object.Bucket, f *Found) (int, error) {
	n := 0
	put := func(key string, text []byte, err error) error {
		if err == nil {
			err = b.Replace(ctx, object.ManifestKey(key), text, "application/json")
		}
		if err != nil {
			return fmt.Errorf("store the manifest of %s: %w", key, err)
		}
		n++
		return nil
	}
	for _, c := range f.Copies {
		if !c.Made {
			continue
		}
		text, err := c.Manifest.Encode()
		if err := put(c.Manifest.Key, text, err); err != nil {
			return n, err
		}
	}
	for _, a := range f.Archives {
		if !a.Made {
			continue
		}
		text, err := a.Manifest.Encode()
		if err := put(a.Key, text, err); err != nil {
			return n, err
		}
	}
	return n, nil
}
