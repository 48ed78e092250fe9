package archive_test

import (
	"context"
	"errors"
	"io"
	"strings"
	"sync"
	"testing"

	"github.com/AutumnsGrove/Patina/backup"
	"github.com/AutumnsGrove/Patina/backup/archive"
	"github.com/AutumnsGrove/Patina/backup/object"
)

var errAway = backup.Errorf(backup.ErrUnavailable, "the bucket is away")

// faulty fails as it is told.
type faulty struct {
	object.Bucket
	mu      sync.Mutex
	cuts    int                              // reads of dailies and archives that are cut after some bytes, in all
	fired   int                              // faults that came to pass
	replace func(key string) error           // nil: as it is
	commit  func(object.Upload) error        // before a commit; nil: none
	write   func(n int64) error              // before a write at n; nil: none
	open    func(key string, at int64) error // nil: none
}

func (f *faulty) fire(err error) error {
	if err != nil {
		f.mu.Lock()
		f.fired++
		f.mu.Unlock()
	}
	return err
}

func (f *faulty) Open(ctx context.Context, key string, offset, length int64) (io.ReadCloser, error) {
	if f.open != nil {
		if err := f.fire(f.open(key, offset)); err != nil {
			return nil, err
		}
	}
	r, err := f.Bucket.Open(ctx, key, offset, length)
	f.mu.Lock()
	defer f.mu.Unlock()
	if err == nil && f.cuts > 0 && !strings.HasSuffix(key, ".json") {
		f.cuts--
		f.fired++
		return &cutBody{r, 3000}, nil
	}
	return r, err
}

type cutBody struct {
	io.ReadCloser
	left int
}

func (c *cutBody) Read(p []byte) (int, error) {
	if c.left == 0 {
		return 0, errAway
	}
	n, err := c.ReadCloser.Read(p[:min(len(p), c.left)])
	c.left -= n
	return n, err
}

func (f *faulty) Replace(ctx context.Context, key string, body []byte, kind string) error {
	if f.replace != nil {
		if err := f.fire(f.replace(key)); err != nil {
			return err
		}
	}
	return f.Bucket.Replace(ctx, key, body, kind)
}

func (f *faulty) Create(ctx context.Context, key string, opt object.CreateOptions) (object.Upload, error) {
	u, err := f.Bucket.Create(ctx, key, opt)
	return &faultyUpload{Upload: u, f: f}, err
}

type faultyUpload struct {
	object.Upload
	f *faulty
	n int64
}

func (u *faultyUpload) Write(p []byte) (int, error) {
	if u.f.write != nil {
		if err := u.f.fire(u.f.write(u.n)); err != nil {
			return 0, err
		}
	}
	n, err := u.Upload.Write(p)
	u.n += int64(n)
	return n, err
}

func (u *faultyUpload) Commit(ctx context.Context) (object.Info, error) {
	if u.f.commit != nil {
		if err := u.f.fire(u.f.commit(u.Upload)); err != nil {
			return object.Info{}, err
		}
	}
	return u.Upload.Commit(ctx)
}

// TestBucketFails: whatever the bucket refuses, either the archive is whole or
// there is none, nothing of the copies changes, and the next try ends well, with
// the same bytes.
func TestBucketFails(t *testing.T) {
	t.Parallel()
	b := folder(t)
	copies := nights(t, b, w53.Monday(), 2, zipped)
	req := request(copies)
	want := makeOne(t, b, req)
	before := map[string]string{}
	for _, c := range copies {
		before[c.Key] = sum(fetch(t, b, c.Key))
	}
	late := int64(600_000)
	once := func(err error) func() error {
		return func() error { err2 := err; err = nil; return err2 }
	}
	for name, f := range map[string]func(*faulty){
		"reads are cut":     func(f *faulty) { f.cuts = 20 },
		"a copy is refused": func(f *faulty) { f.open = func(k string, _ int64) error { return errFor(k, copies[5].Key) } },
		"a write fails":     func(f *faulty) { f.write = func(n int64) error { return errAfter(n, late) } },
		"the commit fails":  func(f *faulty) { e := once(errAway); f.commit = func(object.Upload) error { return e() } },
		"the read back fails": func(f *faulty) {
			f.open = func(k string, _ int64) error { return errFor(k, want.Key) }
		},
		"the manifest fails": func(f *faulty) { f.replace = func(k string) error { return errFor(k, want.Key+".json") } },
	} {
		for _, key := range []string{want.Key, want.Key + ".json"} {
			if err := b.Delete(t.Context(), key); err != nil {
				t.Fatal(err)
			}
		}
		bad := &faulty{Bucket: b}
		f(bad)
		m, _, err := archive.Make(t.Context(), bad, req)
		if bad.fired == 0 {
			t.Errorf("%s: the fault did not fire", name)
		}
		if bad.cuts == 0 && name == "reads are cut" {
			if err != nil || m.SHA256 != want.SHA256 {
				t.Errorf("%s: %v", name, err)
			}
		} else if !errors.Is(err, backup.ErrUnavailable) {
			t.Errorf("%s: %v", name, err)
		}
		if found, err := archive.Examine(t.Context(), b, want.Key); err == nil && found.SHA256 != want.SHA256 || err != nil && !errors.Is(err, backup.ErrNotFound) {
			t.Errorf("%s: something half lies at the key: %v", name, err)
		}
		if m, _, err = archive.Make(t.Context(), b, req); err != nil || m.SHA256 != want.SHA256 {
			t.Errorf("%s: the next try: %v", name, err)
		}
		for key, was := range before {
			if sum(fetch(t, b, key)) != was {
				t.Errorf("%s: %s is another", name, key)
			}
		}
		for u := range b.Uploads(t.Context()) {
			t.Errorf("%s: an upload of %s is left", name, u.Key)
		}
	}
}

func errFor(key, bad string) error {
	if key == bad {
		return errAway
	}
	return nil
}

func errAfter(n, limit int64) error {
	if n >= limit {
		return errAway
	}
	return nil
}

// TestSpoiledOnTheWay: an archive whose bytes are not what was written does not
// count, and does not stay.
func TestSpoiledOnTheWay(t *testing.T) {
	t.Parallel()
	b := folder(t)
	req := request(nights(t, b, w53.Monday(), 1, plain))
	spoiled := &spoiling{Bucket: b, at: 1 << 12}
	if _, _, err := archive.Make(t.Context(), spoiled, req); !errors.Is(err, backup.ErrUnavailable) || !spoiled.done {
		t.Fatalf("fired %v: %v", spoiled.done, err)
	}
	if _, err := b.Stat(t.Context(), archive.Key(w53)); !errors.Is(err, backup.ErrNotFound) {
		t.Errorf("it stayed: %v", err)
	}
	makeOne(t, b, req)
}

// spoiling stores one bit otherwise than it was told.
type spoiling struct {
	object.Bucket
	at   int64
	done bool
}

func (s *spoiling) Create(ctx context.Context, key string, opt object.CreateOptions) (object.Upload, error) {
	u, err := s.Bucket.Create(ctx, key, opt)
	return &spoilingUpload{u, s, 0}, err
}

type spoilingUpload struct {
	object.Upload
	s *spoiling
	n int64
}

func (u *spoilingUpload) Write(p []byte) (int, error) {
	if at := u.s.at - u.n; at >= 0 && at < int64(len(p)) {
		u.s.done = true
		p = append([]byte(nil), p...)
		p[at] ^= 8
	}
	u.n += int64(len(p))
	return u.Upload.Write(p)
}

// TestTwoAtOnce: two that make the same archive at once end with one.
func TestTwoAtOnce(t *testing.T) {
	t.Parallel()
	b := folder(t)
	req := request(nights(t, b, w53.Monday(), 1, plain))
	var first sync.Once
	bad := &faulty{Bucket: b}
	bad.commit = func(object.Upload) error { // another is first, at the last moment
		first.Do(func() { makeOne(t, b, req) })
		return nil
	}
	m, adopted, err := archive.Make(t.Context(), bad, req)
	if err != nil || !adopted || sum(fetch(t, b, m.Key)) != m.SHA256 {
		t.Fatal(adopted, err)
	}
}
