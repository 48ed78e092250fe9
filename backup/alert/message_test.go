package alert

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"
	"unicode/utf16"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/AutumnsGrove/Patina/backup"
	"github.com/AutumnsGrove/Patina/docs"
)

var kinds = []backup.EventKind{
	backup.EventJobFailed, backup.EventJobSucceeded, backup.EventJobLong, backup.EventSizeAnomaly, backup.EventRowsAnomaly, backup.EventSlotMissed,
	backup.EventWeeklySkipped, backup.EventRestoreFinished, backup.EventRestoreFailed, backup.EventStale, backup.EventRecovered, backup.EventProofFailed,
	backup.EventDrillFailed, backup.EventObjectDamaged, backup.EventDatabaseNew, backup.EventDatabaseGone, backup.EventDatabaseRenamed,
	backup.EventDeliveryFailing, backup.EventRetentionHeldBack, backup.EventSummary, backup.EventTest,
}

// schema gives the published description of the payload.
func schema(t *testing.T) *jsonschema.Schema {
	t.Helper()
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(docs.WebhookSchema))
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	c.AssertFormat()
	if err := c.AddResource("webhook.schema.json", doc); err != nil {
		t.Fatal(err)
	}
	s, err := c.Compile("webhook.schema.json")
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func validate(t *testing.T, s *jsonschema.Schema, body []byte) {
	t.Helper()
	v, err := jsonschema.UnmarshalJSON(bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Validate(v); err != nil {
		t.Errorf("%v\n%.400s", err, body)
	}
}

// job gives a job over n databases of which the first fails failed.
func job(id string, n, failed int, name, errText string) JobFacts {
	started, ended := noon.Add(-20*time.Minute), noon
	f := JobFacts{Job: backup.Job{
		ID: id, Kind: backup.JobBackup, Trigger: backup.TriggerNightly, Status: backup.JobPartial, StartedAt: &started, CompletedAt: &ended,
		Totals: backup.Totals{Databases: n, Succeeded: n - failed, Failed: failed, Bytes: int64(n) * 1000, Rows: int64(n) * 10},
	}}
	for i := range n {
		r := backup.Result{JobID: id, DatabaseID: fmt.Sprintf("%08d-0000-4000-8000-000000000000", i), DatabaseName: fmt.Sprintf("%03d%s", i, name), Status: backup.ResultSuccess, Size: 1000, Rows: 10, CopyID: "c"}
		if i >= n-failed {
			r.Status, r.Error, r.Next, r.CopyID = backup.ResultFailed, errText, "Retry this database.", ""
		}
		f.Results = append(f.Results, r)
	}
	return f
}

func event(kind backup.EventKind) backup.Event {
	return backup.Event{ID: "e-" + string(kind), At: noon, Kind: kind, Message: "What happened.", Next: "What to do."}
}

// Every event's payload keeps to the schema, which refuses what it should.
func TestPayloadsMatchTheSchema(t *testing.T) {
	t.Parallel()
	s := schema(t)
	for _, k := range kinds {
		e := event(k)
		e.JobID, e.DatabaseName = "j", "groveauth"
		validate(t, s, Compose(Facts{ID: "m", At: noon, Events: []backup.Event{e}, Jobs: map[string]JobFacts{"j": job("j", 6, 2, "db", "boom")}, Base: "https://patina.example"}).Body())
		validate(t, s, Compose(Facts{ID: "m", At: noon, Events: []backup.Event{event(k)}}).Body())
	}
	var many []backup.Event
	jobs := map[string]JobFacts{}
	for i := range 130 {
		e := event(backup.EventJobFailed)
		e.JobID = fmt.Sprint("j", i)
		jobs[e.JobID] = job(e.JobID, 30, 10, strings.Repeat("n", 200), strings.Repeat("e", 20_000))
		many = append(many, e)
	}
	m := Compose(Facts{ID: "m", At: noon, Events: many, Jobs: jobs})
	if len(m.Body()) > 1<<20 {
		t.Errorf("the payload has %d bytes", len(m.Body()))
	}
	validate(t, s, m.Body())
	if m.Omitted.Events != 30 || m.Omitted.Databases != 130*30-500 || m.Omitted.Errors == 0 || m.Totals.Failed != 1300 || m.Databases[0].Status != backup.ResultFailed {
		t.Errorf("%+v %+v", m.Omitted, m.Totals)
	}
	// A payload that lacks a field, or has a wrong one, does not pass.
	for _, k := range []string{"job_id", "status", "databases", "totals", "errors", "url", "version"} {
		var v map[string]any
		_ = json.Unmarshal(m.Body(), &v)
		delete(v, k)
		if s.Validate(v) == nil {
			t.Errorf("a payload without %s passes", k)
		}
	}
}

func TestCompose(t *testing.T) {
	t.Parallel()
	e := event(backup.EventJobFailed)
	e.JobID = "j"
	m := Compose(Facts{ID: "m", At: noon, Events: []backup.Event{event(backup.EventDatabaseNew), e}, Jobs: map[string]JobFacts{"j": job("j", 6, 2, "db", "boom")}, Base: "https://p.example"})
	if m.Event != backup.EventJobFailed || m.Status != "failed" || m.Severity != Critical || m.JobID != "j" || m.JobStatus != backup.JobPartial || m.Trigger != backup.TriggerNightly {
		t.Errorf("%+v", m)
	}
	if m.URL != "https://p.example/jobs/j" || m.Title != "A backup failed, a new database is protected" || len(m.Errors) != 3 || m.Totals.DurationMS != 20*60*1000 {
		t.Errorf("%q %q %+v %+v", m.URL, m.Title, m.Errors, m.Totals)
	}
	if m.Databases[0].Error != "boom" || m.Databases[0].Proof != "" || m.Databases[5].Proof != backup.ProofPending {
		t.Errorf("%+v", m.Databases)
	}
	for kind, want := range map[backup.EventKind]string{backup.EventJobSucceeded: "success info", backup.EventRecovered: "success info", backup.EventSizeAnomaly: "failed warning", backup.EventStale: "failed critical"} {
		if m := Compose(Facts{Events: []backup.Event{event(kind)}}); m.Status+" "+string(m.Severity) != want {
			t.Errorf("%s: %s %s", kind, m.Status, m.Severity)
		}
	}
	if m := Compose(Facts{Events: []backup.Event{event(backup.EventDatabaseNew)}}); m.Title != "New databases are protected" {
		t.Errorf("%q", m.Title)
	}
	stale := event(backup.EventStale)
	stale.DatabaseName = "a\n\u202eb"
	if m := Compose(Facts{Events: []backup.Event{stale}}); m.Title != "a \uFFFDb: a database has no recent proven copy" {
		t.Errorf("%q", m.Title)
	}
	for _, k := range kinds {
		if names[k][0] == "" || names[k][1] == "" {
			t.Errorf("%s has no name for people", k)
		}
	}
}

// embed reads what Discord would get, and holds it to Discord's limits.
func embed(t *testing.T, body []byte) discordEmbed {
	t.Helper()
	var b discordBody
	if err := json.Unmarshal(body, &b); err != nil {
		t.Fatal(err)
	}
	if len(b.Embeds) != 1 || b.AllowedMentions.Parse == nil || len(b.AllowedMentions.Parse) != 0 || !bytes.Contains(body, []byte(`"allowed_mentions":{"parse":[]}`)) {
		t.Fatalf("%.300s", body)
	}
	e := b.Embeds[0]
	length := func(s string) int { return len(utf16.Encode([]rune(s))) }
	total := length(e.Title) + length(e.Description) + length(e.Footer.Text)
	for _, f := range e.Fields {
		total += length(f.Name) + length(f.Value)
		if length(f.Name) > 256 || length(f.Value) > 1024 || strings.TrimSpace(f.Name) == "" || strings.TrimSpace(f.Value) == "" {
			t.Errorf("a field of %d and %d: %q", length(f.Name), length(f.Value), f.Name)
		}
		if strings.Count(f.Value, "||")%2 != 0 || strings.HasSuffix(f.Value, `\||`) && !strings.HasSuffix(f.Value, `\\||`) {
			t.Errorf("a spoiler does not close: %q", f.Value)
		}
	}
	if total > 6000 || len(e.Fields) > 25 || length(e.Title) > 256 || length(e.Description) > 4096 || length(e.Footer.Text) > 2048 || e.Title == "" {
		t.Errorf("%d characters in all, %d fields, title %d, description %d", total, len(e.Fields), length(e.Title), length(e.Description))
	}
	if _, err := time.Parse(time.RFC3339, e.Timestamp); err != nil {
		t.Error(err)
	}
	return e
}

// Sixty databases, names of 200 characters and errors of 20 kB, in characters
// of every size and with everything that Discord gives a meaning to.
func TestDiscordKeepsItsLimits(t *testing.T) {
	t.Parallel()
	for what, alphabet := range map[string]string{
		"plain": "groveauth-db ", "astral": "🌲🍂", "markdown": `*_~|>#[x](http://evil) `, "backslashes": `\`, "mentions": "@everyone <@&1> @here ", "bidi": "\u202e\u2066x",
		"nul": "\x00\n\r", "wide": "日本語", "broken": "\xff\xfe",
	} {
		name := strings.Repeat(alphabet, 200)[:200]
		text := strings.Repeat(alphabet, 20_000)[:20_000]
		for _, failed := range []int{0, 1, 30, 60} {
			e := event(backup.EventJobFailed)
			e.JobID, e.Message, e.DatabaseName = "j", text, name
			facts := Facts{ID: strings.Repeat("i", 36), At: noon, Events: []backup.Event{e}, Jobs: map[string]JobFacts{"j": job("j", 60, failed, name, text)}, Base: "https://p.example"}
			got := embed(t, Compose(facts).Discord())
			last := got.Fields[len(got.Fields)-1]
			var more int
			if _, err := fmt.Sscanf(last.Value, "and %d more", &more); err != nil || more+len(got.Fields)-1 != 60 {
				t.Errorf("%s, %d failed: %d fields, then %q", what, failed, len(got.Fields), last.Value)
			}
			facts.Events = nil
			for i := range 40 {
				e.ID = fmt.Sprint(i)
				facts.Events = append(facts.Events, e)
			}
			embed(t, Compose(facts).Discord())
		}
	}
}

func TestDiscordIsInert(t *testing.T) {
	t.Parallel()
	e := event(backup.EventJobFailed)
	e.JobID = "j"
	f := Facts{ID: "m", At: noon, Events: []backup.Event{e}, Jobs: map[string]JobFacts{"j": job("j", 3, 1, "@everyone", "a||b [x](https://evil.example) `c` <@1> @here")}}
	body := Compose(f).Discord()
	for _, dead := range []string{"@everyone", "@here", "<@1>", "](https:", "a||b"} {
		if strings.Contains(strings.ReplaceAll(string(body), `\\`, `\`), dead) || strings.Contains(string(body), dead) {
			t.Errorf("%q lives in %s", dead, body)
		}
	}
	got := embed(t, body)
	if got.Color != red || len(got.Fields) != 3 || !strings.HasPrefix(got.Fields[0].Value, "failed\n||") {
		t.Errorf("%+v", got)
	}
	ok := event(backup.EventJobSucceeded)
	ok.JobID = "j"
	if got := embed(t, Compose(Facts{Events: []backup.Event{ok}, Jobs: map[string]JobFacts{"j": job("j", 25, 0, "db", "")}}).Discord()); got.Color != 0x2E8B57 || len(got.Fields) != 25 || got.Fields[24].Name != "024db" {
		t.Errorf("25 databases: %d fields, colour %x, %q", len(got.Fields), got.Color, got.Fields[24].Name)
	}
	if got := embed(t, Compose(Facts{Events: []backup.Event{event(backup.EventSizeAnomaly)}}).Discord()); got.Color != amber || len(got.Fields) != 0 || got.Description != "What happened.\n**Next:** What to do." {
		t.Errorf("%+v", got)
	}
}
