package object

import (
	"bytes"
	"context"
	"crypto/md5" //nolint:gosec // S3 names what it stored by it; nothing is secured by it
	"encoding/hex"
	"errors"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/AutumnsGrove/Patina/backup"
)

// maxParts is how many parts an upload may have.
const maxParts = 10_000

// abortTimeout bounds the cleaning up after an upload that failed.
const abortTimeout = 30 * time.Second

func newBody(b []byte) *bytes.Reader { return bytes.NewReader(b) }

// s3Upload sends an object in parts of one size, one after another: its memory
// is one part. An object smaller than a part is sent whole.
type s3Upload struct {
	b     *s3Bucket
	ctx   context.Context
	key   string
	opt   CreateOptions
	id    string // of the multipart upload; "" before the first full part
	part  []byte
	etags []string
	sums  []byte // the parts' MD5s, one after another
	size  int64
	ended bool
}

func (b *s3Bucket) Create(ctx context.Context, key string, opt CreateOptions) (Upload, error) {
	if err := checkKey(key); err != nil {
		return nil, err
	}
	opt.defaults()
	return &s3Upload{b: b, ctx: ctx, key: key, opt: opt}, nil
}

func (u *s3Upload) Write(p []byte) (int, error) {
	n := 0
	for len(p) > 0 {
		if u.part == nil {
			u.part = make([]byte, 0, u.opt.PartSize)
		}
		if len(u.part) == cap(u.part) { // there is more: this part is not the last
			if err := u.flush(u.ctx); err != nil {
				return n, err
			}
		}
		k := min(len(p), cap(u.part)-len(u.part))
		u.part = append(u.part, p[:k]...)
		p, n, u.size = p[k:], n+k, u.size+int64(k)
	}
	return n, nil
}

// flush sends the part that is full, or the last one.
func (u *s3Upload) flush(ctx context.Context) error {
	if u.id == "" {
		u.opt.Hook("before:upload.create")
		out, err := u.b.client.CreateMultipartUpload(ctx, &s3.CreateMultipartUploadInput{Bucket: &u.b.name, Key: &u.key, ContentType: &u.opt.ContentType})
		if err != nil {
			return u.b.fault("begin the upload of "+u.key, err)
		}
		u.id = aws.ToString(out.UploadId)
		u.opt.Hook("after:upload.create")
	}
	if len(u.etags) == maxParts {
		return backup.Errorf(backup.ErrInvalid, "%s is too large for %d parts of %d bytes", u.key, maxParts, u.opt.PartSize)
	}
	u.opt.Hook("before:upload.part")
	out, err := u.b.client.UploadPart(ctx, &s3.UploadPartInput{
		Bucket: &u.b.name, Key: &u.key, UploadId: &u.id,
		PartNumber: aws.Int32(int32(len(u.etags) + 1)), Body: newBody(u.part), ContentLength: aws.Int64(int64(len(u.part))),
	})
	if err != nil {
		return u.b.fault("upload a part of "+u.key, err)
	}
	u.opt.Hook("after:upload.part")
	sum := md5.Sum(u.part) //nolint:gosec // as above
	u.sums = append(u.sums, sum[:]...)
	u.etags = append(u.etags, aws.ToString(out.ETag))
	u.part = u.part[:0]
	return nil
}

func (u *s3Upload) Commit(ctx context.Context) (Info, error) {
	if u.ended {
		return Info{}, backup.Errorf(backup.ErrInvalid, "the upload of %s has ended", u.key)
	}
	if err := context.Cause(ctx); err != nil {
		return Info{}, err
	}
	var err error
	var etag string // what the object has if it is ours
	if u.id == "" {
		sum := md5.Sum(u.part) //nolint:gosec // as above
		etag = `"` + hex.EncodeToString(sum[:]) + `"`
		err = u.putWhole(ctx)
	} else {
		if len(u.part) > 0 {
			if err := u.flush(ctx); err != nil {
				return Info{}, err
			}
		}
		sum := md5.Sum(u.sums) //nolint:gosec // as above
		etag = multipartETag(hex.EncodeToString(sum[:]), len(u.etags))
		err = u.complete(ctx)
	}
	if err != nil && !u.isOurs(ctx, err, etag) {
		return Info{}, err
	}
	u.ended, u.part = true, nil
	return Info{Key: u.key, Size: u.size, ETag: etag}, nil
}

func (u *s3Upload) putWhole(ctx context.Context) error {
	u.opt.Hook("before:upload.complete")
	_, err := u.b.client.PutObject(ctx, &s3.PutObjectInput{
		Bucket: &u.b.name, Key: &u.key, Body: newBody(u.part),
		ContentLength: aws.Int64(int64(len(u.part))), ContentType: &u.opt.ContentType, IfNoneMatch: aws.String("*"),
	})
	u.opt.Hook("after:upload.complete")
	return u.b.fault("store "+u.key, err)
}

func (u *s3Upload) complete(ctx context.Context) error {
	u.opt.Hook("before:upload.complete")
	_, err := u.b.client.CompleteMultipartUpload(ctx, &s3.CompleteMultipartUploadInput{
		Bucket: &u.b.name, Key: &u.key, UploadId: &u.id,
		MultipartUpload: completed(u.etags), IfNoneMatch: aws.String("*"),
	})
	u.opt.Hook("after:upload.complete")
	return u.b.fault("store "+u.key, err)
}

// isOurs tells whether the object at the key is this upload after all: an
// answer was lost, and perhaps a second try met what the first had stored.
func (u *s3Upload) isOurs(ctx context.Context, err error, etag string) bool {
	if !errors.Is(err, backup.ErrUnavailable) && !errors.Is(err, backup.ErrNotFound) && !errors.Is(err, backup.ErrConflict) {
		return false
	}
	i, err := u.b.Stat(context.WithoutCancel(ctx), u.key)
	return err == nil && i.Size == u.size && i.ETag == etag
}

func (u *s3Upload) Abort(ctx context.Context) error {
	if u.ended {
		return nil
	}
	u.ended, u.part = true, nil
	if u.id == "" {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), abortTimeout)
	defer cancel()
	return u.b.AbortUpload(ctx, PendingUpload{Key: u.key, ID: u.id})
}
