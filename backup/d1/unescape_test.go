package d1

import (
	"testing"

	"github.com/go-json-experiment/json/jsontext"
)

func FuzzUnescape(f *testing.F) {
	for _, s := range []string{`""`, `"plain"`, `"a\nb\t\"\\\/\b\f\r"`, `"\u0000\u001f\u007f"`, `"\u0080"`, `"\ud83c\udf33 \u00e9"`, `"\ud800"`, `"é\\\\n"`, `"\\u0041"`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, quoted []byte) {
		v := jsontext.Value(quoted)
		if !v.IsValid() || v.Kind() != '"' || len(quoted) < 2 || quoted[0] != '"' || quoted[len(quoted)-1] != '"' {
			return
		}
		want, err := jsontext.AppendUnquote(nil, quoted)
		if err != nil {
			t.Fatal(err)
		}
		if got, ok := appendUnescaped([]byte("x"), quoted[1:len(quoted)-1]); ok && string(got) != "x"+string(want) {
			t.Errorf("%s gives %q, want %q", quoted, got[1:], want)
		}
	})
}
