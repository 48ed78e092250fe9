package dump

import (
	"bytes"
	"errors"
	"fmt"
	"io"
)

// scanner reads a text by lines and statements, with at most a bound of it in
// memory. What it gives is a part of its buffer, valid until the next call.
type scanner struct {
	r      io.Reader
	buf    []byte
	pos    int   // start of what was not yet given
	base   int64 // offset of buf[0]
	eof    bool
	max    int          // longest line or statement
	passed func([]byte) // sees every byte given, in order, sooner or later
	hashed int          // buf[:hashed] was passed on
}

const readBytes = 128 << 10

func newScanner(r io.Reader, limit int, passed func([]byte)) *scanner {
	return &scanner{r: r, max: limit, passed: passed, buf: make([]byte, 0, 2*readBytes)}
}

func (s *scanner) offset() int64 { return s.base + int64(s.pos) }

// settle passes on all that was given so far.
func (s *scanner) settle() {
	if s.hashed < s.pos {
		s.passed(s.buf[s.hashed:s.pos])
		s.hashed = s.pos
	}
}

// more reads more text behind what there is. It tells false at the end.
func (s *scanner) more() (bool, error) {
	if s.eof {
		return false, nil
	}
	if cap(s.buf)-len(s.buf) < readBytes {
		s.settle()
		rest := s.buf[s.pos:]
		if cap(s.buf) < len(rest)+readBytes {
			s.buf = append(make([]byte, 0, 2*len(rest)+2*readBytes), rest...)
		} else {
			s.buf = s.buf[:copy(s.buf[:cap(s.buf)], rest)]
		}
		s.base += int64(s.pos)
		s.pos, s.hashed = 0, 0
	}
	for range 100 {
		n, err := s.r.Read(s.buf[len(s.buf):cap(s.buf)])
		s.buf = s.buf[:len(s.buf)+n]
		if errors.Is(err, io.EOF) {
			s.eof = true
			return n > 0, nil
		}
		if err != nil {
			return false, fmt.Errorf("dump: read: %w", err)
		}
		if n > 0 {
			return true, nil
		}
	}
	return false, fmt.Errorf("dump: read: %w", io.ErrNoProgress)
}

// starts tells whether the text goes on with the prefix.
func (s *scanner) starts(prefix string) (bool, error) {
	for len(s.buf)-s.pos < len(prefix) {
		if ok, err := s.more(); !ok {
			return false, err
		}
	}
	return string(s.buf[s.pos:s.pos+len(prefix)]) == prefix, nil
}

// atEnd tells whether nothing is left.
func (s *scanner) atEnd() (bool, error) {
	for len(s.buf) == s.pos {
		if ok, err := s.more(); !ok {
			return true, err
		}
	}
	return false, nil
}

// find gives the text up to the end that seek finds in it; seek gives -1 where
// there is no end yet.
func (s *scanner) find(what string, limit int, seek func([]byte) int) ([]byte, error) {
	seen := 0 // looked through in vain
	for {
		text := s.buf[s.pos:]
		if len(text) > seen {
			if n := seek(text); n >= 0 && n <= limit {
				s.pos += n
				return text[:n], nil
			}
			seen = len(text)
		}
		if seen > limit {
			return nil, s.corrupt("a %s is longer than %d bytes", what, limit)
		}
		// Twice as much before the next look, or long statements would be
		// read over and over.
		for len(s.buf)-s.pos < 2*seen || len(s.buf)-s.pos == seen {
			ok, err := s.more()
			if err != nil {
				return nil, err
			}
			if !ok {
				break
			}
		}
		if len(s.buf)-s.pos == seen {
			return nil, s.truncated("the text ends within a %s", what)
		}
	}
}

// line gives the next line without its line feed.
func (s *scanner) line(limit int) ([]byte, error) {
	text, err := s.find("line", limit, lineEnd)
	if err != nil {
		return nil, err
	}
	return text[:len(text)-1], nil
}

// lineEnd gives the index just past the first line feed, or -1.
func lineEnd(b []byte) int {
	if i := bytes.IndexByte(b, '\n'); i >= 0 {
		return i + 1
	}
	return -1
}

// statement gives the next statement with its semicolon, and steps over the
// line feed that must follow it.
func (s *scanner) statement() ([]byte, error) {
	text, err := s.find("statement", s.max, StatementEnd)
	if err != nil {
		return nil, err
	}
	n := len(text)
	s.pos -= n // keep it in the buffer while looking past it
	for len(s.buf)-s.pos <= n {
		ok, err := s.more()
		if err != nil {
			return nil, err
		}
		if !ok {
			return nil, s.truncated("the text ends behind a statement")
		}
	}
	text = s.buf[s.pos : s.pos+n]
	s.pos += n
	if s.buf[s.pos] != '\n' {
		return nil, s.corrupt("a statement is not at the end of its line")
	}
	s.pos++
	return text, nil
}

func (s *scanner) corrupt(format string, args ...any) error {
	return fmt.Errorf("%w: at byte %d: %s", ErrCorrupt, s.offset(), fmt.Sprintf(format, args...))
}

func (s *scanner) truncated(format string, args ...any) error {
	return fmt.Errorf("%w: at byte %d: %s", ErrTruncated, s.offset(), fmt.Sprintf(format, args...))
}
