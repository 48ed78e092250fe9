package dump

import (
	"bytes"
	"crypto/sha256"
	"hash"
	"io"
	"strings"
)

// ReaderOptions bounds a Reader.
type ReaderOptions struct {
	MaxStatement int // bytes; 0 means the constant MaxStatement
}

// Reader reads one dump as a stream, in memory of about twice its longest
// statement. Every error but the underlying reader's own Is ErrCorrupt.
type Reader struct {
	s   *scanner
	at  place
	err error // what Next goes on giving

	header    Header
	headerErr error
	counted   bool // the header states tables and rows
	tables    int
	rows      int64

	fileHash, bodyHash, partHash hash.Hash
	inBody, inPart               bool
	bodyStart                    int64

	contents Contents
	section  *Section // the open one, within contents; nil between sections
	insert   []byte   // INSERT INTO "section"
	stage    string   // the section's staging table; "" while there is none

	schema int64 // bytes of CREATE statements and of sections' names
	fires  bool  // a trigger was made
}

// Bounds of what a reader keeps of a dump of many small things; the Writer keeps
// within them.
const (
	maxSections = 1 << 18
	maxCreates  = 32 << 20
)

// place is where in a dump a Reader stands.
type place int

const (
	atHeader place = iota
	atForeignKeysOff
	atBegin
	atSections
	atForeignKeysOn
	atFooter
)

// NewReader reads a dump from r.
func NewReader(r io.Reader, opt ReaderOptions) *Reader {
	limit := opt.MaxStatement
	if limit <= 0 {
		limit = MaxStatement
	}
	d := &Reader{fileHash: sha256.New(), bodyHash: sha256.New(), partHash: sha256.New()}
	d.s = newScanner(r, limit, d.passed)
	return d
}

// passed hashes what was read, the whole file's hash beside the others.
func (r *Reader) passed(b []byte) {
	if !r.inBody || len(b) < inline {
		r.fileHash.Write(b)
	} else {
		done := make(chan struct{})
		go func() { r.fileHash.Write(b); close(done) }()
		defer func() { <-done }()
	}
	if r.inBody {
		r.bodyHash.Write(b)
	}
	if r.inPart {
		r.partHash.Write(b)
	}
}

// Header reads the header. Consistency and Bookmark are "" where it refers to
// the footer.
func (r *Reader) Header() (Header, error) {
	if r.at == atHeader && r.headerErr == nil {
		r.headerErr = r.readHeader()
	}
	return r.header, r.headerErr
}

func (r *Reader) readHeader() error {
	if err := r.readMagic(); err != nil {
		return err
	}
	line := func(head string, parse func(string) bool) error {
		b, err := r.s.line(maxLine)
		if err != nil {
			return err
		}
		text, ok := strings.CutPrefix(string(b), head)
		if !ok || !parse(text) {
			return r.s.corrupt("the header's line %q is missing or cannot be read", strings.TrimSpace(head))
		}
		return nil
	}
	h := &r.header
	if err := line(databaseLine, func(s string) bool { return parseDatabase(s, h) }); err != nil {
		return err
	}
	if err := line(takenLine, func(s string) bool { return parseTaken(s, h) }); err != nil {
		return err
	}
	if err := line(bookmarkLine, func(s string) (ok bool) { h.Bookmark, ok = parseField(s); return ok }); err != nil {
		return err
	}
	for {
		redacted, err := r.s.starts(redactedLine)
		if err != nil {
			return err
		}
		if !redacted {
			break
		}
		if r.s.offset() > maxHeader {
			return r.s.corrupt("the header is longer than %d bytes", maxHeader)
		}
		if err := line(redactedLine, func(s string) bool {
			rule, ok := unescape(s)
			h.Redactions = append(h.Redactions, rule)
			return ok
		}); err != nil {
			return err
		}
	}
	if err := line(tablesLine, func(s string) (ok bool) { r.tables, r.rows, r.counted, ok = parseCounts(s); return ok }); err != nil {
		return err
	}
	r.s.settle()
	r.inBody, r.bodyStart = true, r.s.offset()
	r.at = atForeignKeysOff
	return nil
}

func (r *Reader) readMagic() error {
	ours, err := r.s.starts(magic)
	if err != nil {
		return err
	}
	if text := r.s.buf; !ours && (len(text) >= len(magic) || !strings.HasPrefix(magic, string(text))) {
		return r.s.corrupt("this is not a Patina dump")
	}
	line, err := r.s.line(maxLine)
	if err != nil {
		return err
	}
	if version := string(line[len(magic):]); version != "1" {
		return wrap(ErrVersion, "this is a dump of format %q, and this program reads format %d", version, Version)
	}
	return nil
}

// Next gives the next statement, and io.EOF only behind a footer that vouches
// for all that was read, with nothing behind it.
func (r *Reader) Next() (Statement, error) {
	if r.err != nil {
		return Statement{}, r.err
	}
	s, err := r.next()
	r.err = err
	return s, err
}

func (r *Reader) next() (Statement, error) {
	if _, err := r.Header(); err != nil {
		return Statement{}, err
	}
	for r.at == atSections {
		comment, err := r.s.starts("--")
		if err != nil {
			return Statement{}, err
		}
		if !comment {
			break
		}
		if err := r.comment(); err != nil {
			return Statement{}, err
		}
	}
	if r.at == atFooter {
		if err := r.footer(); err != nil {
			return Statement{}, err
		}
		return Statement{}, io.EOF
	}
	if last, err := r.s.starts(commit + "\n"); err != nil {
		return Statement{}, err
	} else if last && r.at == atSections {
		r.endSection()
	}
	offset := r.s.offset()
	sql, err := r.s.statement()
	if err != nil {
		return Statement{}, err
	}
	if bytes.IndexByte(sql, 0) >= 0 {
		return Statement{}, r.s.corrupt("a statement holds a NUL")
	}
	s := Statement{SQL: sql, Offset: offset}
	if framing, err := r.framing(sql); framing || err != nil {
		s.Kind = Framing
		return s, err
	}
	return s, r.inSection(&s)
}

// framing steps from place to place.
func (r *Reader) framing(sql []byte) (bool, error) {
	var want string
	switch r.at {
	case atForeignKeysOff:
		want = foreignKeysOff
	case atBegin:
		want = begin
	case atForeignKeysOn:
		want = foreignKeysOn
	default:
		if string(sql) != commit || r.section != nil {
			return false, nil
		}
		want = commit
	}
	if string(sql) != want {
		return false, r.s.corrupt("%q is missing", want)
	}
	r.at++
	if r.at == atFooter {
		r.s.settle()
		r.inBody = false
		r.contents.BodySize = r.s.offset() - r.bodyStart
		r.contents.BodySHA256 = sum(r.bodyHash)
	}
	return true, nil
}

// comment reads a marker or a note.
func (r *Reader) comment() error {
	for _, m := range [...]struct{ marker, kind string }{
		{tableMarker, KindTable}, {virtualMarker, KindVirtual}, {schemaMarker, KindSchema},
	} {
		is, err := r.s.starts(m.marker)
		if err != nil {
			return err
		}
		if !is {
			continue
		}
		r.endSection()
		section := Section{Kind: m.kind, Offset: r.s.offset()}
		r.partHash.Reset()
		r.inPart = true
		line, err := r.s.line(r.s.max)
		if err != nil {
			return err
		}
		name, ok := unescape(string(line[len(m.marker):]))
		if !ok {
			return r.s.corrupt("the name of a section cannot be read")
		}
		section.Name = name
		r.schema += int64(len(name))
		switch {
		case len(r.contents.Sections) >= maxSections:
			return r.s.corrupt("it has more than %d sections", maxSections)
		case r.schema > maxCreates:
			return r.s.corrupt("its schema is longer than %d bytes", maxCreates)
		case r.fires && m.kind != KindSchema:
			return r.s.corrupt("a table comes behind a trigger, which its rows could set off")
		}
		r.contents.Sections = append(r.contents.Sections, section)
		r.section = &r.contents.Sections[len(r.contents.Sections)-1]
		r.insert = appendIdent(append(r.insert[:0], "INSERT INTO "...), name)
		r.stage = ""
		return nil
	}
	line, err := r.s.line(r.s.max)
	if err == nil && !bytes.HasPrefix(line, []byte(noteMarker)) {
		return r.s.corrupt("an unknown comment stands between the statements")
	}
	return err
}

// endSection closes the open section before the next byte.
func (r *Reader) endSection() {
	r.s.settle()
	if r.section == nil {
		return
	}
	r.section.Length = r.s.offset() - r.section.Offset
	r.section.SHA256 = sum(r.partHash)
	r.contents.Rows += r.section.Rows
	if r.section.Kind != KindSchema {
		r.contents.Tables++
	}
	r.section, r.inPart = nil, false
}

// inSection says what a statement of a section is.
func (r *Reader) inSection(s *Statement) error {
	if r.section == nil {
		return r.s.corrupt("a statement stands outside of any section")
	}
	s.Section, s.Part = r.section.Name, r.section.Kind == KindSchema
	if n := len(r.insert); bytes.HasPrefix(s.SQL, r.insert) && len(s.SQL) > n && (s.SQL[n] == ' ' || s.SQL[n] == '(') {
		s.Kind, s.Table = Insert, r.section.Name
	} else {
		s.Kind, s.Table, s.Name = classify(s.SQL)
	}
	if s.Kind == CreateTable && stageName(s.Name) && (s.Name != s.Section || r.section.Kind == KindSchema) {
		r.stage = s.Name
	}
	s.Stage = r.stage != "" && s.Table == r.stage
	switch s.Kind {
	case CreateTable, CreateVirtualTable, CreateIndex, CreateView, CreateTrigger:
		r.fires = r.fires || s.Kind == CreateTrigger
		if s.Stage {
			break
		}
		if r.schema += int64(len(s.SQL)); r.schema > maxCreates {
			return r.s.corrupt("its schema is longer than %d bytes", maxCreates)
		}
	}
	switch {
	case s.Kind == DropTable && s.Stage:
		r.stage = ""
	case s.Kind != Insert || s.Stage:
	case r.section.Kind == KindSchema && refillable(s.Table), r.section.Kind != KindSchema && s.Table == s.Section:
		r.section.Rows++
	}
	return nil
}

// footer reads the footer and holds it to what was read.
func (r *Reader) footer() error {
	c := &r.contents
	line := func(head string) (string, error) {
		b, err := r.s.line(maxLine)
		if err != nil {
			return "", err
		}
		text, ok := strings.CutPrefix(string(b), head)
		if !ok {
			return "", r.s.corrupt("the footer's line %q is missing", strings.TrimSpace(head))
		}
		return text, nil
	}
	text, err := line(tablesLine)
	if err != nil {
		return err
	}
	f, ok := parseFooterCounts(text)
	if !ok {
		return r.s.corrupt("the footer's counts cannot be read")
	}
	if text, err = line(consistLine); err != nil {
		return err
	}
	if !parseConsistency(text, &c.Footer) {
		return r.s.corrupt("the footer's consistency cannot be read")
	}
	c.Footer.Duration = f.duration
	body, err := line(bodyHashLine)
	if err != nil {
		return err
	}
	r.s.settle()
	file := sum(r.fileHash)
	stated, err := line(fileHashLine)
	if err != nil {
		return err
	}
	r.s.settle()
	c.Size, c.SHA256 = r.s.offset(), sum(r.fileHash)
	end, err := r.s.atEnd()
	switch {
	case err != nil:
		return err
	case !end:
		return r.s.corrupt("something follows the footer")
	case stated != file:
		return wrap(ErrCorrupt, "the file's hash is not the one its footer states: it was changed")
	case body != c.BodySHA256:
		return wrap(ErrCorrupt, "the body's hash is not the one the footer states")
	case f.body != c.BodySize:
		return wrap(ErrCorrupt, "the body has %d bytes, and the footer states %d", c.BodySize, f.body)
	case f.tables != c.Tables || f.rows != c.Rows:
		return wrap(ErrCorrupt, "there are %d tables and %d rows, and the footer states %d and %d", c.Tables, c.Rows, f.tables, f.rows)
	case r.counted && (r.tables != c.Tables || r.rows != c.Rows):
		return wrap(ErrCorrupt, "there are %d tables and %d rows, and the header states %d and %d", c.Tables, c.Rows, r.tables, r.rows)
	}
	return nil
}

// Contents gives the table of contents, once Next gave io.EOF.
func (r *Reader) Contents() Contents { return r.contents }

// Verify reads a dump to its end and vouches for it: that it is whole and
// unchanged, not where it came from. Where the header refers to the footer for
// the consistency, the header given has the footer's.
func Verify(src io.Reader) (Header, Contents, error) {
	r := NewReader(src, ReaderOptions{})
	for {
		_, err := r.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			return r.header, Contents{}, err
		}
	}
	h := r.header
	if h.Consistency == "" {
		h.Consistency = r.contents.Footer.Consistency
	}
	return h, r.contents, nil
}
