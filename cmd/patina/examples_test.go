package main

import (
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/spf13/cobra"
)

// whole is the command with what cobra adds to it.
func whole() *cobra.Command {
	root := (&app{env: env{}.lookup}).root()
	root.InitDefaultHelpCmd()
	root.InitDefaultCompletionCmd()
	return root
}

// TestCommandPage: docs/command-line.md is what the code says; with -update it is
// written.
func TestCommandPage(t *testing.T) {
	t.Parallel()
	const file = "../../docs/command-line.md"
	want := commandPage(whole())
	if *update {
		ok(t, os.WriteFile(file, []byte(want), 0o644))
	}
	text, err := os.ReadFile(file)
	ok(t, err)
	if string(text) != want {
		t.Error("docs/command-line.md is not what the commands say: go test ./cmd/patina -run TestCommandPage -update")
	}
	for name := range codes {
		if !strings.Contains(want, "| `patina "+name+"` |") {
			t.Errorf("there is no verb %s, and it has exit codes", name)
		}
	}
}

// TestEveryVerbHasAnExample: and it says what it does.
func TestEveryVerbHasAnExample(t *testing.T) {
	t.Parallel()
	seen := 0
	var visit func(cmd *cobra.Command)
	visit = func(cmd *cobra.Command) {
		if cmd.Name() == "completion" || cmd.Name() == "help" {
			return
		}
		if cmd.HasParent() {
			seen++
			if cmd.Example == "" || !strings.Contains(cmd.Example, "  "+cmd.CommandPath()) {
				t.Errorf("%s has no example: %q", cmd.CommandPath(), cmd.Example)
			}
		}
		for _, sub := range cmd.Commands() {
			visit(sub)
		}
	}
	visit(whole())
	if seen < 30 {
		t.Errorf("only %d verbs were looked at", seen)
	}
}

// TestCompletion: the shell's script is one that bash reads, and what it asks for
// names verbs, flags and values.
func TestCompletion(t *testing.T) {
	t.Parallel()
	for _, shell := range []string{"bash", "zsh", "fish", "powershell"} {
		script := patina(t, env{}, "completion", shell).want(t, exitDone).out
		if len(script) < 1000 {
			t.Errorf("%s gets %q", shell, script)
		}
		if shell != "bash" {
			continue
		}
		cmd := exec.CommandContext(t.Context(), "bash", "-n")
		cmd.Stdin = strings.NewReader(script)
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("bash reads it not: %v\n%s", err, out)
		}
	}
	for _, c := range []struct{ line, offers string }{
		{"resto", "restore"}, {"databases s", "sync"}, {"restore --in-", "--in-place"}, {"token add x --role ", "operator"}, {"list --kind ", "safety"}, {"export x --for ", "d1"},
	} {
		words := strings.Split(c.line, " ")
		if out := patina(t, env{}, append([]string{"__complete"}, words...)...).want(t, exitDone).out; !strings.Contains(out, c.offers) {
			t.Errorf("behind %q stands %q, and not %s", c.line, out, c.offers)
		}
	}
}
