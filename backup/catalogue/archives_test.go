package catalogue_test

import (
	"bytes"
	"context"
	"io"
	"slices"
	"strings"
	"testing"

	"github.com/AutumnsGrove/Patina/backup"
	"github.com/AutumnsGrove/Patina/backup/archive"
	"github.com/AutumnsGrove/Patina/backup/catalogue"
	"github.com/AutumnsGrove/Patina/backup/object"
)

// archived makes the archive of the week, and removes the objects of its first
// two dates.
func (b *bench) archived() *backup.ArchiveManifest {
	b.t.Helper()
	week := object.WeekOf(night)
	var copies []backup.Copy
	var databases []backup.Database
	for name, id := range b.ids {
		databases = append(databases, backup.Database{ID: id, Name: name})
	}
	for _, m := range b.copies {
		copies = append(copies, backup.Copy{
			ID: m.CopyID, DatabaseID: m.DatabaseID, DatabaseName: m.DatabaseName, Kind: m.Kind, Date: m.Date, TakenAt: m.StartedAt, Key: m.Key, Size: m.Size,
			SHA256: m.SHA256, BodySHA256: m.BodySHA256, Compression: m.Compression, Proof: backup.ProofProven, Manifest: m,
		})
	}
	m, _, err := archive.Make(b.t.Context(), b.bucket, archive.Request{
		Week: week, Plan: archive.Choose(week, databases, copies),
		Known: func(context.Context, backup.ArchiveMember) (bool, error) { return true, nil },
	})
	must(b.t, err)
	for _, suffix := range []string{"11-20/posts.sql", "11-20/users.sql", "11-21/posts.sql", "11-21/users.sql"} {
		key := b.at(suffix).Key
		must(b.t, b.bucket.Delete(b.t.Context(), key))
		must(b.t, b.bucket.Delete(b.t.Context(), object.ManifestKey(key)))
	}
	return m
}

// A copy that lies in an archive alone is a copy, with its own manifest.
func TestArchives(t *testing.T) {
	t.Parallel()
	buckets(t, func(t *testing.T, b *bench) {
		m := b.archived()
		check := func(f *catalogue.Found) {
			t.Helper()
			gone, in := 0, 0
			for _, c := range f.Copies {
				if c.ObjectGone {
					gone++
				}
				if c.Archived.Week == "" {
					continue
				}
				in++
				member := m.Members[0]
				for _, x := range m.Members {
					if x.CopyID == c.Manifest.CopyID {
						member = x
					}
				}
				if member.CopyID != c.Manifest.CopyID || c.Archived.Name != member.Name || c.Archived.Offset != member.Offset || c.Archived.Length != member.Length || c.Made {
					t.Errorf("%s: %+v, want %+v", c.Manifest.Key, c.Archived, member)
				}
			}
			if len(f.Copies) != 7 || gone != 4 || in != len(m.Members) || in != 6 || len(f.Orphans)+len(f.Unknown) != 0 {
				t.Errorf("%d copies, %d without an object, %d in the archive of %d; %s", len(f.Copies), gone, in, len(m.Members), damages(f))
			}
		}
		for _, deep := range []bool{false, true} {
			f := b.scan(deep)
			check(f)
			if len(f.Damaged) != 0 || len(f.Archives) != 1 || f.Archives[0].Made {
				t.Errorf("%s", damages(f))
			}
		}
		key, beside := m.Key, object.ManifestKey(m.Key)
		whole := b.bytes(beside)

		must(t, b.bucket.Delete(t.Context(), beside)) // its manifest is lost
		f := b.scan(false)
		check(f)
		if len(f.Damaged) != 0 || !f.Archives[0].Made || f.Archives[0].Manifest.SHA256 != m.SHA256 {
			t.Errorf("%s %+v", damages(f), f.Archives)
		}
		n, err := catalogue.Mend(t.Context(), b.bucket, f)
		must(t, err)
		if n != 1 || !bytes.Equal(b.bytes(beside), whole) {
			t.Errorf("%d manifests were mended, and the archive's is another", n)
		}
		b.replace(beside, []byte("{}")) // or flipped
		f = b.scan(false)
		check(f)
		if len(f.Damaged) != 1 || !f.Damaged[0].Mended || f.Damaged[0].Key != beside {
			t.Errorf("%s", damages(f))
		}
		b.replace(beside, whole)

		// Where a dump's own manifest was lost, the archive has it.
		last := b.at("11-22/users.sql.gz")
		must(t, b.bucket.Delete(t.Context(), object.ManifestKey(last.Key)))
		f = b.scan(false)
		for _, c := range f.Copies {
			if c.Manifest.Key == last.Key && (!c.Made || c.Manifest.CopyID != last.CopyID || c.Manifest.Rebuilt) {
				t.Errorf("made again as %+v", c.Manifest)
			}
		}
		_, err = catalogue.Mend(t.Context(), b.bucket, f)
		must(t, err)

		// A copy taken out of the archive to be kept is the same one.
		kept := *b.at("11-20/posts.sql")
		r, err := archive.Open(t.Context(), b.bucket, key, m.Members[0])
		must(t, err)
		body, err := io.ReadAll(r)
		must(t, err)
		kept.Kind, kept.Key = backup.Kept, "kept/2026-11-20/posts.sql"
		text, err := kept.Encode()
		must(t, err)
		b.replace(kept.Key, body)
		b.replace(object.ManifestKey(kept.Key), text)
		f = b.scan(true)
		i := slices.IndexFunc(f.Copies, func(c catalogue.Copy) bool { return c.Manifest.Key == kept.Key })
		if len(f.Copies) != 7 || len(f.Damaged) != 0 || i < 0 || f.Copies[i].ObjectGone || f.Copies[i].Archived.Week != m.Week {
			t.Errorf("kept: %v\n%s", keys(f), damages(f))
		}
		must(t, b.bucket.Delete(t.Context(), kept.Key))
		must(t, b.bucket.Delete(t.Context(), object.ManifestKey(kept.Key)))

		// An archive that is cut, or has one flipped bit: what of it is whole counts.
		stored := b.bytes(key)
		third := m.Members[2]
		b.replace(key, stored[:third.Offset+third.Length/2])
		f = b.scan(false)
		if len(f.Copies) != 5 || f.Lost() < 3 || f.Archives[0].Fault == "" || !strings.Contains(damages(f), "it is not a whole archive") {
			t.Errorf("cut: %v\n%s", keys(f), damages(f))
		}
		flipped := bytes.Clone(stored)
		flipped[third.Offset+third.Length/2] ^= 4
		b.replace(key, flipped)
		if f = b.scan(false); len(f.Damaged) != 0 {
			t.Errorf("flipped: %s", damages(f))
		}
		f = b.scan(true)
		if len(f.Copies) != 6 || len(f.Damaged) != 2 || f.Archives[0].Fault == "" || !strings.Contains(damages(f), third.Name+" false: it cannot be read any more") {
			t.Errorf("flipped: %v\n%s", keys(f), damages(f))
		}
	})
}
