package archive

import (
	"archive/tar"
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"reflect"
	"regexp"

	"github.com/klauspost/compress/gzip"

	"github.com/AutumnsGrove/Patina/backup"
	"github.com/AutumnsGrove/Patina/backup/object"
)

// mostDump bounds one dump of an archive whose manifest is not known yet.
const mostDump = 64 << 30

var memberName = regexp.MustCompile(`^\d{4}-\d\d-\d\d/[a-z0-9._~-]{1,100}\.sql$`)

// Examine reads an archive from end to end and describes it out of its own bytes
// alone: every dump is unpacked, hashed and compared with the manifest that lies
// beside it in the archive, and all of them with the archive's table of contents.
// ErrCorrupt: it is not a whole archive of Patina's. Nothing that it holds is
// believed, and no file of it is written anywhere.
func Examine(ctx context.Context, b object.Bucket, key string) (*backup.ArchiveManifest, error) {
	return examine(ctx, b, key, backup.Pause)
}

func examine(ctx context.Context, b object.Bucket, key string, wait waiter) (*backup.ArchiveManifest, error) {
	info, err := b.Stat(ctx, key)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", key, err)
	}
	src := &steady{ctx: ctx, b: b, key: key, end: info.Size, pause: wait}
	defer src.close()
	x := newExaminer(src)
	m, err := x.all(key)
	switch {
	case src.err != nil && !src.damaged():
		return nil, fmt.Errorf("read %s: %w", key, src.err)
	case err != nil:
		return nil, &backup.Error{Kind: backup.ErrCorrupt, Message: key + " is not a whole archive", Err: errors.New(err.Error())}
	}
	return m, nil
}

// examiner gives a tar reader the text of one gzip member after another, and
// knows where each of them lies.
type examiner struct {
	in    *bufio.Reader
	raw   tapped
	whole hash.Hash
	part  hash.Hash // of the raw bytes of the file being read; nil between files
	zip   gzip.Reader
	open  bool // within a gzip member
}

// tapped keeps what was read ahead of the decompressor, so that it can be hashed
// once it is known which file it belongs to.
type tapped struct {
	r       io.Reader
	total   int64
	pending []byte
}

func (t *tapped) Read(p []byte) (int, error) {
	n, err := t.r.Read(p)
	t.total += int64(n)
	t.pending = append(t.pending, p[:n]...)
	return n, err
}

func newExaminer(r io.Reader) *examiner {
	x := &examiner{whole: sha256.New()}
	x.raw.r = r
	x.in = bufio.NewReaderSize(&x.raw, 64<<10)
	return x
}

// at gives how many raw bytes the decompressor has taken, and hashes them.
func (x *examiner) at() int64 {
	used := len(x.raw.pending) - x.in.Buffered()
	x.whole.Write(x.raw.pending[:used])
	if x.part != nil {
		x.part.Write(x.raw.pending[:used])
	}
	x.raw.pending = append(x.raw.pending[:0], x.raw.pending[used:]...)
	return x.raw.total - int64(x.in.Buffered())
}

// Read gives the text of the archive.
func (x *examiner) Read(p []byte) (int, error) {
	for {
		if !x.open {
			if _, err := x.in.Peek(1); err != nil {
				return 0, err
			}
			if err := x.zip.Reset(x.in); err != nil {
				return 0, err
			}
			x.zip.Multistream(false)
			x.open = true
		}
		n, err := x.zip.Read(p)
		x.at()
		if errors.Is(err, io.EOF) {
			x.open, err = false, nil
			if n == 0 {
				continue
			}
		}
		return n, err
	}
}

// border ends the gzip member that was read, and gives the place behind it. A
// member that goes on is refused: what begins there could not be read by range.
func (x *examiner) border() (int64, error) {
	if x.open {
		var one [1]byte
		n, err := x.zip.Read(one[:])
		if n > 0 || err == nil {
			return 0, corrupt("a file does not begin and end with a gzip member")
		}
		if !errors.Is(err, io.EOF) {
			return 0, err
		}
		x.open = false
	}
	return x.at(), nil
}

// file is one file of the archive.
type file struct {
	name  string
	size  int64
	text  []byte // of a small one
	sum   string // of its text
	bytes span   // its gzip bytes
}

func (x *examiner) all(key string) (*backup.ArchiveManifest, error) {
	files := tar.NewReader(x)
	var dump *file
	m := &backup.ArchiveManifest{Format: backup.ArchiveFormat, Key: key}
	for {
		f, err := x.next(files)
		if err != nil {
			return nil, err
		}
		switch {
		case f.name == indexName && dump == nil:
			if err := x.finish(files, m, f.text); err != nil {
				return nil, err
			}
			return m, nil
		case dump == nil && memberName.MatchString(f.name):
			dump = f
		case dump != nil && f.name == object.ManifestKey(dump.name):
			found, err := pair(dump, f)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", dump.name, err)
			}
			m.Members, dump = append(m.Members, *found), nil
		default:
			return nil, corrupt("it holds %.100q, which no archive of Patina's holds there", f.name)
		}
	}
}

// next reads one file.
func (x *examiner) next(files *tar.Reader) (*file, error) {
	h, err := files.Next()
	if errors.Is(err, io.EOF) {
		return nil, io.ErrUnexpectedEOF
	}
	if err != nil {
		return nil, err
	}
	if h.Typeflag != tar.TypeReg || h.Size < 0 || h.Size > mostDump {
		return nil, corrupt("%.100q is not a file that an archive of Patina's holds", h.Name)
	}
	f := &file{name: h.Name, size: h.Size}
	start, err := x.border()
	if err != nil {
		return nil, err
	}
	x.part = sha256.New()
	sum := sha256.New()
	to := io.Writer(sum)
	var text bytes.Buffer
	if !memberName.MatchString(h.Name) {
		if h.Size > mostSmall {
			return nil, corrupt("%.100q is larger than it may be", h.Name)
		}
		to = io.MultiWriter(sum, &text)
	}
	if _, err := io.Copy(to, files); err != nil {
		return nil, err
	}
	end, err := x.border()
	if err != nil {
		return nil, err
	}
	f.text, f.sum = text.Bytes(), hex.EncodeToString(sum.Sum(nil))
	f.bytes = span{start, end - start, hex.EncodeToString(x.part.Sum(nil))}
	x.part = nil
	return f, nil
}

// pair compares a dump with the manifest beside it.
func pair(dump, beside *file) (*backup.ArchiveMember, error) {
	c, err := backup.DecodeManifest(bytes.NewReader(beside.text))
	if err != nil {
		return nil, err
	}
	stored := dump.sum
	if c.Compression == backup.Gzip {
		stored = dump.bytes.sha256
	}
	if c.SQLSHA256 != dump.sum || c.SQLSize != dump.size || c.SHA256 != stored || c.Date.String() != dump.name[:len("2006-01-02")] {
		return nil, corrupt("it is not the dump that the manifest beside it describes")
	}
	return member(dump.name, c, beside.text, dump.bytes, beside.bytes)
}

// finish compares what was found with the table of contents, and sees that
// nothing follows.
func (x *examiner) finish(files *tar.Reader, m *backup.ArchiveManifest, text []byte) error {
	var index backup.ArchiveManifest
	if err := json.Unmarshal(text, &index); err != nil {
		return corrupt("its table of contents cannot be read")
	}
	w, err := object.ParseWeek(index.Week)
	if err != nil {
		return err
	}
	m.Week, m.Missing = index.Week, index.Missing
	m.From, m.To = Dates(w)
	bare := *m
	bare.Members = make([]backup.ArchiveMember, len(m.Members))
	for i, f := range m.Members {
		f.Manifest = nil
		bare.Members[i] = f
	}
	if !reflect.DeepEqual(bare, index) {
		return corrupt("its table of contents does not describe it")
	}
	if _, err := files.Next(); !errors.Is(err, io.EOF) {
		return corrupt("something follows its table of contents")
	}
	if _, err := x.border(); err != nil {
		return err
	}
	if n, err := x.in.Read(make([]byte, 1)); n > 0 || !errors.Is(err, io.EOF) {
		return corrupt("something follows its end")
	}
	m.Size, m.SHA256 = x.at(), hex.EncodeToString(x.whole.Sum(nil))
	return nil
}
