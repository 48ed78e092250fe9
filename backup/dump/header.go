package dump

import (
	"bytes"
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// The header's and footer's lines. Fields on one line are three spaces apart,
// which no escaped value holds.
const (
	magic         = "-- Patina SQL dump "
	databaseLine  = "-- database: "
	takenLine     = "-- taken: "
	bookmarkLine  = "-- bookmark: "
	redactedLine  = "-- redacted: "
	tablesLine    = "-- tables: "
	consistLine   = "-- consistency: "
	bodyHashLine  = "-- body-sha256: "
	fileHashLine  = "-- file-sha256: "
	tableMarker   = "-- table: "
	virtualMarker = "-- virtual table: "
	schemaMarker  = "-- schema: "
	noteMarker    = "-- note: "

	gap       = "   "
	seeFooter = "see footer"
	none      = "none"
)

// marker gives what a section of that kind begins with.
func marker(kind string) string {
	switch kind {
	case KindVirtual:
		return virtualMarker
	case KindSchema:
		return schemaMarker
	}
	return tableMarker
}

// Bounds on the comment lines, in bytes.
const (
	maxLine   = 256 << 10
	maxHeader = 4 << 20
)

// escape makes text inert on one line of a comment, and unescape gives it
// back: \\ is a backslash, \xHH a byte that is not UTF-8, \u{H…} a character
// that ends lines, moves the cursor, turns the direction or cannot be seen.
// The characters are listed here, for the tables of the unicode package change
// from year to year, and a dump must not.
func escape(dst []byte, text string) []byte {
	for i := 0; i < len(text); {
		c := text[i]
		if c >= 0x80 {
			r, n := utf8.DecodeRuneInString(text[i:])
			switch {
			case r == utf8.RuneError && n == 1:
				dst = append(dst, '\\', 'x', hexDigits[c>>4], hexDigits[c&15])
			case unseen(r):
				dst = appendEscaped(dst, r)
			default:
				dst = append(dst, text[i:i+n]...)
			}
			i += n
			continue
		}
		i++
		switch {
		case c == '\\':
			dst = append(dst, '\\', '\\')
		case c < ' ' || c == 0x7f:
			dst = appendEscaped(dst, rune(c))
		case c == ' ' && (i == 1 || i == len(text) || text[i-2] == ' '):
			dst = appendEscaped(dst, ' ') // at an end, or the second of two
		default:
			dst = append(dst, c)
		}
	}
	return dst
}

const hexDigits = "0123456789abcdef"

func appendEscaped(dst []byte, r rune) []byte {
	dst = append(dst, `\u{`...)
	dst = strconv.AppendInt(dst, int64(r), 16)
	return append(dst, '}')
}

// unseen tells whether a character above ASCII is a control, a mark of
// direction, or takes no room.
func unseen(r rune) bool {
	switch {
	case r < 0xa0, r == 0xad, r == 0x34f, r == 0x61c, r == 0x180e,
		r >= 0x115f && r <= 0x1160, r >= 0x17b4 && r <= 0x17b5,
		r >= 0x200b && r <= 0x200f, r >= 0x2028 && r <= 0x202e, r >= 0x2060 && r <= 0x206f,
		r == 0x3164, r >= 0xfe00 && r <= 0xfe0f, r == 0xfeff, r == 0xffa0,
		r >= 0xfff0 && r <= 0xfffb, r >= 0xe0000 && r <= 0xe0fff:
		return true
	}
	return false
}

// unescape undoes escape.
func unescape(text string) (string, bool) {
	at := strings.IndexByte(text, '\\')
	if at < 0 {
		return text, true
	}
	var b strings.Builder
	for ; at >= 0; at = strings.IndexByte(text, '\\') {
		b.WriteString(text[:at])
		text = text[at+1:]
		switch {
		case strings.HasPrefix(text, `\`):
			b.WriteByte('\\')
			text = text[1:]
		case strings.HasPrefix(text, "x") && len(text) >= 3:
			n, err := strconv.ParseUint(text[1:3], 16, 8)
			if err != nil {
				return "", false
			}
			b.WriteByte(byte(n))
			text = text[3:]
		case strings.HasPrefix(text, "u{"):
			digits, rest, ok := strings.Cut(text[2:], "}")
			n, err := strconv.ParseUint(digits, 16, 21)
			if !ok || err != nil || !utf8.ValidRune(rune(n)) {
				return "", false
			}
			b.WriteRune(rune(n))
			text = rest
		default:
			return "", false
		}
	}
	b.WriteString(text)
	return b.String(), true
}

// appendField writes a value, or absent where it is empty; a value that reads
// like one of the words for absence is told apart by its first letter.
func appendField(dst []byte, value, absent string) []byte {
	switch value {
	case "":
		return append(dst, absent...)
	case seeFooter, none:
		dst = appendEscaped(dst, rune(value[0]))
		value = value[1:]
	}
	return escape(dst, value)
}

// parseField undoes appendField.
func parseField(text string) (string, bool) {
	if text == seeFooter || text == none {
		return "", true
	}
	return unescape(text)
}

// appendHeader writes the header; counts is "" while they are not known.
func appendHeader(dst []byte, h Header, counts string) []byte {
	dst = append(dst, magic...)
	dst = strconv.AppendInt(dst, Version, 10)
	dst = append(dst, '\n')

	dst = append(dst, databaseLine...)
	name := escape(nil, h.Database)
	if h.DatabaseID == "" && bytes.HasSuffix(name, []byte(")")) {
		name = append(name[:len(name)-1], `\u{29}`...) // or it would read as an id
	}
	dst = append(dst, name...)
	if h.DatabaseID != "" {
		dst = append(dst, " ("...)
		id := string(escape(nil, h.DatabaseID))
		dst = append(dst, strings.NewReplacer(" ", `\u{20}`, "(", `\u{28}`, ")", `\u{29}`).Replace(id)...)
		dst = append(dst, ')')
	}
	dst = append(dst, '\n')

	dst = append(dst, takenLine...)
	dst = h.TakenAt.UTC().AppendFormat(dst, time.RFC3339)
	dst = append(dst, gap+"job: "...)
	dst = appendField(dst, h.JobID, none)
	dst = append(dst, gap+"consistency: "...)
	dst = appendField(dst, h.Consistency, seeFooter)
	dst = append(dst, '\n')

	dst = append(dst, bookmarkLine...)
	dst = appendField(dst, h.Bookmark, seeFooter)
	dst = append(dst, '\n')
	for _, r := range h.Redactions {
		dst = append(dst, redactedLine...)
		dst = escape(dst, r)
		dst = append(dst, '\n')
	}
	dst = append(dst, tablesLine...)
	if counts == "" {
		counts = seeFooter + gap + "rows: " + seeFooter
	}
	dst = append(dst, counts...)
	return append(dst, '\n')
}

func counts(tables int, rows int64) string {
	return fmt.Sprintf("%d%srows: %d", tables, gap, rows)
}

// checkHeader refuses what the Reader would not read back.
func checkHeader(h Header) error {
	if y := h.TakenAt.UTC().Year(); y < 0 || y > 9999 {
		return fmt.Errorf("%w: the year %d does not fit a dump's header", ErrInvalid, y)
	}
	text := appendHeader(nil, h, "")
	if len(text) > maxHeader-64 {
		return fmt.Errorf("%w: the header would take %d bytes", ErrInvalid, len(text))
	}
	for line := range bytes.Lines(text) {
		if len(line) > maxLine {
			return fmt.Errorf("%w: a line of the header would take %d bytes", ErrInvalid, len(line))
		}
	}
	return nil
}

// parseDatabase reads what follows "-- database: ".
func parseDatabase(text string, h *Header) bool {
	if body, ok := strings.CutSuffix(text, ")"); ok {
		at := strings.LastIndex(body, " (")
		if at < 0 {
			return false
		}
		id, ok := unescape(body[at+2:])
		if !ok {
			return false
		}
		h.DatabaseID, text = id, body[:at]
	}
	name, ok := unescape(text)
	h.Database = name
	return ok
}

// parseTaken reads what follows "-- taken: ".
func parseTaken(text string, h *Header) bool {
	fields := strings.Split(text, gap)
	if len(fields) != 3 {
		return false
	}
	taken, err := time.Parse(time.RFC3339, fields[0])
	job, isJob := strings.CutPrefix(fields[1], "job: ")
	label, isLabel := strings.CutPrefix(fields[2], "consistency: ")
	if err != nil || !isJob || !isLabel {
		return false
	}
	var ok, ok2 bool
	h.TakenAt = taken.UTC()
	h.JobID, ok = parseField(job)
	h.Consistency, ok2 = parseField(label)
	return ok && ok2
}

// parseCounts reads "N   rows: M"; known is false for "see footer".
func parseCounts(text string) (tables int, rows int64, known, ok bool) {
	t, r, ok := strings.Cut(text, gap+"rows: ")
	if ok && t == seeFooter && r == seeFooter {
		return 0, 0, false, true
	}
	tables64, ok1 := parseCount(t)
	rows, ok2 := parseCount(r)
	return int(tables64), rows, true, ok && ok1 && ok2
}

// parseCount reads a count in its one form.
func parseCount(text string) (int64, bool) {
	n, err := strconv.ParseInt(text, 10, 63)
	return n, err == nil && n >= 0 && strconv.FormatInt(n, 10) == text
}

// appendFooter writes the footer up to the line of the file's hash.
func appendFooter(dst []byte, c Contents) []byte {
	dst = append(dst, tablesLine...)
	dst = append(dst, counts(c.Tables, c.Rows)...)
	dst = append(dst, gap+"body-bytes: "...)
	dst = strconv.AppendInt(dst, c.BodySize, 10)
	dst = append(dst, gap+"duration: "...)
	ms := c.Footer.Duration.Milliseconds()
	dst = fmt.Appendf(dst, "%d.%03ds\n", ms/1000, ms%1000)
	dst = append(dst, consistLine...)
	dst = appendField(dst, c.Footer.Consistency, none)
	dst = append(dst, gap+"bookmark-after: "...)
	dst = appendField(dst, c.Footer.BookmarkAfter, none)
	dst = append(dst, '\n')
	dst = append(dst, bodyHashLine...)
	dst = append(dst, c.BodySHA256...)
	return append(dst, '\n')
}

// footerCounts is what the footer's first line states.
type footerCounts struct {
	tables     int
	rows, body int64
	duration   time.Duration
}

// parseFooterCounts reads what follows "-- tables: " in the footer.
func parseFooterCounts(text string) (f footerCounts, ok bool) {
	fields := strings.Split(text, gap)
	if len(fields) != 4 {
		return f, false
	}
	tables, rows, known, ok := parseCounts(fields[0] + gap + fields[1])
	body, isBody := strings.CutPrefix(fields[2], "body-bytes: ")
	took, isTook := strings.CutPrefix(fields[3], "duration: ")
	took, isSeconds := strings.CutSuffix(took, "s")
	sec, ms, isDot := strings.Cut(took, ".")
	if !ok || !known || !isBody || !isTook || !isSeconds || !isDot || len(ms) != 3 {
		return f, false
	}
	n, ok := parseCount(body)
	s, ok2 := parseCount(sec)
	m, err := strconv.ParseUint(ms, 10, 10)
	if !ok || !ok2 || err != nil || s > 1<<32 {
		return f, false
	}
	took2 := time.Duration(s)*time.Second + time.Duration(m)*time.Millisecond
	return footerCounts{tables, rows, n, took2}, true
}

// parseConsistency reads what follows "-- consistency: " in the footer.
func parseConsistency(text string, f *Footer) bool {
	label, mark, ok := strings.Cut(text, gap+"bookmark-after: ")
	var ok1, ok2 bool
	f.Consistency, ok1 = parseField(label)
	f.BookmarkAfter, ok2 = parseField(mark)
	return ok && ok1 && ok2
}
