package prove_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http/httptest"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/AutumnsGrove/Patina/backup"
	"github.com/AutumnsGrove/Patina/backup/d1"
	"github.com/AutumnsGrove/Patina/backup/d1/d1sim"
	"github.com/AutumnsGrove/Patina/backup/dump"
	"github.com/AutumnsGrove/Patina/backup/export"
	"github.com/AutumnsGrove/Patina/backup/export/exporttest"
	"github.com/AutumnsGrove/Patina/backup/object"
	"github.com/AutumnsGrove/Patina/backup/prove"
	"github.com/AutumnsGrove/Patina/backup/source"
)

// stored is a copy of one of the demo's databases.
type stored struct {
	name string
	m    *backup.Manifest
	text []byte // as stored
}

// demo makes copies of the demo's six databases in a bucket.
func demo(t testing.TB, compress backup.Compression) (object.Bucket, []stored) {
	t.Helper()
	a, err := d1sim.New(d1sim.Config{Dir: t.TempDir(), AccountID: "acc", Token: "tok"})
	if err != nil {
		t.Fatal(err)
	}
	srv := httptest.NewServer(a.Handler())
	t.Cleanup(func() {
		srv.CloseClientConnections()
		srv.Close()
		_ = a.Close()
	})
	if err := d1sim.Grove(t.Context(), a); err != nil {
		t.Fatal(err)
	}
	c, err := d1.New(d1.Config{AccountID: "acc", Token: "tok", BaseURL: srv.URL, Limiter: d1.NewLocalLimiter(1e6, 1e6)})
	if err != nil {
		t.Fatal(err)
	}
	bucket, err := object.Open(t.Context(), "file://"+t.TempDir(), object.Config{})
	if err != nil {
		t.Fatal(err)
	}
	date := backup.Date{Year: 2026, Month: 11, Day: 23}
	var all []stored
	for _, d := range d1sim.GroveDatabases() {
		m, err := export.Run(t.Context(), source.D1(c, d.ID, d.Name), bucket, export.Request{
			Key:  object.Key{Kind: backup.Daily, Date: date, Slug: d.Name, Gzip: compress == backup.Gzip},
			Kind: backup.Daily, Date: date, Compress: compress, Clock: func() time.Time { return time.Unix(1_800_000_000, 0) },
		})
		if err != nil {
			t.Fatal(err)
		}
		r, err := bucket.Open(t.Context(), m.Key, 0, -1)
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(r)
		if err != nil || r.Close() != nil {
			t.Fatal(err)
		}
		all = append(all, stored{d.Name, m, text})
	}
	if len(all) != 6 {
		t.Fatalf("the demo has %d databases", len(all))
	}
	return bucket, all
}

// found proves a damaged copy, in turns with its manifest and without, and fails
// the test unless the copy is given the blame, with a reason.
func (s stored) found(t *testing.T, what string, text []byte, with *backup.Manifest) {
	t.Helper()
	compress := s.m.Compression
	_, err := prove.Dump(t.Context(), bytes.NewReader(text), compress, with, prove.Options{Scratch: t.TempDir()})
	if !errors.Is(err, backup.ErrCorrupt) || len(err.Error()) < 20 {
		t.Errorf("%s, %s: got %v", s.name, what, err)
	}
}

// body gives where the body of a dump lies.
func body(text []byte) (from, to int) {
	const last = "PRAGMA foreign_keys=ON;\n"
	return bytes.Index(text, []byte("PRAGMA foreign_keys=OFF;\n")), bytes.LastIndex(text, []byte(last)) + len(last)
}

func TestDemoCopiesProve(t *testing.T) {
	t.Parallel()
	for _, compress := range []backup.Compression{backup.Plain, backup.Gzip} {
		bucket, all := demo(t, compress)
		for _, s := range all {
			c := backup.Copy{DatabaseName: s.name, Key: s.m.Key, Size: s.m.Size, SHA256: s.m.SHA256, Compression: compress, Manifest: s.m}
			p, err := prove.Copy(t.Context(), bucket, c, prove.Options{Scratch: t.TempDir()})
			if err != nil || p.Origin != prove.FromManifest || len(p.Findings) > 0 {
				t.Errorf("%s, %s: %v, %+v", s.name, compress, err, p.Findings)
			}
			if p, err := prove.Dump(t.Context(), bytes.NewReader(s.text), compress, nil, prove.Options{Scratch: t.TempDir()}); err != nil || p.Origin != prove.SelfConsistent {
				t.Errorf("%s, %s, without its manifest: %v", s.name, compress, err)
			}
		}
	}
}

// TestFlippedBits flips one bit in every byte of header and footer and at
// random places between, and cuts the copies at random places.
func TestFlippedBits(t *testing.T) {
	t.Parallel()
	_, all := demo(t, backup.Plain)
	smallest := slices.MinFunc(all, func(a, b stored) int { return len(a.text) - len(b.text) })
	for i, s := range all {
		t.Run(s.name, func(t *testing.T) {
			t.Parallel()
			rnd := rand.New(rand.NewPCG(7, uint64(i)))
			flipped := func(at, bit int) []byte {
				text := bytes.Clone(s.text)
				text[at] ^= 1 << bit
				return text
			}
			from, to := body(s.text)
			if from < 100 || to < len(s.text)/2 || to > len(s.text)-200 {
				t.Fatalf("the body lies from %d to %d", from, to)
			}
			edges := 0
			for at := range s.text {
				if at >= from && at < to {
					continue
				}
				edges++
				for bit := range 8 { // what reads a dump first sees each of them
					if _, _, err := dump.Verify(bytes.NewReader(flipped(at, bit))); err == nil {
						t.Errorf("bit %d of byte %d is not seen", bit, at)
					}
				}
				if s.name == smallest.name {
					s.found(t, fmt.Sprintf("byte %d", at), flipped(at, rnd.IntN(8)), nil)
				}
			}
			if edges < 400 {
				t.Errorf("header and footer have only %d bytes", edges)
			}
			for n := range 50 {
				at := from + rnd.IntN(to-from)
				with := s.m
				if n%2 == 0 {
					with = nil
				}
				s.found(t, fmt.Sprintf("byte %d", at), flipped(at, rnd.IntN(8)), with)
				if n >= 34 {
					continue
				}
				cut := rnd.IntN(len(s.text))
				s.found(t, fmt.Sprintf("cut at %d", cut), s.text[:cut], with)
			}
			s.found(t, "cut by its last byte", s.text[:len(s.text)-1], nil)
		})
	}
}

// TestFlippedBitsWithGzip: the manifest's hash covers what gzip's own does not.
func TestFlippedBitsWithGzip(t *testing.T) {
	t.Parallel()
	_, all := demo(t, backup.Gzip)
	for i, s := range all {
		rnd := rand.New(rand.NewPCG(8, uint64(i)))
		for n := range 20 {
			at := rnd.IntN(len(s.text))
			if n < 10 {
				at = n // gzip's header
			}
			text := bytes.Clone(s.text)
			text[at] ^= 1 << rnd.IntN(8)
			s.found(t, fmt.Sprintf("byte %d", at), text, s.m)
			s.found(t, "cut", s.text[:rnd.IntN(len(s.text))], nil)
		}
	}
}

var rowsSaid = regexp.MustCompile(`(?m)^(-- tables: \d+   rows: )(\d+)`)

type line struct {
	text string
	line int // of the n-th row
}

// rows gives the lines of a dump; the first entries know where the rows are.
func (s stored) rows(t *testing.T) []line {
	t.Helper()
	var out []line
	for _, l := range strings.SplitAfter(string(s.text), "\n") {
		out = append(out, line{text: l})
	}
	n := 0
	for i, l := range out {
		if strings.HasPrefix(l.text, "INSERT INTO ") && !strings.Contains(l.text, "sqlite_") {
			out[n].line = i
			n++
		}
	}
	if n < 40 {
		t.Fatalf("%s has only %d rows", s.name, n)
	}
	return out
}

// forge puts the lines together, corrects the counts by so many rows, and makes
// the hashes right.
func (s stored) forge(t *testing.T, lines []line, more int64) []byte {
	t.Helper()
	var b bytes.Buffer
	for _, l := range lines {
		b.WriteString(l.text)
	}
	said := fmt.Sprint("${1}", s.m.Rows+more)
	text := rowsSaid.ReplaceAll(b.Bytes(), []byte(said))
	forged, err := exporttest.Forge(text, "")
	if err != nil {
		t.Fatal(err)
	}
	return forged
}

// TestRowsSwappedOrRemoved, with the counts fixed only, and with every hash
// fixed too: then a lone file is a good dump of something else, and the manifest
// tells that it is not this copy.
func TestRowsSwappedOrRemoved(t *testing.T) {
	t.Parallel()
	_, all := demo(t, backup.Plain)
	for i, s := range all {
		t.Run(s.name, func(t *testing.T) {
			t.Parallel()
			rnd := rand.New(rand.NewPCG(9, uint64(i)))
			for range 5 {
				lines := s.rows(t)
				at := lines[rnd.IntN(30)].line
				for !strings.HasPrefix(lines[at+1].text, lines[at].text[:20]) { // the next row of the same table
					at = lines[rnd.IntN(30)].line
				}
				lines[at].text, lines[at+1].text = lines[at+1].text, lines[at].text
				var plain bytes.Buffer
				for _, l := range lines {
					plain.WriteString(l.text)
				}
				s.found(t, "two rows swapped", plain.Bytes(), nil)
				s.found(t, "two rows swapped and the hashes fixed", s.forge(t, lines, 0), nil)

				lines = s.rows(t)
				lines[at].text = ""
				plain.Reset()
				for _, l := range lines {
					plain.WriteString(l.text)
				}
				fixed := rowsSaid.ReplaceAll(plain.Bytes(), fmt.Append(nil, "${1}", s.m.Rows-1))
				s.found(t, "a row removed and the counts fixed", fixed, nil)
				forged := s.forge(t, lines, -1)
				s.found(t, "a row removed and everything fixed, with the manifest", forged, s.m)
				p, err := prove.Dump(t.Context(), bytes.NewReader(forged), backup.Plain, nil, prove.Options{Scratch: t.TempDir()})
				if err == nil && p.Origin != prove.SelfConsistent || err != nil && !strings.Contains(err.Error(), "differs") {
					t.Errorf("a row removed and everything fixed, alone: %v", err)
				}
			}
		})
	}
}

// TestAnotherDatabasesCopy puts each copy in the place of each other one.
func TestAnotherDatabasesCopy(t *testing.T) {
	t.Parallel()
	_, all := demo(t, backup.Plain)
	for i, s := range all {
		other := all[(i+1)%len(all)]
		s.found(t, other.name+" in its place", other.text, s.m)
		renamed := *other.m
		renamed.DatabaseID, renamed.DatabaseName = s.m.DatabaseID, s.m.DatabaseName
		s.found(t, other.name+" in its place, and its manifest renamed", other.text, &renamed)
	}
}

// TestSpoiltManifest: what a manifest says of its dump is compared with it.
func TestSpoiltManifest(t *testing.T) {
	t.Parallel()
	for _, compress := range []backup.Compression{backup.Plain, backup.Gzip} {
		_, all := demo(t, compress)
		s := all[0]
		hash := func(p *string) { *p = flipHex(*p) }
		changes := map[string]func(*backup.Manifest){
			"sha256": func(m *backup.Manifest) { hash(&m.SHA256) }, "size": func(m *backup.Manifest) { m.Size ^= 1 },
			"sql sha256": func(m *backup.Manifest) { hash(&m.SQLSHA256) }, "sql size": func(m *backup.Manifest) { m.SQLSize += 16 }, "sql size less": func(m *backup.Manifest) { m.SQLSize-- },
			"body sha256": func(m *backup.Manifest) { hash(&m.BodySHA256) }, "body size": func(m *backup.Manifest) { m.BodySize ^= 2 },
			"tables": func(m *backup.Manifest) { m.TableCount ^= 1 }, "rows": func(m *backup.Manifest) { m.Rows ^= 4 },
			"id": func(m *backup.Manifest) { m.DatabaseID = flipHex(m.DatabaseID) }, "name": func(m *backup.Manifest) { m.DatabaseName = "groveauti" },
			"label": func(m *backup.Manifest) { m.Consistency = backup.Quiet }, "bookmark": func(m *backup.Manifest) { m.BookmarkBefore += "1" }, "later bookmark": func(m *backup.Manifest) { m.BookmarkAfter += "1" },
			"compression": func(m *backup.Manifest) {
				m.Compression = map[backup.Compression]backup.Compression{backup.Plain: backup.Gzip, backup.Gzip: backup.Plain}[m.Compression]
			},
			"section name": func(m *backup.Manifest) { m.Sections[1].Name += "x" }, "section kind": func(m *backup.Manifest) { m.Sections[1].Kind = "virtual" },
			"section offset": func(m *backup.Manifest) { m.Sections[1].Offset ^= 1 }, "section length": func(m *backup.Manifest) { m.Sections[1].Length ^= 1 },
			"section rows": func(m *backup.Manifest) { m.Sections[1].Rows ^= 1 }, "section sha256": func(m *backup.Manifest) { hash(&m.Sections[1].SHA256) },
			"a section less": func(m *backup.Manifest) { m.Sections = m.Sections[1:] },
			"stored offset":  func(m *backup.Manifest) { m.Sections[1].StoredOffset ^= 1; m.Sections[1].StoredLength |= 1 },
			"redactions":     func(m *backup.Manifest) { m.Redactions = []string{"users.email → null"} },
		}
		if compress == backup.Gzip {
			changes["stored length"] = func(m *backup.Manifest) { m.Sections[1].StoredLength ^= 1 }
		}
		for what, change := range changes {
			m := *s.m
			m.Sections = slices.Clone(m.Sections)
			change(&m)
			_, err := prove.Dump(t.Context(), bytes.NewReader(s.text), m.Compression, &m, prove.Options{Scratch: t.TempDir()})
			if !errors.Is(err, backup.ErrCorrupt) {
				t.Errorf("%s, %s: got %v", compress, what, err)
			}
		}
	}
}

// flipHex changes the last digit of a hash or id.
func flipHex(s string) string {
	last := s[len(s)-1] ^ 1
	return s[:len(s)-1] + string(last)
}
