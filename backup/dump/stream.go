package dump

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"hash"
	"io"
	"sync/atomic"
)

const (
	holdBytes  = 4 << 20   // of the body held back for the header's sake
	blockBytes = 256 << 10 // handed on at once
	inline     = 16 << 10  // a shorter block is not worth a goroutine
)

// stream carries the Writer's bytes out: it holds the first of them back until
// the header can be written, keeps the hashes and the table of contents, and
// hashes one block while the next is made.
type stream struct {
	out     io.Writer
	cut     func() error
	header  Header
	buf     []byte // being made
	spare   []byte // being hashed
	started bool   // the header is written
	held    []held // body before that
	holding int64  // bytes of it
	offset  int64  // bytes of the body before buf
	base    int64  // bytes of the header
	size    int64  // bytes written to out

	schemaBytes int64 // of CREATE statements and of sections' names

	fileHash, bodyHash, partHash hash.Hash
	hashing                      chan struct{} // closed when spare is hashed; nil when none is

	sections []Section // Offset counted from the body's start until finish
	inPart   bool      // the last section goes on

	tableName   atomic.Pointer[string]
	count       int64        // rows
	rows, bytes atomic.Int64 // as last published
}

// held is a block of the body that waits for the header.
type held struct {
	block []byte
	cut   bool // a section ends behind it
}

func (s *stream) start(out io.Writer, h Header) {
	s.out, s.header = out, h
	s.cut = func() error { return nil }
	if c, ok := out.(Cutter); ok {
		s.cut = c.Cut
	}
	s.fileHash, s.bodyHash, s.partHash = sha256.New(), sha256.New(), sha256.New()
	s.tableName.Store(new(string))
}

// counted counts one row. Progress is told of every 64th, for an atomic store
// costs as much as a short value.
func (s *stream) counted() {
	s.count++
	s.sections[len(s.sections)-1].Rows++
	if s.count%64 == 0 {
		s.publish()
	}
}

// publish tells Progress where the writing stands.
func (s *stream) publish() {
	s.rows.Store(s.count)
	s.bytes.Store(s.offset + int64(len(s.buf)))
}

// spill hands the buffer on when it is full.
func (s *stream) spill() error {
	if len(s.buf) >= blockBytes {
		return s.flush()
	}
	return nil
}

// flush hands the buffer on: to the hold or out, and to the hashes.
func (s *stream) flush() error {
	s.wait()
	block := s.buf
	if len(block) == 0 {
		return nil
	}
	s.publish()
	s.offset += int64(len(block))
	if !s.started && s.holding+int64(len(block)) > holdBytes {
		if err := s.begin(appendHeader(nil, s.header, "")); err != nil {
			return err
		}
	}
	started, inPart := s.started, s.inPart
	digest := func() {
		s.bodyHash.Write(block)
		if inPart {
			s.partHash.Write(block)
		}
		if started {
			s.fileHash.Write(block)
		}
	}
	if len(block) < inline {
		digest()
	} else {
		done := make(chan struct{})
		s.hashing = done
		go func() { digest(); close(done) }()
	}
	if !started {
		s.hold(block)
		return nil
	}
	s.buf, s.spare = s.spare[:0], block
	return s.write(block)
}

// hold keeps a block until the header is written: a full one as it is, and of
// one that ends with its section a copy.
func (s *stream) hold(block []byte) {
	s.holding += int64(len(block))
	if len(block) < cap(block)/2 {
		s.held = append(s.held, held{block: bytes.Clone(block)})
		s.buf, s.spare = s.spare[:0], block
		return
	}
	s.held = append(s.held, held{block: block})
	s.buf = make([]byte, 0, cap(block))
}

// wait ends when the spare buffer is hashed.
func (s *stream) wait() {
	if s.hashing != nil {
		<-s.hashing
		s.hashing = nil
	}
}

func (s *stream) write(b []byte) error {
	n, err := s.out.Write(b)
	s.size += int64(n)
	if err != nil {
		return fmt.Errorf("dump: write: %w", err)
	}
	return nil
}

// begin writes the header and what was held back for it.
func (s *stream) begin(header []byte) error {
	s.wait()
	s.started, s.base = true, int64(len(header))
	s.fileHash.Write(header)
	if err := s.write(header); err != nil {
		return err
	}
	for i, h := range s.held {
		s.held[i].block = nil
		s.fileHash.Write(h.block)
		if err := s.write(h.block); err != nil {
			return err
		}
		if h.cut {
			if err := s.cut(); err != nil {
				return err
			}
		}
	}
	s.held = nil
	return nil
}

// section ends the last section, where there is one, and begins another with
// its marker.
func (s *stream) section(name, kind string) error {
	if err := s.endSection(); err != nil {
		return err
	}
	if err := s.grow(len(name)); err != nil {
		return err
	}
	if len(s.sections) >= maxSections {
		return fmt.Errorf("dump: %w: more than %d sections", ErrInvalid, maxSections)
	}
	s.sections = append(s.sections, Section{Name: name, Kind: kind, Offset: s.offset})
	s.inPart = true
	s.partHash.Reset()
	return s.line(marker(kind), name)
}

// grow counts bytes of the schema.
func (s *stream) grow(n int) error {
	if s.schemaBytes += int64(n); s.schemaBytes > maxCreates {
		return fmt.Errorf("dump: %w: the schema is longer than %d bytes", ErrInvalid, maxCreates)
	}
	return nil
}

// line writes a comment line of the body.
func (s *stream) line(head, text string) error {
	start := len(s.buf)
	s.buf = append(s.buf, head...)
	s.buf = escape(s.buf, text)
	if n := len(s.buf) - start; n >= MaxStatement {
		return fmt.Errorf("dump: %w: a comment line of %d bytes", ErrInvalid, n)
	}
	s.buf = append(s.buf, '\n')
	return s.spill()
}

// endSection hands on all that was written so far and cuts there.
func (s *stream) endSection() error {
	if err := s.flush(); err != nil {
		return err
	}
	s.wait()
	if s.inPart {
		last := &s.sections[len(s.sections)-1]
		last.Length = s.offset - last.Offset
		last.SHA256 = sum(s.partHash)
		s.inPart = false
	}
	if s.started {
		return s.cut()
	}
	s.held[len(s.held)-1].cut = true // never the first: the body begins with its frame
	return nil
}

func sum(h hash.Hash) string { return hex.EncodeToString(h.Sum(nil)) }

// finish ends the body and writes the footer.
func (s *stream) finish(f Footer) (Contents, error) {
	if err := s.endSection(); err != nil {
		return Contents{}, err
	}
	s.buf = append(s.buf, commit+"\n"+foreignKeysOn+"\n"...)
	if err := s.flush(); err != nil {
		return Contents{}, err
	}
	s.wait()
	c := Contents{Rows: s.count, BodySize: s.offset, BodySHA256: sum(s.bodyHash), Footer: f}
	for _, section := range s.sections {
		if section.Kind != KindSchema {
			c.Tables++
		}
	}
	if !s.started {
		h := s.header
		if h.Consistency == "" {
			h.Consistency = f.Consistency
		}
		if err := s.begin(appendHeader(nil, h, counts(c.Tables, c.Rows))); err != nil {
			return Contents{}, err
		}
	}
	c.Sections = s.sections
	for i := range c.Sections {
		c.Sections[i].Offset += s.base
	}
	footer := appendFooter(nil, c)
	if len(footer) > maxLine {
		return Contents{}, fmt.Errorf("dump: %w: a footer of %d bytes", ErrInvalid, len(footer))
	}
	s.fileHash.Write(footer)
	footer = append(footer, fileHashLine+sum(s.fileHash)+"\n"...)
	s.fileHash.Write(footer[len(footer)-len(fileHashLine)-65:])
	c.SHA256 = sum(s.fileHash)
	err := s.write(footer)
	c.Size = s.size
	return c, err
}
