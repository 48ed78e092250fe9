package catalogue_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/AutumnsGrove/Patina/backup"
	"github.com/AutumnsGrove/Patina/backup/catalogue"
	"github.com/AutumnsGrove/Patina/backup/d1"
	"github.com/AutumnsGrove/Patina/backup/d1/d1sim"
	"github.com/AutumnsGrove/Patina/backup/export"
	"github.com/AutumnsGrove/Patina/backup/object"
	"github.com/AutumnsGrove/Patina/backup/object/objecttest"
	"github.com/AutumnsGrove/Patina/backup/source"
)

// bench is a bucket with copies of two databases, of three nights and one made
// by hand; those of the last night are compressed.
type bench struct {
	t      *testing.T
	bucket object.Bucket
	sim    *d1sim.Account
	client *d1.Client
	ids    map[string]string
	copies []*backup.Manifest
}

var night = time.Date(2026, 11, 20, 3, 0, 4, 0, time.UTC)

func newBench(t *testing.T, bucket object.Bucket) *bench {
	t.Helper()
	sim, err := d1sim.New(d1sim.Config{Dir: t.TempDir(), AccountID: "acc", Token: "tok"})
	must(t, err)
	srv := httptest.NewServer(sim.Handler())
	t.Cleanup(func() { srv.CloseClientConnections(); srv.Close(); _ = sim.Close() })
	client, err := d1.New(d1.Config{AccountID: "acc", Token: "tok", BaseURL: srv.URL, Limiter: d1.NewLocalLimiter(1e6, 1e6)})
	must(t, err)
	b := &bench{t: t, bucket: bucket, sim: sim, client: client, ids: map[string]string{}}
	for _, name := range []string{"posts", "users"} {
		id, err := sim.Create(name)
		must(t, err)
		b.ids[name] = id
		must(t, sim.Exec(id, `CREATE TABLE `+name+`(id INTEGER PRIMARY KEY, v TEXT)`))
		if name == "users" { // more than is read whole unasked
			must(t, sim.Exec(id, `INSERT INTO users(v) WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n WHERE x < 3000) SELECT hex(randomblob(24)) FROM n`))
		}
	}
	for n := range 3 {
		job, compress := uuid.Must(uuid.NewV7()).String(), backup.Plain
		if n == 2 {
			compress = backup.Gzip
		}
		for _, name := range []string{"posts", "users"} {
			must(t, sim.Exec(b.ids[name], fmt.Sprintf("INSERT INTO %s(v) VALUES('night %d')", name, n)))
			b.export(name, backup.Daily, night.AddDate(0, 0, n), job, compress)
		}
	}
	b.export("posts", backup.Manual, night.AddDate(0, 0, 2).Add(11*time.Hour), uuid.Must(uuid.NewV7()).String(), backup.Plain)
	must(t, bucket.Replace(t.Context(), object.ReadmeKey, []byte("read me"), "text/plain"))
	return b
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func (b *bench) export(name string, kind backup.CopyKind, at time.Time, job string, compress backup.Compression) *backup.Manifest {
	b.t.Helper()
	key := object.Key{Kind: kind, Date: backup.DateOf(at), Slug: name, Gzip: compress == backup.Gzip}
	trigger := backup.TriggerNightly
	if kind == backup.Manual {
		key.At, key.JobID, trigger = at, job, backup.TriggerManual
	}
	m, err := export.Run(b.t.Context(), source.D1(b.client, b.ids[name], name), b.bucket, export.Request{
		Key: key, Kind: kind, Trigger: trigger, Date: key.Date, JobID: job, CopyID: uuid.Must(uuid.NewV7()).String(), ResultID: uuid.Must(uuid.NewV7()).String(),
		Compress: compress, Version: "test", Clock: func() time.Time { return at }, Pause: func(ctx context.Context, _ time.Duration) error { return ctx.Err() },
	})
	must(b.t, err)
	b.copies = append(b.copies, m)
	return m
}

func (b *bench) scan(deep bool) *catalogue.Found {
	b.t.Helper()
	f, err := catalogue.Scan(b.t.Context(), b.bucket, catalogue.Options{Deep: deep, Workers: 3})
	must(b.t, err)
	return f
}

// at gives the manifest of one of the copies, by the end of its key.
func (b *bench) at(suffix string) *backup.Manifest {
	b.t.Helper()
	for _, m := range b.copies {
		if strings.HasSuffix(m.Key, suffix) {
			return m
		}
	}
	b.t.Fatalf("there is no copy %s", suffix)
	return nil
}

func (b *bench) bytes(key string) []byte { return objecttest.Get(b.t, b.bucket, key, 0, -1) }

func (b *bench) replace(key string, body []byte) {
	b.t.Helper()
	must(b.t, b.bucket.Replace(b.t.Context(), key, body, "application/octet-stream"))
}

// edit changes a manifest as it lies in the bucket.
func (b *bench) edit(m *backup.Manifest, change func(map[string]any)) {
	b.t.Helper()
	var v map[string]any
	must(b.t, json.Unmarshal(b.bytes(object.ManifestKey(m.Key)), &v))
	change(v)
	text, err := json.Marshal(v)
	must(b.t, err)
	b.replace(object.ManifestKey(m.Key), text)
}

// buckets runs a test on a folder and on an S3 server.
func buckets(t *testing.T, test func(t *testing.T, b *bench)) {
	for _, kind := range []string{"folder", "s3"} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			at, cfg := "file://"+t.TempDir(), object.Config{}
			if kind == "s3" {
				at, cfg = objecttest.VersityGW(t)
			}
			bucket, err := object.Open(t.Context(), at, cfg)
			must(t, err)
			test(t, newBench(t, bucket))
		})
	}
}

func keys(f *catalogue.Found) []string {
	var out []string
	for _, c := range f.Copies {
		out = append(out, c.Manifest.Key)
	}
	return out
}

func damages(f *catalogue.Found) string {
	var out []string
	for _, d := range f.Damaged {
		out = append(out, fmt.Sprintf("%s %v: %s", d.Key, d.Mended, d.Reason))
	}
	return strings.Join(out, "\n")
}

func TestScanOfAWholeBucket(t *testing.T) {
	t.Parallel()
	buckets(t, func(t *testing.T, b *bench) {
		for _, deep := range []bool{false, true} {
			f := b.scan(deep)
			if len(f.Copies) != 7 || len(f.Damaged)+len(f.Orphans)+len(f.Unknown)+len(f.Uploads) != 0 || !f.Readme || f.Objects != 15 {
				t.Fatalf("deep %v: %v\n%s\n%+v", deep, keys(f), damages(f), f)
			}
			for _, c := range f.Copies {
				i := slices.IndexFunc(b.copies, func(m *backup.Manifest) bool { return m.CopyID == c.Manifest.CopyID })
				if c.Made || i < 0 || c.Manifest.SHA256 != b.copies[i].SHA256 || c.Manifest.JobID != b.copies[i].JobID {
					t.Errorf("%+v", c.Manifest)
				}
			}
		}
	})
}

// Each kind of damage is named as what it is, and costs no more than it must.
func TestScanOfADamagedBucket(t *testing.T) {
	t.Parallel()
	buckets(t, func(t *testing.T, b *bench) {
		ctx := t.Context()
		posts20, posts21, posts22 := b.at("11-20/posts.sql"), b.at("11-21/posts.sql"), b.at("11-22/posts.sql.gz")
		users20, users21, users22 := b.at("11-20/users.sql"), b.at("11-21/users.sql"), b.at("11-22/users.sql.gz")
		manual := b.copies[6]
		swapped := b.bytes(users20.Key)

		must(t, b.bucket.Delete(ctx, object.ManifestKey(posts20.Key)))                         // no manifest
		must(t, b.bucket.Delete(ctx, posts21.Key))                                             // no object
		b.replace(object.ManifestKey(posts22.Key), []byte("{not JSON"))                        // an unreadable manifest
		b.replace(users20.Key, b.bytes(users20.Key)[:users20.Size-100])                        // cut
		b.replace(users21.Key, swapped)                                                        // swapped for an older one
		b.edit(users22, func(v map[string]any) { v["body_sha256"] = strings.Repeat("0", 64) }) // a flipped manifest
		b.replace("photos/cat.jpg", []byte("a cat"))                                           // somebody else's
		b.replace("daily/2026-11-22/stray.sql", []byte("-- not a dump\n"))                     // at a key of ours, and no dump
		up, err := b.bucket.Create(ctx, "daily/2026-11-23/posts.sql", object.CreateOptions{PartSize: 5 << 20})
		must(t, err)
		_, err = up.Write(make([]byte, 6<<20)) // begun, never ended
		must(t, err)
		t.Cleanup(func() { _ = up.Abort(context.WithoutCancel(ctx)) })

		f := b.scan(false)
		for want, mended := range map[string]bool{
			object.ManifestKey(posts22.Key):                       true,
			users20.Key + " false: it is not a whole dump":        false,
			users21.Key + " false: it was taken on 2026-11-20":    false,
			object.ManifestKey(users22.Key):                       true,
			"daily/2026-11-22/stray.sql false: it is not a whole": false,
		} {
			if !strings.Contains(damages(f), want) {
				t.Errorf("not named: %s", want)
			}
			i := slices.IndexFunc(f.Damaged, func(d catalogue.Damage) bool { return strings.HasPrefix(want, d.Key) })
			if i < 0 || f.Damaged[i].Mended != mended {
				t.Errorf("%s: mended is not %v", want, mended)
			}
		}
		if len(f.Damaged) != 5 || f.Lost() != 3 {
			t.Errorf("%d damaged, %d lost:\n%s", len(f.Damaged), f.Lost(), damages(f))
		}
		if len(f.Orphans) != 1 || f.Orphans[0].Key != posts21.Key || f.Orphans[0].Manifest.CopyID != posts21.CopyID {
			t.Errorf("orphans: %+v", f.Orphans)
		}
		if len(f.Unknown) != 1 || f.Unknown[0].Key != "photos/cat.jpg" || len(f.Uploads) != 1 {
			t.Errorf("unknown %v, uploads %v", f.Unknown, f.Uploads)
		}
		if got, want := keys(f), []string{posts20.Key, posts22.Key, users22.Key, manual.Key}; !slices.Equal(got, want) {
			t.Errorf("copies %v, want %v", got, want)
		}
		for _, c := range f.Copies {
			i := slices.IndexFunc(b.copies, func(m *backup.Manifest) bool { return m.Key == c.Manifest.Key })
			want := b.copies[i]
			if c.Made != (c.Manifest.Key != manual.Key) || c.Manifest.Rebuilt != c.Made {
				t.Errorf("%s: made %v", c.Manifest.Key, c.Made)
			}
			if c.Manifest.SHA256 != want.SHA256 || c.Manifest.BodySHA256 != want.BodySHA256 || c.Manifest.Rows != want.Rows || c.Manifest.DatabaseID != want.DatabaseID ||
				c.Manifest.JobID != want.JobID || c.Manifest.Kind != want.Kind || c.Manifest.Date != want.Date || c.Manifest.Trigger != want.Trigger || c.Manifest.Size != want.Size || len(c.Manifest.Sections) != len(want.Sections) {
				t.Errorf("%s was made again as\n%+v, want\n%+v", want.Key, c.Manifest, want)
			}
			if want == users22 && (c.Manifest.CopyID != want.CopyID || c.Manifest.ResultID != want.ResultID || c.Manifest.Sections[0].StoredLength != want.Sections[0].StoredLength) {
				t.Errorf("what the flipped manifest still told is lost: %+v", c.Manifest)
			}
		}
		// The same again, by reading everything, and once more after mending.
		same := func(a, b catalogue.Damage) bool { return a.Key == b.Key && a.Mended == b.Mended }
		if deep := b.scan(true); !slices.EqualFunc(deep.Damaged, f.Damaged, same) || !slices.Equal(keys(deep), keys(f)) {
			t.Errorf("reading everything finds\n%s", damages(deep))
		}
		n, err := catalogue.Mend(ctx, b.bucket, f)
		must(t, err)
		after := b.scan(true)
		if n != 3 || len(after.Damaged) != 3 || after.Lost() != 3 || len(after.Copies) != 4 || slices.ContainsFunc(after.Copies, func(c catalogue.Copy) bool { return c.Made }) {
			t.Errorf("after mending %d manifests:\n%s", n, damages(after))
		}
		for i, c := range after.Copies {
			if c.Manifest.CopyID != f.Copies[i].Manifest.CopyID {
				t.Errorf("%s got another id", c.Manifest.Key)
			}
		}
		if string(b.bytes("photos/cat.jpg")) != "a cat" || !bytes.Equal(b.bytes(users21.Key), swapped) {
			t.Error("something was touched")
		}
	})
}

// One flipped bit in a dump is found by reading everything, wherever it lies; a
// look at sizes and footers finds those in the footer.
func TestFlippedBits(t *testing.T) {
	t.Parallel()
	bucket, err := object.Open(t.Context(), "file://"+t.TempDir(), object.Config{})
	must(t, err)
	b := newBench(t, bucket)
	for _, m := range []*backup.Manifest{b.at("11-21/users.sql"), b.at("11-22/users.sql.gz")} {
		whole := b.bytes(m.Key)
		for i := 0; i < len(whole); i += 1 + len(whole)/60 {
			flipped := bytes.Clone(whole)
			flipped[i] ^= 1 << (i % 8)
			b.replace(m.Key, flipped)
			f := b.scan(true)
			// A bit of a gzip header that says nothing leaves the dump whole.
			idle := len(f.Damaged) == 1 && f.Damaged[0].Mended && m.Compression == backup.Gzip && len(f.Copies) == 7
			if !idle && (len(f.Damaged) != 1 || f.Damaged[0].Key != m.Key || f.Damaged[0].Mended || len(f.Copies) != 6) {
				t.Fatalf("byte %d of %s: %s", i, m.Key, damages(f))
			}
		}
		b.replace(m.Key, whole)
	}
}

// A flipped field of a manifest is found; the dump is whole and its manifest is
// made again.
func TestFlippedManifests(t *testing.T) {
	t.Parallel()
	bucket, err := object.Open(t.Context(), "file://"+t.TempDir(), object.Config{})
	must(t, err)
	b := newBench(t, bucket)
	for _, m := range []*backup.Manifest{b.at("11-21/users.sql"), b.at("11-22/users.sql.gz")} {
		whole := b.bytes(object.ManifestKey(m.Key))
		for field, v := range map[string]any{
			"size_bytes": 7, "body_bytes": 7, "tables": 9, "rows": 9, "consistency": "snapshqt", "kind": "manual", "date": "2026-11-12", "copy_id": "x",
			"database_id": b.ids["posts"], "database_name": "posts", "started_at": "2025-11-21T03:00:04Z", "compression": "zstd", "key": "daily/2026-11-21/posts.sql",
			"body_sha256": strings.Repeat("a", 64), "format": 7,
		} {
			b.edit(m, func(all map[string]any) { all[field] = v })
			f := b.scan(false)
			if len(f.Damaged) != 1 || f.Damaged[0].Key != object.ManifestKey(m.Key) || !f.Damaged[0].Mended || len(f.Copies) != 7 || f.Lost() != 0 {
				t.Errorf("%s of %s: %s", field, m.Key, damages(f))
			}
			b.replace(object.ManifestKey(m.Key), whole)
		}
		for field, v := range map[string]any{"sha256": strings.Repeat("a", 64), "sql_sha256": strings.Repeat("a", 64), "sql_bytes": 8, "job_id": uuid.NewString()} {
			b.edit(m, func(all map[string]any) { all[field] = v })
			f := b.scan(true)
			if len(f.Damaged) != 1 || f.Damaged[0].Key != object.ManifestKey(m.Key) || !f.Damaged[0].Mended || len(f.Copies) != 7 {
				t.Errorf("%s of %s: %s", field, m.Key, damages(f))
			}
			b.replace(object.ManifestKey(m.Key), whole)
		}
	}
}

// Two manifests cannot be the same copy's, and a manifest moved to another
// object says nothing of it.
func TestMovedManifests(t *testing.T) {
	t.Parallel()
	bucket, err := object.Open(t.Context(), "file://"+t.TempDir(), object.Config{})
	must(t, err)
	b := newBench(t, bucket)
	one, two, other := b.at("11-20/users.sql"), b.at("11-21/users.sql"), b.at("11-21/posts.sql")
	b.edit(two, func(v map[string]any) { v["copy_id"] = one.CopyID })
	if f := b.scan(false); len(f.Copies) != 6 || !strings.Contains(damages(f), "it claims to be the copy at "+one.Key) {
		t.Errorf("%v\n%s", keys(f), damages(f))
	}
	b.replace(object.ManifestKey(two.Key), b.bytes(object.ManifestKey(one.Key)))
	if f := b.scan(false); len(f.Copies) != 7 || !strings.Contains(damages(f), two.Key+".json true: it is the manifest of "+one.Key) {
		t.Errorf("%v\n%s", keys(f), damages(f))
	}
	// Both moved: a whole copy of another database under this one's key.
	b.replace(two.Key, b.bytes(other.Key))
	b.replace(object.ManifestKey(two.Key), b.bytes(object.ManifestKey(other.Key)))
	if f := b.scan(false); len(f.Copies) != 6 || !strings.Contains(damages(f), two.Key+" false: it is a dump of posts") {
		t.Errorf("%v\n%s", keys(f), damages(f))
	}
}

// A bucket that fails is no damage, and ends the look.
func TestBucketFails(t *testing.T) {
	t.Parallel()
	bucket, err := object.Open(t.Context(), "file://"+t.TempDir(), object.Config{})
	must(t, err)
	b := newBench(t, bucket)
	for _, suffix := range []string{".json", ".sql"} {
		f, err := catalogue.Scan(t.Context(), &failing{b.bucket, suffix}, catalogue.Options{})
		if backup.Kind(err) != backup.ErrUnavailable || f != nil {
			t.Errorf("%s: %+v, %v", suffix, f, err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if f, err := catalogue.Scan(ctx, b.bucket, catalogue.Options{}); err == nil {
		t.Errorf("cancelled, yet %+v", f)
	}
}

// failing is a bucket that does not give keys of a kind.
type failing struct {
	object.Bucket
	suffix string
}

func (f *failing) Open(ctx context.Context, key string, offset, length int64) (io.ReadCloser, error) {
	if strings.HasSuffix(key, f.suffix) {
		return nil, backup.Errorf(backup.ErrUnavailable, "the bucket is away")
	}
	return f.Bucket.Open(ctx, key, offset, length)
}
