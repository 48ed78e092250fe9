package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/AutumnsGrove/Patina/backup/d1"
)

// What the tokens need; docs/deploy.md says how to make them.
const (
	readToken  = "Give CLOUDFLARE_API_TOKEN the permission Account, D1, Read for this account (docs/deploy.md)."
	writeToken = "Set CLOUDFLARE_RESTORE_TOKEN to a token with the permission Account, D1, Edit (docs/deploy.md)."
)

// tokens looks at what the tokens may do, and at what D1 does.
func (d *doctor) tokens(ctx context.Context) {
	client, err := newD1(d.cfg, nil)
	if err != nil {
		d.fault("account", err, "Check CLOUDFLARE_ACCOUNT_ID and CLOUDFLARE_API_TOKEN.")
		return
	}
	databases, err := client.List(ctx)
	if err != nil {
		d.fault("account", fmt.Errorf("list the databases: %w", err), readToken)
		return
	}
	d.account = databases
	reads := true
	if len(databases) == 0 {
		d.add("account", findingNote, "Check CLOUDFLARE_ACCOUNT_ID.", "it answers, and has no D1 database")
	} else {
		d.add("account", findingOK, "", "it answers, and has %d databases", len(databases))
		reads = d.behaviour(ctx, client, databases[0])
	}
	writer := d.writes(ctx, client, reads && len(databases) > 0)
	switch {
	case !d.options.scratch:
		d.add("d1", findingNote, "Run: patina doctor --scratch", "what only writing can show was not tried: whether a batch is one transaction, a write moves the bookmark, and a failed import leaves something behind")
	case writer == nil:
		d.add("d1", findingFail, writeToken, "no token may write, so that --scratch cannot make its database")
	default:
		d.scratchDatabase(ctx, writer)
	}
}

// writes says what each token may do besides reading, and gives a client that
// may write; nil for none.
func (d *doctor) writes(ctx context.Context, client *d1.Client, reads bool) *d1.Client {
	may, err := client.MayWrite(ctx)
	if err != nil {
		d.fault("token", fmt.Errorf("whether CLOUDFLARE_API_TOKEN may write: %w", err), readToken)
		return nil
	}
	if d.cfg.RestoreToken == "" {
		if !may {
			d.add("token", findingNote, writeToken, "CLOUDFLARE_API_TOKEN may only read: nightly backups need no more, and nothing can be restored into the account with it")
			return nil
		}
		d.add("token", findingNote, "Make CLOUDFLARE_API_TOKEN one that may only read, and set CLOUDFLARE_RESTORE_TOKEN to one that may write.", "CLOUDFLARE_API_TOKEN may write too: the process that reads every night could also change every database")
		return client
	}
	if may {
		d.add("token", findingNote, readToken, "CLOUDFLARE_API_TOKEN may write, though CLOUDFLARE_RESTORE_TOKEN is there for that")
	} else if reads {
		d.add("token", findingOK, "", "CLOUDFLARE_API_TOKEN may only read, and that suffices to query D1")
	}
	writer, err := newRestoreD1(d.cfg, nil)
	if err == nil {
		_, err = writer.List(ctx)
	}
	if err == nil {
		may, err = writer.MayWrite(ctx)
	}
	switch {
	case err != nil:
		d.fault("restore token", fmt.Errorf("CLOUDFLARE_RESTORE_TOKEN: %w", err), writeToken)
		return nil
	case !may:
		d.add("restore token", findingFail, writeToken, "CLOUDFLARE_RESTORE_TOKEN may not write: a restore would fail")
		return nil
	}
	d.add("restore token", findingOK, "", "CLOUDFLARE_RESTORE_TOKEN may write")
	return writer
}

// usualAnswer is how large a page of an export may be, in millions of bytes.
const usualAnswer = 8

// behaviour looks at what exports rest on, by reading alone; it tells whether
// the token can read.
func (d *doctor) behaviour(ctx context.Context, client *d1.Client, db d1.Info) bool {
	before, err := client.Bookmark(ctx, db.ID, time.Time{})
	if err != nil {
		d.fault("d1", fmt.Errorf("read a bookmark of %s: %w", db.Name, err), readToken)
		return false
	}
	stats, err := client.ProbeRead(ctx, db.ID)
	if err != nil {
		d.fault("d1", fmt.Errorf("query %s in a batch: %w", db.Name, err), "The API token needs the right to query D1; where D1 Read does not suffice, give it D1 Edit.")
		return false
	}
	if !stats.Primary {
		d.add("d1", findingNote, "", "%s was served by a replica; exports ask again until the primary answers", db.Name)
	}
	if err := client.ProbeAnswer(ctx, db.ID, usualAnswer); err != nil {
		d.add("d1", findingNote, "Nothing: exports ask for smaller pages, and take longer.", "an answer of %d MB from %s does not arrive: %v", usualAnswer, db.Name, err)
	} else {
		d.add("d1", findingOK, "", "an answer of %d MB arrives", usualAnswer)
	}
	d.refusal(ctx, client, db)
	after, err := client.Bookmark(ctx, db.ID, time.Time{})
	switch {
	case err != nil:
		d.fault("d1", err, readToken)
	case before != after:
		d.add("d1", findingNote, "Nothing, if an application writes to it; otherwise try: patina doctor --scratch", "the bookmark of %s moved while nothing but reading was done here: somebody writes to it, or it does not stand still when idle", db.Name)
	default:
		d.add("d1", findingOK, "", "a batch is answered, and the bookmark of %s stands still", db.Name)
	}
	return true
}

// refusal looks at the shape of an error, by which an export tells a table that
// went away from a database that is busy.
func (d *doctor) refusal(ctx context.Context, client *d1.Client, db d1.Info) {
	err := client.ProbeRefusal(ctx, db.ID)
	var e *d1.Error
	switch {
	case err == nil:
		d.add("d1", findingFail, "Check CLOUDFLARE_BASE_URL: this is not D1's API.", "a query of a table that does not exist is answered as if it did")
	case errors.Is(err, d1.ErrNoTable) && errors.As(err, &e) && e.Status == http.StatusBadRequest && e.Code == 7500:
		d.add("d1", findingOK, "", "a bad statement is refused as expected (status 400, code 7500)")
	case errors.Is(err, d1.ErrNoTable):
		d.add("d1", findingNote, "", "a bad statement is refused with other numbers than expected: %v", err)
	default:
		d.add("d1", findingNote, "Report this answer to Patina's developers: a table that is dropped during an export would be taken for another fault.", "a bad statement is refused in words that are not known: %v", err)
	}
}
