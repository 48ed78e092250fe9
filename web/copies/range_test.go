package copies

import (
	"net/http"
	"strings"
	"testing"
)

func TestParseRange(t *testing.T) {
	t.Parallel()
	const size = 1000
	for _, tt := range []struct {
		header         string
		offset, length int64
		partial        bool
	}{
		{"", 0, size, false},
		{"items=0-1", 0, size, false},
		{"bytes=0-0", 0, 1, true},
		{"bytes=0-", 0, size, true},
		{"bytes=10-19", 10, 10, true},
		{"bytes=990-5000", 990, 10, true},
		{"bytes=0-99999999999999999999999", 0, size, true},
		{"bytes=999-", 999, 1, true},
		{"bytes=-1", 999, 1, true},
		{"bytes=-5000", 0, size, true},
		{"bytes=-99999999999999999999", 0, size, true},
		{"bytes= 10-19 ", 10, 10, true},
	} {
		got, err := parseRange(tt.header, size)
		if err != nil || got != (span{tt.offset, tt.length, tt.partial}) {
			t.Errorf("%q: %+v, %v", tt.header, got, err)
		}
	}
	for _, header := range []string{
		"bytes=1000-", "bytes=2000-3000", "bytes=20-10", "bytes=-0", "bytes=-", "bytes=", "bytes=a-b", "bytes=1", "bytes=--1",
		"bytes=+1-2", "bytes=0-1,2-3", "bytes=99999999999999999999-", "bytes=0-" + strings.Repeat(",0-", 1000),
	} {
		if got, err := parseRange(header, size); err == nil {
			t.Errorf("%.40q was taken as %+v", header, got)
		}
	}
	if _, err := parseRange("bytes=0-", 0); err == nil {
		t.Error("a range of an empty object was taken")
	}
}

func TestConditions(t *testing.T) {
	t.Parallel()
	const tag = `"abc"`
	for _, tt := range []struct {
		name, value string
		want        condition
	}{
		{"If-None-Match", `"abc"`, notModified},
		{"If-None-Match", `W/"abc"`, notModified},
		{"If-None-Match", `"x", "abc"`, notModified},
		{"If-None-Match", `*`, notModified},
		{"If-None-Match", `"x"`, proceed},
		{"If-Match", `"abc"`, proceed},
		{"If-Match", `*`, proceed},
		{"If-Match", `W/"abc"`, preconditionFailed},
		{"If-Match", `"x"`, preconditionFailed},
	} {
		h := http.Header{}
		h.Set(tt.name, tt.value)
		if got := check(h, tag); got != tt.want {
			t.Errorf("%s: %s gives %d", tt.name, tt.value, got)
		}
	}
	for value, want := range map[string]bool{"": true, `"abc"`: true, `W/"abc"`: false, `"x"`: false, "Mon, 23 Nov 2026 03:00:04 GMT": false} {
		h := http.Header{}
		h.Set("If-Range", value)
		if got := rangeApplies(h, tag); got != want {
			t.Errorf("If-Range %s gives %v", value, got)
		}
	}
}
