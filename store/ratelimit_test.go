package store_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/AutumnsGrove/Patina/backup"
	"github.com/AutumnsGrove/Patina/store"
	"github.com/AutumnsGrove/Patina/store/storetest"
)

// Four processes, each with a pool and limiters of its own, together get what
// the bucket holds and gains: not one more, and nearly all of it.
func TestLimiterShared(t *testing.T) {
	t.Parallel()
	const rate, burst, processes = 100.0, 30, 4
	url := storetest.NewURL(t)
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	var passed atomic.Int64
	var g errgroup.Group
	var begin atomic.Pointer[time.Time]
	for range processes {
		s, err := store.Open(t.Context(), url)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(s.Close)
		limiter := s.Limiter("d1", rate, burst)
		for range 3 {
			g.Go(func() error {
				for {
					now := time.Now()
					begin.CompareAndSwap(nil, &now)
					if err := limiter.Wait(ctx); err != nil {
						if errors.Is(err, context.Canceled) {
							return nil
						}
						return err
					}
					if passed.Add(1) == 200 {
						stop()
					}
				}
			})
		}
	}
	if err := g.Wait(); err != nil {
		t.Fatal(err)
	}
	elapsed, n := time.Since(*begin.Load()).Seconds(), float64(passed.Load())
	t.Logf("%v requests in %.2f s", n, elapsed)
	if most := burst + rate*elapsed; n > most+1 {
		t.Errorf("%v passed, and at most %v may", n, most)
	}
	if least := 0.8 * (burst + rate*elapsed); n < least {
		t.Errorf("%v passed, and at least %v should", n, least)
	}
}

// While there are plenty a statement serves five requests.
func TestLimiterLease(t *testing.T) {
	t.Parallel()
	s, ctx := storetest.New(t), t.Context()
	l := s.Limiter("d1", 0.001, 40)
	tokens := func() (n float64) {
		t.Helper()
		if err := s.Pool().QueryRow(ctx, "SELECT tokens FROM rate_limits WHERE name = 'd1'").Scan(&n); err != nil {
			t.Fatal(err)
		}
		return n
	}
	wait := func(times int) {
		t.Helper()
		for range times {
			if err := l.Wait(ctx); err != nil {
				t.Fatal(err)
			}
		}
	}
	wait(1)
	if n := tokens(); n > 35.1 {
		t.Fatalf("%v are left after the first", n)
	}
	wait(4)
	if n := tokens(); n < 34.9 || n > 35.1 {
		t.Fatalf("%v are left after five", n)
	}
	wait(16) // 21 in all: the lease of the last five has begun
	if n := tokens(); n > 19.1 {
		t.Fatalf("%v are left after 21", n)
	}
	wait(4)
	before := tokens()
	wait(1) // fewer than 20: one by one
	if n := tokens(); before-n < 0.9 || before-n > 1.1 {
		t.Fatalf("%v went at once", before-n)
	}
	if err := s.Limiter("none", 0, 5).Wait(ctx); !errors.Is(err, backup.ErrInvalid) {
		t.Errorf("no rate: %v", err)
	}
}

// A pause holds for other processes and for those already waiting, and the
// longer of two holds.
func TestLimiterPause(t *testing.T) {
	t.Parallel()
	url := storetest.NewURL(t)
	open := func() *store.Limiter {
		s, err := store.Open(t.Context(), url)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(s.Close)
		return s.Limiter("d1", 4, 1)
	}
	a, b, ctx := open(), open(), t.Context()
	if err := a.Wait(ctx); err != nil { // the bucket is empty
		t.Fatal(err)
	}
	waiting := make(chan time.Time, 2)
	var g errgroup.Group
	for _, l := range []*store.Limiter{a, b} { // 250 and 500 ms to wait
		g.Go(func() error {
			err := l.Wait(ctx)
			waiting <- time.Now()
			return err
		})
	}
	begin := time.Now()
	if err := errors.Join(a.Pause(ctx, 800*time.Millisecond), b.Pause(ctx, time.Millisecond), a.Pause(ctx, 0)); err != nil {
		t.Fatal(err)
	}
	if err := b.Wait(ctx); err != nil {
		t.Fatal(err)
	}
	if d := time.Since(begin); d < 800*time.Millisecond {
		t.Errorf("the other process asked after %v", d)
	}
	if err := g.Wait(); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if d := (<-waiting).Sub(begin); d < 790*time.Millisecond {
			t.Errorf("one that waited asked after %v", d)
		}
	}
	// Stopping ends the wait, and gives the token back.
	if err := a.Pause(ctx, time.Hour); err != nil {
		t.Fatal(err)
	}
	short, cancel := context.WithTimeout(ctx, 20*time.Millisecond)
	defer cancel()
	if err := b.Wait(short); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("stopped: %v", err)
	}
}

func TestLimiterWithoutPostgres(t *testing.T) {
	t.Parallel()
	s := storetest.New(t)
	l := s.Limiter("d1", 10, 10)
	s.Close()
	if err := l.Wait(t.Context()); !errors.Is(err, backup.ErrUnavailable) {
		t.Errorf("got %v", err)
	}
}
