package dump_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/AutumnsGrove/Patina/backup"
	"github.com/AutumnsGrove/Patina/backup/dump"
	bucket "github.com/AutumnsGrove/Patina/backup/object"
)

// vectors gives a part of docs/dump-format.md, from its heading to the next.
func vectors(t *testing.T, title string) string {
	t.Helper()
	page, err := os.ReadFile("../../docs/dump-format.md")
	if err != nil {
		t.Fatal(err)
	}
	_, part, ok := strings.Cut(string(page), "\n### "+title+"\n")
	if !ok {
		t.Fatalf("docs/dump-format.md has no part %q", title)
	}
	part, _, _ = strings.Cut(part, "\n### ")
	return part
}

func all(text []byte) (dump.Contents, error) {
	r := dump.NewReader(bytes.NewReader(text), dump.ReaderOptions{})
	for {
		if _, err := r.Next(); errors.Is(err, io.EOF) {
			return r.Contents(), nil
		} else if err != nil {
			return dump.Contents{}, err
		}
	}
}

func hash(b []byte) string {
	s := sha256.Sum256(b)
	return hex.EncodeToString(s[:])
}

// The dump that the specification prints is one, its hashes are those that the
// specification defines, and nothing that was done to it passes.
func TestPublishedDump(t *testing.T) {
	t.Parallel()
	part := vectors(t, "A dump")
	_, text, _ := strings.Cut(part, "```sql\n")
	text, told, _ := strings.Cut(text, "```")
	file := []byte(text)
	c, err := all(file)
	if err != nil {
		t.Fatal(err)
	}
	begin, end := strings.Index(text, "PRAGMA foreign_keys=OFF;"), strings.Index(text, "PRAGMA foreign_keys=ON;\n")+len("PRAGMA foreign_keys=ON;\n")
	last := strings.LastIndex(text, "-- file-sha256: ")
	for _, want := range []string{"-- body-sha256: " + hash(file[begin:end]) + "\n", "-- file-sha256: " + hash(file[:last]) + "\n", "body-bytes: " + strconv.Itoa(end-begin) + " "} {
		if !strings.Contains(text, want) {
			t.Errorf("by its definition there must stand %q", want)
		}
	}
	if !strings.Contains(told, hash(file)) {
		t.Errorf("the file's hash is %s", hash(file))
	}
	for _, s := range c.Sections {
		row := "section `" + s.Name + "` | offset " + strconv.FormatInt(s.Offset, 10) + ", length " + strconv.FormatInt(s.Length, 10) + ", " + strconv.FormatInt(s.Rows, 10) + " rows"
		if !strings.Contains(told, row) || hash(file[s.Offset:s.Offset+s.Length]) != s.SHA256 {
			t.Errorf("it is not told that %s", row)
		}
	}
	for i := range file {
		changed := bytes.Clone(file)
		changed[i] ^= 1
		if _, err := all(changed); err == nil {
			t.Errorf("byte %d may be another", i)
		}
		if _, err := all(file[:i]); err == nil {
			t.Errorf("it may end at byte %d", i)
		}
	}
	if _, err := all(append(bytes.Clone(file), '\n')); err == nil {
		t.Error("something may stand behind it")
	}
}

// Names come out as the specification says.
func TestPublishedText(t *testing.T) {
	t.Parallel()
	rows := regexp.MustCompile("(?m)^\\| `(\".*\")` \\| `(.*)` \\|$").FindAllStringSubmatch(vectors(t, "Text in comments"), -1)
	if len(rows) < 8 {
		t.Fatalf("only %d rows", len(rows))
	}
	for _, row := range rows {
		var name string
		if err := json.Unmarshal([]byte(row[1]), &name); err != nil {
			t.Fatalf("%s: %v", row[1], err)
		}
		var b bytes.Buffer
		w := dump.NewWriter(&b, dump.Header{Database: name, TakenAt: time.Unix(0, 0)})
		if _, err := w.Finish(dump.Footer{Consistency: "snapshot"}); err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(b.String(), "\n-- database: "+row[2]+"\n") {
			t.Errorf("%s is not written %s:\n%.200s", row[1], row[2], b.String())
		}
		if h, err := dump.NewReader(&b, dump.ReaderOptions{}).Header(); err != nil || h.Database != name {
			t.Errorf("%s comes back as %q: %v", row[1], h.Database, err)
		}
	}
}

// Keys are, or are not, as the specification says.
func TestPublishedKeys(t *testing.T) {
	t.Parallel()
	rows := regexp.MustCompile("(?m)^\\| `(\\S+)` \\| (\\w+)").FindAllStringSubmatch(vectors(t, "Keys that are, and keys that are not"), -1)
	count := map[bool]int{}
	for _, row := range rows {
		_, err := bucket.ParseKey(row[1])
		if is := row[2] != "nothing"; is != (err == nil) {
			t.Errorf("%s is %s: %v", row[1], row[2], err)
		}
		count[err == nil]++
	}
	if count[true] < 8 || count[false] < 8 {
		t.Errorf("%d keys that are, %d that are not", count[true], count[false])
	}
}

// The schemas describe every field that is written, and require those that always
// are; what is written passes, and what is spoilt does not.
func TestPublishedSchemas(t *testing.T) {
	t.Parallel()
	sum := strings.Repeat("0a", 32)
	now := time.Date(2026, 11, 23, 3, 0, 0, 0, time.UTC)
	day := backup.DateOf(now)
	m := backup.Manifest{
		Format: backup.ManifestFormat, Kind: backup.Daily, DatabaseID: "6ae2b03c-40dd-499e-ab31-017f78989b60", DatabaseName: "groveauth", CopyID: "c", Trigger: backup.TriggerNightly, Date: day, StartedAt: now, CompletedAt: now,
		Consistency: backup.Snapshot, Key: "daily/2026-11-23/groveauth.sql", SHA256: sum, SQLSHA256: sum, BodySHA256: sum, Compression: backup.Gzip, ForeignKeys: -1, Version: "dev",
		Sections: []backup.Section{{Name: "users", Kind: dump.KindTable, SHA256: sum, StoredOffset: 1, StoredLength: 2}}, Findings: []backup.Finding{{Code: "orphans", Message: "x"}},
	}
	text, err := m.Encode()
	if err != nil {
		t.Fatal(err)
	}
	a := backup.ArchiveManifest{
		Format: backup.ArchiveFormat, Week: "2026-W48", From: day, To: day, Key: "weekly/2026-W48.tar.gz", SHA256: sum,
		Members: []backup.ArchiveMember{{Name: "x", Date: day, Kind: backup.Daily, Compression: backup.Plain, SHA256: sum, SQLSHA256: sum, BodySHA256: sum, GzipSHA256: sum, ManifestSHA256: sum, Manifest: text}},
		Missing: []backup.ArchiveGap{{Date: day, DatabaseName: "x", Reason: "paused"}},
	}
	archive, err := a.Encode()
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		file  string
		text  []byte
		parts map[string]any // by the name of the definition; "" for the whole
	}{
		{"manifest.schema.json", text, map[string]any{"": m, "section": backup.Section{}, "finding": backup.Finding{}, "cost": backup.Cost{}}},
		{"archive.schema.json", archive, map[string]any{"": a, "member": backup.ArchiveMember{}, "gap": backup.ArchiveGap{}}},
	} {
		raw, err := os.ReadFile("../../docs/" + c.file)
		if err != nil {
			t.Fatal(err)
		}
		doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(raw))
		if err != nil {
			t.Fatal(err)
		}
		compiler := jsonschema.NewCompiler()
		compiler.AssertFormat()
		if err := compiler.AddResource(c.file, doc); err != nil {
			t.Fatal(err)
		}
		schema, err := compiler.Compile(c.file)
		if err != nil {
			t.Fatal(err)
		}
		check := func(text []byte) error {
			v, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
			if err != nil {
				t.Fatal(err)
			}
			return schema.Validate(v)
		}
		if err := check(c.text); err != nil {
			t.Errorf("%s: %v", c.file, err)
		}
		for _, spoilt := range [][2]string{{sum, "0A"}, {`"format": 1`, `"format": 2`}, {`"2026-11-23"`, `"23.11.2026"`}, {`"key"`, `"kee"`}} {
			if check(bytes.ReplaceAll(c.text, []byte(spoilt[0]), []byte(spoilt[1]))) == nil {
				t.Errorf("%s: %s may be %s", c.file, spoilt[0], spoilt[1])
			}
		}
		whole, _ := doc.(map[string]any)
		for name, shape := range c.parts {
			at := whole
			if name != "" {
				at = whole["$defs"].(map[string]any)[name].(map[string]any)
			}
			sameFields(t, c.file+" "+name, at, reflect.TypeOf(shape))
		}
	}
}

// sameFields holds a schema to the fields of a structure.
func sameFields(t *testing.T, what string, schema map[string]any, shape reflect.Type) {
	t.Helper()
	var fields, always, told, required []string
	for i := range shape.NumField() {
		name, more, _ := strings.Cut(shape.Field(i).Tag.Get("json"), ",")
		fields = append(fields, name)
		if more == "" {
			always = append(always, name)
		}
	}
	for name := range schema["properties"].(map[string]any) {
		told = append(told, name)
	}
	for _, name := range schema["required"].([]any) {
		required = append(required, name.(string))
	}
	for _, list := range [][]string{fields, always, told, required} {
		slices.Sort(list)
	}
	if !slices.Equal(fields, told) || !slices.Equal(always, required) {
		t.Errorf("%s: fields %v, of which always %v; described %v, required %v", what, fields, always, told, required)
	}
}
