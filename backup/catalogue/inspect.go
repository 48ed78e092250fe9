package catalogue

import (
	"context"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/klauspost/compress/gzip"

	"github.com/AutumnsGrove/Patina/backup"
	"github.com/AutumnsGrove/Patina/backup/dump"
	"github.com/AutumnsGrove/Patina/backup/export"
	"github.com/AutumnsGrove/Patina/backup/object"
)

// look is what looking at one object found; the zero value: it is gone.
type look struct {
	copy   *Copy
	damage []Damage
}

func readManifest(ctx context.Context, b object.Bucket, key string) (*backup.Manifest, error) {
	return export.ReadManifest(ctx, b, key)
}

// inspect looks at one object and its manifest. Errors: those of the bucket.
func inspect(ctx context.Context, b object.Bucket, info object.Info, deep bool) (look, error) {
	key, err := object.ParseKey(info.Key)
	if err != nil {
		return look{}, err
	}
	m, err := readManifest(ctx, b, info.Key)
	switch {
	case errors.Is(err, backup.ErrNotFound):
		return remake(ctx, b, key, nil, "")
	case errors.Is(err, backup.ErrCorrupt):
		return remake(ctx, b, key, nil, "it cannot be read")
	case err != nil:
		return look{}, err
	}
	if why := misfit(key, m); why != "" {
		return remake(ctx, b, key, m, why)
	}
	if m.Size != info.Size {
		return remake(ctx, b, key, m, fmt.Sprintf("it says %d bytes, and there are %d", m.Size, info.Size))
	}
	var why string
	if deep || m.Size <= small {
		why, err = wholeDiffers(ctx, b, key, m)
	} else {
		why, err = edgesDiffer(ctx, b, key, m)
	}
	switch {
	case errors.Is(err, backup.ErrNotFound):
		return look{}, nil
	case errors.Is(err, backup.ErrCorrupt): // or the manifest led to the wrong place
		return remake(ctx, b, key, m, plainly(err))
	case err != nil:
		return look{}, err
	case why != "":
		return remake(ctx, b, key, m, why)
	}
	return look{copy: &Copy{Manifest: m}}, nil
}

// remake makes the manifest of an object again by reading it whole. old is the
// one that does not fit, for the reason why; nil where there is none to go by.
func remake(ctx context.Context, b object.Bucket, key object.Key, old *backup.Manifest, why string) (look, error) {
	at := key.String()
	if old != nil && old.Key != at { // some other object's: it says nothing of this one
		old, why = nil, "it is the manifest of "+old.Key
	}
	found, err := export.Examine(ctx, b, key)
	switch {
	case errors.Is(err, backup.ErrNotFound):
		return look{}, nil
	case errors.Is(err, backup.ErrCorrupt):
		return look{damage: []Damage{{Key: at, Reason: plainly(err), Manifest: known(old)}}}, nil
	case err != nil:
		return look{}, err
	}
	if foreign := belongs(key, found); foreign != "" {
		return look{damage: []Damage{{Key: at, Reason: foreign, Manifest: known(old)}}}, nil
	}
	if old != nil && !same(old, found) {
		return look{damage: []Damage{{
			Key: at, Manifest: known(old),
			Reason: "it is whole, but not the dump that its manifest describes: another one lies in its place (" + why + ")",
		}}}, nil
	}
	k := look{copy: &Copy{Manifest: complete(key, found, old), Made: true}}
	if why != "" {
		k.damage = []Damage{{Key: object.ManifestKey(at), Reason: why, Manifest: k.copy.Manifest, Mended: true}}
	}
	return k, nil
}

// known gives a manifest that can stand for its copy in the catalogue, or nil.
func known(m *backup.Manifest) *backup.Manifest {
	if m == nil || !isUUID(m.CopyID) || !isUUID(m.DatabaseID) || m.Size <= 0 || m.StartedAt.IsZero() {
		return nil
	}
	return m
}

// same tells whether a dump is the one that a manifest describes, of whose
// hashes one may be wrong.
func same(old, found *backup.Manifest) bool {
	n := 0
	for _, pair := range [][2]string{{old.SHA256, found.SHA256}, {old.SQLSHA256, found.SQLSHA256}, {old.BodySHA256, found.BodySHA256}} {
		if pair[0] == pair[1] {
			n++
		}
	}
	return n >= 2
}

// complete gives a manifest what the bytes of the dump do not tell: out of the
// old one, as far as it can be believed.
func complete(key object.Key, found, old *backup.Manifest) *backup.Manifest {
	m := *found
	if !isUUID(m.JobID) {
		m.JobID = ""
	}
	// The same dump gets the same id whoever makes its manifest again.
	m.CopyID = uuid.NewSHA1(uuid.NameSpaceURL, []byte(m.Key+"\n"+m.SHA256)).String()
	m.Trigger = backup.TriggerManual
	if key.Kind == backup.Daily {
		m.Trigger = backup.TriggerNightly
	}
	if old == nil {
		return &m
	}
	if isUUID(old.CopyID) {
		m.CopyID = old.CopyID
	}
	if isUUID(old.ResultID) {
		m.ResultID = old.ResultID
	}
	if old.Trigger != "" {
		m.Trigger = old.Trigger
	}
	m.ForeignKeys, m.Findings, m.Cost, m.Version = old.ForeignKeys, old.Findings, old.Cost, old.Version
	for i, s := range old.Sections {
		if i < len(m.Sections) && s.SHA256 == m.Sections[i].SHA256 && s.Offset == m.Sections[i].Offset {
			m.Sections[i].StoredOffset, m.Sections[i].StoredLength = s.StoredOffset, s.StoredLength
		}
	}
	return &m
}

var hexSum = regexp.MustCompile(`^[0-9a-f]{64}$`)

func isUUID(s string) bool { return len(s) == 36 && uuid.Validate(s) == nil }

// misfit says what about a manifest cannot be, at this key; "" for nothing.
func misfit(key object.Key, m *backup.Manifest) string {
	compression := backup.Plain
	if key.Gzip {
		compression = backup.Gzip
	}
	switch {
	case m.Key != key.String():
		return "it is the manifest of " + m.Key
	case m.Kind != key.Kind || m.Date != key.Date || m.Compression != compression:
		return "its kind, date or compression is not its key's"
	case !isUUID(m.CopyID) || !isUUID(m.DatabaseID):
		return "the id of its copy or database is none"
	case m.JobID != "" && !isUUID(m.JobID) || m.ResultID != "" && !isUUID(m.ResultID):
		return "the id of its job or result is none"
	case !hexSum.MatchString(m.SHA256) || !hexSum.MatchString(m.SQLSHA256) || !hexSum.MatchString(m.BodySHA256):
		return "one of its hashes is none"
	case compression == backup.Plain && (m.SHA256 != m.SQLSHA256 || m.Size != m.SQLSize):
		return "its own hashes or sizes contradict each other"
	case m.Consistency != backup.Snapshot && m.Consistency != backup.Quiet && m.Consistency != backup.Fuzzy:
		return fmt.Sprintf("%q is no consistency", m.Consistency)
	case m.StartedAt.IsZero():
		return "it does not say when it was taken"
	}
	return belongs(key, m)
}

// belongs says why a dump cannot be the one that this key was made for; "" if
// it can.
func belongs(key object.Key, m *backup.Manifest) string {
	if m.DatabaseID == "" || m.DatabaseName == "" {
		return "it does not say which database it is of"
	}
	fits := false
	for _, taken := range []bool{false, true} {
		slug := object.Slug(m.DatabaseName, m.DatabaseID, taken)
		rest, ok := strings.CutPrefix(key.Slug, slug)
		fits = fits || ok && (rest == "" || attempt.MatchString(rest))
	}
	switch {
	case !fits:
		return fmt.Sprintf("it is a dump of %s (%s), and its key is another database's", m.DatabaseName, m.DatabaseID)
	case m.StartedAt.Before(key.Date.Time().Add(-skew)):
		return fmt.Sprintf("it was taken on %s, before the date of its key", m.StartedAt.UTC().Format(time.DateOnly))
	case key.JobID != "" && m.JobID != "" && !strings.HasSuffix(strings.ReplaceAll(m.JobID, "-", ""), key.JobID):
		return "it was made by another job than its key says"
	}
	return ""
}

// attempt is what a key's slug ends in beside one that was taken.
var attempt = regexp.MustCompile(`^\.[1-9][0-9]*$`)

// skew is how far a clock may be behind before a date tells something.
const skew = time.Hour

// differs says in what a manifest differs from what the dump's bytes tell; "" if
// in nothing.
func differs(m, found *backup.Manifest) string {
	for _, x := range []struct {
		what      string
		got, want any
	}{
		{"the hash of the stored bytes", found.SHA256, m.SHA256},
		{"the hash of the dump", found.SQLSHA256, m.SQLSHA256},
		{"the hash of its body", found.BodySHA256, m.BodySHA256},
		{"the size", found.Size, m.Size},
		{"the size of the dump", found.SQLSize, m.SQLSize},
		{"the size of its body", found.BodySize, m.BodySize},
		{"the number of tables", found.TableCount, m.TableCount},
		{"the number of rows", found.Rows, m.Rows},
		{"the database's id", found.DatabaseID, m.DatabaseID},
		{"the database's name", found.DatabaseName, m.DatabaseName},
		{"the job", found.JobID, m.JobID},
		{"the consistency", found.Consistency, m.Consistency},
		{"the number of sections", len(found.Sections), len(m.Sections)},
	} {
		if x.got != x.want {
			return fmt.Sprintf("%s is %v, and it says %v", x.what, x.got, x.want)
		}
	}
	for i, s := range found.Sections {
		if w := m.Sections[i]; s.Name != w.Name || s.Kind != w.Kind || s.Rows != w.Rows || s.SHA256 != w.SHA256 || s.Offset != w.Offset || s.Length != w.Length {
			return fmt.Sprintf("the section %s is not the one that it names", s.Name)
		}
	}
	return ""
}

// small is what is read whole in any case: that costs no more than its edges.
const small = 64 << 10

// wholeDiffers reads all of a dump and says in what the manifest differs from
// it; "" if in nothing. ErrCorrupt: it is not a whole one.
func wholeDiffers(ctx context.Context, b object.Bucket, key object.Key, m *backup.Manifest) (string, error) {
	found, err := export.Examine(ctx, b, key)
	if err != nil {
		return "", err
	}
	return differs(m, found), nil
}

// edgesDiffer does the same with the header and the footer alone.
func edgesDiffer(ctx context.Context, b object.Bucket, key object.Key, m *backup.Manifest) (string, error) {
	h, err := head(ctx, b, m)
	if errors.Is(err, backup.ErrCorrupt) {
		return wholeDiffers(ctx, b, key, m) // its header may be uncommonly long
	}
	if err != nil {
		return "", err
	}
	// The header's time is that at which its text began.
	taken := !h.TakenAt.Before(m.StartedAt.Add(-skew)) && !h.TakenAt.After(m.CompletedAt.Add(skew))
	if h.DatabaseID != m.DatabaseID || h.Database != m.DatabaseName || h.JobID != m.JobID || !taken {
		return fmt.Sprintf("its header says %s (%s), taken at %s by job %q", h.Database, h.DatabaseID, h.TakenAt.Format(time.RFC3339), h.JobID), nil
	}
	return footerDiffers(ctx, b, m)
}

// head reads a dump's header.
func head(ctx context.Context, b object.Bucket, m *backup.Manifest) (dump.Header, error) {
	text, stored, err := open(ctx, b, m, 0, small)
	if err != nil {
		return dump.Header{}, err
	}
	defer stored.Close()
	h, err := dump.NewReader(text, dump.ReaderOptions{}).Header()
	if err != nil {
		return h, stored.blame(m.Key, err)
	}
	return h, nil
}

// footerDiffers reads a dump's last bytes and says in what the manifest differs
// from the footer; "" if in nothing. ErrCorrupt: there is no footer.
func footerDiffers(ctx context.Context, b object.Bucket, m *backup.Manifest) (string, error) {
	last, err := tail(ctx, b, m)
	if err != nil {
		return "", err
	}
	c, err := dump.Tail(last)
	if err != nil {
		return "", &backup.Error{Kind: backup.ErrCorrupt, Message: m.Key + " is not a whole dump", Err: err}
	}
	switch {
	case c.BodySHA256 != m.BodySHA256:
		return fmt.Sprintf("its footer says body-sha256 %s, and the manifest %s", c.BodySHA256, m.BodySHA256), nil
	case c.BodySize != m.BodySize || c.Tables != m.TableCount || c.Rows != m.Rows:
		return "its footer says other counts than the manifest", nil
	case c.Footer.Consistency != string(m.Consistency):
		return "its footer says another consistency than the manifest", nil
	}
	return "", nil
}

// tail reads the last bytes of a dump: with gzip its last member, or where
// nothing says where that begins, all of it.
func tail(ctx context.Context, b object.Bucket, m *backup.Manifest) ([]byte, error) {
	offset := max(0, m.Size-dump.TailBytes)
	if m.Compression == backup.Gzip {
		offset = 0
		if n := len(m.Sections); n > 0 {
			offset = m.Sections[n-1].StoredOffset + m.Sections[n-1].StoredLength
		}
	}
	if offset < 0 || offset >= m.Size {
		return nil, backup.Errorf(backup.ErrCorrupt, "%s has no end where its manifest says", m.Key)
	}
	text, stored, err := open(ctx, b, m, offset, -1)
	if err != nil {
		return nil, err
	}
	defer stored.Close()
	last, err := lastBytes(text)
	if err != nil {
		return nil, stored.blame(m.Key, err)
	}
	return last, nil
}

// open reads SQL from a place in a stored dump; with gzip, a member begins there.
func open(ctx context.Context, b object.Bucket, m *backup.Manifest, offset, length int64) (io.Reader, *remembering, error) {
	r, err := b.Open(ctx, m.Key, offset, length)
	if err != nil {
		return nil, nil, fmt.Errorf("read %s: %w", m.Key, err)
	}
	stored := &remembering{ReadCloser: r}
	if m.Compression != backup.Gzip {
		return stored, stored, nil
	}
	text, err := gzip.NewReader(stored)
	if err != nil {
		_ = stored.Close()
		return nil, nil, stored.blame(m.Key, err)
	}
	return text, stored, nil
}

// lastBytes reads to the end and keeps as much as a footer needs.
func lastBytes(r io.Reader) ([]byte, error) {
	kept := make([]byte, 0, 3*dump.TailBytes)
	for {
		if len(kept) > 2*dump.TailBytes {
			kept = append(kept[:0], kept[len(kept)-dump.TailBytes:]...)
		}
		n, err := r.Read(kept[len(kept):cap(kept)])
		kept = kept[:len(kept)+n]
		if errors.Is(err, io.EOF) {
			return kept, nil
		}
		if err != nil {
			return nil, err
		}
	}
}

// remembering keeps the error of the bucket, which is no fault of the object.
type remembering struct {
	io.ReadCloser
	err error
}

func (r *remembering) Read(b []byte) (int, error) {
	n, err := r.ReadCloser.Read(b)
	if err != nil && !errors.Is(err, io.EOF) {
		r.err = err
	}
	return n, err
}

func (r *remembering) blame(key string, err error) error {
	if r.err != nil {
		return fmt.Errorf("read %s: %w", key, r.err)
	}
	return &backup.Error{Kind: backup.ErrCorrupt, Message: key + " is not a whole dump", Err: err}
}

// plainly gives the words of an error without the key, which stands beside them.
func plainly(err error) string {
	var e *backup.Error
	if errors.As(err, &e) && e.Err != nil {
		return "it is not a whole dump: " + e.Err.Error()
	}
	return err.Error()
}
