package object

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"

	"github.com/AutumnsGrove/Patina/backup"
)

// tempPrefix begins the names of files that are being written. No key has it.
const tempPrefix = ".patina-"

// uploadsDir is where uploads lie until they are committed: in the same file
// system, so that a link can move them.
const uploadsDir = tempPrefix + "uploads"

// folder is a bucket in a folder. All paths go through one os.Root, so that no
// symbolic link leads outside.
type folder struct {
	root *os.Root
	path string
}

// OpenFolder opens a folder as a bucket, and makes it where it is missing.
func OpenFolder(dir string) (Bucket, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fault("open the bucket "+dir, err)
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, fault("open the bucket "+dir, err)
	}
	if err := root.MkdirAll(uploadsDir, 0o700); err != nil {
		return nil, fault("open the bucket "+dir, err)
	}
	return &folder{root, dir}, nil
}

func (f *folder) String() string { return "file://" + f.path }

// fault gives an error of the file system its kind.
func fault(what string, err error) error {
	e := &backup.Error{Kind: backup.ErrUnavailable, Err: err}
	switch {
	case errors.Is(err, fs.ErrNotExist):
		e.Kind = backup.ErrNotFound
	case errors.Is(err, fs.ErrExist):
		e.Kind = backup.ErrConflict
	case errors.Is(err, syscall.EPERM) || errors.Is(err, errors.ErrUnsupported):
		e.Kind, e.Next = backup.ErrDenied, "put the folder on a file system with hard links, and let this program write there"
	case errors.Is(err, fs.ErrPermission):
		e.Kind, e.Next = backup.ErrDenied, "let the user that this program runs as read and write the folder"
	case errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT):
		e.Next = "make room on the disk; what was stored before is untouched"
	}
	return fmt.Errorf("%s: %w", what, e)
}

// below makes an error of a key that would lie inside an object what it is: the
// object is missing.
func below(err error) error {
	if errors.Is(err, syscall.ENOTDIR) {
		return fs.ErrNotExist
	}
	return err
}

func (f *folder) Create(ctx context.Context, key string, opt CreateOptions) (Upload, error) {
	if err := checkKey(key); err != nil {
		return nil, err
	}
	opt.defaults()
	opt.Hook("before:upload.create")
	name := url.PathEscape(key)
	if len(name) > 200 {
		name = "" // a file's name has at most 255 bytes; only the list of unfinished uploads misses it
	}
	u := &folderUpload{f: f, ctx: ctx, key: key, opt: opt, temp: uploadsDir + "/" + rand.Text() + "~" + name}
	var err error
	if u.file, err = f.root.OpenFile(u.temp, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600); err != nil {
		return nil, fault("create "+key, err)
	}
	opt.Hook("after:upload.create")
	return u, nil
}

type folderUpload struct {
	f     *folder
	ctx   context.Context
	key   string
	temp  string
	file  *os.File
	opt   CreateOptions
	part  int64 // bytes since the last step was told
	err   error // the first failure: bytes may be missing, and nothing can follow
	once  sync.Once
	ended bool
}

func (u *folderUpload) Write(b []byte) (int, error) {
	if err := u.usable(u.ctx); err != nil {
		return 0, err
	}
	if u.part += int64(len(b)); u.part >= u.opt.PartSize {
		u.opt.Hook("before:upload.part")
		defer u.opt.Hook("after:upload.part")
		u.part = 0
	}
	n, err := u.file.Write(b)
	if err != nil {
		u.err = fault("write "+u.key, err)
	}
	return n, u.err
}

// usable tells whether the upload can go on.
func (u *folderUpload) usable(ctx context.Context) error {
	switch {
	case u.err != nil:
	case u.ended:
		return ended(u.key)
	case ctx.Err() != nil:
		u.err = fmt.Errorf("store %s: %w", u.key, context.Cause(ctx))
	}
	return u.err
}

func ended(key string) error {
	return backup.Errorf(backup.ErrInvalid, "the upload of %s has ended", key)
}

// Commit syncs the bytes, links them to their key, which fails where the key
// exists, and syncs the folder.
func (u *folderUpload) Commit(ctx context.Context) (Info, error) {
	if u.ended {
		return Info{}, ended(u.key)
	}
	defer func() { _ = u.Abort(ctx) }()
	if err := cmp.Or(u.usable(u.ctx), u.usable(ctx)); err != nil {
		return Info{}, err
	}
	if err := u.file.Sync(); err != nil {
		return Info{}, fault("write "+u.key, err)
	}
	if err := u.f.mkdir(path.Dir(u.key)); err != nil {
		return Info{}, fault("store "+u.key, err)
	}
	u.opt.Hook("before:upload.complete")
	if err := u.f.root.Link(u.temp, u.key); err != nil {
		return Info{}, fault("store "+u.key, err)
	}
	if err := u.f.syncDir(path.Dir(u.key)); err != nil {
		return Info{}, fault("store "+u.key, err)
	}
	u.opt.Hook("after:upload.complete")
	return u.f.Stat(ctx, u.key)
}

func (u *folderUpload) Abort(context.Context) error {
	u.once.Do(func() {
		u.ended = true
		_ = u.file.Close()
		_ = u.f.root.Remove(u.temp)
	})
	return nil
}

// mkdir makes a folder and syncs each parent that gained one.
func (f *folder) mkdir(dir string) error {
	if dir == "." {
		return nil
	}
	if _, err := f.root.Stat(dir); err == nil {
		return nil
	}
	if err := f.mkdir(path.Dir(dir)); err != nil {
		return err
	}
	if err := f.root.Mkdir(dir, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	return f.syncDir(path.Dir(dir))
}

func (f *folder) syncDir(dir string) error {
	d, err := f.root.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}

func (f *folder) Open(_ context.Context, key string, offset, length int64) (io.ReadCloser, error) {
	if err := checkKey(key); err != nil {
		return nil, err
	}
	file, err := f.root.Open(key)
	if err != nil {
		return nil, fault("read "+key, below(err))
	}
	st, err := file.Stat()
	switch {
	case err != nil:
	case !st.Mode().IsRegular():
		err = fs.ErrNotExist
	case offset < 0 || offset > st.Size() || offset == st.Size() && offset > 0:
		_ = file.Close()
		return nil, backup.Errorf(backup.ErrInvalid, "%s has %d bytes, and byte %d was asked for", key, st.Size(), offset)
	default:
		_, err = file.Seek(offset, io.SeekStart)
	}
	if err != nil {
		_ = file.Close()
		return nil, fault("read "+key, err)
	}
	if length < 0 {
		return file, nil
	}
	return limited{io.LimitReader(file, length), file}, nil
}

type limited struct {
	io.Reader
	io.Closer
}

func (f *folder) Stat(_ context.Context, key string) (Info, error) {
	if err := checkKey(key); err != nil {
		return Info{}, err
	}
	st, err := f.root.Stat(key)
	if err == nil && !st.Mode().IsRegular() {
		err = fs.ErrNotExist
	}
	if err != nil {
		return Info{}, fault("look up "+key, below(err))
	}
	return Info{Key: key, Size: st.Size(), ModTime: st.ModTime().UTC()}, nil
}

func (f *folder) List(ctx context.Context, prefix string) iter.Seq2[Info, error] {
	return func(yield func(Info, error) bool) {
		var found []Info
		start := path.Dir(prefix + "x") // the deepest folder that holds all of them
		if !fs.ValidPath(start) {
			return // no key begins so
		}
		err := fs.WalkDir(f.root.FS(), start, func(p string, d fs.DirEntry, err error) error {
			switch {
			case errors.Is(err, fs.ErrNotExist): // gone while we looked, or nothing there yet
				return nil
			case err != nil:
				return err
			case ctx.Err() != nil:
				return context.Cause(ctx)
			case strings.HasPrefix(d.Name(), tempPrefix) && d.IsDir():
				return fs.SkipDir
			case d.IsDir() && p != "." && !strings.HasPrefix(p+"/", prefix) && !strings.HasPrefix(prefix, p+"/"):
				return fs.SkipDir
			case !d.Type().IsRegular() || !strings.HasPrefix(p, prefix):
				return nil
			}
			st, err := d.Info()
			if err == nil {
				found = append(found, Info{Key: p, Size: st.Size(), ModTime: st.ModTime().UTC()})
			} else if !errors.Is(err, fs.ErrNotExist) {
				return err
			}
			return nil
		})
		if err != nil {
			yield(Info{}, fault("list "+prefix, err))
			return
		}
		slices.SortFunc(found, func(a, b Info) int { return strings.Compare(a.Key, b.Key) })
		for _, i := range found {
			if !yield(i, nil) {
				return
			}
		}
	}
}

func (f *folder) Delete(_ context.Context, key string) error {
	if err := checkKey(key); err != nil {
		return err
	}
	st, err := f.root.Lstat(key)
	if err == nil && st.IsDir() {
		return nil // keys lie below it, but it is none
	}
	if err == nil {
		err = f.root.Remove(key)
	}
	if err = below(err); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fault("delete "+key, err)
	}
	return nil
}

func (f *folder) Replace(_ context.Context, key string, body []byte, _ string) error {
	if err := checkKey(key); err != nil {
		return err
	}
	if err := f.mkdir(path.Dir(key)); err != nil {
		return fault("store "+key, err)
	}
	temp := uploadsDir + "/" + rand.Text()
	err := f.root.WriteFile(temp, body, 0o600)
	if err == nil {
		err = f.syncFile(temp)
	}
	if err == nil {
		err = f.root.Rename(temp, key)
	}
	if err == nil {
		err = f.syncDir(path.Dir(key))
	}
	if err != nil {
		_ = f.root.Remove(temp)
		return fault("store "+key, err)
	}
	return nil
}

func (f *folder) syncFile(name string) error {
	file, err := f.root.OpenFile(name, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer file.Close()
	return file.Sync()
}

func (f *folder) Uploads(context.Context) iter.Seq2[PendingUpload, error] {
	return func(yield func(PendingUpload, error) bool) {
		entries, err := fs.ReadDir(f.root.FS(), uploadsDir)
		if err != nil {
			yield(PendingUpload{}, fault("list uploads", err))
			return
		}
		for _, e := range entries {
			st, err := e.Info()
			if err != nil {
				continue // committed or aborted meanwhile
			}
			_, name, _ := strings.Cut(e.Name(), "~")
			key, err := url.PathUnescape(name)
			if err != nil {
				key = ""
			}
			if !yield(PendingUpload{Key: key, ID: e.Name(), Started: st.ModTime().UTC()}, nil) {
				return
			}
		}
	}
}

func (f *folder) AbortUpload(_ context.Context, u PendingUpload) error {
	if u.ID != filepath.Base(u.ID) || strings.HasPrefix(u.ID, ".") {
		return backup.Errorf(backup.ErrInvalid, "%q is not an upload", u.ID)
	}
	if err := f.root.Remove(uploadsDir + "/" + u.ID); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fault("abort the upload of "+u.Key, err)
	}
	return nil
}
