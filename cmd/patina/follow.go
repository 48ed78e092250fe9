package main

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/dustin/go-humanize"

	"github.com/AutumnsGrove/Patina/backup"
	"github.com/AutumnsGrove/Patina/store"
)

// pollEvery is how often a followed job is looked at.
const pollEvery = 150 * time.Millisecond

// followed is what is known of a job that is followed.
type followed struct {
	job     backup.Job
	results []backup.Result
	sizes   map[string]int64 // by database id: what the registry expects
}

// follow shows a job's progress until it ends.
func (a *app) follow(ctx context.Context, s *store.Store, jobID string) (followed, error) {
	f := followed{sizes: map[string]int64{}}
	databases, err := s.Databases(ctx, store.DatabaseFilter{Gone: true})
	if err != nil {
		return f, err
	}
	for _, db := range databases {
		f.sizes[db.ID] = db.EstimatedSize
	}
	view := &board{w: a.err, terminal: a.terminal(), told: map[string]backup.ResultStatus{}}
	tick := time.NewTicker(pollEvery)
	defer tick.Stop()
	for {
		if f.results, err = s.JobResults(ctx, jobID); err != nil {
			return f, err
		}
		// The job after its results: once it has ended they have too.
		if f.job, err = s.Job(ctx, jobID); err != nil {
			return f, err
		}
		if f.job.Status.Ended() {
			f.results, err = s.JobResults(ctx, jobID)
		}
		f.sort()
		view.show(f)
		if f.job.Status.Ended() || err != nil {
			return f, err
		}
		select {
		case <-ctx.Done():
			return f, ctx.Err()
		case <-tick.C:
		}
	}
}

// sort puts the results by name.
func (f *followed) sort() {
	slices.SortFunc(f.results, func(x, y backup.Result) int { return cmp.Compare(x.DatabaseName, y.DatabaseName) })
}

// board shows the databases of a job: on a terminal a line each, redrawn in
// place; elsewhere a plain line whenever one of them ends.
type board struct {
	w        io.Writer
	terminal bool
	lines    int // drawn before
	told     map[string]backup.ResultStatus
}

func (b *board) show(f followed) {
	if !b.terminal {
		b.tell(f)
		return
	}
	var out strings.Builder
	if b.lines > 0 {
		fmt.Fprintf(&out, "\x1b[%dA", b.lines)
	}
	width := columns(b.w)
	for _, r := range f.results {
		fmt.Fprintf(&out, "\x1b[2K%s\n", clip("  "+progressLine(r, f.sizes[r.DatabaseID]), width))
	}
	b.lines = len(f.results)
	fmt.Fprint(b.w, out.String())
}

func (b *board) tell(f followed) {
	for _, r := range f.results {
		if r.Status == b.told[r.ID] {
			continue
		}
		b.told[r.ID] = r.Status
		if r.Status.Ended() {
			fmt.Fprintln(b.w, " ", progressLine(r, 0))
		}
	}
}

// progressLine tells how far one database has come.
func progressLine(r backup.Result, expected int64) string {
	name := fmt.Sprintf("%-24s", printable(r.DatabaseName))
	switch r.Status {
	case backup.ResultQueued:
		return name + " " + bar(0, 1) + " waiting"
	case backup.ResultRunning:
		return fmt.Sprintf("%s %s %s rows, %s  %s", name, bar(r.Progress.Bytes, max(expected, r.Progress.Bytes+r.Progress.Bytes/10)),
			humanize.Comma(r.Progress.Rows), humanize.Bytes(uint64(r.Progress.Bytes)), printable(r.Progress.Table))
	case backup.ResultSuccess:
		return fmt.Sprintf("%s %s stored: %d tables, %s rows, %s, %s, %.1f s", name, bar(1, 1), r.Tables,
			humanize.Comma(r.Rows), humanize.Bytes(uint64(r.Size)), r.Consistency, r.Duration.Seconds())
	case backup.ResultSkipped:
		return name + " skipped: " + printable(r.Error)
	}
	return name + " FAILED: " + printable(r.Error)
}

// printResults writes what was stored where, for people.
func (a *app) printResults(f followed) error {
	w := tabwriter.NewWriter(a.out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "DATABASE\tSTATUS\tSIZE\tROWS\tKEY")
	for _, r := range f.results {
		where := r.Key
		if r.Status != backup.ResultSuccess {
			where = printable(r.Error)
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\n", printable(r.DatabaseName), r.Status, humanize.Bytes(uint64(r.Size)), humanize.Comma(r.Rows), where)
	}
	return w.Flush()
}

// jobAnswer is a job as --json writes it: the JOB of the HTTP interface.
func jobAnswer(f followed) map[string]any {
	databases := make([]map[string]any, len(f.results))
	for i, r := range f.results {
		databases[i] = map[string]any{
			"name": r.DatabaseName, "status": r.Status, "key": r.Key, "size_bytes": r.Size, "tables": r.Tables, "rows": r.Rows,
			"duration_ms": r.Duration.Milliseconds(), "consistency": r.Consistency, "error": r.Error,
		}
	}
	j := f.job
	var duration int64
	if j.StartedAt != nil && j.CompletedAt != nil {
		duration = j.CompletedAt.Sub(*j.StartedAt).Milliseconds()
	}
	return map[string]any{
		"id": j.ID, "kind": j.Kind, "trigger": j.Trigger, "status": j.Status,
		"started_at": j.StartedAt, "completed_at": j.CompletedAt, "duration_ms": duration, "error": j.Error, "databases": databases,
		"totals": map[string]any{
			"databases": j.Totals.Databases, "succeeded": j.Totals.Succeeded, "failed": j.Totals.Failed,
			"bytes": j.Totals.Bytes, "rows": j.Totals.Rows,
		},
	}
}
