// Package objecttest holds the one conformance suite that every bucket passes,
// and the S3 server that tests run against.
package objecttest

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/AutumnsGrove/Patina/backup"
	"github.com/AutumnsGrove/Patina/backup/object"
)

const partSize = 5 << 20 // the least that S3 takes

// Run checks a bucket against what object.Bucket promises. open gives an empty
// bucket for each call.
func Run(t *testing.T, open func(t *testing.T) object.Bucket) {
	for _, c := range []struct {
		name string
		test func(*testing.T, object.Bucket)
	}{
		{"visible only after commit", visibleAfterCommit},
		{"sizes around a part", sizes},
		{"never overwrites", neverOverwrites},
		{"the same bytes", sameBytes},
		{"one winner of many", oneWinner},
		{"one winner of many large", oneLargeWinner},
		{"abort leaves nothing", abortLeavesNothing},
		{"unfinished uploads", unfinished},
		{"ranges", ranges},
		{"ranges of nothing", emptyRanges},
		{"missing", missing},
		{"list", list},
		{"replace", replace},
		{"odd keys", oddKeys},
		{"order", order},
		{"bad keys", badKeys},
		{"cancelled", cancelled},
		{"cancelled while writing", cancelledWriting},
		{"steps", steps},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			c.test(t, open(t))
		})
	}
}

// Put stores an object.
func Put(t testing.TB, b object.Bucket, key string, body []byte) object.Info {
	t.Helper()
	u, err := b.Create(t.Context(), key, object.CreateOptions{ContentType: "text/plain", PartSize: partSize})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := u.Write(body); err != nil {
		t.Fatal(err)
	}
	i, err := u.Commit(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return i
}

// Get reads a range of an object.
func Get(t testing.TB, b object.Bucket, key string, offset, length int64) []byte {
	t.Helper()
	r, err := b.Open(t.Context(), key, offset, length)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	body, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return body
}

// Keys lists keys.
func Keys(t testing.TB, b object.Bucket, prefix string) []string {
	t.Helper()
	var keys []string
	for i, err := range b.List(t.Context(), prefix) {
		if err != nil {
			t.Fatal(err)
		}
		keys = append(keys, i.Key)
	}
	return keys
}

// pattern gives n bytes that differ everywhere.
func pattern(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(i*7 + i>>8*13 + i>>16*29)
	}
	return b
}

func visibleAfterCommit(t *testing.T, b object.Bucket) {
	u, err := b.Create(t.Context(), "daily/2026-11-23/a.sql", object.CreateOptions{PartSize: partSize})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := u.Write(pattern(partSize * 2)); err != nil {
		t.Fatal(err)
	}
	if keys := Keys(t, b, ""); len(keys) > 0 {
		t.Errorf("visible before the commit: %v", keys)
	}
	if _, err := b.Stat(t.Context(), "daily/2026-11-23/a.sql"); !errors.Is(err, backup.ErrNotFound) {
		t.Errorf("before the commit: %v", err)
	}
	if _, err := u.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	if keys := Keys(t, b, ""); len(keys) != 1 {
		t.Errorf("after the commit: %v", keys)
	}
	if err := u.Abort(t.Context()); err != nil {
		t.Errorf("abort after commit: %v", err)
	}
	if _, err := b.Stat(t.Context(), "daily/2026-11-23/a.sql"); err != nil {
		t.Errorf("abort after commit took it away: %v", err)
	}
}

func sizes(t *testing.T, b object.Bucket) {
	for _, n := range []int{0, 1, partSize - 1, partSize, partSize + 1, 3 * partSize} {
		key := fmt.Sprintf("manual/x/%d", n)
		body := pattern(n)
		if i := Put(t, b, key, body); i.Size != int64(n) || i.Key != key {
			t.Errorf("committed %+v", i)
		}
		if got := Get(t, b, key, 0, -1); !bytes.Equal(got, body) {
			t.Errorf("%d bytes came back as %d others", n, len(got))
		}
		if i, err := b.Stat(t.Context(), key); err != nil || i.Size != int64(n) || i.ModTime.IsZero() {
			t.Errorf("stat %+v, %v", i, err)
		}
	}
}

func neverOverwrites(t *testing.T, b object.Bucket) {
	for _, n := range []int{10, partSize + 10} {
		key := fmt.Sprintf("k/%d", n)
		first := pattern(n)
		Put(t, b, key, first)
		u, err := b.Create(t.Context(), key, object.CreateOptions{PartSize: partSize})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := u.Write(bytes.Repeat([]byte("x"), n)); err != nil {
			t.Fatal(err)
		}
		if _, err := u.Commit(t.Context()); !errors.Is(err, backup.ErrConflict) {
			t.Errorf("a second commit of %d bytes: %v", n, err)
		}
		if err := u.Abort(t.Context()); err != nil {
			t.Error(err)
		}
		if !bytes.Equal(Get(t, b, key, 0, -1), first) {
			t.Error("the first object was changed")
		}
	}
	if n := pending(t, b); n > 0 {
		t.Errorf("%d uploads are left", n)
	}
}

func oneWinner(t *testing.T, b object.Bucket) {
	const writers = 32
	var mu sync.Mutex
	var wins, conflicts int
	var won []byte
	var wg sync.WaitGroup
	start := make(chan struct{})
	for i := range writers {
		wg.Go(func() {
			body := []byte(fmt.Sprintf("writer %d", i))
			u, err := b.Create(t.Context(), "race", object.CreateOptions{})
			if err == nil {
				_, err = u.Write(body)
			}
			if err != nil {
				t.Error(err)
				return
			}
			<-start
			_, err = u.Commit(t.Context())
			mu.Lock()
			defer mu.Unlock()
			switch {
			case err == nil:
				wins, won = wins+1, body
			case errors.Is(err, backup.ErrConflict):
				conflicts++
			default:
				t.Errorf("writer %d: %v", i, err)
			}
		})
	}
	close(start)
	wg.Wait()
	if wins != 1 || conflicts != writers-1 {
		t.Errorf("%d won and %d were refused", wins, conflicts)
	}
	if got := Get(t, b, "race", 0, -1); !bytes.Equal(got, won) {
		t.Errorf("%q is stored and %q won", got, won)
	}
}

func abortLeavesNothing(t *testing.T, b object.Bucket) {
	ctx, cancel := context.WithCancel(t.Context())
	u, err := b.Create(ctx, "gone", object.CreateOptions{PartSize: partSize})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := u.Write(pattern(2*partSize + 1)); err != nil {
		t.Fatal(err)
	}
	cancel() // cleaning up goes on even so
	if err := u.Abort(ctx); err != nil {
		t.Errorf("abort: %v", err)
	}
	if _, err := u.Commit(t.Context()); err == nil {
		t.Error("an aborted upload was committed")
	}
	if n := pending(t, b); n != 0 || len(Keys(t, b, "")) != 0 {
		t.Errorf("%d uploads and %v are left", n, Keys(t, b, ""))
	}
}

func pending(t testing.TB, b object.Bucket) int {
	t.Helper()
	n := 0
	for _, err := range b.Uploads(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		n++
	}
	return n
}

func unfinished(t *testing.T, b object.Bucket) {
	u, err := b.Create(t.Context(), "daily/2026-11-23/half~6ae2b03c.sql", object.CreateOptions{PartSize: partSize})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := u.Write(pattern(2*partSize + 1)); err != nil {
		t.Fatal(err)
	}
	var found []object.PendingUpload
	for p, err := range b.Uploads(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		found = append(found, p)
	}
	if len(found) != 1 || found[0].Key != "daily/2026-11-23/half~6ae2b03c.sql" || found[0].Started.IsZero() {
		t.Fatalf("found %+v", found)
	}
	if err := b.AbortUpload(t.Context(), found[0]); err != nil {
		t.Fatal(err)
	}
	if err := b.AbortUpload(t.Context(), found[0]); err != nil {
		t.Errorf("aborting again: %v", err)
	}
	if n := pending(t, b); n != 0 {
		t.Errorf("%d uploads are left", n)
	}
	_ = u.Abort(t.Context())
}

func ranges(t *testing.T, b object.Bucket) {
	body := pattern(1000)
	Put(t, b, "r", body)
	for _, r := range [][2]int64{{0, -1}, {0, 1}, {999, 1}, {10, 20}, {500, -1}, {990, 100}, {5, 0}} {
		want := body[r[0]:]
		if r[1] >= 0 {
			want = want[:min(int64(len(want)), r[1])]
		}
		if got := Get(t, b, "r", r[0], r[1]); !bytes.Equal(got, want) {
			t.Errorf("range %v gave %d bytes, want %d", r, len(got), len(want))
		}
	}
	for _, offset := range []int64{1000, 5000, -1} {
		if _, err := b.Open(t.Context(), "r", offset, -1); !errors.Is(err, backup.ErrInvalid) {
			t.Errorf("from byte %d: %v", offset, err)
		}
	}
}

func missing(t *testing.T, b object.Bucket) {
	if _, err := b.Open(t.Context(), "no/thing", 0, -1); !errors.Is(err, backup.ErrNotFound) {
		t.Errorf("open: %v", err)
	}
	if _, err := b.Stat(t.Context(), "no/thing"); !errors.Is(err, backup.ErrNotFound) {
		t.Errorf("stat: %v", err)
	}
	if err := b.Delete(t.Context(), "no/thing"); err != nil {
		t.Errorf("delete: %v", err)
	}
	for _, prefix := range []string{"no/", "/", "../", "a//b", "./"} {
		if keys := Keys(t, b, prefix); len(keys) != 0 {
			t.Errorf("list %s: %v", prefix, keys)
		}
	}
	Put(t, b, "there/is/one", []byte("x"))
	for _, key := range []string{"there", "there/is", "there/is/one/more"} { // above and below an object
		if _, err := b.Stat(t.Context(), key); !errors.Is(err, backup.ErrNotFound) {
			t.Errorf("stat %s: %v", key, err)
		}
		if _, err := b.Open(t.Context(), key, 0, -1); !errors.Is(err, backup.ErrNotFound) {
			t.Errorf("open %s: %v", key, err)
		}
		if err := b.Delete(t.Context(), key); err != nil {
			t.Errorf("delete %s: %v", key, err)
		}
	}
	if keys := Keys(t, b, ""); len(keys) != 1 {
		t.Errorf("left: %v", keys)
	}
}

func list(t *testing.T, b object.Bucket) {
	var want []string
	var wg sync.WaitGroup
	gate := make(chan struct{}, 8)
	for i := range 1100 { // more than one page of S3's
		key := fmt.Sprintf("many/%04d", i)
		want = append(want, key)
		wg.Go(func() {
			gate <- struct{}{}
			defer func() { <-gate }()
			if err := b.Replace(t.Context(), key, nil, "text/plain"); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	for _, k := range []string{"daily/2026-11-23/b~12345678.sql", "daily/2026-11-23/a.sql", "daily/2026-11-22/a.sql", "dail", "README.txt"} {
		Put(t, b, k, []byte(k))
	}
	if got := Keys(t, b, "many/"); !slices.Equal(got, want) {
		t.Errorf("%d keys, want %d", len(got), len(want))
	}
	if got := strings.Join(Keys(t, b, "daily/"), " "); got != "daily/2026-11-22/a.sql daily/2026-11-23/a.sql daily/2026-11-23/b~12345678.sql" {
		t.Errorf("listed %s", got)
	}
	if got := Keys(t, b, "daily/2026-11-2"); len(got) != 3 {
		t.Errorf("a prefix within a name gave %v", got)
	}
	if got := Keys(t, b, ""); len(got) != 1105 {
		t.Errorf("all is %d keys", len(got))
	}
	for range b.List(t.Context(), "many/") {
		break // stopping early is fine
	}
	if err := b.Delete(t.Context(), "daily/2026-11-22/a.sql"); err != nil {
		t.Fatal(err)
	}
	if got := Keys(t, b, "daily/"); len(got) != 2 {
		t.Errorf("after a delete: %v", got)
	}
}

func replace(t *testing.T, b object.Bucket) {
	for _, s := range []string{"one", "two", ""} {
		if err := b.Replace(t.Context(), "meta/2026-11-23.json", []byte(s), "application/json"); err != nil {
			t.Fatal(err)
		}
		if got := Get(t, b, "meta/2026-11-23.json", 0, -1); string(got) != s {
			t.Errorf("got %q, want %q", got, s)
		}
	}
}

func badKeys(t *testing.T, b object.Bucket) {
	for _, key := range []string{"", "/", "a//b", "../a", "a/../b", "a/.", "a\x00b", "a\\b", "a\nb", strings.Repeat("k", 256), ".patina-uploads/x"} {
		if _, err := b.Create(t.Context(), key, object.CreateOptions{}); !errors.Is(err, backup.ErrInvalid) {
			t.Errorf("create %.20q: %v", key, err)
		}
		if _, err := b.Open(t.Context(), key, 0, -1); !errors.Is(err, backup.ErrInvalid) {
			t.Errorf("open %.20q: %v", key, err)
		}
		if _, err := b.Stat(t.Context(), key); !errors.Is(err, backup.ErrInvalid) {
			t.Errorf("stat %.20q: %v", key, err)
		}
		if err := b.Delete(t.Context(), key); !errors.Is(err, backup.ErrInvalid) {
			t.Errorf("delete %.20q: %v", key, err)
		}
		if err := b.Replace(t.Context(), key, nil, ""); !errors.Is(err, backup.ErrInvalid) {
			t.Errorf("replace %.20q: %v", key, err)
		}
	}
}

func cancelled(t *testing.T, b object.Bucket) {
	ctx, cancel := context.WithCancel(t.Context())
	u, err := b.Create(ctx, "c", object.CreateOptions{PartSize: partSize})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := u.Write(pattern(100)); err != nil {
		t.Fatal(err)
	}
	cancel()
	if _, err := u.Commit(ctx); err == nil {
		t.Error("committed although it was cancelled")
	}
	if err := u.Abort(ctx); err != nil {
		t.Error(err)
	}
	if keys := Keys(t, b, ""); len(keys) != 0 || pending(t, b) != 0 {
		t.Errorf("%v is left", keys)
	}
}

func steps(t *testing.T, b object.Bucket) {
	var told []string
	u, err := b.Create(t.Context(), "s", object.CreateOptions{PartSize: partSize, Hook: func(s string) { told = append(told, s) }})
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.New()
	for range 11 { // 11 MiB: two parts and a bit
		chunk := pattern(1 << 20)
		sum.Write(chunk)
		if _, err := u.Write(chunk); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := u.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"upload.create", "upload.part", "upload.complete"} {
		before, after := slices.Index(told, "before:"+want), slices.Index(told, "after:"+want)
		if before < 0 || after < before {
			t.Errorf("%s is not among the steps %v", want, told)
		}
	}
	got := sha256.Sum256(Get(t, b, "s", 0, -1))
	if !bytes.Equal(got[:], sum.Sum(nil)) {
		t.Error("other bytes came back")
	}
}
