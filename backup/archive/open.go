package archive

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"

	"github.com/AutumnsGrove/Patina/backup"
	"github.com/AutumnsGrove/Patina/backup/object"
)

// Open reads one dump out of the archive at key, by one range request: its SQL.
// At the end its size and hash are compared, and io.EOF comes only if they are
// the manifest's; otherwise ErrCorrupt.
func Open(ctx context.Context, b object.Bucket, key string, m backup.ArchiveMember) (io.ReadCloser, error) {
	r, err := b.Open(ctx, key, m.Offset, m.Length)
	if err != nil {
		return nil, fmt.Errorf("read %s out of %s: %w", m.Name, key, err)
	}
	z, err := unzip(r)
	if err != nil {
		return nil, fmt.Errorf("read %s out of %s: %w", m.Name, key, err)
	}
	return hashed(z, m.Name+" in "+key, m.SQLSize, m.SQLSHA256), nil
}

// OpenCopy reads the stored bytes of a copy from beginning to end, whether they
// are an object of their own or lie in a weekly archive; from there by one range
// request. They are the same bytes either way, those that c.Size, c.SHA256 and
// c.Compression describe. At the end they are compared with them, and io.EOF
// comes only if they are right; otherwise ErrCorrupt.
func OpenCopy(ctx context.Context, b object.Bucket, c backup.Copy) (io.ReadCloser, error) {
	r, err := open(ctx, b, c, 0, -1) // to the end: an object that is longer than it was is another one
	if err != nil {
		return nil, err
	}
	return hashed(r, c.Key, c.Size, c.SHA256), nil
}

// OpenRange reads length of a copy's stored bytes from offset, to the end where
// length is negative, wherever they lie. They are not compared with anything. An
// offset past the end is ErrInvalid. Out of an archive, a range of a copy that
// was stored without compression costs the reading of what comes before it.
func OpenRange(ctx context.Context, b object.Bucket, c backup.Copy, offset, length int64) (io.ReadCloser, error) {
	if offset < 0 || offset > c.Size || offset == c.Size && offset > 0 {
		return nil, backup.Errorf(backup.ErrInvalid, "%s has %d bytes, and byte %d was asked for", c.Key, c.Size, offset)
	}
	if length < 0 || length > c.Size-offset {
		length = c.Size - offset
	}
	return open(ctx, b, c, offset, length)
}

// open reads length of a copy's stored bytes, all that there are where it is
// negative.
func open(ctx context.Context, b object.Bucket, c backup.Copy, offset, length int64) (io.ReadCloser, error) {
	if c.Location() == backup.InObject {
		r, err := b.Open(ctx, c.Key, offset, length)
		// The object may have gone, in favour of the archive, since c was read.
		if c.Archived.Week == "" || !errors.Is(err, backup.ErrNotFound) {
			return r, err
		}
	}
	key, err := archiveKey(c)
	if err != nil {
		return nil, err
	}
	if length < 0 {
		length = c.Archived.Length
		if c.Compression != backup.Gzip {
			length = c.Size + 1 // to see that there is no more
		}
	}
	if c.Compression == backup.Gzip { // it lies there as it was stored
		return b.Open(ctx, key, c.Archived.Offset+offset, length)
	}
	r, err := b.Open(ctx, key, c.Archived.Offset, c.Archived.Length)
	if err != nil {
		return nil, fmt.Errorf("read %s out of its archive: %w", c.Key, err)
	}
	return part(r, offset, length)
}

func archiveKey(c backup.Copy) (string, error) {
	w, err := object.ParseWeek(c.Archived.Week)
	if err != nil {
		return "", fmt.Errorf("read %s out of its archive: %w", c.Key, err)
	}
	return Key(w), nil
}

// OpenSQL reads a copy's SQL, unpacked where the copy is compressed, wherever it
// lies. What is read is compared as OpenCopy does.
func OpenSQL(ctx context.Context, b object.Bucket, c backup.Copy) (io.ReadCloser, error) {
	r, err := OpenCopy(ctx, b, c)
	if err != nil || c.Compression != backup.Gzip {
		return r, err
	}
	z, err := unzip(r)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", c.Key, err)
	}
	return z, nil
}

// OpenSection reads the SQL of one part of a copy, such as a table, by one range
// request, wherever the copy lies. At the end its length and hash are compared,
// and io.EOF comes only if they are right; otherwise ErrCorrupt.
func OpenSection(ctx context.Context, b object.Bucket, c backup.Copy, s backup.Section) (io.ReadCloser, error) {
	var r io.ReadCloser
	var err error
	switch {
	case c.Compression != backup.Gzip:
		r, err = OpenRange(ctx, b, c, s.Offset, s.Length)
	case s.StoredLength > 0:
		if r, err = OpenRange(ctx, b, c, s.StoredOffset, s.StoredLength); err == nil {
			r, err = unzip(r)
		}
	default: // a manifest that was made again does not know the members
		if r, err = OpenRange(ctx, b, c, 0, c.Size); err == nil {
			r, err = part(r, s.Offset, s.Length)
		}
	}
	if err != nil {
		return nil, fmt.Errorf("read %s of %s: %w", s.Name, c.Key, err)
	}
	return hashed(r, s.Name+" of "+c.Key, s.Length, s.SHA256), nil
}

// unzip unpacks r, which it closes.
func unzip(r io.ReadCloser) (io.ReadCloser, error) {
	z, err := object.Decompressed(r)
	if err == nil {
		return z, nil
	}
	_ = r.Close()
	if errors.Is(err, io.EOF) {
		err = corrupt("nothing is stored there")
	}
	return nil, err
}

// part unpacks r and gives length bytes of the text from offset.
func part(r io.ReadCloser, offset, length int64) (io.ReadCloser, error) {
	z, err := unzip(r)
	if err != nil {
		return nil, err
	}
	if _, err := io.CopyN(io.Discard, z, offset); err != nil {
		_ = z.Close()
		if errors.Is(err, io.EOF) {
			err = backup.Errorf(backup.ErrCorrupt, "the stored bytes unpack to less than they should")
		}
		return nil, err
	}
	return &limited{io.LimitReader(z, length), z}, nil
}

type limited struct {
	io.Reader
	io.Closer
}

// hashed compares what is read of r with its size and hash, once all of it was
// read. It gives not one byte more than size.
func hashed(r io.ReadCloser, what string, size int64, sum string) io.ReadCloser {
	return &checked{r: r, what: what, left: size, want: sum, sum: sha256.New()}
}

type checked struct {
	r    io.ReadCloser
	what string
	left int64
	want string
	sum  hash.Hash
	err  error
}

func (c *checked) Read(p []byte) (int, error) {
	if c.err != nil {
		return 0, c.err
	}
	if int64(len(p)) > c.left+1 { // one more than there may be, to see that there is none
		p = p[:c.left+1]
	}
	n, err := c.r.Read(p)
	if int64(n) > c.left {
		c.err = backup.Errorf(backup.ErrCorrupt, "%s is longer than what was stored", c.what)
		return 0, c.err
	}
	c.sum.Write(p[:n])
	c.left -= int64(n)
	if err == nil {
		return n, nil
	}
	c.err = err
	if errors.Is(err, io.EOF) {
		switch {
		case c.left > 0:
			c.err = backup.Errorf(backup.ErrCorrupt, "%s ends before it should", c.what)
		case hex.EncodeToString(c.sum.Sum(nil)) != c.want:
			c.err = backup.Errorf(backup.ErrCorrupt, "%s is not what was stored: its hash is another", c.what)
		}
	}
	if n > 0 {
		return n, nil // the error comes with the next read
	}
	return 0, c.err
}

func (c *checked) Close() error { return c.r.Close() }
