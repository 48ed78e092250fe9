package main

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"strings"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/spf13/cobra"

	"github.com/AutumnsGrove/Patina/backup"
	"github.com/AutumnsGrove/Patina/backup/d1"
	"github.com/AutumnsGrove/Patina/backup/object"
	"github.com/AutumnsGrove/Patina/backup/prove"
	"github.com/AutumnsGrove/Patina/backup/source"
)

func (a *app) verifyCommand() *cobra.Command {
	var useEmbedded, against bool
	var database string
	cmd := &cobra.Command{
		Use:   "verify FILE|BACKUP",
		Short: "Prove that a dump restores",
		Long: `Proves that a dump restores: its hashes and footer are checked, it is loaded into
a fresh SQLite database, that one passes integrity_check, has the rows that the
dump says, and dumped again gives the same body to the byte.

A FILE needs no Postgres, no bucket and no server. With its manifest beside it
(FILE.json), or with --database, it is also shown to be the copy it is taken for;
without, the answer is "self-consistent, origin unknown". A BACKUP is the id of one
in the catalogue, which is read out of the bucket.

--against-source also compares it with what its database holds now, table by table
and column by column: rows, types, sums of integers, lengths, checksums. Every row
there is read, which Cloudflare bills. Where the database was written to since the
copy was taken, differences are only told; where it was not, they are a failure.

Exit code 4: the dump is damaged, or not what it is taken for.`,
		Example: "  patina verify groveauth.sql\n  patina verify groveauth.sql --database groveauth\n  patina verify 01a20d05-4cf1-732b-b675-75b4ac1ac044 --against-source",
		Args:    exactly("FILE|BACKUP"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if !uuidText.MatchString(args[0]) {
				opt, err := a.proofOptions(nil, against)
				if err != nil {
					return err
				}
				return a.verifyFile(cmd.Context(), args[0], database, opt)
			}
			return a.withInstallation(cmd.Context(), useEmbedded, func(ctx context.Context, in *installation) error {
				opt, err := a.proofOptions(in, against)
				if err != nil {
					return err
				}
				return a.verifyBackup(ctx, in, args[0], database, opt)
			})
		},
	}
	cmd.Flags().StringVar(&database, "database", "", "the name or id of the database that it must be of")
	cmd.Flags().BoolVar(&against, "against-source", false, "compare by value with what the database holds now")
	embeddedFlag(cmd, &useEmbedded)
	a.jsonFlag(cmd)
	return cmd
}

// proofOptions gives how a proof is made; in is nil without an installation.
func (a *app) proofOptions(in *installation, against bool) (prove.Options, error) {
	opt := prove.Options{Clock: a.clock}
	if !against {
		return opt, nil
	}
	var limiter d1.Limiter
	var cfg *Config
	if in != nil {
		cfg, limiter = in.cfg, in.limiter(limiterName)
	} else {
		cfg = loadConfig(a.env, a.configFile)
	}
	if err := cfg.Validate(needAccount); err != nil {
		return opt, err
	}
	client, err := newD1(cfg, limiter)
	opt.Live = func(id, name string) source.Source { return source.D1(client, id, name) }
	return opt, err
}

func (a *app) verifyFile(ctx context.Context, path, database string, opt prove.Options) error {
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return backup.Errorf(backup.ErrNotFound, "there is no file %s, and it is not the id of a backup", path)
	}
	if err != nil {
		return err
	}
	defer f.Close()
	m, err := manifestBeside(path)
	if err != nil {
		return err
	}
	info, err := f.Stat()
	if err != nil {
		return err
	}
	compression := backup.Plain
	opt.MaxSQL = info.Size()
	if strings.HasSuffix(path, ".gz") {
		compression = backup.Gzip
		opt.MaxSQL = min(info.Size(), 64<<20) * 1100 // gzip packs no tighter
	}
	p, err := prove.Dump(ctx, f, compression, m, opt)
	if err == nil {
		err = ofDatabase(p, database)
	}
	return a.verdict(path, p, err)
}

// manifestBeside reads FILE.json; none is none.
func manifestBeside(path string) (*backup.Manifest, error) {
	f, err := os.Open(object.ManifestKey(path))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return backup.DecodeManifest(f)
}

// ofDatabase checks whom the dump is of, by name or id.
func ofDatabase(p *prove.Proof, database string) error {
	if database == "" || database == p.Header.Database || strings.EqualFold(database, p.Header.DatabaseID) {
		return nil
	}
	return backup.Errorf(backup.ErrCorrupt, "it is a dump of %s (%s), not of %s", p.Header.Database, p.Header.DatabaseID, database)
}

// stored gives a backup by its id, with its manifest. Errors: ErrNotFound also
// where its bytes are gone.
func (in *installation) stored(ctx context.Context, id string) (backup.Copy, error) {
	c, err := in.store.Copy(ctx, id)
	if err == nil && (c.DeletedAt != nil || c.Manifest == nil) {
		err = backup.Errorf(backup.ErrNotFound, "the backup %s is not stored any more", id)
	}
	return c, err
}

func (a *app) verifyBackup(ctx context.Context, in *installation, id, database string, opt prove.Options) error {
	c, err := in.stored(ctx, id)
	if err != nil {
		return err
	}
	bucket, err := openBucket(ctx, in.cfg)
	if err != nil {
		return err
	}
	p, err := prove.Copy(ctx, bucket, c, opt)
	if err == nil {
		err = ofDatabase(p, database)
	}
	switch {
	case err == nil:
		err = in.store.SetProof(ctx, c.ID, backup.ProofProven, a.clock(), "")
	case errors.Is(err, backup.ErrCorrupt) && p != nil && ofDatabase(p, database) == nil:
		err = errors.Join(err, in.store.SetProof(ctx, c.ID, backup.ProofSuspect, a.clock(), err.Error()))
	}
	return a.verdict(c.Key, p, err)
}

// verification is what --json gives.
type verification struct {
	Verified   bool             `json:"verified"`
	Origin     prove.Origin     `json:"origin,omitempty"`
	Database   string           `json:"database,omitempty"`
	DatabaseID string           `json:"database_id,omitempty"`
	Tables     int              `json:"tables"`
	Rows       int64            `json:"rows"`
	Size       int64            `json:"size_bytes"`
	SHA256     string           `json:"sha256,omitempty"`
	BodySHA256 string           `json:"body_sha256,omitempty"`
	LoadMS     int64            `json:"load_ms"`
	CheckMS    int64            `json:"check_ms"`
	AgainMS    int64            `json:"again_ms"`
	Findings   []backup.Finding `json:"findings,omitempty"`
	Source     *comparison      `json:"source,omitempty"`
	Error      string           `json:"error,omitempty"`
}

// comparison is how a copy compares with its source, in JSON.
type comparison struct {
	State       backup.SourceState `json:"state"`
	Text        string             `json:"text"`
	Differences []string           `json:"differences"`
	RowsRead    int64              `json:"rows_read"`
}

// verdict says what was found; a copy that is no good ends with exit code 4.
func (a *app) verdict(what string, p *prove.Proof, err error) error {
	if p == nil {
		p = &prove.Proof{}
	}
	if a.json {
		v := verification{
			Verified: err == nil, Origin: p.Origin, Database: p.Header.Database, DatabaseID: p.Header.DatabaseID, Tables: p.Contents.Tables, Rows: p.Contents.Rows,
			Size: p.Size, SHA256: p.SHA256, BodySHA256: p.Contents.BodySHA256, LoadMS: p.Load.Milliseconds(), CheckMS: p.Check.Milliseconds(), AgainMS: p.Again.Milliseconds(), Findings: p.Findings,
		}
		if err != nil {
			v.Error = err.Error()
		}
		if c := p.Live; c != nil {
			v.Source = &comparison{c.State, c.Text, orEmpty(c.Differences), c.RowsRead}
		}
		if printErr := a.printJSON(v); printErr != nil {
			return errors.Join(err, printErr)
		}
	}
	if err != nil {
		a.sayDifferences(p.Live)
		return err
	}
	a.say("%s restores: %s, %d tables, %s rows, %s", what, p.Header.Database, p.Contents.Tables, humanize.Comma(p.Contents.Rows), humanize.Bytes(uint64(p.Size)))
	a.say("  origin: %s", p.Origin)
	a.say("  loaded in %v, checked in %v, dumped again in %v", p.Load.Round(time.Millisecond), p.Check.Round(time.Millisecond), p.Again.Round(time.Millisecond))
	for _, f := range p.Findings {
		a.say("  note: %s %s: %s", f.Code, f.Object, f.Message)
	}
	a.sayDifferences(p.Live)
	return nil
}

func (a *app) sayDifferences(c *prove.Comparison) {
	if c == nil {
		return
	}
	a.say("  source: %s (%s rows were read there)", printable(c.Text), humanize.Comma(c.RowsRead))
	for _, d := range c.Differences {
		a.say("    %s", printable(d))
	}
}
