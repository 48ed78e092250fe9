package main

import (
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/AutumnsGrove/Patina/backup/dump"
)

// files lists what lies in a folder and below it.
func files(t *testing.T, dir string) []string {
	t.Helper()
	var all []string
	err := filepath.WalkDir(dir, func(name string, d os.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			all = append(all, name)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func TestDemo(t *testing.T) {
	t.Parallel()
	data := dataDir(t)
	e := env{"PATINA_DATA": data, "DATABASE_URL": "postgres://never.invalid/x", "CLOUDFLARE_API_TOKEN": canary, "PATINA_BUCKET": "r2://never"}

	first := begin(t, e, "demo")
	first.await("Ctrl-C stops.")
	text := first.text.String()
	has(t, text, "groveauth", "scout-db", "grove-engine-db", "autumnsgrove-posts", "autumnsgrove-git-stats", "grove-domain-jobs", "sha256", "Sign in     admin")
	date := time.Now().UTC().Format(time.DateOnly)
	stored := map[string]string{}
	for _, name := range files(t, filepath.Join(data, "bucket", "daily", date)) {
		body, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		stored[filepath.Base(name)] = string(body)
		if strings.HasSuffix(name, ".sql") {
			if _, _, err := dump.Verify(strings.NewReader(string(body))); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
	}
	if len(stored) != 12 {
		t.Errorf("%d files under daily/%s, want six dumps and six manifests", len(stored), date)
	}
	if readme, err := os.ReadFile(filepath.Join(data, "bucket", "README.txt")); err != nil || !strings.Contains(string(readme), "sqlite3 restored.sqlite <") {
		t.Errorf("the bucket does not explain itself: %v", err)
	}
	token := regexp.MustCompile(`API token\s+(\S+)`).FindStringSubmatch(text)
	addr := regexp.MustCompile(`Dashboard\s+http://(\S+)`).FindStringSubmatch(text)
	if token == nil || addr == nil {
		t.Fatalf("no token or address:\n%s", text)
	}
	var status struct {
		LastCompletedAt *string `json:"last_completed_at"`
		Databases       []any
	}
	if code := ask(t, "GET", "http://"+addr[1]+"/status", token[1], "", &status); code != 200 || status.LastCompletedAt == nil || len(status.Databases) != 6 {
		t.Errorf("/status answers %d %+v", code, status)
	}
	// Another verb, while it runs.
	has(t, patina(t, env{"PATINA_DATA": data}, "list", "--embedded").want(t, exitDone).out, "daily/"+date+"/groveauth.sql")
	has(t, patina(t, e, "demo").want(t, exitError).err, "another Patina runs")
	if code := first.ended(); code != exitDone {
		t.Fatalf("exit code %d after Ctrl-C:\n%s", code, first.text)
	}

	began := time.Now()
	second := begin(t, e, "demo")
	second.await("Ctrl-C stops.")
	t.Logf("the second start took %.1f s", time.Since(began).Seconds())
	has(t, second.text.String(), "was made before", token[1], "groveauth")
	for _, name := range files(t, filepath.Join(data, "bucket", "daily")) {
		body, _ := os.ReadFile(name)
		if stored[filepath.Base(name)] != string(body) {
			t.Errorf("%s changed, or is new, at the second start", name)
		}
	}
	if second.ended() != exitDone {
		t.Errorf("a stop should end with 0:\n%s", second.text)
	}
	if strings.Contains(text+second.text.String(), canary) {
		t.Error("a secret of the real installation shows")
	}
}

func TestDemoTakesTheNextPort(t *testing.T) {
	t.Parallel()
	var lc net.ListenConfig
	// Whoever holds 8080 here, this test or another program, it is taken.
	if held, err := lc.Listen(t.Context(), "tcp", demoAddr); err == nil {
		defer held.Close()
	}
	said := newStream()
	ln, err := (&app{err: said}).demoPort(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	if ln.Addr().String() == demoAddr {
		t.Error("the port that was taken was given")
	}
	has(t, said.String(), "8080 is taken", "using")
	_, err = (&app{err: said}).demoPort(t.Context(), ln.Addr().String())
	if err == nil || exitCode(err) != exitError {
		t.Errorf("a named port that is taken gives %v", err)
	}
}
