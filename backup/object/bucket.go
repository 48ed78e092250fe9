// Package object stores bytes under keys: in S3 or R2, or in a folder. It also
// owns the grammar of the keys, which are built and parsed here and nowhere else.
//
// Nothing is visible under a key before its upload was committed, and a commit
// never overwrites. What the bytes mean is no matter of this package's. It is
// the only importer of the S3 SDK.
package object

import (
	"context"
	"fmt"
	"io"
	"iter"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/AutumnsGrove/Patina/backup"
)

// Bucket is a place for objects. Errors wrap backup's kinds: ErrNotFound for a
// missing key, ErrConflict for one that exists, ErrDenied for a missing right,
// ErrInvalid for a range past the end or a bad key, ErrUnavailable for the rest.
type Bucket interface {
	// Create begins an object. Nothing is visible under key before Commit
	// returned nil, and Commit never overwrites: where the key exists, it fails
	// with backup.ErrConflict.
	Create(ctx context.Context, key string, opt CreateOptions) (Upload, error)
	// Open reads length bytes from offset, to the end where length is negative.
	// An offset past the end is backup.ErrInvalid; fewer bytes than asked for are
	// given where the object ends before.
	Open(ctx context.Context, key string, offset, length int64) (io.ReadCloser, error)
	// Stat describes an object.
	Stat(ctx context.Context, key string) (Info, error)
	// List gives the objects whose keys begin with prefix, sorted by key.
	List(ctx context.Context, prefix string) iter.Seq2[Info, error]
	// Delete removes an object; that it is missing is no error.
	Delete(ctx context.Context, key string) error
	// Replace stores a small object, over what is there.
	Replace(ctx context.Context, key string, body []byte, contentType string) error
	// Uploads gives the uploads that were begun and neither committed nor aborted.
	Uploads(ctx context.Context) iter.Seq2[PendingUpload, error]
	AbortUpload(ctx context.Context, u PendingUpload) error
	// String names the bucket for people, without secrets.
	String() string
}

// Upload is an object that is being written, by one goroutine.
type Upload interface {
	io.Writer
	// Commit makes the object visible, whole, or fails and leaves nothing: also
	// where a Write failed or was cancelled before. An answer that was lost is
	// asked for again before it counts as a failure, and an object of the same
	// bytes by somebody else is ErrConflict. ModTime is zero where the store
	// confirmed the object but could not be asked for its time.
	Commit(ctx context.Context) (Info, error)
	// Abort throws the upload away, even where ctx is cancelled. After Commit it
	// does nothing.
	Abort(ctx context.Context) error
}

// CreateOptions say how an object is written.
type CreateOptions struct {
	ContentType string
	PartSize    int64 // bytes; 0 is DefaultPartSize. S3's bounds are kept whatever it says
	// Hook is told "before:" upload.create, upload.part and upload.complete, and
	// "after:" them where they succeeded. It may be nil.
	Hook func(step string)
}

// DefaultPartSize is 8 MiB: with at most 10,000 parts, an object of 80 GB.
const DefaultPartSize = 8 << 20

func (o *CreateOptions) defaults() {
	if o.PartSize <= 0 {
		o.PartSize = DefaultPartSize
	}
	if o.Hook == nil {
		o.Hook = func(string) {}
	}
}

// Info describes a stored object.
type Info struct {
	Key     string
	Size    int64
	ModTime time.Time
	ETag    string // as the store gives it; "" in a folder
}

// PendingUpload is an upload that nobody finished.
type PendingUpload struct {
	Key, ID string
	Started time.Time
}

// Config is what a URL does not say.
type Config struct {
	R2AccessKeyID, R2SecretAccessKey string `json:"-"`
	R2Jurisdiction                   string // "" or "eu", "fedramp"
	AccountID                        string // Cloudflare's, for r2://
	HTTPClient                       *http.Client
}

// String shows the configuration without its secrets.
func (c Config) String() string {
	return fmt.Sprintf("{account:%s jurisdiction:%s key:%s secret:[redacted]}", c.AccountID, c.R2Jurisdiction, c.R2AccessKeyID)
}

// GoString is String.
func (c Config) GoString() string { return "object.Config" + c.String() }

// Open opens the bucket at a URL: r2://bucket, s3://bucket?endpoint=…&region=…
// or file:///folder. A folder is made where it is missing; for the others
// nothing is sent yet.
func Open(ctx context.Context, at string, cfg Config) (Bucket, error) {
	u, err := url.Parse(at)
	if err != nil {
		return nil, bad("the bucket's URL cannot be read")
	}
	if u.User != nil {
		return nil, bad("the bucket's URL must not hold a user or a password")
	}
	switch u.Scheme {
	case "file":
		if u.Host != "" || !strings.HasPrefix(u.Path, "/") {
			return nil, bad("a folder bucket is written file:///folder, with three slashes")
		}
		return OpenFolder(u.Path)
	case "r2":
		return openR2(ctx, u, cfg)
	case "s3":
		return openS3URL(ctx, u, cfg)
	}
	return nil, bad("the bucket's URL begins with %q; it must begin with r2://, s3:// or file://", u.Scheme)
}

func bad(format string, args ...any) error {
	return &backup.Error{
		Kind: backup.ErrInvalid, Message: "PATINA_BUCKET: " + fmt.Sprintf(format, args...),
		Next: "write r2://bucket, s3://bucket?endpoint=https://…&region=… or file:///folder",
	}
}

// checkKey refuses what no store should be asked for: it is not the grammar of
// Patina's keys, which ParseKey knows, but what every key has in common.
func checkKey(key string) error {
	if key == "" || len(key) > 1024 {
		return backup.Errorf(backup.ErrInvalid, "a key has 1 to 1,024 bytes, not %d", len(key))
	}
	for part := range strings.SplitSeq(key, "/") {
		if part == "" || part == "." || part == ".." || len(part) > 255 || strings.HasPrefix(part, tempPrefix) || strings.ContainsFunc(part, func(r rune) bool { return r < 0x20 || r == 0x7f || r == '\\' }) {
			return backup.Errorf(backup.ErrInvalid, "%.100q is not a key", key)
		}
	}
	return nil
}
