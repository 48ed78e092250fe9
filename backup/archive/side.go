package archive

import (
	"context"
	"io"

	"github.com/AutumnsGrove/Patina/backup"
	"github.com/AutumnsGrove/Patina/backup/dump"
	"github.com/AutumnsGrove/Patina/backup/object"
)

// Side gives a copy as one side of a comparison, wherever it lies: its table of
// contents out of the manifest, which c must have, and its sections by one range
// request each, held to their hashes. ErrCorrupt where the manifest has no
// contents.
func Side(ctx context.Context, b object.Bucket, c backup.Copy) (dump.Side, error) {
	m := c.Manifest
	if m == nil || len(m.Sections) == 0 && m.TableCount > 0 {
		return dump.Side{}, &backup.Error{
			Kind: backup.ErrCorrupt, Message: "the manifest of " + c.Key + " has no table of contents, so that it cannot be compared",
			Next: "patina rebuild makes it again from the copy itself.",
		}
	}
	side := dump.Side{Contents: dump.Contents{
		Tables: m.TableCount, Rows: m.Rows, Size: m.SQLSize, BodySize: m.BodySize, SHA256: m.SQLSHA256, BodySHA256: m.BodySHA256,
	}}
	at := map[int64]backup.Section{}
	for _, s := range m.Sections {
		at[s.Offset] = s
		side.Contents.Sections = append(side.Contents.Sections, dump.Section{Name: s.Name, Kind: s.Kind, Offset: s.Offset, Length: s.Length, Rows: s.Rows, SHA256: s.SHA256})
	}
	side.Open = func(offset, length int64) (io.ReadCloser, error) {
		s, ok := at[offset]
		if !ok || s.Length != length {
			return nil, backup.Errorf(backup.ErrInvalid, "%s has no section of %d bytes at %d", c.Key, length, offset)
		}
		return OpenSection(ctx, b, c, s)
	}
	return side, nil
}
