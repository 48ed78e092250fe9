package object

import (
	"bytes"
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/AutumnsGrove/Patina/backup"
)

// What S3 and R2 take in one upload.
const (
	maxParts    = 10_000
	minPartSize = 5 << 20
	maxPartSize = 5 << 30
)

// aftermath bounds what has to be done though the upload was cancelled: cleaning
// up, and asking whether a commit whose answer was lost had come to pass.
const aftermath = 30 * time.Second

// ownerKey names the metadata in which an object carries its upload's own token.
// Size and ETag would not tell whose an object is: two uploads of the same bytes
// have them in common.
const ownerKey = "patina-upload"

func newBody(b []byte) *bytes.Reader { return bytes.NewReader(b) }

// s3Upload sends an object in parts of one size, one after another: its memory
// is one part. An object smaller than a part is sent whole.
type s3Upload struct {
	b     *s3Bucket
	ctx   context.Context
	key   string
	opt   CreateOptions
	owner string // this upload's token
	id    string // of the multipart upload; "" before the first full part
	part  []byte
	etags []string
	size  int64
	err   error // the first failure: bytes may be missing, and nothing can follow
	ended bool
}

func (b *s3Bucket) Create(ctx context.Context, key string, opt CreateOptions) (Upload, error) {
	if err := checkKey(key); err != nil {
		return nil, err
	}
	opt.defaults()
	opt.PartSize = min(max(opt.PartSize, minPartSize), maxPartSize)
	return &s3Upload{b: b, ctx: ctx, key: key, opt: opt, owner: rand.Text()}, nil
}

func (u *s3Upload) Write(p []byte) (int, error) {
	if err := u.usable(u.ctx); err != nil {
		return 0, err
	}
	n, size := 0, int(u.opt.PartSize)
	for len(p) > 0 {
		if len(u.part) == size { // there is more: this part is not the last
			if u.err = u.flush(u.ctx); u.err != nil {
				return n, u.err
			}
		}
		k := min(len(p), size-len(u.part))
		u.grow(len(u.part)+k, size)
		u.part = append(u.part, p[:k]...)
		p, n, u.size = p[k:], n+k, u.size+int64(k)
	}
	return n, nil
}

// grow makes room for need bytes, and never for more than most: a small object
// does not take the memory of a part.
func (u *s3Upload) grow(need, most int) {
	if need <= cap(u.part) {
		return
	}
	room := make([]byte, len(u.part), min(most, max(need, 16*cap(u.part), 64<<10)))
	copy(room, u.part)
	u.part = room
}

// usable tells whether the upload can go on.
func (u *s3Upload) usable(ctx context.Context) error {
	switch {
	case u.err != nil:
	case u.ended:
		return ended(u.key)
	case ctx.Err() != nil:
		u.err = fmt.Errorf("store %s: %w", u.key, context.Cause(ctx))
	}
	return u.err
}

// flush sends the part that is full, or the last one.
func (u *s3Upload) flush(ctx context.Context) error {
	if u.id == "" {
		u.opt.Hook("before:upload.create")
		out, err := u.b.client.CreateMultipartUpload(ctx, &s3.CreateMultipartUploadInput{
			Bucket: &u.b.name, Key: &u.key,
			ContentType: &u.opt.ContentType, Metadata: map[string]string{ownerKey: u.owner},
		})
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
	u.etags = append(u.etags, aws.ToString(out.ETag))
	u.part = u.part[:0]
	return nil
}

func (u *s3Upload) Commit(ctx context.Context) (Info, error) {
	if err := cmp.Or(u.usable(u.ctx), u.usable(ctx)); err != nil {
		return Info{}, err
	}
	if u.id != "" && len(u.part) > 0 {
		if u.err = u.flush(ctx); u.err != nil {
			return Info{}, u.err
		}
	}
	u.opt.Hook("before:upload.complete")
	etag, err := u.send(ctx)
	info, err := u.confirm(ctx, etag, err)
	if err != nil {
		u.err = err
		return Info{}, err
	}
	u.ended, u.part = true, nil
	u.opt.Hook("after:upload.complete")
	return info, nil
}

// send makes the object visible unless its key is taken, and gives its ETag.
func (u *s3Upload) send(ctx context.Context) (string, error) {
	if u.id == "" {
		out, err := u.b.client.PutObject(ctx, &s3.PutObjectInput{
			Bucket: &u.b.name, Key: &u.key, Body: newBody(u.part), ContentLength: aws.Int64(int64(len(u.part))),
			ContentType: &u.opt.ContentType, Metadata: map[string]string{ownerKey: u.owner}, IfNoneMatch: aws.String("*"),
		})
		if err != nil {
			return "", u.b.fault("store "+u.key, err)
		}
		return aws.ToString(out.ETag), nil
	}
	// R2, S3 and versitygw honour the condition here too. Other servers know it
	// for a whole object only, so they are asked before.
	switch _, _, err := u.b.head(ctx, u.key); {
	case err == nil:
		return "", backup.Errorf(backup.ErrConflict, "store %s: the key is taken, and what lies there was left as it is", u.key)
	case !errors.Is(err, backup.ErrNotFound):
		return "", err
	}
	out, err := u.b.client.CompleteMultipartUpload(ctx, &s3.CompleteMultipartUploadInput{
		Bucket: &u.b.name, Key: &u.key, UploadId: &u.id,
		MultipartUpload: completed(u.etags), IfNoneMatch: aws.String("*"),
	})
	if err != nil {
		return "", u.b.fault("store "+u.key, err)
	}
	return aws.ToString(out.ETag), nil
}

// confirm looks at the object that lies at the key after send gave etag and err.
// It decides: an answer may have been lost, and then a second try met what the
// first had stored.
func (u *s3Upload) confirm(ctx context.Context, etag string, err error) (Info, error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), aftermath)
	defer cancel()
	info, owner, lookErr := u.b.head(ctx, u.key)
	ours := lookErr == nil && owner == u.owner && info.Size == u.size
	switch {
	case ours:
		return info, nil
	case err == nil && errors.Is(lookErr, backup.ErrNotFound):
		return Info{}, backup.Errorf(backup.ErrUnavailable, "store %s: %s took it and does not have it", u.key, u.b)
	case err == nil && lookErr == nil && (owner != "" || info.Size != u.size):
		return Info{}, backup.Errorf(backup.ErrConflict, "store %s: another object has taken its place", u.key)
	case err == nil && lookErr == nil: // a server that keeps no metadata: its word counts
		return info, nil
	case err == nil:
		return Info{Key: u.key, Size: u.size, ETag: etag}, nil
	case errors.Is(err, backup.ErrNotFound): // not the object's kind: it is the upload that is gone
		return Info{}, &backup.Error{Kind: backup.ErrUnavailable, Message: "store " + u.key + ": the unfinished upload was thrown away meanwhile", Err: cause(err)}
	}
	return Info{}, err
}

// cause gives an error's words without its kind.
func cause(err error) error { return errors.New(err.Error()) }

func (u *s3Upload) Abort(ctx context.Context) error {
	if u.ended {
		return nil
	}
	u.ended, u.part = true, nil
	if u.id == "" {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), aftermath)
	defer cancel()
	return u.b.AbortUpload(ctx, PendingUpload{Key: u.key, ID: u.id})
}
