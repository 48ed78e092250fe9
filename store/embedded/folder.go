//go:build unix

package embedded

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"github.com/AutumnsGrove/Patina/backup"
)

// account is the user that the server runs as.
type account struct {
	name string
	cred *syscall.Credential // nil: the user we run as ourselves
}

// runAs picks the server's user: our own, or, since Postgres refuses root,
// postgres or else nobody.
func runAs() (account, error) {
	if os.Geteuid() != 0 {
		return account{name: fmt.Sprintf("user %d", os.Geteuid())}, nil
	}
	for _, name := range []string{"postgres", "nobody"} {
		u, err := user.Lookup(name)
		if err != nil {
			continue
		}
		uid, err1 := strconv.ParseUint(u.Uid, 10, 32)
		gid, err2 := strconv.ParseUint(u.Gid, 10, 32)
		if err1 == nil && err2 == nil && uid != 0 {
			return account{name, &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}}, nil
		}
	}
	return account{}, &backup.Error{
		Kind:    backup.ErrDenied,
		Message: "Postgres refuses to run as root, and there is neither a user postgres nor nobody",
		Next:    "Run Patina as an ordinary user, or set DATABASE_URL.",
	}
}

// own gives a file to the server's user.
func (a account) own(path string) error {
	if a.cred == nil {
		return nil
	}
	return os.Lchown(path, int(a.cred.Uid), int(a.cred.Gid))
}

// prepareDir makes the folder, private to the server's user, and checks that
// this user can reach it. A folder that holds somebody else's files is refused.
func (s *Server) prepareDir() error {
	if err := os.MkdirAll(s.dir, 0o755); err != nil { //nolint:gosec // parents stay open; the folder itself is closed below
		return &backup.Error{Kind: backup.ErrDenied, Message: "the folder of the embedded Postgres cannot be made", Err: err}
	}
	entries, err := os.ReadDir(s.dir)
	if err != nil {
		return &backup.Error{Kind: backup.ErrDenied, Message: "the folder of the embedded Postgres cannot be read", Err: err}
	}
	known := []string{"lock", "data", "data.init", "run", "postgres.log", "lost+found"}
	others := slices.IndexFunc(entries, func(e os.DirEntry) bool { return !slices.Contains(known, e.Name()) })
	if _, err := os.Lstat(filepath.Join(s.dir, "lock")); err != nil && others >= 0 {
		return &backup.Error{
			Kind:    backup.ErrInvalid,
			Message: fmt.Sprintf("%s holds files that are not the embedded Postgres's; nothing was changed", s.dir),
			Next:    "Give it an empty folder.",
		}
	}
	if err = s.user.own(s.dir); err == nil {
		err = os.Chmod(s.dir, 0o700) //nolint:gosec // a folder
	}
	if err != nil {
		return &backup.Error{Kind: backup.ErrDenied, Message: "the folder of the embedded Postgres cannot be made private", Err: err}
	}
	if s.user.cred == nil {
		return nil
	}
	// Entering the folder as that user is the whole check.
	cmd := exec.Command("/bin/sh", "-c", "cd . && exec test -w .")
	cmd.Dir = s.dir
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: s.user.cred}
	if err := cmd.Run(); err != nil {
		return s.unreachable(err)
	}
	return nil
}

// unreachable names the closed folder on the way.
func (s *Server) unreachable(err error) error {
	why := ""
	for dir := filepath.Dir(s.dir); dir != filepath.Dir(dir); dir = filepath.Dir(dir) {
		info, err := os.Stat(dir)
		if err != nil {
			continue
		}
		if st, ok := info.Sys().(*syscall.Stat_t); ok && info.Mode().Perm()&0o001 == 0 && st.Uid != s.user.cred.Uid {
			why = fmt.Sprintf(": %s is closed to others (mode %04o)", dir, info.Mode().Perm())
		}
	}
	return &backup.Error{
		Kind:    backup.ErrDenied,
		Message: fmt.Sprintf("Postgres refuses to run as root, so it would run as %s, which cannot reach %s%s", s.user.name, s.dir, why),
		Next:    "Choose a folder outside of it, for example PATINA_DATA=/var/lib/patina, or run Patina as an ordinary user.",
		Err:     err,
	}
}

// explain words the failure to run one of Postgres's programs.
func (s *Server) explain(err error) error {
	if errors.Is(err, os.ErrPermission) {
		return &backup.Error{Kind: backup.ErrDenied, Message: fmt.Sprintf("%s may not run Postgres's programs or cannot reach %s", s.user.name, s.dir), Err: err}
	}
	return &backup.Error{Kind: backup.ErrUnavailable, Message: "Postgres's programs do not run", Next: install(), Err: err}
}

// initialise makes the data folder: beside its place first, so that a half
// made one is never taken for a whole one.
func (s *Server) initialise(ctx context.Context, bin binaries, data string) error {
	tmp := data + ".init"
	if err := os.RemoveAll(tmp); err != nil {
		return &backup.Error{Kind: backup.ErrDenied, Message: "a half made data folder cannot be cleared away", Err: err}
	}
	ctype := "C.UTF-8"
	if runtime.GOOS == "darwin" {
		ctype = "UTF-8"
	}
	out, err := s.initdb(ctx, bin, tmp, "--lc-ctype="+ctype)
	if err != nil && bytes.Contains(out, []byte("locale")) { // a system without that locale
		_ = os.RemoveAll(tmp)
		out, err = s.initdb(ctx, bin, tmp)
	}
	if err != nil {
		_ = os.RemoveAll(tmp)
		if errors.Is(err, os.ErrPermission) {
			return s.explain(err)
		}
		return &backup.Error{Kind: backup.ErrUnavailable, Message: "initdb cannot make the data of the embedded Postgres: " + strings.TrimSpace(string(out)), Err: err}
	}
	if err := os.Rename(tmp, data); err != nil {
		return &backup.Error{Kind: backup.ErrUnavailable, Message: "the new data folder cannot be put in its place", Err: err}
	}
	s.cfg.Log.Info("embedded Postgres made", "dir", s.dir, "version", bin.version)
	return nil
}

func (s *Server) initdb(ctx context.Context, bin binaries, dir string, extra ...string) ([]byte, error) {
	args := append([]string{
		"-D", dir, "-U", dbName, "--auth-local=trust", "--auth-host=reject",
		"--encoding=UTF8", "--locale=C", "--data-checksums",
	}, extra...)
	if s.cfg.NoSync {
		args = append(args, "--no-sync")
	}
	cmd := exec.CommandContext(ctx, filepath.Join(bin.dir, "initdb"), args...)
	cmd.Dir = s.dir
	cmd.Env = environment()
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: s.user.cred, Setpgid: true}
	return cmd.CombinedOutput()
}

// environment is all that Postgres gets to see of it: nothing that would
// mislead it (PGDATA, LC_MESSAGES), and none of our secrets.
func environment() []string { return []string{"LC_ALL=C", "PATH=/usr/bin:/bin"} }

// socketDir gives the folder of the socket: within dir where that is short and
// plain enough (the system allows about 100 bytes), otherwise a private one in
// /tmp, always the same for the same dir.
func socketDir(dir string, a account) (string, error) {
	in := filepath.Join(dir, "run")
	if len(in) <= 80 && strings.IndexFunc(in, func(r rune) bool {
		return !strings.ContainsRune("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789/._-+ ~", r)
	}) < 0 {
		return in, privateDir(in, a)
	}
	short := filepath.Join("/tmp", fmt.Sprintf("patina-%x", sha256.Sum256([]byte(dir)))[:23])
	return short, privateDir(short, a)
}

// privateDir makes a folder for the server's user alone, or checks that it is
// such a folder: in /tmp somebody else could have made it.
func privateDir(path string, a account) error {
	uid := uint32(os.Geteuid())
	if a.cred != nil {
		uid = a.cred.Uid
	}
	err := os.Mkdir(path, 0o700)
	if err == nil {
		err = a.own(path)
	}
	if err != nil && !errors.Is(err, os.ErrExist) {
		return &backup.Error{Kind: backup.ErrDenied, Message: "the folder of Postgres's socket cannot be made", Err: err}
	}
	info, err := os.Lstat(path)
	if err != nil {
		return &backup.Error{Kind: backup.ErrDenied, Message: "the folder of Postgres's socket cannot be read", Err: err}
	}
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok || !info.IsDir() || info.Mode().Perm() != 0o700 || (st.Uid != uid && st.Uid != uint32(os.Geteuid())) {
		return backup.Errorf(backup.ErrDenied, "%s should be a private folder for Postgres's socket, and belongs to somebody else", path)
	}
	if st.Uid != uid { // made, and we were stopped before giving it away
		return a.own(path)
	}
	return nil
}
