package metrics

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil/promlint"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"github.com/AutumnsGrove/Patina/backup"
	"github.com/AutumnsGrove/Patina/store"
)

var now = time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)

// standing gives the nth database, backed up n seconds ago.
func standing(n int, name string, p backup.Priority) backup.Standing {
	at := now.Add(-time.Duration(n) * time.Second)
	return backup.Standing{
		Database: backup.Database{ID: fmt.Sprint(n), Name: name, Priority: p, Objective: 26 * time.Hour, FirstSeenAt: now.Add(-100 * time.Hour)},
		Newest:   &backup.Copy{TakenAt: at, Size: 10, Rows: 2}, Proven: &backup.Copy{TakenAt: at},
		Last: &backup.Result{Status: backup.ResultSuccess, Duration: time.Second, Cost: backup.Cost{Requests: 3, Retries: 1, RowsRead: 4, Bytes: 5}},
	}
}

func exposition(t *testing.T, s *snapshot) string {
	t.Helper()
	r := prometheus.NewPedanticRegistry()
	if err := r.Register(s); err != nil {
		t.Fatal(err)
	}
	families, err := r.Gather()
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	for _, f := range families {
		if _, err := expfmt.MetricFamilyToText(&b, f); err != nil {
			t.Fatal(err)
		}
	}
	return b.String()
}

func full(n int) *snapshot {
	s := &snapshot{version: "test", totals: store.ResultTotals{Cost: backup.Cost{Requests: 7}}, completed: now}
	s.queue = store.QueueState{Workers: 1, Leader: true, Depth: []store.QueueDepth{{Queue: "export", State: "available", Jobs: 3, Oldest: time.Minute}}}
	var list []backup.Standing
	for i := range n {
		list = append(list, standing(i, fmt.Sprintf("db %d \"\\\n", i), backup.Normal))
	}
	s.gather(list, now)
	return s
}

// What promtool check metrics looks at.
func TestMetricsLint(t *testing.T) {
	t.Parallel()
	text := exposition(t, full(3))
	problems, err := promlint.New(strings.NewReader(text)).Lint()
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		t.Errorf("%s: %s", p.Metric, p.Text)
	}
	if n := strings.Count(text, "# HELP"); n < 25 {
		t.Errorf("only %d metrics were looked at", n)
	}
	// The linter finds what is wrong.
	if bad, err := promlint.New(strings.NewReader("# TYPE x_total gauge\nx_total 1\n")).Lint(); err != nil || len(bad) == 0 {
		t.Error("anything passes")
	}
	p := expfmt.NewTextParser(model.UTF8Validation)
	families, err := p.TextToMetricFamilies(strings.NewReader(text))
	if err != nil || len(families["patina_database_stale"].GetMetric()) != 3 {
		t.Errorf("%v", err)
	}
}

// The series are bounded: the critical databases have their own, and the worst
// of the rest is seen.
func TestSeriesAreBounded(t *testing.T) {
	t.Parallel()
	list := make([]backup.Standing, 0, 2100)
	for i := range 2000 {
		list = append(list, standing(i, fmt.Sprint("db-", i), backup.Normal))
	}
	late := standing(30*3600, "late", backup.Normal)
	gone := standing(1, "gone", backup.Critical)
	gone.Database.GoneAt = &now
	list = append(list, late, gone, standing(5, "important", backup.Critical), standing(6, Others, backup.High))
	s := &snapshot{}
	s.gather(list, now)
	text := exposition(t, s)
	if n := strings.Count(text, "patina_database_stale{"); n != MostDatabases+1 {
		t.Errorf("%d series a metric", n)
	}
	for _, want := range []string{
		`patina_database_stale{database="(others)"} 1`, `patina_database_proven_age_seconds{database="(others)"} 108000`, `patina_database_copy_rows{database="(others)"} 3006`,
		`patina_database_stale{database="important"} 0`, `patina_database_stale{database="(others) 6"} 0`, "patina_databases 2003\n", "patina_databases_stale 1\n",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("lacks %s", want)
		}
	}
	if strings.Contains(text, `"gone"`) {
		t.Error("a database that is gone has a series")
	}
}

// checker builds the program that reads rules as Prometheus does, once a machine.
var checker = sync.OnceValues(func() (string, error) {
	top, err := filepath.Abs("../..")
	if err != nil {
		return "", err
	}
	bin := filepath.Join(top, ".tools", "bin", "promrules")
	if err := os.MkdirAll(filepath.Dir(bin), 0o755); err != nil {
		return "", err
	}
	lock, err := os.OpenFile(filepath.Join(filepath.Dir(bin), ".promrules.lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return "", err
	}
	defer lock.Close()
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX); err != nil {
		return "", err
	}
	if _, err := os.Stat(bin); err == nil {
		return bin, nil
	}
	out, err := exec.Command("bash", filepath.Join(top, ".ci", "setup.sh"), "promrules").CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("build promrules: %w\n%s", err, out)
	}
	return bin, nil
})

// What promtool check rules looks at; and each metric that a rule names is one
// that is told.
func TestRules(t *testing.T) {
	t.Parallel()
	bin, err := checker()
	if err != nil {
		t.Fatal(err)
	}
	rules, err := os.ReadFile("../../docs/alert-rules.yml")
	if err != nil {
		t.Fatal(err)
	}
	if out, err := exec.CommandContext(t.Context(), bin, "../../docs/alert-rules.yml").CombinedOutput(); err != nil || !strings.Contains(string(out), "11 rules") {
		t.Errorf("%v\n%s", err, out)
	}
	text := exposition(t, full(2))
	found := map[string]bool{}
	for _, name := range regexp.MustCompile(`patina_[a-z0-9_]+`).FindAllString(string(rules), -1) {
		found[name] = true
		if !strings.Contains(text, "\n"+name+"{") && !strings.Contains(text, "\n"+name+" ") {
			t.Errorf("a rule names %s, which is not told", name)
		}
	}
	if len(found) < 10 {
		t.Errorf("only %d metrics are named", len(found))
	}
	for what, change := range map[string][2]string{"an expression": {"patina_workers == 0", "patina_workers == = 0"}, "a template": {"{{ $labels.queue }}", "{{ $labels.queue "}, "a field": {"annotations:", "annotation:"}} {
		bad := filepath.Join(t.TempDir(), "bad.yml")
		if err := os.WriteFile(bad, []byte(strings.Replace(string(rules), change[0], change[1], 1)), 0o600); err != nil {
			t.Fatal(err)
		}
		if out, err := exec.CommandContext(t.Context(), bin, bad).CombinedOutput(); err == nil {
			t.Errorf("%s is spoiled, and it passes: %s", what, out)
		}
	}
}
