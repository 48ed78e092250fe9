package history

import (
	"context"
	"sync"
	"time"

	"github.com/AutumnsGrove/Patina/store"
)

// How many event streams one session or token may hold, and all together. What
// they cost Postgres does not grow with them.
const (
	maxStreams      = 6
	maxStreamsTotal = 1000
)

// Streams counts the open event streams, ends them all when Done is closed, and
// looks at the jobs for all of them: once an interval it asks Postgres which of
// the jobs have changed, in one query, and each that has is read once, however
// many streams tell of it.
type Streams struct {
	Store    *store.Store
	Interval time.Duration   // between two looks
	Done     <-chan struct{} // the server is stopping

	mu      sync.Mutex
	open    map[string]int
	total   int
	watched map[string]*watched    // by the job's UUID
	tick    chan struct{}          // closed at the next look
	sound   map[string]func() bool // whether a session is alive, until the next time that all are asked
}

// watched is a job that at least one stream tells of.
type watched struct {
	streams int
	version string // what it was when it was looked at last

	mu    sync.Mutex
	parts map[int]part     // by how many results they hold, as of version
	texts map[textKey]told // what streams sent since the last look
}

// told is one rendering of a job.
type told struct {
	text  string
	ended bool
}

// take opens a stream for a session; false where it has too many.
func (s *Streams) take(session string) (release func(), ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.open[session] >= maxStreams || s.total >= maxStreamsTotal {
		return nil, false
	}
	if s.open == nil {
		s.open = map[string]int{}
	}
	s.open[session]++
	s.total++
	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.total--
		if s.open[session]--; s.open[session] == 0 {
			delete(s.open, session)
		}
	}, true
}

// Open tells how many streams are open.
func (s *Streams) Open() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.total
}

// watch begins to look at a job, until leave.
func (s *Streams) watch(id string) (w *watched, leave func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.watched == nil {
		s.watched = map[string]*watched{}
	}
	w = s.watched[id]
	if w == nil {
		w = &watched{}
		s.watched[id] = w
	}
	if w.streams++; s.tick == nil {
		s.tick = make(chan struct{})
		go s.look()
	}
	return w, func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		if w.streams--; w.streams == 0 {
			delete(s.watched, id)
		}
	}
}

// next is closed at the next look.
func (s *Streams) next() <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.tick
}

// look looks at what is watched once an interval, until nothing is.
func (s *Streams) look() {
	t := time.NewTicker(s.Interval)
	defer t.Stop()
	for n := 1; ; n++ {
		select {
		case <-s.Done:
			return
		case <-t.C:
		}
		if !s.lookOnce(n) {
			return
		}
	}
}

// lookOnce wakes the streams after one look; false where there are none.
func (s *Streams) lookOnce(n int) bool {
	s.mu.Lock()
	ids := make([]string, 0, len(s.watched))
	for id := range s.watched {
		ids = append(ids, id)
	}
	if len(ids) == 0 {
		s.tick = nil
		s.mu.Unlock()
		return false
	}
	s.mu.Unlock()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	versions, err := s.Store.JobVersions(ctx, ids)
	s.mu.Lock()
	defer s.mu.Unlock()
	for id, w := range s.watched {
		if err != nil {
			w.changed(nil) // whoever reads it finds out what is wrong
		} else if v := versions[id]; v != w.version {
			w.version = v
			w.changed(nil)
		} else {
			w.changed(w)
		}
	}
	if n%15 == 0 {
		s.sound = nil
	}
	close(s.tick)
	s.tick = make(chan struct{})
	return true
}

// changed forgets what streams sent, and, unless it is as it was, what was read.
func (w *watched) changed(same *watched) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.texts = nil; same == nil {
		w.parts = nil
	}
}

// alive tells whether a session still is one; ask is asked once for all of its
// streams, and once in fifteen looks.
func (s *Streams) alive(session string, ask func() bool) bool {
	s.mu.Lock()
	is := s.sound[session]
	if is == nil {
		if s.sound == nil {
			s.sound = map[string]func() bool{}
		}
		is = sync.OnceValue(ask)
		s.sound[session] = is
	}
	s.mu.Unlock()
	return is()
}
