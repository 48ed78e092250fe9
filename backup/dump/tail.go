package dump

import (
	"bytes"
	"strings"
)

// TailBytes is how many of a dump's last bytes Tail needs for any footer whose
// bookmark is of an ordinary length.
const TailBytes = 4096

// Tail reads the footer out of a dump's last bytes, without the rest: what it
// states, not that it is true. ErrCorrupt where they end without one.
func Tail(last []byte) (Contents, error) {
	var c Contents
	at := bytes.LastIndex(last, []byte("\n"+tablesLine))
	if at < 0 {
		return c, wrap(ErrTruncated, "its end has no footer")
	}
	lines := strings.Split(string(last[at+1:]), "\n")
	if len(lines) != 5 || lines[4] != "" {
		return c, wrap(ErrTruncated, "its footer is not whole")
	}
	var rest [4]string
	for i, head := range []string{tablesLine, consistLine, bodyHashLine, fileHashLine} {
		text, ok := strings.CutPrefix(lines[i], head)
		if !ok {
			return c, wrap(ErrCorrupt, "the footer's line %q is missing", strings.TrimSpace(head))
		}
		rest[i] = text
	}
	f, ok := parseFooterCounts(rest[0])
	if !ok || !parseConsistency(rest[1], &c.Footer) || len(rest[2]) != 64 || len(rest[3]) != 64 {
		return c, wrap(ErrCorrupt, "the footer cannot be read")
	}
	c.Tables, c.Rows, c.BodySize, c.BodySHA256, c.Footer.Duration = f.tables, f.rows, f.body, rest[2], f.duration
	return c, nil
}
