package archive_test

import (
	"context"
	"io"
	"net"
	"net/url"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/AutumnsGrove/Patina/backup"
	"github.com/AutumnsGrove/Patina/backup/archive"
	"github.com/AutumnsGrove/Patina/backup/object"
	"github.com/AutumnsGrove/Patina/backup/object/objecttest"
)

// wire is a proxy before an S3 server that counts what the server sends.
type wire struct {
	sent atomic.Int64
}

// newWire gives the server's address as the proxy has it.
func newWire(t *testing.T, bucket string) (*wire, string) {
	t.Helper()
	u, err := url.Parse(bucket)
	if err != nil {
		t.Fatal(err)
	}
	q := u.Query()
	server, err := url.Parse(q.Get("endpoint"))
	if err != nil || server.Host == "" {
		t.Fatalf("no endpoint in %s: %v", bucket, err)
	}
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	w, to := &wire{}, server.Host
	var open sync.WaitGroup
	t.Cleanup(func() {
		_ = l.Close()
		open.Wait()
	})
	open.Go(func() {
		for {
			client, err := l.Accept()
			if err != nil {
				return
			}
			back, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", to)
			if err != nil {
				_ = client.Close()
				continue
			}
			context.AfterFunc(t.Context(), func() { // before the cleanups
				_ = client.Close()
				_ = back.Close()
			})
			open.Go(func() {
				_, _ = io.Copy(back, client)
				_ = back.Close()
			})
			open.Go(func() {
				_, _ = io.Copy(client, io.TeeReader(back, w))
				_ = client.Close()
			})
		}
	})
	server.Host = l.Addr().String()
	q.Set("endpoint", server.String())
	u.RawQuery = q.Encode()
	return w, u.String()
}

// Write counts.
func (w *wire) Write(b []byte) (int, error) {
	w.sent.Add(int64(len(b)))
	return len(b), nil
}

// TestOneOut: reading one dump out of an archive costs its own bytes and a
// little, counted on the wire, wherever in the archive it lies.
func TestOneOut(t *testing.T) {
	t.Parallel()
	at, cfg := objecttest.VersityGW(t)
	w, through := newWire(t, at)
	b, err := object.Open(t.Context(), through, cfg)
	if err != nil {
		t.Fatal(err)
	}
	const size = 24 << 20
	var copies []backup.Copy
	for i := range archive.Days {
		c, err := large(t.Context(), b, w53.Monday().AddDays(i), size)
		if err != nil {
			t.Fatal(err)
		}
		copies = append(copies, c)
	}
	m := makeOne(t, b, request(copies))
	if m.Size < 7*(2<<20) {
		t.Fatalf("an archive of %d bytes says nothing", m.Size)
	}
	for _, n := range []int{0, 3, 6} {
		f, c := m.Members[n], copies[n]
		c.Archived, c.ObjectGone = backup.Archived{Week: w53.String(), Name: f.Name, Offset: f.Offset, Length: f.Length}, true
		before, began := w.sent.Load(), time.Now()
		r, err := archive.OpenCopy(t.Context(), b, c)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadFull(r, make([]byte, 1)); err != nil {
			t.Fatal(err)
		}
		t.Logf("the first byte of %s after %v", f.Name, time.Since(began))
		rest, err := io.Copy(io.Discard, r)
		if err != nil || rest != size-1 {
			t.Errorf("%s: %d bytes, %v", f.Name, rest, err)
		}
		_ = r.Close()
		if cost := w.sent.Load() - before; cost < f.Length || cost > f.Length+1<<20 {
			t.Errorf("%s: %d bytes came over the wire for a member of %d in an archive of %d", f.Name, cost, f.Length, m.Size)
		}
	}
}
