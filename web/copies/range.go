package copies

import (
	"net/http"
	"strconv"
	"strings"

	"github.com/AutumnsGrove/Patina/backup"
)

// span is the part of an object that is sent: all of it, or one range.
type span struct {
	offset, length int64
	partial        bool
}

// parseRange reads a Range header for an object of size bytes. No header, and
// a unit that is not bytes, mean the whole object. One range is served;
// several at once, and one that lies outside, are refused as ErrInvalid, which
// the caller answers with 416.
func parseRange(header string, size int64) (span, error) {
	whole := span{0, size, false}
	set, ok := strings.CutPrefix(header, "bytes=")
	if !ok {
		return whole, nil
	}
	if strings.Contains(set, ",") {
		return whole, backup.Errorf(backup.ErrInvalid, "one range at a time")
	}
	first, last, ok := strings.Cut(strings.TrimSpace(set), "-")
	if !ok || !digits(first) || !digits(last) || first == "" && last == "" {
		return whole, backup.Errorf(backup.ErrInvalid, "the range cannot be read")
	}
	if first == "" { // the last n bytes
		n, err := strconv.ParseInt(last, 10, 64)
		if err != nil || n > size {
			n = size
		}
		if n == 0 {
			return whole, backup.Errorf(backup.ErrInvalid, "the range is empty")
		}
		return span{size - n, n, true}, nil
	}
	from, err := strconv.ParseInt(first, 10, 64)
	if err != nil || from >= size {
		return whole, backup.Errorf(backup.ErrInvalid, "the range begins past the end")
	}
	to := size - 1
	if last != "" {
		if v, err := strconv.ParseInt(last, 10, 64); err == nil {
			to = min(to, v)
		}
	}
	if to < from {
		return whole, backup.Errorf(backup.ErrInvalid, "the range ends before it begins")
	}
	return span{from, to - from + 1, true}, nil
}

func digits(s string) bool { return strings.Trim(s, "0123456789") == "" }

// contentRange is the header that tells which bytes of how many are sent.
func (s span) contentRange(size int64) string {
	return "bytes " + strconv.FormatInt(s.offset, 10) + "-" + strconv.FormatInt(s.offset+s.length-1, 10) + "/" + strconv.FormatInt(size, 10)
}

// condition is what the conditional headers of a request come to.
type condition int

const (
	proceed condition = iota
	notModified
	preconditionFailed
)

// check weighs If-Match and If-None-Match against a strong entity tag.
func check(h http.Header, etag string) condition {
	if list := h.Values("If-Match"); len(list) > 0 && !matches(list, etag, false) {
		return preconditionFailed
	}
	if matches(h.Values("If-None-Match"), etag, true) {
		return notModified
	}
	return proceed
}

// rangeApplies tells whether the Range header counts: with If-Range only where
// it names this very entity. A date there never does: one dump can be replaced
// by another within the second.
func rangeApplies(h http.Header, etag string) bool {
	ifRange := h.Get("If-Range")
	return ifRange == "" || ifRange == etag
}

// matches tells whether a list of entity tags holds etag. A weak tag matches
// only where weak is true.
func matches(lists []string, etag string, weak bool) bool {
	for _, item := range strings.Split(strings.Join(lists, ","), ",") {
		item = strings.TrimSpace(item)
		if weak {
			item = strings.TrimPrefix(item, "W/")
		}
		if item == "*" || item == etag {
			return true
		}
	}
	return false
}
