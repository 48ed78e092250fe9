//go:build unix

// Package embedded runs a Postgres of Patina's own: for the demo, for small
// installations, and for tests.
//
// It owns one folder, the server in it and that server's life: the server
// listens on a Unix socket only, and ends when the process that started it
// ends, however that happens. It never downloads anything, never deletes or
// converts data, and never touches a server that it did not make.
package embedded

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/AutumnsGrove/Patina/backup"
)

const (
	dbName  = "patina" // the database and its owner
	port    = "5432"   // only names the socket file: nothing listens on the network
	waitFor = 60 * time.Second
)

// Config says where the server lives.
type Config struct {
	Dir    string       // a folder of its own, made if missing; as root it is given to the user that Postgres runs as
	Log    *slog.Logger // nil: silent
	NoSync bool         // fsync off, and less written to the log: for tests only, a crash of the machine loses the data
	Bin    string       // the folder of Postgres's programs; "": found
}

// Server is a running Postgres.
type Server struct {
	cfg    Config
	dir    string // absolute
	socket string // the folder of the socket
	user   account
	lock   *os.File // nil where another process of ours runs the server and this one shares it
	proc   *process // nil likewise
}

// Start starts the server in cfg.Dir, made on the first start, and returns
// when it takes connections: about 4 s the first time, 0.2 s after that. Where
// another living process has started a server in the same folder, that one is
// shared, for as long as that process lives.
//
// Errors are for people and say what to do: ErrUnavailable without Postgres's
// programs or when it does not start, ErrDenied for a folder that the server's
// user cannot reach, ErrConflict for data of another major version.
func Start(ctx context.Context, cfg Config) (*Server, error) {
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	dir, err := filepath.Abs(cfg.Dir)
	if err != nil || cfg.Dir == "" {
		return nil, backup.Errorf(backup.ErrInvalid, "the embedded Postgres needs a folder")
	}
	s := &Server{cfg: cfg, dir: dir}
	if s.user, err = runAs(); err != nil {
		return nil, err
	}
	if err := s.prepareDir(); err != nil {
		return nil, err
	}
	if s.socket, err = socketDir(dir, s.user); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, waitFor)
	defer cancel()
	for {
		if s.lock, err = tryLock(filepath.Join(dir, "lock")); err != nil {
			return nil, err
		}
		if s.lock != nil {
			break
		}
		if s.share(ctx) {
			return s, nil
		}
		if err := pause(ctx); err != nil { // it is just starting, or just ending
			return nil, backup.Errorf(backup.ErrUnavailable, "another process holds %s and its Postgres does not answer", dir)
		}
	}
	if err := s.start(ctx); err != nil {
		_ = s.Stop(context.WithoutCancel(ctx))
		return nil, err
	}
	return s, nil
}

// URL is what store.Open takes.
func (s *Server) URL() string { return s.urlOf(dbName) }

func (s *Server) urlOf(database string) string {
	q := url.Values{"host": {s.socket}, "port": {port}, "user": {dbName}, "sslmode": {"disable"}}
	return "postgres:///" + database + "?" + q.Encode()
}

// Shared tells that another process runs the server and this one only uses it.
func (s *Server) Shared() bool { return s.lock == nil }

// Stop ends the server: it rolls back what is open, writes everything down and
// goes. When ctx ends first it is ended at once, which is safe too and costs
// the next start a recovery. A shared server is left to its owner.
func (s *Server) Stop(ctx context.Context) error {
	if s.lock == nil {
		return nil
	}
	defer func() { _ = s.lock.Close() }()
	if s.proc == nil {
		return nil
	}
	err := s.proc.stop(ctx)
	if filepath.Dir(s.socket) != s.dir {
		_ = os.Remove(s.socket) // in /tmp
	}
	s.cfg.Log.Debug("embedded Postgres stopped", "dir", s.dir)
	return err
}

// share tells whether the server that another process runs here answers.
func (s *Server) share(ctx context.Context) bool {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	return s.probe(ctx, dbName) == nil
}

func (s *Server) start(ctx context.Context) error {
	if err := s.stopOrphan(ctx); err != nil {
		return err
	}
	bin, err := s.choose()
	if err != nil {
		return err
	}
	data := filepath.Join(s.dir, "data")
	if _, err := os.Stat(filepath.Join(data, "PG_VERSION")); errors.Is(err, os.ErrNotExist) {
		if err := s.initialise(ctx, bin, data); err != nil {
			return err
		}
	} else if err != nil {
		return &backup.Error{Kind: backup.ErrDenied, Message: "the data of the embedded Postgres cannot be read", Err: err}
	}
	log := filepath.Join(s.dir, "postgres.log")
	if s.proc, err = startProcess(filepath.Join(bin.dir, "postgres"), s.arguments(data), s.dir, log, s.user); err != nil {
		return s.explain(err)
	}
	if err := s.waitReady(ctx); err != nil {
		return err
	}
	s.cfg.Log.Debug("embedded Postgres runs", "dir", s.dir, "version", bin.version)
	return nil
}

// arguments gives every setting on the command line: the data folder's own
// configuration is whatever initdb wrote.
func (s *Server) arguments(data string) []string {
	args := []string{"-D", data, "-k", s.socket}
	set := func(name, value string) { args = append(args, "-c", name+"="+value) }
	set("listen_addresses", "")
	set("port", port)
	set("unix_socket_permissions", "0700")
	set("max_connections", "100")
	set("wal_level", "minimal") // no replicas: bulk work writes less
	set("max_wal_senders", "0")
	set("max_wal_size", "256MB")
	set("jit", "off") // our queries are short
	set("timezone", "UTC")
	set("log_timezone", "UTC")
	set("logging_collector", "off")
	set("log_min_messages", "warning")
	set("log_min_error_statement", "panic") // a statement holds values: they stay out of the log
	set("log_parameter_max_length_on_error", "0")
	set("log_error_verbosity", "terse")
	if s.cfg.NoSync {
		set("fsync", "off")
		set("synchronous_commit", "off")
		set("full_page_writes", "off")
		set("max_wal_size", "1GB")
		set("autovacuum", "off")
	}
	return args
}

// waitReady returns when the server takes connections and the database exists.
func (s *Server) waitReady(ctx context.Context) error {
	for {
		err := s.probe(ctx, dbName)
		var pg *pgconn.PgError
		switch {
		case err == nil:
			return nil
		case errors.As(err, &pg) && pg.Code == "3D000": // the first start
			if err := s.createDatabase(ctx); err != nil {
				return err
			}
			continue
		}
		select {
		case <-s.proc.ended:
			return s.notStarted(errors.New("it ended"))
		default:
		}
		if pause(ctx) != nil {
			return s.notStarted(err)
		}
	}
}

func (s *Server) probe(ctx context.Context, database string) error {
	conn, err := pgx.Connect(ctx, s.urlOf(database))
	if err != nil {
		return err
	}
	return conn.Close(ctx)
}

func (s *Server) createDatabase(ctx context.Context) error {
	conn, err := pgx.Connect(ctx, s.urlOf("postgres"))
	if err != nil {
		return s.notStarted(err)
	}
	defer func() { _ = conn.Close(ctx) }()
	if _, err := conn.Exec(ctx, "CREATE DATABASE "+dbName); err != nil {
		return &backup.Error{Kind: backup.ErrUnavailable, Message: "the embedded Postgres cannot make its database", Err: err}
	}
	return nil
}

// notStarted words a failed start with the end of the server's own log.
func (s *Server) notStarted(err error) error {
	path := filepath.Join(s.dir, "postgres.log")
	return &backup.Error{
		Kind:    backup.ErrUnavailable,
		Message: fmt.Sprintf("the embedded Postgres in %s did not start; its data is as it was%s", s.dir, tail(path)),
		Next:    "Read " + path + ".",
		Err:     err,
	}
}

// tail gives the last lines of a log, after a colon, or "".
func tail(path string) string {
	b, err := os.ReadFile(path)
	if err != nil {
		return ""
	}
	lines := strings.Split(strings.TrimSpace(string(b)), "\n")
	if len(lines) > 5 {
		lines = lines[len(lines)-5:]
	}
	if text := strings.Join(lines, " | "); text != "" {
		return ": " + text
	}
	return ""
}

// pause waits a moment before the next look, or fails with ctx.
func pause(ctx context.Context) error {
	t := time.NewTimer(10 * time.Millisecond)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return nil
	}
}

// tryLock takes the lock file, which no other process can then take while this
// one lives; nil where another has it.
func tryLock(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|syscall.O_NOFOLLOW, 0o600)
	if err != nil {
		return nil, &backup.Error{Kind: backup.ErrDenied, Message: "the lock of the embedded Postgres cannot be taken", Err: err}
	}
	err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if err == nil {
		return f, nil
	}
	_ = f.Close()
	if errors.Is(err, syscall.EWOULDBLOCK) {
		return nil, nil
	}
	return nil, &backup.Error{Kind: backup.ErrDenied, Message: "the lock of the embedded Postgres cannot be taken", Err: err}
}
