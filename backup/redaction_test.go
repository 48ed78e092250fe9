package backup_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/AutumnsGrove/Patina/backup"
)

func TestParseRedaction(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"users.password_hash = null":    "users.password_hash → null",
		" users . password_hash=HASH ":  "users.password_hash → hash",
		"users.password_hash → null":    "users.password_hash → null",
		`"a.b ""c"."d = e" = hash`:      `"a.b ""c"."d = e" → hash`,
		`"users"."é" → hash`:            `users."é" → hash`,
		"users.2fa = null":              `users."2fa" → null`,
		"users.password":                "= null or = hash is missing",
		"users = null":                  "a dot is missing",
		".password = null":              "no table",
		"users. = null":                 "no column",
		"users.password = drop":         "null or hash",
		"users.password = null, a.b = ": "null or hash",
		`"users.password = null`:        "no table",
		`users."" = null`:               "no column",
		"":                              "no table",
	} {
		r, err := backup.ParseRedaction(text)
		if err != nil {
			if !errors.Is(err, backup.ErrInvalid) || !strings.Contains(err.Error(), want) {
				t.Errorf("%q: %v", text, err)
			}
			continue
		}
		if r.String() != want {
			t.Errorf("%q: %s", text, r)
		}
		if again, err := backup.ParseRedaction(r.String()); err != nil || again != r {
			t.Errorf("%q: %s reads as %s, %v", text, r, again, err)
		}
	}
	if _, err := backup.ParseRedactions([]string{"a.b = null", "A.B = hash", "x"}); err == nil || !strings.Contains(err.Error(), "named twice") || !strings.Contains(err.Error(), `"x"`) {
		t.Errorf("two problems: %v", err)
	}
	rules, err := backup.ParseRedactions([]string{"b.c = null", "A.z = hash"})
	if err != nil || strings.Join(backup.RedactionTexts(rules), "; ") != "A.z → hash; b.c → null" {
		t.Error(rules, err)
	}
	if !backup.SameRedactions([]string{"b.c → null", "a.Z → hash"}, []string{"A.z = hash", "b.c=null"}) ||
		backup.SameRedactions([]string{"b.c → null"}, []string{"b.c → hash"}) || backup.SameRedactions(nil, []string{"b.c → hash"}) {
		t.Error("which rules are the same")
	}
}
