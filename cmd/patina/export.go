package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/dustin/go-humanize"
	"github.com/google/uuid"
	"github.com/spf13/cobra"

	"github.com/AutumnsGrove/Patina/backup"
	"github.com/AutumnsGrove/Patina/backup/export"
	"github.com/AutumnsGrove/Patina/backup/object"
	"github.com/AutumnsGrove/Patina/backup/source"
)

// exportOptions is what the flags of `patina export` and `patina download` say.
type exportOptions struct {
	output      string // a file; "" or "-" for stdout
	target      string // "" or "d1"
	redact      []string
	table, as   string // one table, and under which name; "" for all, and for its own
	force       bool
	compression backup.Compression // of what is made ready
}

func (o exportOptions) check() error {
	switch {
	case o.target != "" && o.target != "d1":
		return usagef("--for is %q, and can only be d1", o.target)
	case o.as != "" && o.table == "":
		return usagef("--as gives one table another name: say which with --table")
	}
	return nil
}

func (a *app) exportCommand() *cobra.Command {
	var o exportOptions
	cmd := &cobra.Command{
		Use:   "export NAME|FILE.sqlite",
		Short: "Write a dump of one database, from the account or from a local SQLite file",
		Long: `Writes a dump of one database: the same exporter as the nightly run, over a
database of the account or over a local SQLite file. It needs no Postgres and no
server. A name is looked up in the account that CLOUDFLARE_ACCOUNT_ID,
CLOUDFLARE_API_TOKEN and CLOUDFLARE_BASE_URL name.

The dump goes to stdout, or with -o to a file that appears only when it is whole.
With --for d1 it is written as D1's importer takes it.

Without --redact everything is in it, whatever patina.toml or the dashboard say of
the nightly copies. The rule hash needs PATINA_SECRET.`,
		Example: `  patina export groveauth -o groveauth.sql
  patina export app.sqlite | sqlite3 copy.sqlite
  patina export groveauth --redact users.password_hash=null --redact sessions.token=hash -o groveauth.sql
  patina export groveauth --for d1 -o import.sql`,
		Args: exactly("NAME|FILE.sqlite"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := o.check(); err != nil {
				return err
			}
			if a.json && (o.output == "" || o.output == "-") {
				return usagef("--json writes the manifest to stdout: send the dump to a file with -o")
			}
			return a.exportOne(cmd.Context(), args[0], o)
		},
	}
	cmd.Flags().StringVarP(&o.output, "output", "o", "", "write to this file (default stdout)")
	cmd.Flags().StringVar(&o.target, "for", "", "d1: as D1's importer takes it")
	cmd.Flags().StringArrayVar(&o.redact, "redact", nil, "leave a column's values out: users.password_hash=null or =hash (may be given several times)")
	cmd.Flags().BoolVar(&o.force, "force", false, "replace the file if it exists")
	a.jsonFlag(cmd)
	return cmd
}

func (a *app) exportOne(ctx context.Context, what string, o exportOptions) error {
	if o.output == "-" {
		o.output = ""
	}
	if _, err := os.Stat(o.output); o.output != "" && err == nil && !o.force {
		return backup.Errorf(backup.ErrConflict, "%s exists and was left as it is; give --force to replace it", o.output)
	}
	rules, key, err := a.redactRules(o.redact)
	if err != nil {
		return err
	}
	src, done, err := a.openSource(ctx, what)
	if err != nil {
		return err
	}
	defer done()
	tmp, err := scratch(o.output)
	if err != nil {
		return err
	}
	defer func() { _, _ = tmp.Close(), os.Remove(tmp.Name()) }()

	line := newLine(a.err, a.clock)
	req := a.exportRequest(src, line)
	req.Redact, req.HashKey = rules, key
	m, err := export.ToFile(ctx, src, tmp, req)
	line.done()
	if err != nil {
		return err
	}
	ready, err := a.ready(tmp, o)
	if err != nil {
		return err
	}
	defer ready.discard()
	if err := a.deliver(ready.File, o); err != nil {
		return err
	}
	a.reportExport(m, o.target)
	if a.json {
		return a.printJSON(m)
	}
	return nil
}

// redactRules reads the flags --redact; the key is nil where no rule needs one.
func (a *app) redactRules(texts []string) (rules []backup.Redaction, key []byte, err error) {
	if rules, err = backup.ParseRedactions(texts); err != nil {
		return nil, nil, usagef("--redact: %v", err)
	}
	if !slices.ContainsFunc(rules, func(r backup.Redaction) bool { return r.Rule == backup.RedactHash }) {
		return rules, nil, nil
	}
	cfg := loadConfig(a.env, a.configFile)
	if err := cfg.Validate(needSecret); err != nil {
		return nil, nil, err
	}
	key, err = export.HashKey(cfg.SecretKey())
	return rules, key, err
}

func (a *app) exportRequest(src source.Source, line *line) export.Request {
	now, job := a.clock().UTC(), uuid.Must(uuid.NewV7()).String()
	d := src.Describe()
	return export.Request{
		Key:    object.Key{Kind: backup.Manual, Date: backup.DateOf(now), At: now, JobID: job, Slug: object.Slug(d.Name, d.ID, false)},
		CopyID: uuid.Must(uuid.NewV7()).String(), JobID: job, Kind: backup.Manual, Trigger: backup.TriggerManual,
		Date: backup.DateOf(now), Version: programVersion(), Clock: a.clock,
		Progress: func(p backup.Progress) {
			line.show("%s  %s  %s rows  %s", d.Name, p.Table, humanize.Comma(p.Rows), humanize.Bytes(uint64(p.Bytes)))
		},
	}
}

// openSource opens a local file where what names one, and otherwise looks the
// name up in the account.
func (a *app) openSource(ctx context.Context, what string) (source.Source, func(), error) {
	if looksLikeFile(what) {
		f, err := source.OpenFile(ctx, what)
		if err != nil {
			return nil, nil, err
		}
		return f, func() { _ = f.Close() }, nil
	}
	cfg := loadConfig(a.env, a.configFile)
	if err := cfg.Validate(needAccount); err != nil {
		return nil, nil, err
	}
	client, err := newD1(cfg, nil)
	if err != nil {
		return nil, nil, err
	}
	databases, err := client.List(ctx)
	if err != nil {
		return nil, nil, fmt.Errorf("look for %s in the account: %w", what, err)
	}
	for _, db := range databases {
		if db.Name == what || db.ID == strings.ToLower(what) {
			return source.D1(client, db.ID, db.Name), func() {}, nil
		}
	}
	return nil, nil, &backup.Error{
		Kind: backup.ErrNotFound, Message: "the account has no database called " + what + ", and there is no such file",
		Next: "`patina databases sync` lists what the account has.",
	}
}

func looksLikeFile(what string) bool {
	if info, err := os.Stat(what); err == nil && !info.IsDir() {
		return true
	}
	switch filepath.Ext(what) {
	case ".sqlite", ".sqlite3", ".db":
		return true
	}
	return strings.ContainsRune(what, filepath.Separator)
}

// scratch makes the file that a dump is written to before it is whole: beside
// its destination, or in the system's folder where that is stdout.
func scratch(output string) (*os.File, error) {
	dir := ""
	if output != "" {
		dir = filepath.Dir(output)
	}
	f, err := os.CreateTemp(dir, ".patina-*.partial")
	if err != nil {
		return nil, fmt.Errorf("make a file to write to: %w", err)
	}
	return f, nil
}

// deliver brings a whole file to where it was asked for.
func (a *app) deliver(tmp *os.File, o exportOptions) error {
	if o.output != "" {
		return publish(tmp, o.output, o.force)
	}
	if _, err := tmp.Seek(0, io.SeekStart); err != nil {
		return err
	}
	if _, err := io.Copy(a.out, tmp); err != nil {
		return fmt.Errorf("write to stdout: %w", err)
	}
	return nil
}

// publish gives a whole, synced file its name; without force never over
// another one.
func publish(tmp *os.File, name string, force bool) error {
	if err := errors.Join(tmp.Sync(), tmp.Chmod(0o600)); err != nil {
		return fmt.Errorf("write %s: %w", name, err)
	}
	if force {
		return os.Rename(tmp.Name(), name)
	}
	err := os.Link(tmp.Name(), name)
	switch {
	case err == nil:
		return nil
	case errors.Is(err, fs.ErrExist):
		return backup.Errorf(backup.ErrConflict, "%s exists and was left as it is; give --force to replace it", name)
	}
	// A file system without hard links: look, then rename.
	if _, err := os.Stat(name); err == nil {
		return backup.Errorf(backup.ErrConflict, "%s exists and was left as it is; give --force to replace it", name)
	}
	return os.Rename(tmp.Name(), name)
}

func (a *app) reportExport(m *backup.Manifest, target string) {
	what := "sha256 " + m.SHA256
	if target != "" {
		what = "written as D1's importer takes it"
	}
	a.say("%s: %d tables, %s rows, %s, %s, %.1f s, %s", m.DatabaseName, m.TableCount, humanize.Comma(m.Rows),
		humanize.Bytes(uint64(m.Size)), m.Consistency, m.CompletedAt.Sub(m.StartedAt).Seconds(), what)
	for _, f := range m.Findings {
		mark := "note"
		if f.Serious {
			mark = "MISSING"
		}
		a.say("  %s: %s", mark, f.Message)
	}
}
