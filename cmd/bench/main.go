// Command bench measures Patina beside its peers: each figure is our program
// and the usual tool over the same data, in turns, in one run. It prints the
// ratio, the rate and the peak memory against the goals in docs/performance.md.
// Absolute times are printed for interest; only ratios mean something on a
// shared machine.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/AutumnsGrove/Patina/backup/d1/d1sim"
)

// figure is one line of the table, or a few that belong together.
type figure struct {
	name string
	run  func(ctx context.Context, b *bench) ([]line, error)
}

// line is one measured value and its goal.
type line struct {
	what  string // what was measured
	peer  string // beside what; "" for none
	value string // the figure, with its unit
	goal  string
	met   bool
	note  string // rates, memory
}

// bench is what the figures share.
type bench struct {
	dir  string // data that is made once and kept
	self string // this program, for children whose memory is measured
	runs int    // of each side of a pair
	size int64  // bytes of the large database
	huge int64  // bytes of the generated stream

	databases int  // in the history behind the pages
	keep      bool // that history, for the next run

	fleet   int    // databases of the largest fleet; 0: all of them
	profile string // file for a CPU profile of the last child; "" for none

	accounts map[*d1sim.Account]string // and their folders
}

func main() {
	if len(os.Args) > 1 {
		switch os.Args[1] {
		case "child":
			child(os.Args[2:])
			return
		case "launch":
			launch(os.Args[2:])
			return
		}
	}
	b := bench{accounts: map[*d1sim.Account]string{}}
	var only string
	flag.StringVar(&b.dir, "dir", "tmp/bench", "where test data is kept between runs")
	flag.StringVar(&only, "only", "", "names of figures, with commas; none: all")
	flag.IntVar(&b.runs, "runs", 3, "runs of each side; the median counts")
	flag.Int64Var(&b.size, "size", 470<<20, "bytes of the large database")
	flag.Int64Var(&b.huge, "huge", 10<<30, "bytes of the generated stream")
	flag.IntVar(&b.databases, "databases", 5000, "databases in the history behind the pages, 400 results each")
	flag.BoolVar(&b.keep, "keep", false, "keep that history between runs (gigabytes)")
	flag.IntVar(&b.fleet, "fleet", 0, "databases of the largest fleet; 0: all fleets")
	flag.StringVar(&b.profile, "profile", "", "file for a CPU profile of the last of our processes")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := b.main(ctx, only); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func (b *bench) main(ctx context.Context, only string) error {
	var err error
	if b.self, err = lean(); err != nil {
		return err
	}
	if err := os.MkdirAll(b.dir, 0o700); err != nil {
		return err
	}
	defer func() {
		for a := range b.accounts {
			_ = b.drop(a)
		}
	}()
	var lines []line
	var failed []error
	for _, f := range figures {
		if only != "" && !slices.Contains(strings.Split(only, ","), f.name) {
			continue
		}
		start := time.Now()
		fmt.Fprintf(os.Stderr, "%s …", f.name)
		ls, err := f.run(ctx, b)
		if err != nil {
			fmt.Fprintln(os.Stderr, " failed")
			failed = append(failed, fmt.Errorf("%s: %w", f.name, err))
			if ctx.Err() != nil {
				break
			}
			continue
		}
		fmt.Fprintf(os.Stderr, " %.0f s\n", time.Since(start).Seconds())
		lines = append(lines, ls...)
	}
	w := tabwriter.NewWriter(os.Stdout, 0, 0, 1, ' ', 0)
	fmt.Fprintln(w, "| what\t| peer, same run\t| measured\t| goal\t| met\t| notes\t|")
	fmt.Fprintln(w, "|---\t|---\t|---\t|---\t|---\t|---\t|")
	missed := 0
	for _, l := range lines {
		met := "yes"
		if l.goal == "–" {
			met = "–"
		} else if !l.met {
			met = "NO"
			missed++
		}
		fmt.Fprintf(w, "| %s\t| %s\t| %s\t| %s\t| %s\t| %s\t|\n", l.what, l.peer, l.value, l.goal, met, l.note)
	}
	if err := w.Flush(); err != nil {
		return err
	}
	fmt.Printf("\n%d figures, %d goals missed; medians of %d runs\n", len(lines), missed, b.runs)
	return errors.Join(failed...)
}
