package archive

import (
	"archive/tar"
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"

	"github.com/klauspost/compress/gzip"

	"github.com/AutumnsGrove/Patina/backup"
	"github.com/AutumnsGrove/Patina/backup/object"
)

// mostGap bounds what may lie between two files: padding and one header.
const mostGap = 64 << 10

// mostSmall bounds the files of an archive that are held in memory: a copy's
// manifest, and the table of contents.
const mostSmall = backup.MaxArchiveManifest

// Verify reads an archive from end to end, in one request, and compares each of
// its members with what the manifest says: where it lies, its name, its size and
// every hash. ErrCorrupt: they differ, or the archive is missing or cut.
//
// The gzip bytes that a copy was stored with are compared as they are, those that
// the archive compressed itself are unpacked.
func Verify(ctx context.Context, b object.Bucket, m *backup.ArchiveManifest) error {
	return verify(ctx, b, m, backup.Pause)
}

func verify(ctx context.Context, b object.Bucket, m *backup.ArchiveManifest, wait waiter) error {
	src := &steady{ctx: ctx, b: b, key: m.Key, end: m.Size, pause: wait}
	defer src.close()
	v := &verifier{in: bufio.NewReaderSize(src, 256<<10), whole: sha256.New()}
	err := v.all(m)
	if err == nil {
		err = src.ended()
	}
	switch {
	case src.err != nil && !src.damaged():
		return fmt.Errorf("read %s: %w", m.Key, src.err)
	case src.err != nil:
		return &backup.Error{Kind: backup.ErrCorrupt, Message: m.Key + " is missing or shorter than what was stored", Err: errors.New(src.err.Error())}
	case err != nil:
		return &backup.Error{Kind: backup.ErrCorrupt, Message: m.Key + " is not what was stored", Err: err}
	}
	return nil
}

type verifier struct {
	in    *bufio.Reader
	whole hash.Hash
	at    int64
	zip   gzip.Reader
}

func (v *verifier) all(m *backup.ArchiveManifest) error {
	var before int64 // size of the file before, whose padding comes first
	for i := range m.Members {
		f := &m.Members[i]
		if err := v.gap(f.Offset, before, f.Name, f.SQLSize); err != nil {
			return err
		}
		if err := v.dump(f); err != nil {
			return fmt.Errorf("%s: %w", f.Name, err)
		}
		text, err := v.gapAndSmall(f.ManifestOffset, f.ManifestLength, f.SQLSize, object.ManifestKey(f.Name))
		if err != nil {
			return err
		}
		if sum := sha256.Sum256(text); hex.EncodeToString(sum[:]) != f.ManifestSHA256 {
			return corrupt("the manifest of %s has another hash", f.Name)
		}
		before = int64(len(text))
	}
	return v.end(m, before)
}

func corrupt(format string, args ...any) error {
	return backup.Errorf(backup.ErrCorrupt, format, args...)
}

// end reads what follows the last manifest: the table of contents, and the end.
func (v *verifier) end(m *backup.ArchiveManifest, before int64) error {
	rest, err := io.ReadAll(io.TeeReader(io.LimitReader(v.in, m.Size-v.at), v.whole))
	if err != nil {
		return err
	}
	v.at += int64(len(rest))
	if v.at != m.Size || hex.EncodeToString(v.whole.Sum(nil)) != m.SHA256 {
		return corrupt("the archive has %d bytes of another hash, not %d", v.at, m.Size)
	}
	if err := v.zip.Reset(bytes.NewReader(rest)); err != nil {
		return err
	}
	if _, err := io.CopyN(io.Discard, &v.zip, int64(padding(before))); err != nil {
		return err
	}
	files := tar.NewReader(&v.zip)
	h, err := files.Next()
	if err != nil || h.Name != indexName {
		return corrupt("the archive does not end with %s", indexName)
	}
	index, err := indexOf(m)
	if err != nil {
		return err
	}
	text, err := io.ReadAll(io.LimitReader(files, int64(len(index))+1))
	if err != nil || !bytes.Equal(text, index) {
		return corrupt("%s is another one", indexName)
	}
	if _, err := files.Next(); !errors.Is(err, io.EOF) {
		return corrupt("something follows %s", indexName)
	}
	return nil
}

// gap reads what lies before a file: it must be the padding of the one before
// and this one's header, and end where the file begins.
func (v *verifier) gap(end, before int64, name string, size int64) error {
	if end < v.at || end-v.at > mostGap {
		return corrupt("%s does not begin where it should", name)
	}
	text, err := v.unpack(end-v.at, mostGap)
	if err != nil {
		return err
	}
	if len(text) < padding(before) {
		return corrupt("the header of %s is cut", name)
	}
	h, err := tar.NewReader(bytes.NewReader(text[padding(before):])).Next()
	if err != nil || h.Name != name || h.Size != size || h.Typeflag != tar.TypeReg {
		return corrupt("the header of %s is another one", name)
	}
	return nil
}

// gapAndSmall reads a small file, the gap before it included.
func (v *verifier) gapAndSmall(offset, length, before int64, name string) ([]byte, error) {
	if offset < v.at || offset-v.at > mostGap {
		return nil, corrupt("%s does not begin where it should", name)
	}
	gap, err := v.unpack(offset-v.at, mostGap)
	if err != nil {
		return nil, err
	}
	text, err := v.unpack(length, mostSmall)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	if len(gap) < padding(before) {
		return nil, corrupt("the header of %s is cut", name)
	}
	h, err := tar.NewReader(bytes.NewReader(gap[padding(before):])).Next()
	if err != nil || h.Name != name || h.Size != int64(len(text)) || h.Typeflag != tar.TypeReg {
		return nil, corrupt("the header of %s is another one", name)
	}
	return text, nil
}

// take gives the next n bytes, which are hashed on their way.
func (v *verifier) take(n int64, also ...io.Writer) *io.LimitedReader {
	v.at += n
	return &io.LimitedReader{R: io.TeeReader(v.in, io.MultiWriter(append(also, v.whole)...)), N: n}
}

// unpack gives what the next n bytes unpack to.
func (v *verifier) unpack(n, most int64) ([]byte, error) {
	raw := v.take(n)
	if err := v.zip.Reset(bufio.NewReaderSize(raw, 4096)); err != nil {
		return nil, err
	}
	text, err := io.ReadAll(io.LimitReader(&v.zip, most+1))
	if err == nil && int64(len(text)) > most {
		err = corrupt("a part of the archive is larger than it may be")
	}
	if err == nil && raw.N > 0 {
		err = corrupt("a part of the archive ends early")
	}
	return text, err
}

// dump reads a copy's gzip bytes and compares every hash that is known.
func (v *verifier) dump(f *backup.ArchiveMember) error {
	part := sha256.New()
	raw := v.take(f.Length, part)
	if f.Compression == backup.Gzip {
		if _, err := io.Copy(io.Discard, raw); err != nil {
			return err
		}
		if f.Length != f.Size || f.GzipSHA256 != f.SHA256 {
			return corrupt("it is not the copy that was stored")
		}
	} else {
		if err := v.zip.Reset(bufio.NewReaderSize(raw, 64<<10)); err != nil {
			return err
		}
		sum := sha256.New()
		n, err := io.Copy(sum, io.LimitReader(&v.zip, f.SQLSize+1))
		if err != nil {
			return err
		}
		if n != f.SQLSize || hex.EncodeToString(sum.Sum(nil)) != f.SQLSHA256 || f.SQLSHA256 != f.SHA256 || raw.N > 0 {
			return corrupt("it does not unpack to the copy that was stored")
		}
	}
	if raw.N > 0 {
		return io.ErrUnexpectedEOF
	}
	if hex.EncodeToString(part.Sum(nil)) != f.GzipSHA256 {
		return corrupt("its bytes have another hash")
	}
	return nil
}
