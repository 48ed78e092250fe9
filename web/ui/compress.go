package ui

import (
	"bytes"
	"net/http"
	"strings"
	"sync"

	"github.com/klauspost/compress/gzip"
	"github.com/labstack/echo/v4"
)

// What is told of databases is compressed on its way; what could be guessed by
// its length is not. An answer that holds a secret beside what a stranger can
// put into the request gives the secret away, a little at a time, by how well it
// compresses (BREACH). Secrets are shown once, in the answer to a POST, and on
// pages for those who have not signed in; pages of those who have hold no token
// of a form. So only a GET of somebody who is signed in is compressed.

// mayCompress is the key under which a request's context says so.
const mayCompress = "patina.compress"

// smallest is from how many bytes on an answer is compressed.
const smallest = 1400

// AllowCompression says that the answer to a request may be compressed.
func AllowCompression(c echo.Context) { c.Set(mayCompress, true) }

var zippers = sync.Pool{New: func() any {
	w, _ := gzip.NewWriterLevel(nil, gzip.BestSpeed) // the level is one
	return w
}}

// blob sends a body as it is, or compressed where that is allowed, wanted and
// worth it.
func blob(c echo.Context, status int, contentType string, body []byte) error {
	may, _ := c.Get(mayCompress).(bool)
	if !may || c.Request().Method != http.MethodGet || status != http.StatusOK || len(body) < smallest {
		return c.Blob(status, contentType, body)
	}
	c.Response().Header().Add(echo.HeaderVary, echo.HeaderAcceptEncoding)
	if !takesGzip(c.Request().Header.Get(echo.HeaderAcceptEncoding)) {
		return c.Blob(status, contentType, body)
	}
	var b bytes.Buffer
	b.Grow(len(body) / 4)
	w, _ := zippers.Get().(*gzip.Writer)
	defer zippers.Put(w)
	w.Reset(&b)
	_, err := w.Write(body)
	if err == nil {
		err = w.Close()
	}
	if err != nil {
		return err
	}
	c.Response().Header().Set(echo.HeaderContentEncoding, "gzip")
	return c.Blob(status, contentType, b.Bytes())
}

// takesGzip tells whether an Accept-Encoding names gzip and does not refuse it.
func takesGzip(accept string) bool {
	for part := range strings.SplitSeq(accept, ",") {
		name, q, _ := strings.Cut(strings.TrimSpace(part), ";")
		q = strings.ReplaceAll(q, " ", "")
		if strings.EqualFold(strings.TrimSpace(name), "gzip") {
			return !strings.HasPrefix(q, "q=0") || strings.Trim(q, "q=0.") != ""
		}
	}
	return false
}
