package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"time"
)

// measured is what one finished process cost.
type measured struct {
	wall time.Duration
	cpu  time.Duration // of the process and of those it waited for
	peak int64         // bytes of resident memory; of several processes the largest
	out  []byte
}

// run runs a command and takes the operating system's own account of it. The
// command is started by a small process of its own, see launch: the kernel
// counts what the parent of a new process held as the new one's peak.
func run(ctx context.Context, name string, args ...string) (measured, error) {
	self, err := lean()
	if err != nil {
		return measured{}, err
	}
	r, w, err := os.Pipe()
	if err != nil {
		return measured{}, err
	}
	defer r.Close()
	cmd := exec.CommandContext(ctx, self, append([]string{"launch", name}, args...)...)
	cmd.ExtraFiles = []*os.File{w}
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	err = cmd.Run()
	_ = w.Close()
	if err != nil {
		return measured{}, fmt.Errorf("%s %s: %w: %.1000s", name, strings.Join(args, " "), err, errs.String())
	}
	var l launched
	if err := json.NewDecoder(r).Decode(&l); err != nil {
		return measured{}, err
	}
	return measured{wall: l.Wall, cpu: l.CPU, peak: l.Peak, out: out.Bytes()}, nil
}

// lean is the program that measures in processes of its own: this one built
// with the tag lean, beside it. What it does not link, such as the dashboard, does
// not count as memory of what is measured.
func lean() (string, error) {
	self, err := os.Executable()
	if err != nil {
		return "", err
	}
	if _, err := os.Stat(self + "-lean"); err != nil {
		return "", fmt.Errorf("go build -tags lean -o %s-lean ./cmd/bench: %w", self, err)
	}
	return self + "-lean", nil
}

// launched is what launch tells of a command.
type launched struct {
	Wall, CPU time.Duration
	Peak      int64
}

// launch runs a command and writes what it cost to file 3.
func launch(args []string) {
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	start := time.Now()
	err := cmd.Run()
	l := launched{Wall: time.Since(start)}
	if err == nil {
		l.CPU = cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()
		if u, ok := cmd.ProcessState.SysUsage().(*syscall.Rusage); ok {
			l.Peak = u.Maxrss << 10
		}
		err = json.NewEncoder(os.NewFile(3, "result")).Encode(l)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// shell runs a script of bash with its parts as $1, $2 …
func shell(ctx context.Context, script string, args ...string) (measured, error) {
	return run(ctx, "bash", append([]string{"-euo", "pipefail", "-c", script, "bash"}, args...)...)
}

// pairs runs two sides in turns and gives the medians, by wall time.
func (b *bench) pairs(ours, peer func() (measured, error)) (us, them measured, err error) {
	var a, c []measured
	for range b.runs {
		m, err := ours()
		if err != nil {
			return us, them, err
		}
		a = append(a, m)
		if m, err = peer(); err != nil {
			return us, them, err
		}
		c = append(c, m)
	}
	return median(a), median(c), nil
}

func median(ms []measured) measured {
	slices.SortFunc(ms, func(a, b measured) int { return int(a.wall - b.wall) })
	m := ms[len(ms)/2]
	for _, x := range ms {
		m.peak = max(m.peak, x.peak)
	}
	return m
}

func ratio(a, b measured) float64 { return a.wall.Seconds() / b.wall.Seconds() }

func mib(n int64) string { return fmt.Sprintf("%.0f MiB", float64(n)/(1<<20)) }

func rate(bytes int64, m measured) string {
	return fmt.Sprintf("%.0f MB/s", float64(bytes)/1e6/m.wall.Seconds())
}

// decode reads what a child printed.
func decode[T any](m measured) (T, error) {
	var v T
	err := json.Unmarshal(m.out, &v)
	return v, err
}
