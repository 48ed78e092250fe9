package object_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/AutumnsGrove/Patina/backup/object"
)

// Servers and proxies rewrite Accept-Encoding: R2's in workerd does, and so does
// Google's. It is sent, so that nothing is unpacked behind our back, and not signed.
func TestAcceptEncodingIsNotSigned(t *testing.T) {
	t.Parallel()
	asked := 0
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked++
		if sent := r.Header.Get("Accept-Encoding"); sent != "identity" {
			t.Errorf("%s %s sends Accept-Encoding %q", r.Method, r.URL, sent)
		}
		if by := r.Header.Get("Authorization"); !strings.Contains(by, "host;") || strings.Contains(by, "accept-encoding") {
			t.Errorf("%s %s is signed over %s", r.Method, r.URL, by)
		}
		w.WriteHeader(http.StatusNotFound)
	}))
	defer srv.Close()
	b, err := object.Open(t.Context(), "s3://bucket?region=auto&endpoint="+srv.URL, object.Config{R2AccessKeyID: "key", R2SecretAccessKey: "secret"})
	if err != nil {
		t.Fatal(err)
	}
	_, _ = b.Stat(t.Context(), "meta/x")
	_, _ = b.Open(t.Context(), "meta/x", 3, 5)
	_ = b.Replace(t.Context(), "meta/x", []byte("x"), "text/plain")
	if asked < 3 {
		t.Errorf("%d requests came", asked)
	}
}
