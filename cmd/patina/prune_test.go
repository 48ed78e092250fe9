package main

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/AutumnsGrove/Patina/backup"
	"github.com/AutumnsGrove/Patina/jobs"
	"github.com/AutumnsGrove/Patina/store"
	"github.com/AutumnsGrove/Patina/store/storetest"
)

func TestPruneDryRun(t *testing.T) {
	t.Parallel()
	url := storetest.NewURL(t, jobs.Migrate)
	s, err := store.Open(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	for n, age := range []int{0, 10, 40} {
		at := time.Now().UTC().AddDate(0, 0, -age).Truncate(time.Second)
		m := &backup.Manifest{Format: 1, Kind: backup.Manual, DatabaseName: "a", Key: "k", SHA256: "s"}
		_, err := s.RecordCopy(t.Context(), backup.Copy{
			DatabaseID: "6ae2b03c-40dd-499e-ab31-017f78989b60", DatabaseName: "a", Kind: backup.Manual, Date: backup.DateOf(at), TakenAt: at, CreatedAt: at,
			Key: fmt.Sprintf("manual/%d.sql", n), Size: 1000, SHA256: fmt.Sprint(n), BodySHA256: "b", Consistency: backup.Snapshot, Proof: backup.ProofProven, Manifest: m,
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	at := env{"DATABASE_URL": url, "PATINA_KEEP_DAILY": "14d", "PATINA_KEEP_WEEKLY": "4w"}
	res := patina(t, at, "prune", "--dry-run")
	if res.code != exitDone || !strings.Contains(res.out, "delete  manual/2.sql") || !strings.Contains(res.out, "30 days of copies made on demand") || strings.Contains(res.out, "manual/1.sql") {
		t.Errorf("%d\n%s\n%s", res.code, res.out, res.err)
	}
	if !strings.Contains(res.err, "dailies 14 days, archives 4 weeks, other copies 30 days") || !strings.Contains(res.err, "1 copies' objects and 0 archives") {
		t.Errorf("%s", res.err)
	}
	res = patina(t, at, "prune", "--dry-run", "--all", "--json")
	var out planAnswer
	if err := json.Unmarshal([]byte(res.out), &out); err != nil || out.Copies != 1 || len(out.Plan) != 3 || out.Policy.Daily != 14 || out.Plan[0].Action != "delete" {
		t.Errorf("%v: %s", err, res.out)
	}
	if res = patina(t, at, "prune", "--all"); res.code != exitUsage {
		t.Errorf("--all alone: %d", res.code)
	}
	res = patina(t, at, "prune", "--json")
	if res.code != exitDone || !strings.Contains(res.out, `"status": "queued"`) || !strings.Contains(res.err, "No worker is running") {
		t.Errorf("%d\n%s\n%s", res.code, res.out, res.err)
	}
	if res = patina(t, at, "prune"); res.code != exitError || !strings.Contains(res.err, "under way already") {
		t.Errorf("asked twice: %d %s", res.code, res.err)
	}
}
