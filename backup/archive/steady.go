package archive

import (
	"context"
	"errors"
	"io"
	"time"

	"github.com/AutumnsGrove/Patina/backup"
	"github.com/AutumnsGrove/Patina/backup/object"
)

// cuts is how often a read that was cut is taken up again without having got
// further.
const cuts = 4

// steady reads an object up to end, and takes up again where it was a read that
// the bucket cut: an archive is long, and one reset must not begin it anew.
type steady struct {
	ctx   context.Context
	b     object.Bucket
	key   string
	at    int64
	end   int64
	pause waiter

	r      io.ReadCloser
	failed int   // cuts since bytes came
	err    error // what the object, or its bucket, ended the reading with
}

// Read gives io.EOF at end, and io.ErrUnexpectedEOF where the object ends before.
func (s *steady) Read(p []byte) (int, error) {
	n, err := s.read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		s.err = err
	}
	return n, err
}

func (s *steady) read(p []byte) (int, error) {
	for {
		if s.at >= s.end {
			return 0, io.EOF
		}
		n, err := s.try(p[:min(int64(len(p)), s.end-s.at)])
		s.at += int64(n)
		if n > 0 {
			s.failed = 0
		}
		switch {
		case n > 0, err == nil:
			return n, nil
		case errors.Is(err, io.EOF):
			return 0, io.ErrUnexpectedEOF
		case s.ctx.Err() != nil:
			return 0, context.Cause(s.ctx)
		case !errors.Is(err, backup.ErrUnavailable):
			return 0, err
		}
		s.close()
		if s.failed++; s.failed >= cuts {
			return 0, err
		}
		if err := s.pause(s.ctx, time.Second<<(s.failed-1)); err != nil {
			return 0, err
		}
	}
}

func (s *steady) try(p []byte) (int, error) {
	if s.r == nil {
		r, err := s.b.Open(s.ctx, s.key, s.at, -1)
		if err != nil {
			return 0, err
		}
		s.r = r
	}
	return s.r.Read(p)
}

// ended tells, by ErrCorrupt, that the object goes on behind its end.
func (s *steady) ended() error {
	if s.r == nil {
		return nil
	}
	var more [1]byte
	if n, _ := io.ReadFull(s.r, more[:]); n > 0 {
		return backup.Errorf(backup.ErrCorrupt, "it is longer than what was stored")
	}
	return nil
}

// damaged tells whether the object itself is at fault: it is missing, or ends
// before it should.
func (s *steady) damaged() bool {
	switch {
	case errors.Is(s.err, backup.ErrUnavailable):
		return false
	case errors.Is(s.err, backup.ErrNotFound), errors.Is(s.err, backup.ErrInvalid), errors.Is(s.err, io.ErrUnexpectedEOF):
		return true
	}
	return false
}

func (s *steady) close() {
	if s.r != nil {
		_ = s.r.Close()
		s.r = nil
	}
}
