package main

import (
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/BurntSushi/toml"

	"github.com/AutumnsGrove/Patina/docs"
)

// flyFile is fly.toml, as far as Patina has a part in it.
type flyFile struct {
	App           string
	PrimaryRegion string `toml:"primary_region"`
	KillSignal    string `toml:"kill_signal"`
	KillTimeout   int    `toml:"kill_timeout"`
	Build         struct{ Dockerfile string }
	Deploy        struct {
		ReleaseCommand string `toml:"release_command"`
		Strategy       string
	}
	Env         map[string]string
	Processes   map[string]string
	HTTPService struct {
		InternalPort       int  `toml:"internal_port"`
		ForceHTTPS         bool `toml:"force_https"`
		Processes          []string
		AutoStopMachines   string `toml:"auto_stop_machines"`
		AutoStartMachines  bool   `toml:"auto_start_machines"`
		MinMachinesRunning int    `toml:"min_machines_running"`
		Checks             []flyCheck
	} `toml:"http_service"`
	Checks map[string]flyCheck
	VM     []struct {
		Size, Memory string
		Processes    []string
	}
}

type flyCheck struct {
	Type, Method, Path, Interval, Timeout string
	GracePeriod                           string `toml:"grace_period"`
	Port                                  int
	Processes                             []string
}

// root reads a file at the top of the tree.
func root(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("..", "..", name))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func readFly(t *testing.T) (flyFile, string) {
	t.Helper()
	text := root(t, "fly.toml")
	var f flyFile
	meta, err := toml.Decode(text, &f)
	if err != nil {
		t.Fatal(err)
	}
	if rest := meta.Undecoded(); len(rest) > 0 {
		t.Errorf("this test does not know %v of fly.toml", rest)
	}
	return f, text
}

// settingNames are the names that the program looks for in the environment.
func settingNames() map[string]bool {
	asked := map[string]bool{}
	loadConfig(func(name string) (string, bool) { asked[name] = true; return "", false }, "")
	return asked
}

// command parses arguments as the program would, without running anything.
func command(t *testing.T, line string) (path string, flag func(string) string) {
	t.Helper()
	a := &app{in: strings.NewReader(""), out: io.Discard, err: io.Discard, env: func(string) (string, bool) { return "", false }, clock: time.Now}
	cmd, rest, err := a.root().Find(strings.Fields(line))
	if err == nil {
		err = cmd.ParseFlags(rest)
	}
	if err == nil {
		err = cmd.ValidateArgs(cmd.Flags().Args())
	}
	if err != nil {
		t.Fatalf("%q is no command of patina: %v", line, err)
	}
	return cmd.CommandPath(), func(name string) string {
		if f := cmd.Flag(name); f != nil {
			return f.Value.String()
		}
		return ""
	}
}

// What fly.toml asks for is there: commands, flags, paths, ports, settings.
func TestFly(t *testing.T) {
	t.Parallel()
	f, text := readFly(t)
	if path, _ := command(t, f.Deploy.ReleaseCommand); path != "patina migrate up" {
		t.Errorf("the release command is %q", path)
	}
	if len(f.Processes) != 2 {
		t.Errorf("processes: %v", f.Processes)
	}
	dockerfile := root(t, f.Build.Dockerfile)
	for name, want := range map[string][2]string{"web": {"true", "false"}, "worker": {"false", "true"}} {
		path, flag := command(t, f.Processes[name])
		if path != "patina serve" || flag("web") != want[0] || flag("worker") != want[1] {
			t.Errorf("%s runs %q", name, f.Processes[name])
		}
		if file := flag("config"); file != "/etc/patina/grove.toml" || !strings.Contains(dockerfile, "cp docs/grove.toml /image/etc/patina/") {
			t.Errorf("%s reads %q, and the image holds another file", name, file)
		}
	}
	known := settingNames()
	for name := range f.Env {
		if !known[name] {
			t.Errorf("[env] %s is no setting", name)
		}
	}
	e := env{"PATINA_DATA": t.TempDir(), "CLOUDFLARE_ACCOUNT_ID": "acc", "R2_ACCESS_KEY_ID": "x", "R2_SECRET_ACCESS_KEY": "x"}
	for k, v := range f.Env {
		e[k] = v
	}
	cfg := loadConfig(e.lookup, filepath.Join("..", "..", "docs", "grove.toml"))
	if err := cfg.Validate(needRemoteBucket); err != nil {
		t.Error(err)
	}
	if len(cfg.Databases) != 6 {
		t.Errorf("the image's file names %d databases", len(cfg.Databases))
	}
	if f.KillSignal != "SIGTERM" || time.Duration(f.KillTimeout)*time.Second < cfg.StopTimeout+stopTimeout {
		t.Errorf("%s, and %d s to stop, where exports get %s", f.KillSignal, f.KillTimeout, cfg.StopTimeout)
	}
	h := f.HTTPService
	if !h.ForceHTTPS || !slices.Equal(h.Processes, []string{"web"}) || h.AutoStopMachines != "off" || h.MinMachinesRunning < 1 {
		t.Errorf("%+v", h)
	}
	if f.Env["PATINA_ADDR"] != ":8080" || h.InternalPort != 8080 || !strings.Contains(dockerfile, "\nEXPOSE 8080\n") {
		t.Error("the ports differ")
	}
	if !strings.HasPrefix(f.Env["PATINA_PUBLIC_URL"], "https://") {
		t.Error("people come by https, and links should say so")
	}
	var api struct{ Paths map[string]map[string]any } // held to the routes elsewhere
	decode(t, string(docs.OpenAPI), &api)
	for _, c := range append(h.Checks, f.Checks["ready"]) {
		if api.Paths[c.Path]["get"] == nil || c.Method != "GET" {
			t.Errorf("a check asks for %s %s, which is no route", c.Method, c.Path)
		}
		for _, d := range []string{c.Interval, c.Timeout, c.GracePeriod} {
			if _, err := time.ParseDuration(d); err != nil {
				t.Error(err)
			}
		}
	}
	if f.Checks["ready"].Path != "/readyz" || f.Checks["ready"].Port != 8080 {
		t.Errorf("%+v", f.Checks)
	}
	head, _, _ := strings.Cut(text, "\napp = ")
	secrets := regexp.MustCompile(`[A-Z][A-Z0-9]*_[A-Z0-9_]+`).FindAllString(head, -1)
	for _, name := range secrets {
		if !known[name] {
			t.Errorf("the head of fly.toml names %s, which is no setting", name)
		}
	}
	for _, name := range []string{"DATABASE_URL", "PATINA_SECRET", "CLOUDFLARE_ACCOUNT_ID", "CLOUDFLARE_API_TOKEN", "R2_ACCESS_KEY_ID", "R2_SECRET_ACCESS_KEY"} {
		if !slices.Contains(secrets, name) {
			t.Errorf("the head of fly.toml does not name %s", name)
		}
	}
}

// The guide to deploying names settings and commands that are there.
func TestDeployGuide(t *testing.T) {
	t.Parallel()
	text, known := root(t, "docs/deploy.md"), settingNames()
	names := regexp.MustCompile(`\b(?:PATINA|CLOUDFLARE|R2|DISCORD|DATABASE)_[A-Z0-9_]+`).FindAllString(text, -1)
	for _, name := range names {
		if !known[name] {
			t.Errorf("docs/deploy.md names %s, which is no setting", name)
		}
	}
	lines := regexp.MustCompile("[`\"]/?patina ([a-z][^`\"]*)[`\"]").FindAllStringSubmatch(text, -1)
	for _, m := range lines {
		command(t, m[1])
	}
	for _, m := range regexp.MustCompile("`((?:serve|doctor) [^`]*)`").FindAllStringSubmatch(text, -1) {
		command(t, m[1])
		lines = append(lines, m)
	}
	if len(names) < 20 || len(lines) < 6 {
		t.Errorf("%d settings and %d commands were looked at: the guide is read wrongly", len(names), len(lines))
	}
}
