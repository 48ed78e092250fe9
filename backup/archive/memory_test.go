package archive_test

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"

	"github.com/google/uuid"

	"github.com/AutumnsGrove/Patina/backup"
	"github.com/AutumnsGrove/Patina/backup/archive"
	"github.com/AutumnsGrove/Patina/backup/object"
	"github.com/AutumnsGrove/Patina/backup/object/objecttest"
)

const bucketEnv = "PATINA_TEST_ARCHIVE_OF"

func TestMain(m *testing.M) {
	if os.Getenv(bucketEnv) != "" {
		os.Exit(child())
	}
	os.Exit(m.Run())
}

// prose gives n bytes of words, about as compressible as rows of a table.
type prose struct {
	n   int64
	rnd *rand.Rand
	buf []byte
}

func (p *prose) Read(b []byte) (int, error) {
	if p.n <= 0 {
		return 0, io.EOF
	}
	for len(p.buf) < len(b) {
		p.buf = fmt.Appendf(p.buf, "INSERT INTO \"posts\" VALUES(%d,'%x','a line of text that comes again and again, and number %d');\n", p.rnd.IntN(1e9), p.rnd.Uint64(), p.rnd.IntN(1000))
	}
	n := copy(b[:min(int64(len(b)), p.n)], p.buf)
	p.buf = append(p.buf[:0], p.buf[n:]...)
	p.n -= int64(n)
	return n, nil
}

// large stores bytes that stand for a dump of size bytes.
func large(ctx context.Context, b object.Bucket, date backup.Date, size int64) (backup.Copy, error) {
	k := object.Key{Kind: backup.Daily, Date: date, Slug: "large"}
	u, err := b.Create(ctx, k.String(), object.CreateOptions{})
	if err != nil {
		return backup.Copy{}, err
	}
	h := sha256.New()
	if _, err := io.Copy(io.MultiWriter(u, h), &prose{n: size, rnd: rand.New(rand.NewPCG(1, uint64(date.Day)))}); err != nil {
		return backup.Copy{}, err
	}
	if _, err := u.Commit(ctx); err != nil {
		return backup.Copy{}, err
	}
	hash := hex.EncodeToString(h.Sum(nil))
	return copyOf(&backup.Manifest{
		Format: 1, Kind: backup.Daily, DatabaseID: uuid.NewString(), DatabaseName: "large", CopyID: uuid.NewString(), Date: date, StartedAt: date.Time(),
		Key: k.String(), Size: size, SHA256: hash, SQLSize: size, SQLSHA256: hash, Compression: backup.Plain,
	}), nil
}

// child makes an archive of the bucket's dailies, and prints its peak of memory.
func child() int {
	ctx := context.Background()
	err := func() error {
		b, err := object.Open(ctx, os.Getenv(bucketEnv), object.Config{R2AccessKeyID: os.Getenv("S3_KEY"), R2SecretAccessKey: os.Getenv("S3_SECRET")})
		if err != nil {
			return err
		}
		var copies []backup.Copy
		for info, err := range b.List(ctx, "manifests/") {
			if err != nil {
				return err
			}
			r, err := b.Open(ctx, info.Key, 0, -1)
			if err != nil {
				return err
			}
			m, err := backup.DecodeManifest(r)
			if err != nil {
				return err
			}
			copies = append(copies, copyOf(m))
		}
		m, _, err := archive.Make(ctx, b, request(copies))
		if err != nil {
			return err
		}
		status, err := os.ReadFile("/proc/self/status")
		if err != nil {
			return err
		}
		_, peak, _ := strings.Cut(string(status), "VmHWM:")
		fmt.Println(len(m.Members), strings.Fields(peak)[0])
		return nil
	}()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

// TestMemory: an archive of 400 MB, made and read back on an S3 server, takes
// the memory of a part and a little more: nothing grows with the copies.
func TestMemory(t *testing.T) {
	t.Parallel()
	url, cfg := objecttest.VersityGW(t)
	b, err := object.Open(t.Context(), url, cfg)
	if err != nil {
		t.Fatal(err)
	}
	const dumps, size = 4, 100 << 20
	for i := range dumps {
		c, err := large(t.Context(), b, w53.Monday().AddDays(i), size)
		if err != nil {
			t.Fatal(err)
		}
		text, err := c.Manifest.Encode()
		if err != nil {
			t.Fatal(err)
		}
		if err := b.Replace(t.Context(), fmt.Sprintf("manifests/%d.json", i), text, ""); err != nil {
			t.Fatal(err)
		}
	}
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), exe)
	cmd.Env = append(os.Environ(), bucketEnv+"="+url, "S3_KEY="+cfg.R2AccessKeyID, "S3_SECRET="+cfg.R2SecretAccessKey)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	fields := strings.Fields(string(out))
	if len(fields) != 2 || fields[0] != strconv.Itoa(dumps) {
		t.Fatalf("the child says %s", out)
	}
	peak, err := strconv.Atoi(fields[1])
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%d MiB of copies, %.1f MiB at the peak", dumps*size>>20, float64(peak)/1024)
	if peak > 48<<10 {
		t.Errorf("%d MiB of memory for an archive of %d MiB", peak>>10, dumps*size>>20)
	}
}
