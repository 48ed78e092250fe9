package main

import (
	"fmt"
	"io"
	"os"
	"strings"
	"time"
	"unicode/utf8"

	"golang.org/x/term"
)

// line shows one piece of progress: a line that changes in place on a terminal,
// and a new plain line every ten seconds anywhere else.
type line struct {
	w        io.Writer
	terminal bool
	clock    func() time.Time
	every    time.Duration
	last     time.Time
	width    int // of what stands on the terminal's line
}

func newLine(w io.Writer, clock func() time.Time) *line {
	l := &line{w: w, terminal: isTerminal(w), clock: clock, every: 10 * time.Second}
	if l.terminal {
		l.every = 100 * time.Millisecond
	}
	l.last = clock()
	return l
}

func (l *line) show(format string, args ...any) {
	now := l.clock()
	if now.Sub(l.last) < l.every {
		return
	}
	l.last = now
	text := clip(printable(fmt.Sprintf(format, args...)), columns(l.w))
	if !l.terminal {
		fmt.Fprintln(l.w, text)
		return
	}
	n := utf8.RuneCountInString(text)
	fmt.Fprint(l.w, "\r"+text+strings.Repeat(" ", max(0, l.width-n)))
	l.width = n
}

// done clears the line.
func (l *line) done() {
	if l.terminal && l.width > 0 {
		fmt.Fprint(l.w, "\r"+strings.Repeat(" ", l.width)+"\r")
		l.width = 0
	}
}

// columns is how wide a terminal is; 0 for anything else.
func columns(w io.Writer) int {
	f, ok := w.(*os.File)
	if !ok {
		return 0
	}
	n, _, err := term.GetSize(int(f.Fd()))
	if err != nil {
		return 0
	}
	return n
}

// clip cuts a line that would wrap: what is redrawn in place must not.
func clip(s string, columns int) string {
	if columns <= 0 || utf8.RuneCountInString(s) < columns {
		return s
	}
	return string([]rune(s)[:max(0, columns-2)]) + "…"
}

// printable replaces what would act on a terminal: names come from outside.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if r < 0x20 || r >= 0x7f && r < 0xa0 || r >= 0x202a && r <= 0x202e || r >= 0x2066 && r <= 0x2069 {
			return '?'
		}
		return r
	}, s)
}

// bar draws a part of a whole, ten cells wide.
func bar(part, whole int64) string {
	const cells = 10
	n := 0
	if whole > 0 {
		n = int(min(part, whole) * cells / whole)
	}
	return strings.Repeat("█", n) + strings.Repeat("░", cells-n)
}
