// Command patina backs up the D1 databases of a Cloudflare account, faithfully,
// every night.
//
// It owns the command line and the configuration, and joins the layers: it
// opens Postgres, the bucket and the account, and hands them to jobs and web.
// It decides nothing of how a backup is made, and holds no SQL.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"
	"time"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	a := &app{in: os.Stdin, out: os.Stdout, err: os.Stderr, env: environment(), clock: time.Now}
	// The first signal asks the program to stop; a second one ends it at once.
	context.AfterFunc(ctx, stop)
	code := a.run(ctx, os.Args[1:])
	stop()
	os.Exit(code)
}
