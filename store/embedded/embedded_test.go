//go:build unix

package embedded

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"golang.org/x/sync/errgroup"

	"github.com/AutumnsGrove/Patina/backup"
)

// TestMain is also the helper process: it embeds a server, says that it runs,
// and waits for its end.
func TestMain(m *testing.M) {
	if dir := os.Getenv("EMBEDDED_TEST_DIR"); dir != "" {
		s, err := Start(context.Background(), Config{Dir: dir, NoSync: true})
		if err != nil {
			fmt.Println("error", err)
			os.Exit(1)
		}
		fmt.Println("runs", s.Shared())
		_, _ = io.Copy(io.Discard, os.Stdin)
		if err := s.Stop(context.Background()); err != nil {
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// testDir is a folder that the server's user can reach: t.TempDir's cannot.
func testDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("/tmp", "patina-embedded-")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

func startServer(t *testing.T, dir string) *Server {
	t.Helper()
	s, err := Start(t.Context(), Config{Dir: dir, NoSync: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Stop(context.Background()) })
	return s
}

func query(t *testing.T, s *Server, sql string) string {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), s.URL())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close(context.Background()) }()
	var v *string
	err = conn.QueryRow(t.Context(), sql).Scan(&v)
	if err != nil && !errors.Is(err, pgx.ErrNoRows) {
		t.Fatal(err)
	}
	if v == nil {
		return ""
	}
	return *v
}

func TestRestartKeepsData(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(testDir(t), "a", "postgres")
	s, err := Start(t.Context(), Config{Dir: dir}) // as in real use
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Stop(context.Background()) })
	if got := query(t, s, "SELECT current_setting('fsync') || current_setting('full_page_writes') || current_setting('synchronous_commit') || current_setting('data_checksums')"); got != "onononon" {
		t.Errorf("safety is switched off: %s", got)
	}
	if got := query(t, s, "SELECT current_setting('listen_addresses') || pg_encoding_to_char(encoding) FROM pg_database WHERE datname = 'patina'"); got != "UTF8" {
		t.Errorf("listens or is not UTF-8: %s", got)
	}
	query(t, s, "CREATE TABLE kept AS SELECT 'kept' AS v")
	if err := s.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{dir, filepath.Join(dir, "data"), filepath.Join(dir, "run")} {
		info, err := os.Stat(path)
		if err != nil || info.Mode().Perm() != 0o700 {
			t.Errorf("%s is not private: %v %v", path, info, err)
		}
		if st := info.Sys().(*syscall.Stat_t); os.Geteuid() == 0 && st.Uid != s.user.cred.Uid {
			t.Errorf("%s belongs to %d", path, st.Uid)
		}
	}
	begin := time.Now()
	s = startServer(t, dir)
	t.Logf("second start: %v", time.Since(begin))
	if got := query(t, s, "SELECT v FROM kept"); got != "kept" {
		t.Fatalf("got %q", got)
	}
	if err := s.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	// A crash in the middle of making the data leaves data.init: it is cleared.
	if err := os.RemoveAll(filepath.Join(dir, "data")); err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(filepath.Join(dir, "data.init", "base"), 0o700); err != nil {
		t.Fatal(err)
	}
	s = startServer(t, dir)
	if got := query(t, s, "SELECT to_regclass('kept')::text"); got != "" {
		t.Fatalf("a new server holds %q", got)
	}
}

// child starts the helper process on dir and waits until its server runs.
func child(t *testing.T, dir string) (cmd *exec.Cmd, stdin io.Closer, said string) {
	t.Helper()
	cmd = exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), "EMBEDDED_TEST_DIR="+dir)
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill(); _, _ = cmd.Process.Wait() })
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(line, "runs") {
		t.Fatal(line)
	}
	return cmd, in, strings.TrimSpace(line)
}

// After kill -9 the next start finds no server, or ends the one it finds, and
// has the data, on every system.
func TestStartAfterKill(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(testDir(t), "pg")
	cmd, _, _ := child(t, dir)
	old := readPid(filepath.Join(dir, "data", "postmaster.pid"))
	if !isServerOf(old, filepath.Join(dir, "data")) {
		t.Fatalf("process %d is not the child's server", old)
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	s := startServer(t, dir)
	if isServerOf(old, filepath.Join(dir, "data")) {
		t.Fatal("the server left behind still runs")
	}
	if got := query(t, s, "SELECT 'yes'"); got != "yes" || s.Shared() {
		t.Fatalf("got %q, shared %v", got, s.Shared())
	}
}

// Two processes with one folder share its server; the second leaves it running.
func TestTwoAtOnce(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(testDir(t), "pg")
	var g errgroup.Group
	servers := make([]*Server, 4)
	for i := range servers {
		g.Go(func() (err error) {
			servers[i], err = Start(t.Context(), Config{Dir: dir, NoSync: true})
			return err
		})
	}
	if err := g.Wait(); err != nil {
		t.Fatal(err)
	}
	var owner *Server
	for _, s := range servers {
		if !s.Shared() {
			if owner != nil {
				t.Fatal("two own the server")
			}
			owner = s
			continue
		}
		if err := s.Stop(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if owner == nil {
		t.Fatal("nobody owns the server")
	}
	if got := query(t, owner, "SELECT 'yes'"); got != "yes" {
		t.Fatalf("a guest stopped it: %q", got)
	}
	_, in, said := child(t, dir) // and from another process
	if said != "runs true" {
		t.Fatalf("the other process %q", said)
	}
	_ = in.Close()
	if err := owner.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
}

func TestOtherVersionRefused(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(testDir(t), "pg")
	s := startServer(t, dir)
	query(t, s, "CREATE TABLE kept AS SELECT 'kept' AS v")
	if err := s.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, "data", "PG_VERSION")
	version, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte("9\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err = Start(t.Context(), Config{Dir: dir})
	if !errors.Is(err, backup.ErrConflict) || !strings.Contains(err.Error(), "Postgres 9") || !strings.Contains(err.Error(), "not touched") || backup.Next(err) == "" {
		t.Fatalf("got %v", err)
	}
	if err := os.WriteFile(file, version, 0o600); err != nil {
		t.Fatal(err)
	}
	if got := query(t, startServer(t, dir), "SELECT v FROM kept"); got != "kept" {
		t.Fatalf("the refusal touched the data: %q", got)
	}
}

func TestLongPath(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(testDir(t), strings.Repeat("long-", 30), "dätä, here", "pg")
	s := startServer(t, dir)
	if got := query(t, s, "SELECT 'yes'"); got != "yes" {
		t.Fatal(got)
	}
	if !strings.HasPrefix(s.socket, "/tmp/patina-") || len(s.socket) > 40 {
		t.Fatalf("the socket is in %s", s.socket)
	}
	if err := s.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(s.socket); !errors.Is(err, os.ErrNotExist) {
		t.Fatalf("the socket's folder stays in /tmp: %v", err)
	}
	// Somebody else made that folder first.
	if err := os.Mkdir(s.socket, 0o777); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(s.socket, 0o777); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.Remove(s.socket) })
	if _, err := Start(t.Context(), Config{Dir: dir}); !errors.Is(err, backup.ErrDenied) {
		t.Fatalf("an open socket folder was accepted: %v", err)
	}
}

func TestRefusedFolders(t *testing.T) {
	t.Parallel()
	full := testDir(t)
	if err := os.WriteFile(filepath.Join(full, "letter.txt"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := Start(t.Context(), Config{Dir: full}); !errors.Is(err, backup.ErrInvalid) || !strings.Contains(err.Error(), "holds files") {
		t.Errorf("a folder of other files: %v", err)
	}
	if info, err := os.Stat(full); err != nil || info.Mode().Perm() != 0o755 {
		t.Errorf("it was changed: %v %v", info.Mode(), err)
	}
	if _, err := Start(t.Context(), Config{}); !errors.Is(err, backup.ErrInvalid) {
		t.Errorf("no folder: %v", err)
	}
	closed := testDir(t)
	if err := os.Chmod(closed, 0o700); err != nil {
		t.Fatal(err)
	}
	s := &Server{dir: filepath.Join(closed, "pg"), user: account{name: "postgres", cred: &syscall.Credential{Uid: 54321, Gid: 54321}}}
	err := s.unreachable(os.ErrPermission)
	if !errors.Is(err, backup.ErrDenied) || !strings.Contains(err.Error(), closed+" is closed to others (mode 0700)") || !strings.Contains(backup.Next(err), "PATINA_DATA") {
		t.Errorf("a closed folder: %v, next %q", err, backup.Next(err))
	}
	if os.Geteuid() == 0 { // as root the whole way can be walked
		if _, err := Start(t.Context(), Config{Dir: s.dir}); !errors.Is(err, backup.ErrDenied) || !strings.Contains(err.Error(), closed+" is closed") {
			t.Errorf("under a closed folder: %v", err)
		}
	}
}

func TestNoBinaries(t *testing.T) {
	t.Parallel()
	_, err := Start(t.Context(), Config{Dir: filepath.Join(testDir(t), "pg"), Bin: "/nonexistent"})
	if !errors.Is(err, backup.ErrUnavailable) || !strings.Contains(backup.Next(err), "install") {
		t.Fatalf("got %v, next %q", err, backup.Next(err))
	}
	if npm := npmPlatform(); !strings.Contains(npm, "-") || strings.Contains(npm, "amd64") {
		t.Errorf("npm's word for this machine: %s", npm)
	}
}
