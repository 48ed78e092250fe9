package export

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"hash"
	"runtime"
	"sync"

	"github.com/klauspost/pgzip"

	"github.com/AutumnsGrove/Patina/backup"
	"github.com/AutumnsGrove/Patina/backup/dump"
	"github.com/AutumnsGrove/Patina/backup/object"
)

// A sink carries at most chunkCount chunks that are read but not yet stored:
// the next page is fetched while the last ones are compressed and sent.
const (
	chunkBytes = 128 << 10
	chunkCount = 8
)

// zipBlock is what one goroutine compresses; twice as much saves 0.1% of size.
const zipBlock = 128 << 10

// sink is where a dump goes: chunks on a channel to one goroutine, which
// compresses, hashes and uploads them in order.
type sink struct {
	upload object.Upload
	chunks chan chunk
	free   chan []byte
	done   chan struct{}
	zip    bool
	open   []byte // the chunk being filled

	mu  sync.Mutex
	err error

	hash    hash.Hash // with gzip: of what is stored
	size    int64
	members []member // with gzip: one for each section
}

// chunk is some bytes, or, with none, the border between two sections.
type chunk struct{ b []byte }

// member is where a gzip member lies in the stored object.
type member struct{ Offset, Length int64 }

func newSink(upload object.Upload, compress backup.Compression) *sink {
	s := &sink{
		upload: upload, chunks: make(chan chunk, chunkCount), free: make(chan []byte, chunkCount),
		done: make(chan struct{}), hash: sha256.New(),
	}
	if s.zip = compress == backup.Gzip; s.zip {
		go s.compress()
	} else {
		go s.plain()
	}
	return s
}

// Write copies b; it fails once storing has failed.
func (s *sink) Write(b []byte) (int, error) {
	n := len(b)
	for len(b) > 0 {
		if s.open == nil {
			select {
			case s.open = <-s.free:
			default:
				s.open = make([]byte, 0, chunkBytes)
			}
		}
		k := copy(s.open[len(s.open):cap(s.open)], b)
		s.open, b = s.open[:len(s.open)+k], b[k:]
		if len(s.open) == cap(s.open) {
			s.flush()
			if err := s.failed(); err != nil {
				return 0, err
			}
		}
	}
	return n, nil
}

func (s *sink) flush() {
	if len(s.open) > 0 {
		s.chunks <- chunk{s.open}
		s.open = nil
	}
}

// Cut ends a section: with gzip, the next byte begins a member (dump.Cutter).
func (s *sink) Cut() error {
	if s.zip {
		s.flush()
		s.chunks <- chunk{}
	}
	return s.failed()
}

func (s *sink) failed() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.err
}

func (s *sink) fail(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err == nil {
		s.err = err
	}
}

// store hashes and uploads, unless that has failed already.
func (s *sink) store(b []byte) (int, error) {
	if err := s.failed(); err != nil {
		return 0, err
	}
	n, err := s.upload.Write(b)
	if s.zip {
		s.hash.Write(b[:n])
	}
	s.size += int64(n)
	if err != nil {
		s.fail(err)
	}
	return n, err
}

type storeWriter struct{ s *sink }

func (w storeWriter) Write(b []byte) (int, error) { return w.s.store(b) }

func (s *sink) recycle(c chunk) {
	select {
	case s.free <- c.b[:0]:
	default:
	}
}

func (s *sink) plain() {
	defer close(s.done)
	for c := range s.chunks {
		if len(c.b) > 0 {
			_, _ = s.store(c.b) // kept in s.err
			s.recycle(c)
		}
	}
}

// compress writes one gzip member for each section. Small blocks keep memory
// low; level 5 is as small as -6 of gzip within 5%.
func (s *sink) compress() {
	defer close(s.done)
	gz, _ := pgzip.NewWriterLevel(storeWriter{s}, 5)
	open := false // a member
	var start int64
	end := func() {
		if !open {
			return
		}
		if err := gz.Close(); err != nil {
			s.fail(err)
		}
		s.members = append(s.members, member{start, s.size - start})
		gz.Reset(storeWriter{s}) // keeps its buffers, where a new writer would make its own
		open = false
	}
	for c := range s.chunks {
		if len(c.b) == 0 {
			end()
			continue
		}
		if !open {
			open, start = true, s.size
			_ = gz.SetConcurrency(zipBlock, min(4, runtime.GOMAXPROCS(0)))
		}
		if _, err := gz.Write(c.b); err != nil {
			s.fail(err)
		}
		s.recycle(c)
	}
	end()
}

// finish waits until everything is uploaded.
func (s *sink) finish() error {
	s.flush()
	close(s.chunks)
	<-s.done
	return s.failed()
}

// discard ends the goroutine and the upload; nothing is left listed.
func (s *sink) discard(ctx context.Context) {
	s.fail(context.Canceled)
	close(s.chunks)
	<-s.done
	_ = s.upload.Abort(ctx)
}

// sum is the hash of what is stored: without gzip that is the dump, whose hash
// is given.
func (s *sink) sum(dump string) string {
	if !s.zip {
		return dump
	}
	return hex.EncodeToString(s.hash.Sum(nil))
}

var _ dump.Cutter = (*sink)(nil)
