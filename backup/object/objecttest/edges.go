package objecttest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/AutumnsGrove/Patina/backup"
	"github.com/AutumnsGrove/Patina/backup/object"
)

// sameBytes: an object of the same bytes is still somebody else's.
func sameBytes(t *testing.T, b object.Bucket) {
	for _, n := range []int{0, 10, partSize + 10} {
		key := fmt.Sprintf("k/%d", n)
		Put(t, b, key, pattern(n))
		u, err := b.Create(t.Context(), key, object.CreateOptions{PartSize: partSize})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := u.Write(pattern(n)); err != nil {
			t.Fatal(err)
		}
		if _, err := u.Commit(t.Context()); !errors.Is(err, backup.ErrConflict) {
			t.Errorf("%d bytes over the same: %v", n, err)
		}
		if err := u.Abort(t.Context()); err != nil {
			t.Error(err)
		}
	}
}

// oneLargeWinner races uploads of two parts, which are all of the same bytes.
func oneLargeWinner(t *testing.T, b object.Bucket) {
	const writers = 6
	body := pattern(partSize + 1)
	results := make(chan error, writers)
	start := make(chan struct{})
	for range writers {
		go func() {
			u, err := b.Create(t.Context(), "race", object.CreateOptions{PartSize: partSize})
			if err == nil {
				_, err = u.Write(body)
			}
			<-start
			if err == nil {
				_, err = u.Commit(t.Context())
				err = errors.Join(err, u.Abort(t.Context()))
			}
			results <- err
		}()
	}
	close(start)
	wins := 0
	for range writers {
		if err := <-results; err == nil {
			wins++
		} else if !errors.Is(err, backup.ErrConflict) {
			t.Error(err)
		}
	}
	if wins != 1 || pending(t, b) != 0 {
		t.Errorf("%d won, and %d uploads are left", wins, pending(t, b))
	}
}

func emptyRanges(t *testing.T, b object.Bucket) {
	Put(t, b, "empty", nil)
	Put(t, b, "ten", pattern(10))
	for _, length := range []int64{-1, 0, 5} {
		if got := Get(t, b, "empty", 0, length); len(got) != 0 {
			t.Errorf("%d bytes of nothing", len(got))
		}
	}
	for _, r := range [][2]int64{{10, 0}, {11, 0}, {10, 5}, {1 << 62, 1 << 62}} {
		if _, err := b.Open(t.Context(), "ten", r[0], r[1]); !errors.Is(err, backup.ErrInvalid) {
			t.Errorf("range %v: %v", r, err)
		}
	}
	if got := Get(t, b, "ten", 3, 1<<63-1); len(got) != 7 {
		t.Errorf("%d bytes to a far end", len(got))
	}
	if _, err := b.Open(t.Context(), "none", 5, 0); !errors.Is(err, backup.ErrNotFound) {
		t.Errorf("no bytes of a missing object: %v", err)
	}
}

// oddKeys are no keys of Patina's, but a bucket must take them as they are.
func oddKeys(t *testing.T, b object.Bucket) {
	want := []string{`odd/"quoted" & <tagged>.sql`, "odd/100%25.sql", "odd/a+b=c;d,e@f:g!h$i'j(k)*~.sql", "odd/Größe/日本語 😀.sql", "odd/" + strings.Repeat("n", 255)}
	for _, key := range want {
		Put(t, b, key, []byte(key))
		if got := Get(t, b, key, 0, -1); string(got) != key {
			t.Errorf("%q came back as %q", key, got)
		}
	}
	slices.Sort(want)
	if got := Keys(t, b, "odd/"); !slices.Equal(got, want) {
		t.Errorf("listed %q", got)
	}
	for _, key := range want {
		if err := b.Delete(t.Context(), key); err != nil {
			t.Errorf("delete %q: %v", key, err)
		}
	}
	if got := Keys(t, b, ""); len(got) > 0 {
		t.Errorf("left: %q", got)
	}
}

// order is that of whole keys, in which a hyphen comes before a slash.
func order(t *testing.T, b object.Bucket) {
	want := []string{"a-b", "a.b", "a/b", "a/c/d", "a0", "b"}
	for _, key := range slices.Backward(want) {
		Put(t, b, key, nil)
	}
	if got := Keys(t, b, ""); !slices.Equal(got, want) {
		t.Errorf("listed %v", got)
	}
}

func cancelledWriting(t *testing.T, b object.Bucket) {
	ctx, cancel := context.WithCancel(t.Context())
	u, err := b.Create(ctx, "c", object.CreateOptions{PartSize: partSize})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := u.Write(pattern(partSize + 1)); err != nil {
		t.Fatal(err)
	}
	cancel()
	if _, err := u.Write(pattern(partSize + 1)); !errors.Is(err, context.Canceled) {
		t.Errorf("went on writing: %v", err)
	}
	if _, err := u.Commit(t.Context()); err == nil {
		t.Error("committed with bytes missing")
	}
	if err := u.Abort(ctx); err != nil {
		t.Error(err)
	}
	if keys := Keys(t, b, ""); len(keys) != 0 || pending(t, b) != 0 {
		t.Errorf("%v is left", keys)
	}
}
