package object_test

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"reflect"
	"strings"
	"testing"

	"github.com/AutumnsGrove/Patina/backup"
	"github.com/AutumnsGrove/Patina/backup/object"
)

func TestR2Domains(t *testing.T) {
	t.Parallel()
	answers := map[string]string{}
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "Bearer tok" {
			w.WriteHeader(http.StatusForbidden)
		}
		if r.Header.Get("Cf-R2-Jurisdiction") != "eu" {
			t.Error("the jurisdiction is not named")
		}
		name, ok := strings.CutPrefix(r.URL.Path, "/accounts/acc/r2/buckets/patina/domains/")
		if !ok {
			t.Errorf("asked for %s", r.URL.Path)
		}
		_, _ = io.WriteString(w, answers[name])
	}))
	defer srv.Close()
	ask := func(token string) ([]string, error) {
		return object.R2Domains(t.Context(), srv.URL, token, "patina", object.Config{AccountID: "acc", R2Jurisdiction: "eu"})
	}
	answers["managed"] = `{"success":true,"result":{"bucketId":"x","domain":"pub-1.r2.dev","enabled":false}}`
	answers["custom"] = `{"success":true,"result":{"domains":[]}}`
	if open, err := ask("tok"); err != nil || open != nil {
		t.Errorf("a private bucket: %v, %v", open, err)
	}
	answers["managed"] = strings.Replace(answers["managed"], "false", "true", 1)
	answers["custom"] = `{"result":{"domains":[{"domain":"a.example","enabled":true},{"domain":"b.example","enabled":false}]}}`
	if open, err := ask("tok"); err != nil || !reflect.DeepEqual(open, []string{"pub-1.r2.dev", "a.example"}) {
		t.Errorf("an open bucket: %v, %v", open, err)
	}
	if _, err := ask("other"); !errors.Is(err, backup.ErrDenied) {
		t.Errorf("without the right: %v", err)
	}
	answers["custom"] = `<html>`
	if _, err := ask("tok"); !errors.Is(err, backup.ErrUnavailable) {
		t.Errorf("an answer that is none: %v", err)
	}
}
