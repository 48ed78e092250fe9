package prove

import (
	"bufio"
	"errors"
	"io"
	"slices"
	"strings"

	"github.com/klauspost/compress/gzip"

	"github.com/AutumnsGrove/Patina/backup"
)

// agrees compares what was read with what the manifest says: all that the dump
// itself, or its bytes, can tell.
func (p *Proof) agrees(m *backup.Manifest) error {
	c, h := p.Contents, p.Header
	consistency, bookmark := h.Consistency, h.Bookmark
	if consistency == "" {
		consistency = c.Footer.Consistency
	}
	for _, x := range []struct {
		what      string
		got, want any
	}{
		{"the stored bytes' hash", p.SHA256, m.SHA256},
		{"the stored size", p.Size, m.Size},
		{"the dump's hash", c.SHA256, m.SQLSHA256},
		{"the dump's size", c.Size, m.SQLSize},
		{"the body's hash", c.BodySHA256, m.BodySHA256},
		{"the body's size", c.BodySize, m.BodySize},
		{"the number of tables", c.Tables, m.TableCount},
		{"the number of rows", c.Rows, m.Rows},
		{"the number of sections", len(c.Sections), len(m.Sections)},
		{"the database's name", h.Database, m.DatabaseName},
		{"the label", consistency, string(m.Consistency)},
		{"the bookmark before", bookmark, m.BookmarkBefore},
		{"the bookmark after", c.Footer.BookmarkAfter, m.BookmarkAfter},
		{"what is redacted", strings.Join(h.Redactions, "; "), strings.Join(m.Redactions, "; ")},
	} {
		if x.got != x.want {
			return corrupt("%s is %v, and the manifest says %v", x.what, x.got, x.want)
		}
	}
	for i, s := range c.Sections {
		w := m.Sections[i]
		if s.Name != w.Name || s.Kind != w.Kind || s.Rows != w.Rows || s.SHA256 != w.SHA256 || s.Offset != w.Offset || s.Length != w.Length {
			return corrupt("the section %s is not the one that the manifest names", s.Name)
		}
		if w.StoredLength > 0 && !p.members.has(w.StoredOffset, w.StoredLength) {
			return corrupt("the section %s is not stored where the manifest says", s.Name)
		}
	}
	return nil
}

// maxMembers bounds the members of a gzip file: one a table, and a few more.
const maxMembers = 1 << 20

// members reads a gzip file and remembers where each of its members lies.
type members struct {
	in     *watched
	buf    *bufio.Reader
	z      *gzip.Reader
	starts []int64 // of each member, and the end of the last
}

func newMembers(in *watched) (*members, error) {
	m := &members{in: in, buf: bufio.NewReaderSize(in, 64<<10), starts: []int64{0}}
	var err error
	if m.z, err = gzip.NewReader(m.buf); err != nil {
		return nil, err
	}
	m.z.Multistream(false)
	return m, nil
}

func (m *members) Read(b []byte) (int, error) {
	for {
		n, err := m.z.Read(b)
		if !errors.Is(err, io.EOF) {
			return n, err
		}
		if len(m.starts) > maxMembers {
			return n, corrupt("it has more than %d gzip members", maxMembers)
		}
		m.starts = append(m.starts, m.in.n-int64(m.buf.Buffered()))
		if err := m.z.Reset(m.buf); err != nil { // io.EOF behind the last
			return n, err
		}
		m.z.Multistream(false)
		if n > 0 {
			return n, nil
		}
	}
}

// has tells whether one member, or several in a row, lie just there.
func (m *members) has(offset, length int64) bool {
	if m == nil {
		return false
	}
	_, begins := slices.BinarySearch(m.starts, offset)
	_, ends := slices.BinarySearch(m.starts, offset+length)
	return begins && ends
}
