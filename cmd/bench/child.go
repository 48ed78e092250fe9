package main

import (
	"bufio"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"iter"
	"os"
	"runtime/pprof"
	"sync"
	"time"

	"github.com/AutumnsGrove/Patina/backup"
	"github.com/AutumnsGrove/Patina/backup/d1"
	"github.com/AutumnsGrove/Patina/backup/export"
	"github.com/AutumnsGrove/Patina/backup/object"
	"github.com/AutumnsGrove/Patina/backup/source"
)

// exported is what a child prints of its exports.
type exported struct {
	Seconds  float64
	SQLBytes int64
	Rows     int64
	RowsRead int64
	Requests int
	Labels   []backup.Consistency
}

// child runs exports in a process of its own, so that the operating system can
// tell its time and memory: of the databases whose ids are given, from an
// account at -url.
func child(args []string) {
	f := flag.NewFlagSet("child", flag.ExitOnError)
	url := f.String("url", "", "base URL of the account")
	bucketURL := f.String("bucket", "", "bucket; none: thrown away")
	compress := f.String("compress", "none", "none or gzip")
	at := f.Int("at-once", 1, "exports at once, of the same or of several databases")
	file := f.String("file", "", "a SQLite file to export, into -out")
	out := f.String("out", "", "where -file goes")
	dump := f.String("prove", "", "a dump to prove")
	week := f.String("archive", "", "a folder whose week to archive")
	n := f.Int("streams", 0, "uploads at once into -bucket")
	size := f.Int64("stream-bytes", 0, "of each of them")
	profile := f.String("profile", "", "file for a CPU profile")
	_ = f.Parse(args)
	ids := f.Args()
	if *profile != "" {
		p, err := os.Create(*profile)
		if err == nil {
			err = pprof.StartCPUProfile(p)
		}
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		defer pprof.StopCPUProfile()
	}
	if *week != "" {
		a, err := makeArchive(context.Background(), *week)
		if err == nil {
			err = json.NewEncoder(os.Stdout).Encode(a)
		}
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	if *file != "" || *dump != "" || *n > 0 {
		if err := runOther(*file, *out, *dump, *bucketURL, *n, *size); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	if err := runChild(*url, *bucketURL, backup.Compression(*compress), *at, ids); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// runOther does what is not an export of an account.
func runOther(file, out, dump, bucketURL string, n int, size int64) error {
	ctx := context.Background()
	switch {
	case file != "":
		src, err := source.OpenFile(ctx, file)
		if err != nil {
			return err
		}
		defer func() { _ = src.Close() }()
		f, err := os.Create(out)
		if err != nil {
			return err
		}
		defer f.Close()
		_, err = export.ToFile(ctx, src, f, export.Request{})
		return err
	case dump != "":
		p, err := proveFile(ctx, dump)
		if err != nil {
			return err
		}
		return json.NewEncoder(os.Stdout).Encode(p)
	}
	bucket, err := object.Open(ctx, bucketURL, object.Config{})
	if err != nil {
		return err
	}
	return streams(ctx, bucket, n, size)
}

func runChild(url, bucketURL string, compress backup.Compression, atOnce int, ids []string) error {
	ctx := context.Background()
	var bucket object.Bucket = discard{}
	if bucketURL != "" {
		var err error
		if bucket, err = object.Open(ctx, bucketURL, object.Config{}); err != nil {
			return err
		}
	}
	client, err := d1.New(d1.Config{AccountID: "acc", Token: "tok", BaseURL: url, Limiter: d1.NewLocalLimiter(1e6, 1e6)})
	if err != nil {
		return err
	}
	start := time.Now()
	var out exported
	var mu sync.Mutex
	var failed error
	work := make(chan int)
	var wg sync.WaitGroup
	for range atOnce {
		wg.Go(func() {
			for i := range work {
				date := backup.DateOf(start)
				m, err := export.Run(ctx, source.D1(client, ids[i], fmt.Sprintf("db%d", i)), bucket, export.Request{
					Key:    object.Key{Kind: backup.Manual, Date: date, At: start.Add(time.Duration(i) * time.Second), JobID: fmt.Sprintf("018f3c2a-0000-7000-8000-%012x", i), Slug: fmt.Sprintf("db%d", i), Gzip: compress == backup.Gzip},
					CopyID: "bench", Kind: backup.Manual, Date: date, Compress: compress,
				})
				mu.Lock()
				if err != nil {
					failed = err
				} else {
					out.SQLBytes += m.SQLSize
					out.Rows += m.Rows
					out.RowsRead += m.Cost.RowsRead
					out.Requests += m.Cost.Requests
					out.Labels = append(out.Labels, m.Consistency)
				}
				mu.Unlock()
			}
		})
	}
	for i := range ids {
		work <- i
	}
	close(work)
	wg.Wait()
	if failed != nil {
		return failed
	}
	out.Seconds = time.Since(start).Seconds()
	w := bufio.NewWriter(os.Stdout)
	defer func() { _ = w.Flush() }()
	return json.NewEncoder(w).Encode(out)
}

// discard is a bucket that keeps nothing, for streams larger than the disk.
type discard struct{}

type discardUpload struct{}

func (discardUpload) Write(b []byte) (int, error)                 { return len(b), nil }
func (discardUpload) Commit(context.Context) (object.Info, error) { return object.Info{}, nil }
func (discardUpload) Abort(context.Context) error                 { return nil }

func (discard) Create(context.Context, string, object.CreateOptions) (object.Upload, error) {
	return discardUpload{}, nil
}

func (discard) Open(context.Context, string, int64, int64) (io.ReadCloser, error) {
	return nil, backup.ErrNotFound
}

func (discard) Stat(context.Context, string) (object.Info, error) {
	return object.Info{}, backup.ErrNotFound
}

func (discard) List(context.Context, string) iter.Seq2[object.Info, error] {
	return func(func(object.Info, error) bool) {}
}
func (discard) Delete(context.Context, string) error                  { return nil }
func (discard) Replace(context.Context, string, []byte, string) error { return nil }
func (discard) Uploads(context.Context) iter.Seq2[object.PendingUpload, error] {
	return func(func(object.PendingUpload, error) bool) {}
}
func (discard) AbortUpload(context.Context, object.PendingUpload) error { return nil }
func (discard) String() string                                          { return "nowhere" }
