package copies

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"hash"
	"io"
	"mime"
	"net/http"
	"strconv"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/AutumnsGrove/Patina/backup"
	"github.com/AutumnsGrove/Patina/backup/archive"
	"github.com/AutumnsGrove/Patina/web/ui"
)

// chunk is how many bytes are sent between two extensions of the deadline.
const chunk = 1 << 20

// Download is GET and HEAD /download/:date/:db: the stored bytes of one dump.
func (h *Handler) Download(c echo.Context) error {
	cp, err := h.choose(c)
	if err != nil {
		return err
	}
	r, header := c.Request(), c.Response().Header()
	v, err := variantOf(c)
	if err != nil {
		return err
	}
	etag := `"` + cp.SHA256 + v.tag() + `"`
	header.Set("ETag", etag)
	header.Set("Last-Modified", cp.TakenAt.UTC().Format(http.TimeFormat))
	header.Set("Patina-Backup", cp.ID)
	switch check(r.Header, etag) {
	case notModified:
		return c.NoContent(http.StatusNotModified)
	case preconditionFailed:
		return echo.NewHTTPError(http.StatusPreconditionFailed, "The dump is another one by now.")
	}
	if r.Method == http.MethodGet {
		release, err := h.Store.ReadingFor(r.Context(), "a download", cp.ID)
		if errors.Is(err, backup.ErrNotFound) { // it went a moment ago
			return errNoCopy
		}
		if err != nil {
			return err
		}
		defer release()
	}
	if v.file {
		return h.sendSQLite(c, cp, v)
	}
	if v != (variant{}) {
		return h.sendVariant(c, cp, v)
	}
	f := stored{
		what: "dump", size: cp.Size, sha256: cp.SHA256, kind: "application/sql; charset=utf-8", name: cp.DatabaseName + "-" + cp.Date.String() + ".sql",
		audit: "backup " + cp.ID + " of " + cp.DatabaseName + ", " + cp.Key, log: []any{"copy_id", cp.ID, "key", cp.Key},
		open: func(ctx context.Context, offset, length int64) (io.ReadCloser, error) {
			body, err := archive.OpenRange(ctx, h.Bucket, cp, offset, length)
			if err != nil {
				err = missing(cp.Key, "Choose another copy of this database.", err)
			}
			return body, err
		},
	}
	if cp.Compression == backup.Gzip {
		f.kind, f.name = "application/gzip", f.name+".gz"
	}
	return h.serve(c, f, etag)
}

// stored is some bytes of the bucket that are sent as they are.
type stored struct {
	what   string // in words
	size   int64
	sha256 string
	kind   string // media type
	name   string // of the file
	audit  string // the target in the audit log
	log    []any  // for the log of the program
	open   func(ctx context.Context, offset, length int64) (io.ReadCloser, error)
}

// serve answers with the bytes, or with the one range of them that was asked for.
func (h *Handler) serve(c echo.Context, f stored, etag string) error {
	r, header := c.Request(), c.Response().Header()
	header.Set("Accept-Ranges", "bytes")
	header.Set("Repr-Digest", digest(f.sha256))
	part := span{0, f.size, false}
	if rg := r.Header.Get("Range"); rg != "" && r.Method == http.MethodGet && rangeApplies(r.Header, etag) {
		var err error
		if part, err = parseRange(rg, f.size); err != nil {
			size := strconv.FormatInt(f.size, 10)
			header.Set("Content-Range", "bytes */"+size)
			return echo.NewHTTPError(http.StatusRequestedRangeNotSatisfiable, "The "+f.what+" has "+size+" bytes, and one range of them can be asked for at a time.")
		}
	}
	return h.send(c, f, part)
}

// send streams the bytes. All of them together are hashed on the way: where
// they are not what was recorded, the last of them are held back and the
// connection is cut, so that nobody takes them for the whole.
func (h *Handler) send(c echo.Context, f stored, part span) error {
	r, w := c.Request(), c.Response()
	if r.Method == http.MethodHead {
		f.describe(w.Header(), part)
		return c.NoContent(http.StatusOK)
	}
	body, err := f.open(r.Context(), part.offset, part.length)
	if err != nil {
		return err
	}
	defer body.Close()
	detail := ""
	if part.partial {
		detail = part.contentRange(f.size)
	}
	if err := h.Auth.Record(c, "download", f.audit, "sent", detail); err != nil {
		return err
	}
	f.describe(w.Header(), part)
	status := http.StatusOK
	if part.partial {
		w.Header().Set("Content-Range", part.contentRange(f.size))
		status = http.StatusPartialContent
	}
	w.WriteHeader(status)
	var sum hash.Hash
	if !part.partial {
		sum = sha256.New()
	}
	if err := pump(w, body, part.length, sum, f.sha256); err != nil {
		if errors.Is(err, backup.ErrCorrupt) {
			h.Log.ErrorContext(r.Context(), "download", append([]any{"error", err.Error()}, f.log...)...)
		}
		panic(http.ErrAbortHandler) // the status has gone out: only a cut connection tells
	}
	return nil
}

// pump copies exactly length bytes, and with sum holds the last chunk back
// until the hash is known to be want.
func pump(w http.ResponseWriter, body io.Reader, length int64, sum hash.Hash, want string) error {
	rc := http.NewResponseController(w)
	buf := make([]byte, chunk)
	for length > 0 {
		// Not every writer has a deadline (a test's recorder), and none is needed there.
		_ = rc.SetWriteDeadline(time.Now().Add(2 * time.Minute))
		n := min(length, chunk)
		if _, err := io.ReadFull(body, buf[:n]); err != nil {
			return &backup.Error{Kind: backup.ErrCorrupt, Message: "the stored object ends before it should", Err: err}
		}
		length -= n
		if sum != nil {
			sum.Write(buf[:n])
			if length == 0 && hex.EncodeToString(sum.Sum(nil)) != want {
				return backup.Errorf(backup.ErrCorrupt, "the stored object is not what was recorded")
			}
		}
		if _, err := w.Write(buf[:n]); err != nil {
			return err
		}
	}
	return nil
}

// describe sets the headers that say what the body is.
func (f *stored) describe(header http.Header, part span) {
	header.Set(echo.HeaderContentType, f.kind)
	header.Set(echo.HeaderContentLength, strconv.FormatInt(part.length, 10))
	header.Set(echo.HeaderContentDisposition, attachment(f.name))
}

// attachment makes a browser save the answer, under a file name that holds no
// separator, quote or control character.
func attachment(name string) string {
	if v := mime.FormatMediaType("attachment", map[string]string{"filename": ui.FileName(name)}); v != "" {
		return v
	}
	return "attachment"
}

// digest is the hash as Repr-Digest (RFC 9530) has it.
func digest(sha string) string {
	b, err := hex.DecodeString(sha)
	if err != nil {
		return ""
	}
	return "sha-256=:" + base64.StdEncoding.EncodeToString(b) + ":"
}

// missing words an error of the bucket about an object that should be there.
func missing(key, next string, err error) error {
	if errors.Is(err, backup.ErrNotFound) || errors.Is(err, backup.ErrInvalid) {
		return &backup.Error{
			Kind: backup.ErrCorrupt, Message: "The object " + ui.Name(key) + " is not in the bucket as it was recorded.",
			Next: next, Err: err,
		}
	}
	if errors.Is(err, context.Canceled) {
		return err
	}
	return &backup.Error{Kind: backup.ErrUnavailable, Message: "The bucket did not give the file.", Next: "Try again in a minute.", Err: err}
}
