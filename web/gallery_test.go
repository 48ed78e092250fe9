package web_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/AutumnsGrove/Patina/store"
	"github.com/AutumnsGrove/Patina/web"
)

// The gallery is there in development alone, and for those who are signed in.
func TestGallery(t *testing.T) {
	t.Parallel()
	b := newBench(t, func(c *web.Config) { c.Dev = true })
	b.user("ada", store.Viewer, false)
	page := b.signedIn("ada").get("/dev/gallery")
	if page.status != http.StatusOK || strings.Count(page.body, `class="chart"`) < 10 || strings.Contains(page.body, "style=") {
		t.Errorf("the gallery: %d %.300s", page.status, page.body)
	}
	if res := b.program("").get("/dev/gallery"); res.status != http.StatusUnauthorized {
		t.Errorf("without signing in: %d", res.status)
	}
	production := newBench(t)
	production.user("ada", store.Admin, true)
	if res := production.signedIn("ada").get("/dev/gallery"); res.status != http.StatusNotFound {
		t.Errorf("in production: %d", res.status)
	}
}
