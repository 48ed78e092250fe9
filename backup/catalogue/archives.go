package catalogue

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/klauspost/compress/gzip"

	"github.com/AutumnsGrove/Patina/backup"
	"github.com/AutumnsGrove/Patina/backup/archive"
	"github.com/AutumnsGrove/Patina/backup/object"
)

// archives reads what the weekly archives hold. A copy that lies in one as well
// as in an object is one copy; one that lies in an archive alone is a copy too.
func (f *Found) archives(ctx context.Context, b object.Bucket, deep bool) error {
	at := map[string]int{} // where in f.Copies a key or an id is
	for i, c := range f.Copies {
		at[c.Manifest.Key], at[c.Manifest.CopyID] = i, i
	}
	for i := range f.Archives {
		a := &f.Archives[i]
		damage, err := a.inspect(ctx, b, deep)
		if err != nil {
			return err
		}
		f.Damaged = append(f.Damaged, damage...)
		if a.Manifest == nil {
			continue
		}
		for _, m := range a.Manifest.Members {
			if err := f.member(ctx, b, a, m, at); err != nil {
				return err
			}
		}
	}
	return nil
}

// inspect looks at one archive and its manifest.
func (a *Archive) inspect(ctx context.Context, b object.Bucket, deep bool) ([]Damage, error) {
	m, err := archive.ReadManifest(ctx, b, a.Key)
	why := ""
	switch {
	case errors.Is(err, backup.ErrNotFound):
	case errors.Is(err, backup.ErrCorrupt):
		why, m = "it cannot be read", nil
	case err != nil:
		return nil, err
	case m.Key != a.Key || m.Week != a.Week.String():
		why, m = "it is the manifest of "+m.Key, nil
	case m.Size != a.Size:
		why = fmt.Sprintf("it says %d bytes, and there are %d", m.Size, a.Size)
	case !deep:
		a.Manifest = m
		return nil, nil
	default:
		if err := archive.Verify(ctx, b, m); err != nil && !errors.Is(err, backup.ErrCorrupt) {
			return nil, err
		} else if err != nil {
			why = plainly(err)
		} else {
			a.Manifest = m
			return nil, nil
		}
	}
	found, err := archive.Examine(ctx, b, a.Key)
	switch {
	case errors.Is(err, backup.ErrNotFound):
		return nil, nil
	case errors.Is(err, backup.ErrCorrupt): // what of it is whole is found member by member
		a.Manifest, a.Fault = m, "it is not a whole archive: "+plainly(err)
		return []Damage{{Key: a.Key, Reason: a.Fault}}, nil
	case err != nil:
		return nil, err
	case m != nil && m.SHA256 != found.SHA256 && m.Size != found.Size:
		return []Damage{{Key: a.Key, Reason: "it is whole, but not the archive that its manifest describes: another one lies in its place"}}, nil
	}
	a.Manifest, a.Made = found, true
	if why == "" {
		return nil, nil
	}
	return []Damage{{Key: object.ManifestKey(a.Key), Reason: why, Mended: true}}, nil
}

// member enters one dump of an archive.
func (f *Found) member(ctx context.Context, b object.Bucket, a *Archive, m backup.ArchiveMember, at map[string]int) error {
	place := backup.Archived{Week: a.Manifest.Week, Name: m.Name, Offset: m.Offset, Length: m.Length}
	damaged := func(format string, args ...any) error {
		f.Damaged = append(f.Damaged, Damage{Key: a.Key + ": " + m.Name, Reason: fmt.Sprintf(format, args...)})
		return nil
	}
	c, err := memberManifest(ctx, b, a.Key, m)
	if errors.Is(err, backup.ErrCorrupt) {
		return damaged("its manifest cannot be read")
	}
	if err != nil {
		return err
	}
	key, err := object.ParseKey(m.CopyKey)
	if err != nil || c.SHA256 != m.SHA256 || c.CopyID != m.CopyID || misfit(key, c) != "" {
		return damaged("its manifest is not that of the copy that it names")
	}
	i, there := at[c.CopyID] // under another key, it was kept for longer than the archive
	if !there {
		i, there = at[c.Key]
	}
	if there && f.Copies[i].Manifest.SHA256 != c.SHA256 {
		return damaged("it is another copy than the one at %s", f.Copies[i].Manifest.Key)
	}
	if a.Fault != "" {
		if err := readWhole(ctx, b, a.Key, m); errors.Is(err, backup.ErrCorrupt) {
			return damaged("it cannot be read any more")
		} else if err != nil {
			return err
		}
	}
	switch {
	case !there:
		at[c.Key], at[c.CopyID] = len(f.Copies), len(f.Copies)
		f.Copies = append(f.Copies, Copy{Manifest: c, Archived: place, ObjectGone: true})
	case f.Copies[i].Archived.Week != "": // in an earlier archive already
	default:
		if f.Copies[i].Made { // here is the manifest that was lost
			f.Copies[i].Manifest = c
		}
		f.Copies[i].Archived = place
	}
	return nil
}

// memberManifest gives the manifest of a dump in an archive.
func memberManifest(ctx context.Context, b object.Bucket, key string, m backup.ArchiveMember) (*backup.Manifest, error) {
	if len(m.Manifest) > 0 {
		return backup.DecodeManifest(bytes.NewReader(m.Manifest))
	}
	r, err := b.Open(ctx, key, m.ManifestOffset, m.ManifestLength)
	if err != nil {
		return nil, fmt.Errorf("read the manifest of %s out of %s: %w", m.Name, key, err)
	}
	stored := &remembering{ReadCloser: r}
	defer stored.Close()
	text, err := gzip.NewReader(stored)
	if err != nil {
		return nil, stored.blame(key, err)
	}
	c, err := backup.DecodeManifest(text)
	if err != nil {
		return nil, stored.blame(key, err)
	}
	return c, nil
}

// readWhole reads a dump out of an archive to its end, which compares its hash.
func readWhole(ctx context.Context, b object.Bucket, key string, m backup.ArchiveMember) error {
	r, err := archive.Open(ctx, b, key, m)
	if errors.Is(err, backup.ErrInvalid) { // past the end of what is left
		return backup.Errorf(backup.ErrCorrupt, "%s is cut before %s", key, m.Name)
	}
	if err != nil {
		return err
	}
	defer r.Close()
	_, err = io.Copy(io.Discard, r)
	return err
}
