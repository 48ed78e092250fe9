// Package d1sim is a simulated Cloudflare account: the HTTP API of D1 over
// SQLite files, for the demo and for quick tests. It has D1's shapes, limits,
// refusals and conversions, and faults that can be switched on.
//
// It is no part of a backup: nothing but the demo and tests uses it, and
// contract tests hold it to what the real engine does.
package d1sim

import (
	"context"
	"crypto/rand"
	"database/sql"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"modernc.org/sqlite"

	"github.com/AutumnsGrove/Patina/backup"
)

// Config says what the account is like.
type Config struct {
	Dir           string // its databases, one SQLite file each
	AccountID     string
	Token         string // the bearer token it asks for; "" takes any
	ReadOnlyToken string // one that may only read
	Latency       time.Duration
	RatePer5Min   int // requests in 5 minutes; 0: no limit
	ImportPieces  bool
	Clock         func() time.Time
}

// Database is one database of the account.
type Database struct{ ID, Name string }

// Account is a simulated account. It is safe for concurrent use.
type Account struct {
	cfg    Config
	faults Faults
	stats  statistics
	limit  window

	mu  sync.Mutex
	dbs []*database
}

// database is one database. Like D1's it runs one thing at a time, on one
// connection.
type database struct {
	Database
	Created time.Time

	path string
	db   *sql.DB // the one connection's pool
	conn *sql.Conn
	peek *sql.DB // for tests to look

	mu        sync.Mutex
	version   int64 // of the content; a bookmark is made of it
	seen      string
	snapshots []snapshot
	uploads   map[string]string // of imports: file name to path
}

// registered is what registry.json keeps of a database.
type registered struct {
	ID, Name string
	Created  time.Time
	Version  int64
}

// New opens an account, with the databases that its folder holds already.
func New(cfg Config) (*Account, error) {
	if cfg.Clock == nil {
		cfg.Clock = time.Now
	}
	a := &Account{cfg: cfg}
	if err := os.MkdirAll(cfg.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("open the simulated account: %w", err)
	}
	text, err := os.ReadFile(a.registry())
	if errors.Is(err, os.ErrNotExist) {
		return a, nil
	}
	var list []registered
	if err == nil {
		err = json.Unmarshal(text, &list)
	}
	if err != nil {
		return nil, fmt.Errorf("open the simulated account: %w", err)
	}
	for _, r := range list {
		// What was written since the registry was saved is not known: another bookmark.
		if err := a.open(r.ID, r.Name, r.Created, r.Version+1); err != nil {
			return nil, err
		}
	}
	return a, nil
}

func (a *Account) registry() string { return filepath.Join(a.cfg.Dir, "registry.json") }

// save writes the registry. The account is locked.
func (a *Account) save() error {
	list := []registered{}
	for _, d := range a.dbs {
		list = append(list, registered{d.ID, d.Name, d.Created, d.version})
	}
	text, err := json.MarshalIndent(list, "", "  ")
	if err != nil {
		return err
	}
	tmp := a.registry() + ".new"
	if err := os.WriteFile(tmp, text, 0o600); err != nil {
		return err
	}
	return os.Rename(tmp, a.registry())
}

// Close closes every database.
func (a *Account) Close() error {
	a.mu.Lock()
	defer a.mu.Unlock()
	errs := []error{a.save()}
	for _, d := range a.dbs {
		errs = append(errs, d.close())
	}
	a.dbs = nil
	return errors.Join(errs...)
}

func (d *database) close() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	return errors.Join(d.conn.Close(), d.db.Close(), d.peek.Close())
}

// SQLite's run-time limits (https://www.sqlite.org/c3ref/c_limit_attached.html)
// as D1 sets them.
var engineLimits = map[int]int{
	0: maxValue, // length of a string, blob or row
	2: maxColumns,
	3: 100, // depth of an expression
	4: 5,   // terms of a compound select
	6: 32,  // arguments of a function
	7: 0,   // attached databases
	8: 50,  // bytes of a pattern of LIKE
	9: 100, // parameters
}

const (
	maxValue     = 2_000_000
	maxColumns   = 100
	maxStatement = 100_000
)

// open opens or makes a database's file. The account is locked, or new.
func (a *Account) open(id, name string, created time.Time, version int64) error {
	d := &database{
		Database: Database{id, name}, Created: created, version: version, uploads: map[string]string{},
		path: filepath.Join(a.cfg.Dir, id+".sqlite"),
	}
	ctx := context.Background()
	dsn := "file:" + d.path + "?_pragma=journal_mode(wal)&_pragma=synchronous(normal)&_pragma=foreign_keys(1)&_pragma=busy_timeout(10000)"
	var err error
	if d.db, err = sql.Open("sqlite", dsn); err != nil {
		return fmt.Errorf("open %s: %w", name, err)
	}
	if d.conn, err = d.db.Conn(ctx); err != nil {
		return fmt.Errorf("open %s: %w", name, err)
	}
	for id, n := range engineLimits {
		if _, err := sqlite.Limit(d.conn, id, n); err != nil {
			return fmt.Errorf("open %s: %w", name, err)
		}
	}
	if d.peek, err = sql.Open("sqlite", "file:"+d.path+"?_pragma=busy_timeout(10000)"); err != nil {
		return fmt.Errorf("open %s: %w", name, err)
	}
	d.peek.SetMaxOpenConns(1)
	a.dbs = append(a.dbs, d)
	return nil
}

// Create makes an empty database under a new UUID.
func (a *Account) Create(name string) (id string, err error) {
	b := make([]byte, 16)
	_, _ = rand.Read(b)
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	h := hex.EncodeToString(b)
	id = h[:8] + "-" + h[8:12] + "-" + h[12:16] + "-" + h[16:20] + "-" + h[20:]
	return id, a.create(id, name)
}

// create makes an empty database under a UUID of the caller's.
func (a *Account) create(id, name string) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, d := range a.dbs {
		if d.Name == name || d.ID == id {
			return backup.Errorf(backup.ErrConflict, "a database with that name already exists")
		}
	}
	if err := a.open(id, name, a.cfg.Clock().UTC(), 1); err != nil {
		return err
	}
	return a.save()
}

// Delete removes a database for good.
func (a *Account) Delete(id string) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	i := slices.IndexFunc(a.dbs, func(d *database) bool { return d.ID == id })
	if i < 0 {
		return backup.Errorf(backup.ErrNotFound, "no database %s", id)
	}
	d := a.dbs[i]
	a.dbs = slices.Delete(a.dbs, i, i+1)
	err := errors.Join(d.close(), a.save())
	for _, ending := range []string{"", "-wal", "-shm"} {
		_ = os.Remove(d.path + ending)
	}
	return err
}

// Rename gives a database another name.
func (a *Account) Rename(id, name string) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, d := range a.dbs {
		if d.ID == id {
			d.Name = name
			return a.save()
		}
	}
	return backup.Errorf(backup.ErrNotFound, "no database %s", id)
}

// Load makes an empty database hold what a SQLite file holds.
func (a *Account) Load(id, file string) error {
	d, err := a.find(id)
	if err != nil {
		return err
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if err := d.close(); err != nil {
		return err
	}
	for _, ending := range []string{"-wal", "-shm"} {
		_ = os.Remove(d.path + ending)
	}
	if err := copyFile(d.path, file); err != nil {
		return err
	}
	i := slices.Index(a.dbs, d)
	a.dbs = slices.Delete(a.dbs, i, i+1)
	return a.open(d.ID, d.Name, d.Created, d.version+1)
}

func copyFile(to, from string) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.Create(to)
	if err != nil {
		return err
	}
	defer out.Close()
	_, err = io.Copy(out, in)
	return err
}

// Databases lists the account's databases by name.
func (a *Account) Databases() []Database {
	a.mu.Lock()
	defer a.mu.Unlock()
	out := make([]Database, len(a.dbs))
	for i, d := range a.dbs {
		out[i] = d.Database
	}
	slices.SortFunc(out, func(x, y Database) int { return strings.Compare(x.Name, y.Name) })
	return out
}

func (a *Account) find(id string) (*database, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, d := range a.dbs {
		if d.ID == id {
			return d, nil
		}
	}
	return nil, backup.Errorf(backup.ErrNotFound, "no database %s", id)
}

// Exec runs SQL directly, as an application would that writes to the database.
func (a *Account) Exec(id, query string, args ...any) error {
	d, err := a.find(id)
	if err != nil {
		return err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	_, err = d.conn.ExecContext(context.Background(), query, args...)
	return err
}

// DB gives a connection of its own to a database's file, for a test that looks
// at what is there. What is written through it moves no bookmark.
func (a *Account) DB(id string) *sql.DB {
	d, err := a.find(id)
	if err != nil {
		panic(err)
	}
	return d.peek
}

// Faults gives the switches.
func (a *Account) Faults() *Faults { return &a.faults }

// contentState is what moves when the content of the one connection's database
// changes: rows by total_changes, the schema by its version.
func (d *database) contentState(ctx context.Context) (string, error) {
	var changes, schema int64
	if err := d.conn.QueryRowContext(ctx, `SELECT total_changes(), (SELECT schema_version FROM pragma_schema_version)`).Scan(&changes, &schema); err != nil {
		return "", err
	}
	return fmt.Sprint(changes, " ", schema), nil
}

// snapshot is what a bookmark leads back to.
type snapshot struct {
	bookmark string
	path     string
}

const (
	maxSnapshots     = 20
	maxSnapshotBytes = 4 << 20 // larger databases keep none
)

// bookmark gives the bookmark of this moment: equal to the last one exactly
// when nothing was written since.
func (d *database) bookmark(ctx context.Context) (string, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	state, err := d.contentState(ctx)
	if err != nil {
		return "", err
	}
	if state != d.seen {
		d.seen = state
		d.version++
	}
	b := fmt.Sprintf("%08x-%08x-00004c6d-%s", d.version>>16, d.version, strings.ReplaceAll(d.ID, "-", ""))
	return b, d.keep(ctx, b)
}

// keep makes the snapshot that a bookmark leads back to.
func (d *database) keep(ctx context.Context, bookmark string) error {
	if slices.ContainsFunc(d.snapshots, func(s snapshot) bool { return s.bookmark == bookmark }) {
		return nil
	}
	if st, err := os.Stat(d.path); err != nil || st.Size() > maxSnapshotBytes {
		return nil
	}
	s := snapshot{bookmark, d.path + "-" + bookmark[:17]}
	_ = os.Remove(s.path)
	if _, err := d.peek.ExecContext(ctx, "VACUUM INTO ?", s.path); err != nil {
		return fmt.Errorf("keep a snapshot: %w", err)
	}
	d.snapshots = append(d.snapshots, s)
	if len(d.snapshots) > maxSnapshots {
		_ = os.Remove(d.snapshots[0].path)
		d.snapshots = d.snapshots[1:]
	}
	return nil
}
