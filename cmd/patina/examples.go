package main

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"
)

// examples are those of verbs that have no room for them where they are made.
var examples = map[string][]string{
	"demo":           {"demo"},
	"serve":          {"serve", "serve --worker=false", "serve --web=false"},
	"migrate":        {"migrate"},
	"migrate up":     {"migrate up"},
	"migrate status": {"migrate status"},
	"doctor":         {"doctor", "doctor --json"},
	"databases":      {"databases"},
	"databases list": {"databases list --gone"},
	"databases sync": {"databases sync"},
	"list":           {"list", "list --database groveauth --date 2026-11-23", "list --kind manual --json"},
	"meta":           {"meta"},
	"user":           {"user"},
	"user add":       {"user add ada --role operator", "user add ada --role admin --downloader --password-stdin < password.txt"},
	"user list":      {"user list --json"},
	"user revoke":    {"user revoke ada"},
	"user enable":    {"user enable ada"},
	"user password":  {"user password ada"},
	"token":          {"token"},
	"token add":      {"token add deploy --role operator --expires 720h", "token add reports --database groveauth --database scout-db --json"},
	"token list":     {"token list"},
	"token revoke":   {"token revoke deploy"},
	"version":        {"version"},
}

// codes says which exit codes a verb has besides 0, 1 and 2.
var codes = map[string]string{
	"doctor": "3", "backup": "5", "prune": "4", "download": "4", "verify": "4", "drill": "4, 5", "diff": "4", "restore": "4", "rebuild": "4",
}

// alone names the verbs, and ways to use them, that need neither Postgres nor a
// server.
var alone = map[string]string{
	"demo": "brings its own", "export": "yes", "verify": "of a FILE", "diff": "of files", "restore": "of a FILE", "rebuild": "with `--dry-run`", "doctor": "says what is missing", "version": "yes", "completion": "yes",
}

// choices are the values that a flag takes, for the shell's completion.
var choices = map[string][]string{
	"role": {"viewer", "operator", "admin"}, "kind": {"daily", "manual", "weekly", "safety", "kept"}, "for": {"d1"}, "log": {"auto", "text", "json"},
}

// teach gives a command and all below it their examples and completions.
func teach(cmd *cobra.Command) {
	_, path, _ := strings.Cut(cmd.CommandPath(), " ")
	if cmd.Example == "" {
		var lines []string
		for _, e := range examples[path] {
			lines = append(lines, "  patina "+e)
		}
		cmd.Example = strings.Join(lines, "\n")
	}
	for name, values := range choices {
		if cmd.Flags().Lookup(name) != nil {
			_ = cmd.RegisterFlagCompletionFunc(name, cobra.FixedCompletions(values, cobra.ShellCompDirectiveNoFileComp))
		}
	}
	for _, sub := range cmd.Commands() {
		teach(sub)
	}
}

// commandPage is docs/command-line.md.
func commandPage(root *cobra.Command) string {
	var b strings.Builder
	b.WriteString("# The command line\n\n" +
		"`patina help` lists the commands, `patina help restore` explains one with examples. Data goes to stdout; prose, progress and logs go to stderr. On a terminal progress is a line that changes in place, anywhere else a plain line every ten seconds. Interrupted by Ctrl-C, a command leaves no half a file behind.\n\n" +
		"This page is made from [examples.go](../cmd/patina/examples.go) by `go test ./cmd/patina -run TestCommandPage -update`.\n\n" +
		"## Commands\n\n| command | does | without Postgres | `--json` | exit codes besides 0, 1, 2 |\n|---|---|---|---|---|\n")
	var row func(cmd *cobra.Command)
	row = func(cmd *cobra.Command) {
		_, path, _ := strings.Cut(cmd.CommandPath(), " ")
		if path != "" && path != "help" && (cmd.Runnable() || path == "completion") {
			json := "no"
			if cmd.Flags().Lookup("json") != nil {
				json = "yes"
			}
			fmt.Fprintf(&b, "| `patina %s` | %s | %s | %s | %s |\n", path, cmd.Short, or(alone[path], "no"), json, or(codes[path], "none"))
		}
		if path == "completion" {
			return
		}
		for _, sub := range cmd.Commands() {
			row(sub)
		}
	}
	row(root)
	b.WriteString("\nEvery command takes `--config FILE` and `--log text|json|auto`. Those that need Postgres read `DATABASE_URL`, or take `--embedded`.\n\n" +
		"## Exit codes\n\n| code | means |\n|---|---|\n" +
		"| 0 | done |\n| 1 | an error; the last line says what to do. `patina diff --exit-code`: the two differ |\n| 2 | wrong usage or configuration; nothing was begun |\n" +
		"| 3 | stale: nothing is broken, and a database has no recent backup that is proven |\n" +
		"| 4 | corrupt: a stored object or a dump is not what it was, or does not restore |\n" +
		"| 5 | partial: some databases were stored or tried, others could not be |\n\n" +
		"## Completion\n\nFor bash, with its package bash-completion; `zsh`, `fish` and `powershell` go in the place of `bash`, and `patina help completion` says where their files belong.\n\n" +
		"```sh\npatina completion bash > ~/.local/share/bash-completion/completions/patina\n```\n")
	return b.String()
}

func or(s, otherwise string) string {
	if s == "" {
		return otherwise
	}
	return s
}
