//go:build image

package main_test

import (
	"crypto/x509"
	"debug/elf"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/BurntSushi/toml"
	"github.com/jackc/pgx/v5"

	"github.com/AutumnsGrove/Patina/backup/d1/d1sim"
	"github.com/AutumnsGrove/Patina/backup/object"
	"github.com/AutumnsGrove/Patina/backup/object/objecttest"
	"github.com/AutumnsGrove/Patina/store/storetest"
)

// unpacked is where `make image` leaves what it built.
const unpacked = "../../tmp/image"

// TestImageHolds looks at what is in the image, and what is not.
func TestImageHolds(t *testing.T) {
	var files, programs []string
	var size int64
	root := filepath.Join(unpacked, "root")
	err := filepath.WalkDir(root, func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		rel, _ := filepath.Rel(root, name)
		files = append(files, rel)
		info, err := d.Info()
		if err != nil {
			return err
		}
		size += info.Size()
		if info.Mode().Perm()&0o111 != 0 {
			programs = append(programs, rel)
		}
		return nil
	})
	if err != nil {
		t.Fatal("run make image first: ", err)
	}
	slices.Sort(files)
	if want := []string{"etc/passwd", "etc/patina/grove.toml", "etc/ssl/certs/ca-certificates.crt", "patina"}; !slices.Equal(files, want) {
		t.Errorf("the image holds %v, want %v", files, want)
	}
	if !slices.Equal(programs, []string{"patina"}) {
		t.Errorf("what can be run: %v", programs)
	}
	if size > 64<<20 {
		t.Errorf("%d MB", size>>20)
	}
	bin, err := elf.Open(filepath.Join(root, "patina"))
	if err != nil {
		t.Fatal(err)
	}
	defer bin.Close()
	for _, p := range bin.Progs {
		if p.Type == elf.PT_INTERP || p.Type == elf.PT_DYNAMIC {
			t.Errorf("the binary is not static: it has a %s", p.Type)
		}
	}
	text, err := os.ReadFile(filepath.Join(root, "etc/ssl/certs/ca-certificates.crt"))
	if err != nil {
		t.Fatal(err)
	}
	certs := 0
	for block, rest := pem.Decode(text); block != nil; block, rest = pem.Decode(rest) {
		if _, err := x509.ParseCertificate(block.Bytes); err == nil {
			certs++
		}
	}
	if certs < 100 {
		t.Errorf("%d certificates", certs)
	}
	st, err := os.Stat(filepath.Join(root, "tmp"))
	if err != nil || st.Mode().Perm() != 0o777 || st.Mode()&os.ModeSticky == 0 {
		t.Errorf("/tmp: %v, %v", st, err)
	}
}

// imageConfig is how the image is run.
type imageConfig struct {
	Config struct {
		User, WorkingDir, StopSignal string
		Entrypoint, Cmd, Env         []string
		ExposedPorts                 map[string]any
	} `json:"config"`
}

// TestImageRuns runs the processes of fly.toml out of the image, as its user and
// with nothing else to see: they answer /readyz, back up, and stop cleanly in
// the middle of an export.
func TestImageRuns(t *testing.T) {
	text, err := os.ReadFile(filepath.Join(unpacked, "config.json"))
	if err != nil {
		t.Fatal("run make image first: ", err)
	}
	var image imageConfig
	if err := json.Unmarshal(text, &image); err != nil {
		t.Fatal(err)
	}
	c := image.Config
	if c.User != "65532:65532" || c.WorkingDir != "/tmp" || c.StopSignal != "SIGTERM" || !slices.Equal(c.Entrypoint, []string{"/patina"}) || !slices.Equal(c.Cmd, []string{"serve"}) || c.ExposedPorts["8080/tcp"] == nil {
		t.Errorf("%+v", c)
	}
	for _, e := range c.Env {
		if !strings.HasPrefix(e, "PATH=") {
			t.Errorf("the image sets %s", e)
		}
	}
	var fly struct {
		Deploy struct {
			Command string `toml:"release_command"`
		}
		Processes map[string]string
	}
	if _, err := toml.DecodeFile("../../fly.toml", &fly); err != nil {
		t.Fatal(err)
	}
	r := imageRig(t)
	if out, err := r.inside(fly.Deploy.Command).CombinedOutput(); err != nil {
		t.Fatalf("%s: %v\n%s", fly.Deploy.Command, err, out)
	}
	web, worker := r.start(fly.Processes["web"]), r.start(fly.Processes["worker"])
	if uid := uidOf(t, worker.Process.Pid); uid != "65532" {
		t.Errorf("it runs as user %s", uid)
	}
	r.wait(time.Minute, "/readyz", func() bool { return r.get("/readyz", nil) == http.StatusOK })
	var list struct {
		Databases []struct{ Name, Priority string }
	}
	r.wait(time.Minute, "the six databases", func() bool { return r.get("/databases", &list) == http.StatusOK && len(list.Databases) == 6 })
	for _, db := range list.Databases {
		if db.Name == "groveauth" && db.Priority != "critical" {
			t.Errorf("groveauth is %q: the image's file was not read", db.Priority)
		}
	}
	conn := r.conn()
	defer conn.Close(t.Context())
	reached, release := r.held("users")
	defer release()
	if out, err := r.inside("backup groveauth").CombinedOutput(); err != nil {
		t.Fatalf("backup: %v\n%s", err, out)
	}
	r.wait(time.Minute, "the export", func() bool { return reached() > 0 })
	if err := worker.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	r.wait(time.Minute, "the stop", func() bool { return strings.Contains(r.log.String(), "stopping") })
	release()
	if code := r.exit(worker, time.Minute); code != 0 {
		t.Errorf("the worker ended with %d\n%s", code, tail(r.log.String()))
	}
	var status string
	if err := conn.QueryRow(t.Context(), `SELECT status FROM backup_jobs WHERE kind = 'backup'`).Scan(&status); err != nil || status != "completed" {
		t.Errorf("the backup is %q, %v", status, err)
	}
	if err := web.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if code := r.exit(web, time.Minute); code != 0 {
		t.Errorf("the dashboard ended with %d\n%s", code, tail(r.log.String()))
	}
	left, err := os.ReadDir(filepath.Join(unpacked, "root", "tmp"))
	if err != nil || len(left) > 0 {
		t.Errorf("left in /tmp: %v, %v", left, err)
	}
}

// imageRig is a rig whose program is the image.
func imageRig(t *testing.T) *rig {
	t.Helper()
	if os.Getuid() != 0 {
		t.Fatal("make image needs root")
	}
	sim, err := d1sim.New(d1sim.Config{Dir: t.TempDir(), AccountID: "acc", Token: "tok"})
	if err != nil {
		t.Fatal(err)
	}
	if err := d1sim.Grove(t.Context(), sim); err != nil {
		t.Fatal(err)
	}
	srv := httptest.NewServer(sim.Handler())
	t.Cleanup(func() { srv.CloseClientConnections(); srv.Close(); _ = sim.Close() })
	at, cfg := objecttest.VersityGW(t)
	bucket, err := object.Open(t.Context(), at, cfg)
	if err != nil {
		t.Fatal(err)
	}
	r := &rig{t: t, sim: sim, bucket: bucket, database: storetest.EmptyURL(t), addr: freeAddr(t), log: &syncBuffer{}}
	r.env = []string{
		"DATABASE_URL=" + overTCP(t, r.database), "PATINA_BUCKET=" + at, "AWS_ACCESS_KEY_ID=" + cfg.R2AccessKeyID, "AWS_SECRET_ACCESS_KEY=" + cfg.R2SecretAccessKey,
		"PATINA_ADDR=" + r.addr, "PATINA_PUBLIC_URL=https://patina.example", "PATINA_SECRET=q0Pk3cVb0m8yVd9iJmXo4u3y1Wf7sN2hTzRb6aLxGkE=",
		"CLOUDFLARE_ACCOUNT_ID=acc", "CLOUDFLARE_API_TOKEN=tok", "CLOUDFLARE_BASE_URL=" + srv.URL, "PATINA_BOOTSTRAP_TOKEN=" + rigToken,
	}
	return r
}

// inside makes a command of the image: its user, its root, its files alone.
func (r *rig) inside(line string) *exec.Cmd {
	root, err := filepath.Abs(filepath.Join(unpacked, "root"))
	if err != nil {
		r.t.Fatal(err)
	}
	cmd := exec.Command("/patina", strings.Fields(line)...)
	cmd.Dir, cmd.Env = "/tmp", r.env
	cmd.SysProcAttr = &syscall.SysProcAttr{Chroot: root, Credential: &syscall.Credential{Uid: 65532, Gid: 65532}, Pdeathsig: syscall.SIGKILL}
	return cmd
}

func (r *rig) start(line string) *exec.Cmd {
	r.t.Helper()
	cmd := r.inside(line)
	cmd.Stdout, cmd.Stderr = r.log, r.log
	if err := cmd.Start(); err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() { _ = cmd.Process.Kill() })
	return cmd
}

func (r *rig) get(path string, v any) int {
	r.t.Helper()
	req, err := http.NewRequestWithContext(r.t.Context(), http.MethodGet, "http://"+r.addr+path, nil)
	if err != nil {
		r.t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+rigToken)
	req.Header.Set("Accept", "application/json")
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0
	}
	defer res.Body.Close()
	if v != nil {
		if err := json.NewDecoder(res.Body).Decode(v); err != nil {
			r.t.Logf("%s: %v", path, err)
		}
	}
	return res.StatusCode
}

func uidOf(t *testing.T, pid int) string {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(text), "\nUid:")
	return strings.Fields(rest)[0]
}

// overTCP gives the URL of a database on a Unix socket that somebody without
// that folder can use.
func overTCP(t *testing.T, at string) string {
	t.Helper()
	cfg, err := pgx.ParseConfig(at)
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			in, err := l.Accept()
			if err != nil {
				return
			}
			out, err := net.Dial("unix", fmt.Sprintf("%s/.s.PGSQL.%d", cfg.Host, cfg.Port))
			if err != nil {
				_ = in.Close()
				continue
			}
			go func() { _, _ = io.Copy(out, in); _ = out.Close() }()
			go func() { _, _ = io.Copy(in, out); _ = in.Close() }()
		}
	}()
	return fmt.Sprintf("postgres://%s@%s/%s?sslmode=disable", cfg.User, l.Addr(), cfg.Database)
}
