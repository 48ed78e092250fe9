package manual

import (
	"bytes"
	"net/url"
	"path"
	"strconv"
	"strings"
	"unicode"

	"github.com/yuin/goldmark"
	"github.com/yuin/goldmark/ast"
	"github.com/yuin/goldmark/extension"
	east "github.com/yuin/goldmark/extension/ast"
	"github.com/yuin/goldmark/parser"
	"github.com/yuin/goldmark/text"
	"github.com/yuin/goldmark/util"
)

// sourceURL is where a file lies that no page of the manual shows.
const sourceURL = "https://github.com/AutumnsGrove/Patina/blob/main/"

var markdown = goldmark.New(
	goldmark.WithExtensions(extension.Table),
	goldmark.WithParserOptions(parser.WithAutoHeadingID(), parser.WithASTTransformers(util.Prioritized(links{}, 100), util.Prioritized(labels{}, 200))),
)

// heading is a line of a page's table of contents.
type heading struct{ ID, Text string }

// render makes HTML of Markdown, and gives its headings of the second level.
// Raw HTML in it is left out, and a link that would run a script leads nowhere.
func render(source []byte) (html string, contents []heading, err error) {
	doc := markdown.Parser().Parse(text.NewReader(source), parser.WithContext(parser.NewContext(parser.WithIDs(anchors{"content": true}))))
	for n := doc.FirstChild(); n != nil; n = n.NextSibling() {
		h, ok := n.(*ast.Heading)
		if !ok || h.Level != 2 {
			continue
		}
		if id, ok := h.AttributeString("id"); ok {
			contents = append(contents, heading{string(id.([]byte)), plain(h, source)})
		}
	}
	var b bytes.Buffer
	err = markdown.Renderer().Render(&b, source, doc)
	return b.String(), contents, err
}

// plain gives the words of a heading.
func plain(n ast.Node, source []byte) string {
	var b strings.Builder
	_ = ast.Walk(n, func(n ast.Node, entering bool) (ast.WalkStatus, error) {
		if t, ok := n.(*ast.Text); ok && entering {
			b.Write(t.Segment.Value(source))
		}
		return ast.WalkContinue, nil
	})
	return b.String()
}

// anchors names headings as GitHub does, so that a link works in both places.
type anchors map[string]bool

// Generate makes the id of a heading.
func (a anchors) Generate(value []byte, _ ast.NodeKind) []byte {
	id := anchor(string(value))
	for n, first := 1, id; a[id]; n++ {
		id = first + "-" + strconv.Itoa(n)
	}
	a[id] = true
	return []byte(id)
}

// Put takes an id that is used already.
func (a anchors) Put(value []byte) { a[string(value)] = true }

func anchor(text string) string {
	id := strings.Map(func(r rune) rune {
		switch {
		case unicode.IsLetter(r) || unicode.IsDigit(r) || r == '-' || r == '_':
			return unicode.ToLower(r)
		case r == ' ':
			return '-'
		}
		return -1
	}, strings.TrimSpace(text))
	if id == "" {
		return "section"
	}
	return id
}

// links leads what is relative to the folder docs to where the dashboard has it.
type links struct{}

// Transform changes a document's links in place.
func (links) Transform(doc *ast.Document, _ text.Reader, _ parser.Context) {
	_ = ast.Walk(doc, func(n ast.Node, entering bool) (ast.WalkStatus, error) {
		if l, ok := n.(*ast.Link); ok && entering {
			l.Destination = []byte(target(string(l.Destination)))
		}
		return ast.WalkContinue, nil
	})
}

// labels says in each cell of a table what its column is called, for screens that
// are too narrow for a row.
type labels struct{}

// Transform changes a document's tables in place.
func (labels) Transform(doc *ast.Document, reader text.Reader, _ parser.Context) {
	_ = ast.Walk(doc, func(n ast.Node, entering bool) (ast.WalkStatus, error) {
		if n.Kind() != east.KindTable || !entering {
			return ast.WalkContinue, nil
		}
		var columns []string
		for c := n.FirstChild().FirstChild(); c != nil; c = c.NextSibling() {
			columns = append(columns, plain(c, reader.Source()))
		}
		for row := n.FirstChild().NextSibling(); row != nil; row = row.NextSibling() {
			i := 0
			for c := row.FirstChild(); c != nil; c = c.NextSibling() {
				if i > 0 && i < len(columns) && columns[i] != "" {
					c.SetAttributeString("data-label", []byte(columns[i]))
				}
				i++
			}
		}
		return ast.WalkSkipChildren, nil
	})
}

// target gives the address in the dashboard of what a page of docs links to.
func target(link string) string {
	u, err := url.Parse(link)
	if err != nil || u.Scheme != "" || u.Host != "" || u.Path == "" || strings.HasPrefix(u.Path, "/") {
		return link
	}
	file := path.Join("docs", u.Path)
	name, inDocs := strings.CutPrefix(file, "docs/")
	at := sourceURL + file
	switch {
	case name == "openapi.json":
		at = "/openapi.json"
	case inDocs && exists(name):
		at = pageURL(name)
	}
	if u.Fragment != "" {
		at += "#" + u.EscapedFragment()
	}
	return at
}

// pageURL is where a file of the manual is served.
func pageURL(file string) string {
	switch name := strings.TrimSuffix(file, ".md"); name {
	case "README":
		return "/docs"
	case "runbook":
		return "/runbook"
	default:
		return "/docs/" + name
	}
}
