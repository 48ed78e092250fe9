package d1sim

import (
	"sync"
	"time"
)

// Effect is what a fault does to an answer.
type Effect string

// The effects.
const (
	RateLimited  Effect = "429"           // with Retry-After
	Unavailable  Effect = "503"           // with a body of a proxy's
	HTML         Effect = "html"          // 200 and a page
	Cut          Effect = "cut"           // the connection ends within the body
	SuccessFalse Effect = "success:false" // 200
	Nothing      Effect = "nothing"       // the connection ends before an answer; the work is done
	Hang         Effect = "hang"          // no answer until the client goes
	Replica      Effect = "replica"       // served_by_primary is false
)

// Fault spoils some answers.
type Fault struct {
	Effect     Effect
	Database   string // the id; "" for any
	Call       string // "raw", "bookmark", "import", "list" …; "" for any
	Skip       int    // let so many pass first
	Times      int    // then spoil so many; negative: all
	CutAfter   int    // for Cut: bytes
	RetryAfter time.Duration
	fired      int
}

// Faults are the switches of an account.
type Faults struct {
	// Hook is called before a statement runs; it may write to the database.
	Hook func(id, sql string)

	mu   sync.Mutex
	list []*Fault
}

// Add switches a fault on; fired tells how often it was.
func (f *Faults) Add(fault Fault) (fired func() int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	p := &fault
	f.list = append(f.list, p)
	return func() int {
		f.mu.Lock()
		defer f.mu.Unlock()
		return p.fired
	}
}

// Clear switches all faults off.
func (f *Faults) Clear() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.list = nil
}

// next gives the fault that spoils this call, or nil.
func (f *Faults) next(id, call string) *Fault {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, x := range f.list {
		if x.Database != "" && x.Database != id || x.Call != "" && x.Call != call || x.Times == 0 {
			continue
		}
		if x.Skip > 0 {
			x.Skip--
			continue
		}
		if x.Times > 0 {
			x.Times--
		}
		x.fired++
		return x
	}
	return nil
}

// Stats counts what was asked of the account.
type Stats struct {
	Requests int64
	RowsRead int64 // as they would be billed
}

type statistics struct {
	mu   sync.Mutex
	all  Stats
	each map[string]Stats
}

func (s *statistics) add(id string, requests, rows int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.each == nil {
		s.each = map[string]Stats{}
	}
	s.all.Requests += requests
	s.all.RowsRead += rows
	e := s.each[id]
	e.Requests += requests
	e.RowsRead += rows
	s.each[id] = e
}

// Stats gives what was asked of the account, and of one database of it.
func (a *Account) Stats() Stats {
	a.stats.mu.Lock()
	defer a.stats.mu.Unlock()
	return a.stats.all
}

// DatabaseStats gives what was asked of one database.
func (a *Account) DatabaseStats(id string) Stats {
	a.stats.mu.Lock()
	defer a.stats.mu.Unlock()
	return a.stats.each[id]
}

// window is the rate limit: so many requests in five minutes, and past that
// none until five minutes are over.
type window struct {
	mu      sync.Mutex
	start   time.Time
	n       int
	refused int
}

const fiveMinutes = 5 * time.Minute

// take gives how long to wait; 0 is yes.
func (w *window) take(now time.Time, limit int) time.Duration {
	if limit <= 0 {
		return 0
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if now.Sub(w.start) >= fiveMinutes {
		w.start, w.n = now, 0
	}
	if w.n >= limit {
		w.refused++
		return w.start.Add(fiveMinutes).Sub(now)
	}
	w.n++
	return 0
}

// Refused tells how many requests the rate limit refused.
func (a *Account) Refused() int {
	a.limit.mu.Lock()
	defer a.limit.mu.Unlock()
	return a.limit.refused
}
