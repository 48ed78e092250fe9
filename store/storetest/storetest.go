// Package storetest gives tests a database of their own on a real Postgres.
//
// It owns one throw-away server a test process, started when first asked for
// and gone with the process. It never skips: without Postgres a test fails and
// says what installs it.
package storetest

import (
	"context"
	"fmt"
	"hash/fnv"
	"io"
	"os"
	"os/exec"
	"reflect"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/AutumnsGrove/Patina/backup"
	"github.com/AutumnsGrove/Patina/store"
	"github.com/AutumnsGrove/Patina/store/embedded"
)

// Migrate is a migration beyond the store's own, such as River's.
type Migrate = func(context.Context, *pgxpool.Pool) error

// New gives a store on a database of its own, freshly migrated, with more
// migrated after it. Both are gone when the test ends.
func New(t testing.TB, more ...Migrate) *store.Store {
	t.Helper()
	s, err := store.Open(t.Context(), NewURL(t, more...))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

// NewURL gives the URL of a database of its own, freshly migrated, for tests
// that open it themselves, several times or from other processes.
func NewURL(t testing.TB, more ...Migrate) string {
	t.Helper()
	template, err := templateFor(more)
	if err != nil {
		fatal(t, err)
	}
	return create(t, template)
}

// EmptyURL gives the URL of an empty database of its own.
func EmptyURL(t testing.TB) string {
	t.Helper()
	return create(t, "template0")
}

var (
	server    = sync.OnceValues(start)
	admin     = sync.OnceValues(connect)
	creating  sync.Mutex // a template can be copied by one at a time
	templates = map[string]bool{}
	number    atomic.Int64
)

// running is the server, and the pipe by which its sweeper sees that we live: it
// stays open as long as it is held here.
type running struct {
	*embedded.Server
	alive io.Closer
}

// start runs the server; a shell that outlives us clears its folder away.
func start() (*running, error) {
	dir, err := os.MkdirTemp("/tmp", "patina-test-")
	if err != nil {
		return nil, err
	}
	const sweep = `cat >/dev/null
pid=$(head -n 1 "$1/data/postmaster.pid" 2>/dev/null) && kill -QUIT "$pid" 2>/dev/null
for i in 1 2 3 4 5 6 7 8 9 10; do rm -rf -- "$1" 2>/dev/null && exit; sleep 0.3; done`
	sweeper := exec.Command("/bin/sh", "-c", sweep, "sh", dir)
	alive, err := sweeper.StdinPipe() // closed by the system when we end
	if err != nil {
		return nil, err
	}
	detach(sweeper)
	if err := sweeper.Start(); err != nil {
		return nil, err
	}
	srv, err := embedded.Start(context.Background(), embedded.Config{Dir: dir, NoSync: true})
	return &running{srv, alive}, err
}

// connect opens the pool that makes and drops databases.
func connect() (*pgxpool.Pool, error) {
	srv, err := server()
	if err != nil {
		return nil, err
	}
	return pgxpool.New(context.Background(), urlOf(srv, "postgres")+"&pool_max_conns=4")
}

// urlOf is the server's URL with another database.
func urlOf(srv *running, database string) string {
	return strings.Replace(srv.URL(), ":///patina?", ":///"+database+"?", 1)
}

// templateFor gives the database that holds the tables of the store and of
// more, migrated once a process.
func templateFor(more []Migrate) (string, error) {
	pool, err := admin()
	if err != nil {
		return "", err
	}
	h := fnv.New32a()
	for _, m := range more {
		_, _ = fmt.Fprintln(h, reflect.ValueOf(m).Pointer())
	}
	name := fmt.Sprintf("template_%08x", h.Sum32())
	creating.Lock()
	defer creating.Unlock()
	if templates[name] {
		return name, nil
	}
	ctx := context.Background()
	if _, err := pool.Exec(ctx, "CREATE DATABASE "+name+" TEMPLATE template0"); err != nil {
		return "", err
	}
	srv, err := server()
	if err != nil {
		return "", err
	}
	s, err := store.Open(ctx, urlOf(srv, name))
	if err != nil {
		return "", err
	}
	defer s.Close()
	if err := store.Migrate(ctx, s.Pool(), more...); err != nil {
		return "", err
	}
	templates[name] = true
	return name, nil
}

// create copies a template under a new name and drops the copy after the test.
func create(t testing.TB, template string) string {
	t.Helper()
	pool, err := admin()
	if err != nil {
		fatal(t, err)
	}
	name := fmt.Sprintf("test_%d", number.Add(1))
	creating.Lock()
	_, err = pool.Exec(t.Context(), "CREATE DATABASE "+name+" TEMPLATE "+pgx.Identifier{template}.Sanitize())
	creating.Unlock()
	if err != nil {
		fatal(t, err)
	}
	t.Cleanup(func() { _, _ = pool.Exec(context.Background(), "DROP DATABASE IF EXISTS "+name+" WITH (FORCE)") })
	srv, err := server()
	if err != nil {
		fatal(t, err)
	}
	return urlOf(srv, name)
}

func fatal(t testing.TB, err error) {
	t.Helper()
	if next := backup.Next(err); next != "" {
		t.Fatalf("this test needs Postgres: %v\n%s", err, next)
	}
	t.Fatalf("this test needs Postgres: %v", err)
}
