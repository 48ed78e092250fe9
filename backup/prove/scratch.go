package prove

import (
	"errors"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"github.com/AutumnsGrove/Patina/backup"
)

// scratchPrefix begins the names of the folders in which copies are loaded;
// lockName is a file in each that its process holds a lock on.
const (
	scratchPrefix = "patina-prove-"
	lockName      = "lock"
)

// newScratch makes a folder for one proof, and takes away those that processes
// left behind that died: each may be as large as a database.
func newScratch(parent string) (dir string, remove func(), err error) {
	if parent == "" {
		parent = os.TempDir()
	}
	sweep(parent)
	fail := func(err error) (string, func(), error) {
		return "", nil, &backup.Error{Kind: backup.ErrUnavailable, Message: "no scratch folder can be made for the proof", Next: "make room, or set TMPDIR to a folder with room", Err: err}
	}
	if dir, err = os.MkdirTemp(parent, scratchPrefix); err != nil {
		return fail(err)
	}
	// The lock is held before the file has the name by which others look for it.
	f, err := os.Create(filepath.Join(dir, "new"))
	if err == nil {
		err = errors.Join(syscall.Flock(int(f.Fd()), syscall.LOCK_EX), os.Rename(f.Name(), filepath.Join(dir, lockName)))
	}
	if err != nil {
		_ = os.RemoveAll(dir)
		return fail(err)
	}
	return dir, func() { _ = errors.Join(os.RemoveAll(dir), f.Close()) }, nil
}

// sweep removes the scratch folders whose lock nobody holds, and those without
// one that are an hour old. What cannot be removed is left.
func sweep(parent string) {
	dirs, err := filepath.Glob(filepath.Join(parent, scratchPrefix+"*"))
	if err != nil {
		return
	}
	for _, dir := range dirs {
		f, err := os.Open(filepath.Join(dir, lockName))
		if errors.Is(err, os.ErrNotExist) {
			if st, err := os.Stat(dir); err == nil && time.Since(st.ModTime()) > time.Hour {
				_ = os.RemoveAll(dir)
			}
			continue
		}
		if err != nil {
			continue
		}
		if syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB) == nil {
			_ = os.RemoveAll(dir)
		}
		_ = f.Close()
	}
}
