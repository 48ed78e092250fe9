package auth

import (
	"net/netip"
	"strings"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// Limiter slows guessing down. It counts tries by address, by name, and by
// both together, and never locks anybody out for good: each bucket refills.
// It is safe for concurrent use; its memory is bounded.
type Limiter struct {
	mu      sync.Mutex
	clock   func() time.Time
	buckets map[string]*bucket
}

type bucket struct {
	*rate.Limiter
	used time.Time
}

// maxBuckets bounds the memory; past it buckets that are full again are forgotten.
const maxBuckets = 20_000

// The buckets: how many tries at once, and how long one takes to come back.
// One person on one address is stopped first, so that a guesser elsewhere
// keeps nobody out for long.
const (
	burstBoth, refillBoth       = 8, 15 * time.Second
	burstAddress, refillAddress = 24, 4 * time.Second
	burstName, refillName       = 60, 2 * time.Second
)

// NewLimiter gives a limiter whose time is clock's.
func NewLimiter(clock func() time.Time) *Limiter {
	return &Limiter{clock: clock, buckets: map[string]*bucket{}}
}

// Allow takes one try and tells whether it may go on; if not, after how long
// the next one may.
func (l *Limiter) Allow(address, name string) (ok bool, wait time.Duration) {
	now := l.clock()
	address, name = network(address), strings.ToLower(name)
	if len(name) > 64 {
		name = name[:64]
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.shrink()
	for _, b := range []*bucket{
		l.bucket("both\x00"+address+"\x00"+name, burstBoth, refillBoth),
		l.bucket("address\x00"+address, burstAddress, refillAddress),
		l.bucket("name\x00"+name, burstName, refillName),
	} {
		b.used = now
		if r := b.ReserveN(now, 1); r.DelayFrom(now) > 0 {
			wait = r.DelayFrom(now)
			r.CancelAt(now)
			return false, wait
		}
	}
	return true, 0
}

// Forget gives an address and name a full bucket again: they signed in.
func (l *Limiter) Forget(address, name string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.buckets, "both\x00"+network(address)+"\x00"+strings.ToLower(name))
}

func (l *Limiter) bucket(key string, burst int, refill time.Duration) *bucket {
	b := l.buckets[key]
	if b == nil {
		b = &bucket{Limiter: rate.NewLimiter(rate.Every(refill), burst)}
		l.buckets[key] = b
	}
	return b
}

// shrink forgets what has not been used for ten minutes, by when every bucket
// is full again, or, where that frees nothing, everything.
func (l *Limiter) shrink() {
	if len(l.buckets) < maxBuckets {
		return
	}
	old := l.clock().Add(-10 * time.Minute)
	for key, b := range l.buckets {
		if b.used.Before(old) {
			delete(l.buckets, key)
		}
	}
	if len(l.buckets) >= maxBuckets {
		clear(l.buckets)
	}
}

// network gives what one client holds by itself: an IPv4 address, or the /64
// of an IPv6 one.
func network(address string) string {
	ip, err := netip.ParseAddr(address)
	if err != nil {
		return address
	}
	ip = ip.Unmap()
	if ip.Is4() {
		return ip.String()
	}
	p, err := ip.WithZone("").Prefix(64)
	if err != nil {
		return address
	}
	return p.String()
}
