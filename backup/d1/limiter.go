package d1

import (
	"context"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"github.com/AutumnsGrove/Patina/backup"
)

// The API takes 1,200 requests in 5 minutes from a token, and then none for 5
// minutes; the default stays at 80% of that.
const (
	DefaultRate  = 0.8 * 1200 / 300
	DefaultBurst = 100
)

// Limiter hands out one token for each request.
type Limiter interface {
	// Wait returns when a request may be sent.
	Wait(ctx context.Context) error
	// Pause lets nobody ask before d has passed: what Retry-After said.
	Pause(ctx context.Context, d time.Duration) error
}

type localLimiter struct {
	bucket *rate.Limiter
	mu     sync.Mutex
	until  time.Time
}

// NewLocalLimiter is a token bucket of this process alone.
func NewLocalLimiter(perSecond float64, burst int) Limiter {
	return &localLimiter{bucket: rate.NewLimiter(rate.Limit(perSecond), burst)}
}

func (l *localLimiter) Wait(ctx context.Context) error {
	for {
		l.mu.Lock()
		d := time.Until(l.until)
		l.mu.Unlock()
		if d <= 0 {
			return l.bucket.Wait(ctx)
		}
		if err := backup.Pause(ctx, d); err != nil {
			return err
		}
	}
}

func (l *localLimiter) Pause(_ context.Context, d time.Duration) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if t := time.Now().Add(d); t.After(l.until) {
		l.until = t
	}
	return nil
}
