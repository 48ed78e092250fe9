package prove

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/AutumnsGrove/Patina/backup"
	"github.com/AutumnsGrove/Patina/backup/source"
)

// Comparison is how a loaded copy compares by value with its source.
type Comparison struct {
	State       backup.SourceState
	Text        string   // in words
	Differences []string // one a table or column, at most maxDifferences
	Tables      []string // in which they differ
	RowsRead    int64    // at the source, as billed
}

// maxDifferences bounds the list of differences.
const maxDifferences = 50

// compare reads what the copy's source holds now and compares it with what was
// loaded. Only where the source's bookmark is still the copy's does a
// difference speak against the copy: then it is an error of kind ErrCorrupt.
// That the source cannot be read is no error.
func (p *Proof) compare(ctx context.Context, path string, m *backup.Manifest, live source.Source) error {
	p.Live = &Comparison{State: backup.SourceUnknown}
	bookmark := p.Header.Bookmark
	if m != nil {
		bookmark = m.BookmarkBefore
	}
	rules, err := backup.ParseRedactions(p.Header.Redactions)
	if err != nil {
		p.Live.State, p.Live.Text = backup.SourceNotAsked, "not compared: what the copy leaves out cannot be read"
		return nil
	}
	loaded, err := source.OpenFile(ctx, path)
	if err != nil {
		return fmt.Errorf("open the loaded copy: %w", err)
	}
	defer func() { _ = loaded.Close() }()
	now, err := source.Summarise(ctx, live, nil)
	p.Live.RowsRead = now.RowsRead
	if err != nil {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		p.Live.Text = "not compared: " + err.Error()
		return nil
	}
	copied, err := source.Summarise(ctx, loaded, nil)
	if err != nil {
		return inTime(ctx, err)
	}
	now.Of, copied.Of = "the source", "the copy"
	err = p.Live.judge(now.Without(rules), copied.Without(rules), bookmark)
	if len(rules) > 0 {
		p.Live.Text += "; not compared, for the copy has them redacted: " + columnNames(rules)
	}
	return err
}

func columnNames(rules []backup.Redaction) string {
	names := make([]string, len(rules))
	for i, r := range rules {
		names[i] = r.Name()
	}
	return strings.Join(names, ", ")
}

func (c *Comparison) judge(now, copied source.Summary, bookmark string) error {
	c.Tables, c.Differences = now.DifferentTables(copied), now.Differences(copied)
	if len(c.Differences) > maxDifferences {
		c.Differences = slices.Concat(c.Differences[:maxDifferences], []string{fmt.Sprintf("… and %d more", len(c.Differences)-maxDifferences)})
	}
	if len(c.Differences) == 0 {
		c.State, c.Text = backup.SourceEqual, "equal to the source by value"
		return nil
	}
	tables := fmt.Sprintf("%d tables differ", len(c.Tables))
	if len(c.Tables) == 1 {
		tables = "1 table differs"
	}
	switch {
	case now.IsAt(bookmark):
		c.State, c.Text = backup.SourceDiffers, tables+" from the source, which nobody wrote to since"
		return corrupt("it restores, and is not what the source holds, to which nobody wrote since: %s", strings.Join(c.Differences[:min(len(c.Differences), 5)], "; "))
	case bookmark == "" || now.Before == "":
		c.State, c.Text = backup.SourceMoved, tables+" from the source; whether it was written to since is not known"
	default:
		c.State, c.Text = backup.SourceMoved, "the source has moved on: "+tables
	}
	return nil
}
