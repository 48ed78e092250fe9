package main

import (
	"context"
	"fmt"

	"github.com/google/uuid"

	"github.com/AutumnsGrove/Patina/backup/d1"
)

// scratchDatabase tries in a database of its own what only writing can show,
// and deletes it again.
func (d *doctor) scratchDatabase(ctx context.Context, client *d1.Client) {
	name := "patina-doctor-" + uuid.NewString()[:8]
	db, err := client.Create(ctx, name, d1.CreateOptions{})
	if err != nil {
		d.fault("d1 scratch", fmt.Errorf("make the database %s: %w", name, err), writeToken)
		return
	}
	for _, try := range []func(context.Context, *d1.Client, string) error{d.batchIsOne, d.bookmarkMoves, d.importHalves, d.largestAnswer} {
		if err := try(ctx, client, db.ID); err != nil {
			d.fault("d1 scratch", err, "Run it again; if it goes on, see https://www.cloudflarestatus.com.")
			break
		}
	}
	// Whatever happened, also where this was interrupted: it is not left behind.
	bounded, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopTimeout)
	defer cancel()
	if err := client.Delete(bounded, db.ID); err != nil {
		d.fault("d1 scratch", fmt.Errorf("delete the database %s: %w", name, err), "Delete it in Cloudflare's dashboard, or: wrangler d1 delete "+name)
	}
}

func (d *doctor) batchIsOne(ctx context.Context, client *d1.Client, id string) error {
	whole, err := client.ProbeBatch(ctx, id)
	if err != nil {
		return err
	}
	if whole {
		d.add("d1 scratch", findingOK, "", "a batch is one transaction")
	} else {
		d.add("d1 scratch", findingFail, "Do not rely on the label snapshot, and report this to Patina's developers.", "a batch is not one transaction: what came before its failure stayed")
	}
	return nil
}

func (d *doctor) bookmarkMoves(ctx context.Context, client *d1.Client, id string) error {
	still, moves, err := client.ProbeBookmark(ctx, id)
	switch {
	case err != nil:
		return err
	case !moves:
		d.add("d1 scratch", findingFail, "Do not rely on the label quiet, and report this to Patina's developers.", "a write does not move the bookmark: a copy of a large database could be torn and still be called quiet")
	case !still:
		d.add("d1 scratch", findingNote, "", "the bookmark of an idle database moves by itself: large databases are labelled fuzzy although nobody wrote")
	default:
		d.add("d1 scratch", findingOK, "", "a bookmark stands still while nobody writes, and moves with a write")
	}
	return nil
}

func (d *doctor) importHalves(ctx context.Context, client *d1.Client, id string) error {
	whole, err := client.ProbeImport(ctx, id)
	if err != nil {
		return err
	}
	if whole {
		d.add("d1 scratch", findingOK, "", "an import that fails leaves nothing behind")
	} else {
		d.add("d1 scratch", findingNote, "", "an import that fails leaves behind what came before its failure; restores reckon with that, and go back to a bookmark")
	}
	return nil
}

// largestAnswer looks how much one answer can carry, beyond what is asked for.
func (d *doctor) largestAnswer(ctx context.Context, client *d1.Client, id string) error {
	for n := 2 * usualAnswer; n <= 4*usualAnswer; n *= 2 {
		if err := client.ProbeAnswer(ctx, id, n); err != nil {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			d.add("d1 scratch", findingNote, "", "an answer of %d MB arrives, one of %d MB does not; exports ask for %d MB at most", n/2, n, usualAnswer)
			return nil
		}
	}
	d.add("d1 scratch", findingOK, "", "an answer of %d MB arrives; exports ask for %d MB at most", 4*usualAnswer, usualAnswer)
	return nil
}
