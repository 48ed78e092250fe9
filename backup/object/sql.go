package object

import (
	"errors"
	"io"

	"github.com/klauspost/compress/flate"
	"github.com/klauspost/compress/gzip"

	"github.com/AutumnsGrove/Patina/backup"
)

// Decompressed reads the SQL of a dump stored with gzip; closing it closes r.
func Decompressed(r io.ReadCloser) (io.ReadCloser, error) {
	z, err := gzip.NewReader(r)
	if err != nil {
		return nil, damaged(err)
	}
	return &unzipped{z, r}, nil
}

type unzipped struct {
	z *gzip.Reader
	r io.ReadCloser
}

// Read gives SQL; what gzip finds wrong with the bytes is their fault.
func (u *unzipped) Read(b []byte) (int, error) {
	n, err := u.z.Read(b)
	return n, damaged(err)
}

// Close closes what is read from.
func (u *unzipped) Close() error { return errors.Join(u.z.Close(), u.r.Close()) }

func damaged(err error) error {
	var flawed flate.CorruptInputError
	if err == nil || backup.Kind(err) != nil {
		return err
	}
	if errors.As(err, &flawed) || errors.Is(err, gzip.ErrChecksum) || errors.Is(err, gzip.ErrHeader) || errors.Is(err, io.ErrUnexpectedEOF) {
		return &backup.Error{Kind: backup.ErrCorrupt, Message: "what is stored is not the gzip file that it should be", Err: err}
	}
	return err
}
