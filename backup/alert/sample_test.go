package alert

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/AutumnsGrove/Patina/backup"
)

// The verifier that the documentation shows tells our messages from others.
func TestSampleVerifier(t *testing.T) {
	t.Parallel()
	node, err := exec.LookPath("node")
	if err != nil {
		node = "../d1/d1test/node_modules/node/bin/node"
	}
	text, err := os.ReadFile("../../docs/webhooks.md")
	if err != nil {
		t.Fatal(err)
	}
	sample := regexp.MustCompile("(?s)```js\n(.*?)```").FindSubmatch(text)
	if sample == nil {
		t.Fatal("the documentation shows no verifier")
	}
	module := filepath.Join(t.TempDir(), "verify.mjs")
	const run = `
const [headers, body, secret] = JSON.parse(await new Promise((done) => { let s = ""; process.stdin.on("data", (d) => (s += d)).on("end", () => done(s)); }));
console.log(await verify(new Headers(headers), body, secret));
`
	if err := os.WriteFile(module, append(sample[1], run...), 0o600); err != nil {
		t.Fatal(err)
	}
	current, before := NewSigningSecret(), NewSigningSecret()
	body := string(Compose(Facts{ID: "msg-1", At: noon, Events: []backup.Event{event(backup.EventStale)}}).Body())
	for name, c := range map[string]struct {
		at     time.Time
		body   string
		secret string
		want   string
	}{
		"ours":               {time.Now(), body, current, "true"},
		"the one before":     {time.Now(), body, before, "true"},
		"another secret":     {time.Now(), body, NewSigningSecret(), "false"},
		"a changed body":     {time.Now(), body + " ", current, "false"},
		"played again later": {time.Now().Add(-time.Hour), body, current, "false"},
	} {
		headers := map[string][]string{}
		if err := sign(headers, "msg-1", c.at, []byte(body), []string{current, before}); err != nil {
			t.Fatal(err)
		}
		flat := map[string]string{}
		for k, v := range headers {
			flat[k] = v[0]
		}
		in, err := json.Marshal([]any{flat, c.body, c.secret})
		if err != nil {
			t.Fatal(err)
		}
		cmd := exec.CommandContext(t.Context(), node, module)
		cmd.Stdin = strings.NewReader(string(in))
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("%s: %v (make setup fetches node)\n%s", name, err, out)
		}
		if got := strings.TrimSpace(string(out)); got != c.want {
			t.Errorf("%s: %s, want %s", name, got, c.want)
		}
	}
}
