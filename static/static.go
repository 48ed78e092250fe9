// Package static holds the style sheet, the scripts and the pictures of the
// dashboard, and serves them under names that carry a hash of their content,
// so that a browser may keep them for ever.
//
// It owns /static/ and nothing else: no page, no data. htmx and its
// server-sent-events extension are the files of npm's htmx.org 4.0.1,
// unchanged (Zero-Clause BSD).
package static

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"io/fs"
	"mime"
	"net/http"
	"path"
	"strings"
	"sync"
)

//go:embed *.css *.js *.svg
var files embed.FS

// Prefix is where the files are served.
const Prefix = "/static/"

type asset struct {
	url         string
	contentType string
	body        []byte
	gzip        []byte // nil where it saves nothing
}

// loaded are the files by name and by URL, compressed once somebody asks: many
// a program that links them serves none.
var loaded = sync.OnceValues(load)

func load() (names, urls map[string]*asset) {
	names, urls = map[string]*asset{}, map[string]*asset{}
	entries, err := fs.ReadDir(files, ".")
	if err != nil {
		panic(err) // the files are part of the program
	}
	for _, e := range entries {
		body, err := files.ReadFile(e.Name())
		if err != nil {
			panic(err)
		}
		sum := sha256.Sum256(body)
		ext := path.Ext(e.Name())
		a := &asset{
			url:         Prefix + strings.TrimSuffix(e.Name(), ext) + "." + hex.EncodeToString(sum[:6]) + ext,
			contentType: mime.TypeByExtension(ext),
			body:        body,
			gzip:        compress(body),
		}
		if ext == ".js" {
			a.contentType = "text/javascript; charset=utf-8"
		}
		names[e.Name()], urls[a.url] = a, a
	}
	return names, urls
}

func compress(body []byte) []byte {
	var b bytes.Buffer
	w, _ := gzip.NewWriterLevel(&b, gzip.BestCompression)
	_, _ = w.Write(body) // a bytes.Buffer takes everything
	_ = w.Close()
	if b.Len() >= len(body) {
		return nil
	}
	return b.Bytes()
}

// URL gives the path under which a file is served, its hash included. A name
// that is not there is a mistake in a template, and panics.
func URL(name string) string {
	byName, _ := loaded()
	a := byName[name]
	if a == nil {
		panic("static: no file " + name)
	}
	return a.url
}

// Handler serves the files under Prefix: GET and HEAD, for a year.
func Handler() http.Handler {
	_, byURL := loaded()
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		a := byURL[r.URL.Path]
		if a == nil {
			http.NotFound(w, r)
			return
		}
		h := w.Header()
		h.Set("Content-Type", a.contentType)
		h.Set("Cache-Control", "public, max-age=31536000, immutable")
		h.Add("Vary", "Accept-Encoding")
		body := a.body
		if a.gzip != nil && strings.Contains(r.Header.Get("Accept-Encoding"), "gzip") {
			h.Set("Content-Encoding", "gzip")
			body = a.gzip
		}
		if r.Method == http.MethodHead {
			return
		}
		_, _ = w.Write(body) // a client that went away is no error of ours
	})
}
