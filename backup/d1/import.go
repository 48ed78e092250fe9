package d1

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	api "github.com/cloudflare/cloudflare-go/v7/d1"
	"github.com/cloudflare/cloudflare-go/v7/option"

	"github.com/AutumnsGrove/Patina/backup"
)

// Upload is the SQL of an import.
type Upload struct {
	Size int64
	MD5  string // of all of it, hex: Cloudflare names the file by it
	Open func() (io.ReadCloser, error)
}

// ImportStats is what an import did.
type ImportStats struct {
	Statements    int    // that were run
	FinalBookmark string // of the database after it
	RowsWritten   int64
	SizeAfter     int64 // bytes
}

// importAnswer is the answer to each step of an import.
type importAnswer struct {
	AtBookmark string   `json:"at_bookmark"`
	Filename   string   `json:"filename"`
	UploadURL  string   `json:"upload_url"`
	Status     string   `json:"status"`
	Error      string   `json:"error"`
	Errors     []string `json:"errors"`
	Success    *bool    `json:"success"`
	Result     struct {
		FinalBookmark string `json:"final_bookmark"`
		NumQueries    int    `json:"num_queries"`
		Meta          struct {
			RowsWritten float64 `json:"rows_written"`
			SizeAfter   float64 `json:"size_after"`
		} `json:"meta"`
	} `json:"result"`
}

func (a *importAnswer) failure() error {
	if said := strings.Trim(strings.Join(append(a.Errors, a.Error), "; "), "; "); said != "" {
		return failure(http.StatusOK, []apiError{{Message: said}})
	}
	return failure(http.StatusOK, nil)
}

// maxPolls bounds the wait for an import; each poll answers within half a minute.
const maxPolls = 10_000

// Importing is how far D1 has come with an import.
type Importing struct {
	Bookmark string // what to ask with next; it survives this process
	Done     bool
	Stats    ImportStats // once it is done
}

// Import runs SQL in a database by D1's import protocol: init, upload, ingest,
// poll. It is not atomic: save a bookmark first. No step that changes anything
// is sent twice.
func (c *Client) Import(ctx context.Context, id string, up Upload) (ImportStats, error) {
	file, err := c.ImportUpload(ctx, id, up)
	if err != nil {
		return ImportStats{}, err
	}
	at, err := c.ImportIngest(ctx, id, up.MD5, file)
	for range maxPolls {
		if err != nil || at.Done {
			return at.Stats, err
		}
		if err := c.cfg.Pause(ctx, time.Second/4); err != nil {
			return ImportStats{}, err
		}
		at, err = c.ImportPoll(ctx, id, at.Bookmark)
	}
	return ImportStats{}, backup.Errorf(backup.ErrUnavailable, "the import into %s does not end", id)
}

// ImportUpload gives D1 the SQL of an import, and gives the name under which
// D1 keeps it. It changes nothing in the database.
func (c *Client) ImportUpload(ctx context.Context, id string, up Upload) (filename string, err error) {
	a, err := c.importStep(ctx, id, false, map[string]string{"action": "init", "etag": up.MD5})
	if err != nil {
		return "", err
	}
	if a.UploadURL != "" { // none: Cloudflare has a file of this hash already
		if err := c.put(ctx, a.UploadURL, up); err != nil {
			return "", named(err, "upload the import for", id)
		}
	}
	return a.Filename, nil
}

// nobody is the id of no database, and nothing the MD5 of no bytes.
const (
	nobody  = "00000000-0000-4000-8000-000000000000"
	nothing = "d41d8cd98f00b204e9800998ecf8427e"
)

// MayWrite tells whether the token may change databases. It asks to begin an
// import into one that does not exist: a token that may not write is refused,
// and for any other there is no such database.
func (c *Client) MayWrite(ctx context.Context) (bool, error) {
	_, err := c.importStep(ctx, nobody, true, map[string]string{"action": "init", "etag": nothing})
	switch {
	case errors.Is(err, backup.ErrDenied):
		return false, nil
	case err == nil, errors.Is(err, backup.ErrNotFound), errors.Is(err, backup.ErrInvalid):
		return true, nil
	}
	return false, err
}

// ImportIngest tells D1 to run what was uploaded. It is sent once: an error
// that wraps ErrUnavailable leaves open whether it runs.
func (c *Client) ImportIngest(ctx context.Context, id, md5, filename string) (Importing, error) {
	a, err := c.importStep(ctx, id, false, map[string]string{"action": "ingest", "etag": md5, "filename": filename})
	if err != nil {
		return Importing{}, err
	}
	return c.importing(a, id)
}

// ImportPoll asks how far an import has come, by the bookmark of the answer
// before. Errors: ErrNotImporting where D1 knows of no import, which may have
// ended; an error of another kind than ErrUnavailable is the import's own.
func (c *Client) ImportPoll(ctx context.Context, id, bookmark string) (Importing, error) {
	a, err := c.importStep(ctx, id, true, map[string]string{"action": "poll", "current_bookmark": bookmark})
	if err != nil {
		return Importing{}, err
	}
	at, err := c.importing(a, id)
	if at.Bookmark == "" {
		at.Bookmark = bookmark
	}
	return at, err
}

func (c *Client) importing(a importAnswer, id string) (Importing, error) {
	if a.Status == "error" || a.Success != nil && !*a.Success {
		return Importing{}, named(c.washed(a.failure()), "import into", id)
	}
	return Importing{
		Bookmark: a.AtBookmark, Done: a.Status == "complete",
		Stats: ImportStats{
			Statements: a.Result.NumQueries, FinalBookmark: a.Result.FinalBookmark,
			RowsWritten: int64(a.Result.Meta.RowsWritten), SizeAfter: int64(a.Result.Meta.SizeAfter),
		},
	}, nil
}

func (c *Client) importStep(ctx context.Context, id string, read bool, step map[string]string) (importAnswer, error) {
	var p api.DatabaseImportParams
	p.AccountID.Value, p.AccountID.Present = c.cfg.AccountID, true
	e, err := small[importAnswer](ctx, c, "import into", id, read, func(ctx context.Context, opts ...option.RequestOption) error {
		body, err := c.body(step)
		if err != nil {
			return err
		}
		_, err = c.service.Import(ctx, id, p, append(opts, body)...)
		return err
	})
	return e.Result, err
}

// put sends the file to the signed URL: without the token, which is not for it.
func (c *Client) put(ctx context.Context, to string, up Upload) error {
	body, err := up.Open()
	if err != nil {
		return fmt.Errorf("open what is to be imported: %w", err)
	}
	defer body.Close()
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	idle := time.AfterFunc(c.cfg.Idle, func() { cancel(errIdle) })
	defer idle.Stop()
	req, err := http.NewRequestWithContext(ctx, http.MethodPut, to, &taken{body, idle, c.cfg.Idle})
	if err != nil {
		return &Error{Message: "the upload URL cannot be used", garbled: true}
	}
	req.ContentLength = up.Size
	res, err := c.cfg.HTTPClient.Do(req)
	if errors.Is(context.Cause(ctx), errIdle) {
		return &Error{Message: "the upload stood still", interrupted: true}
	}
	if err != nil {
		return &Error{Message: "the upload did not come through: " + hideURL(err), interrupted: true}
	}
	defer res.Body.Close()
	_, _ = io.Copy(io.Discard, io.LimitReader(res.Body, maxErrorBody))
	if res.StatusCode >= 300 {
		return &Error{Status: res.StatusCode, Message: "the upload was refused"}
	}
	if etag := strings.Trim(res.Header.Get("ETag"), `"`); !strings.EqualFold(etag, up.MD5) {
		if _, err := hex.DecodeString(up.MD5); err != nil {
			return backup.Errorf(backup.ErrInvalid, "the import's MD5 is not hexadecimal")
		}
		return &Error{Status: res.StatusCode, Message: "what arrived has another hash than what was sent", garbled: true}
	}
	return nil
}

// taken is an upload's body: each time more of it is taken is a sign of life.
type taken struct {
	io.Reader
	idle  *time.Timer
	after time.Duration
}

func (t *taken) Read(b []byte) (int, error) {
	t.idle.Reset(t.after)
	return t.Reader.Read(b)
}
