package object_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/AutumnsGrove/Patina/backup"
	"github.com/AutumnsGrove/Patina/backup/object"
	"github.com/AutumnsGrove/Patina/backup/object/objecttest"
)

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func upload(ctx context.Context, b object.Bucket, key string, body []byte) (object.Upload, error) {
	u, err := b.Create(ctx, key, object.CreateOptions{PartSize: 5 << 20})
	if err != nil {
		return nil, err
	}
	if _, err := u.Write(body); err != nil {
		return u, err
	}
	_, err = u.Commit(ctx)
	return u, err
}

// TestS3CancelledAfterStored: the object was stored and its answer never came,
// since whoever asked was stopped meanwhile. It is this upload's all the same.
func TestS3CancelledAfterStored(t *testing.T) {
	t.Parallel()
	for _, size := range []int{100, 6 << 20} {
		ctx, cancel := context.WithCancel(t.Context())
		fired := 0
		b := openS3(t, &http.Client{Transport: roundTrip(func(r *http.Request) (*http.Response, error) {
			res, err := http.DefaultTransport.RoundTrip(r)
			if r.Header.Get("If-None-Match") != "" && err == nil {
				fired++
				_, _ = io.Copy(io.Discard, res.Body)
				_ = res.Body.Close()
				cancel()
				return nil, context.Canceled
			}
			return res, err
		})})
		if _, err := upload(ctx, b, "k", make([]byte, size)); err != nil || fired == 0 {
			t.Errorf("%d bytes, fired %d: %v", size, fired, err)
		}
	}
}

// TestS3NothingAfterFailure: an upload whose part failed cannot be committed
// without it, though the bucket has recovered.
func TestS3NothingAfterFailure(t *testing.T) {
	t.Parallel()
	down := true
	b := openS3(t, &http.Client{Transport: roundTrip(func(r *http.Request) (*http.Response, error) {
		if down && r.URL.Query().Has("partNumber") {
			return nil, errors.New("connection reset by peer")
		}
		return http.DefaultTransport.RoundTrip(r)
	})})
	u, err := upload(t.Context(), b, "k", make([]byte, 11<<20))
	if !errors.Is(err, backup.ErrUnavailable) {
		t.Fatalf("the fault did not fire: %v", err)
	}
	down = false
	if _, err := u.Commit(t.Context()); err == nil {
		t.Error("committed with bytes missing")
	}
	if err := u.Abort(t.Context()); err != nil {
		t.Error(err)
	}
	if keys := objecttest.Keys(t, b, ""); len(keys) > 0 {
		t.Errorf("listed %v", keys)
	}
}

// TestS3Requests: parts are within S3's bounds whatever was asked for, no
// request waits for a 100 Continue that R2 does not send, nothing carries a
// checksum that R2 does not know, and every commit is conditional.
func TestS3Requests(t *testing.T) {
	t.Parallel()
	conditional := 0
	b := openS3(t, &http.Client{Transport: roundTrip(func(r *http.Request) (*http.Response, error) {
		if r.Header.Get("Expect") != "" {
			t.Errorf("%s expects %s", r.Method, r.Header.Get("Expect"))
		}
		for name := range r.Header {
			if strings.HasPrefix(strings.ToLower(name), "x-amz-checksum") || strings.EqualFold(name, "X-Amz-Sdk-Checksum-Algorithm") {
				t.Errorf("%s carries %s", r.Method, name)
			}
		}
		if r.Header.Get("If-None-Match") == "*" {
			conditional++
		}
		return http.DefaultTransport.RoundTrip(r)
	})})
	for _, size := range []int64{-1, 1, 0} {
		key := fmt.Sprint("part", size)
		u, err := b.Create(t.Context(), key, object.CreateOptions{PartSize: size})
		if err != nil {
			t.Fatal(err)
		}
		body := make([]byte, 11<<20)
		if _, err := u.Write(body); err != nil {
			t.Fatal(err)
		}
		if i, err := u.Commit(t.Context()); err != nil || i.Size != int64(len(body)) {
			t.Errorf("part size %d: %+v, %v", size, i, err)
		}
	}
	objecttest.Put(t, b, "small", []byte("x"))
	if conditional != 4 {
		t.Errorf("%d of 4 commits were conditional", conditional)
	}
}

// TestS3IgnoresCondition: a server that knows no If-None-Match at Complete, as
// some do not, still does not lose the object that is there.
func TestS3IgnoresCondition(t *testing.T) {
	t.Parallel()
	b := openS3(t, &http.Client{Transport: roundTrip(func(r *http.Request) (*http.Response, error) {
		if r.Method == http.MethodPost && r.Header.Get("If-None-Match") != "" {
			t.Error("Complete was sent although the key is taken")
		}
		return http.DefaultTransport.RoundTrip(r)
	})})
	objecttest.Put(t, b, "k", []byte("first"))
	u, err := upload(t.Context(), b, "k", make([]byte, 6<<20))
	if !errors.Is(err, backup.ErrConflict) {
		t.Errorf("got %v", err)
	}
	if err := u.Abort(t.Context()); err != nil {
		t.Error(err)
	}
	if got := objecttest.Get(t, b, "k", 0, -1); string(got) != "first" {
		t.Errorf("the first object was changed to %.20q", got)
	}
}

// fakeS3 opens a bucket on a server that answers as h does.
func fakeS3(t *testing.T, h http.HandlerFunc) object.Bucket {
	t.Helper()
	srv := httptest.NewServer(h)
	t.Cleanup(func() {
		srv.CloseClientConnections()
		srv.Close()
	})
	b, err := object.Open(t.Context(), "s3://bucket?endpoint="+srv.URL, object.Config{R2AccessKeyID: "key", R2SecretAccessKey: "secret"})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// TestS3NoBucket: that the whole bucket is missing is not said of an object,
// which somebody might then take for deleted.
func TestS3NoBucket(t *testing.T) {
	t.Parallel()
	asked := 0
	b := fakeS3(t, func(w http.ResponseWriter, _ *http.Request) {
		asked++
		w.WriteHeader(http.StatusNotFound)
		fmt.Fprint(w, `<Error><Code>NoSuchBucket</Code><Message>no such bucket</Message></Error>`)
	})
	_, openErr := b.Open(t.Context(), "k", 0, -1)
	for what, err := range map[string]error{
		"open": openErr, "delete": b.Delete(t.Context(), "k"), "abort": b.AbortUpload(t.Context(), object.PendingUpload{Key: "k", ID: "x"}),
	} {
		if err == nil || errors.Is(err, backup.ErrNotFound) || backup.Kind(err) == nil || !strings.Contains(err.Error(), "s3://bucket") {
			t.Errorf("%s: %v", what, err)
		}
	}
	if asked < 3 {
		t.Errorf("%d requests", asked)
	}
}

// TestS3ListsEnd: a server that gives the same page for ever ends in an error.
func TestS3ListsEnd(t *testing.T) {
	t.Parallel()
	asked := 0
	b := fakeS3(t, func(w http.ResponseWriter, r *http.Request) {
		if asked++; asked > 100 {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		if r.URL.Query().Has("uploads") {
			fmt.Fprint(w, `<ListMultipartUploadsResult><IsTruncated>true</IsTruncated><NextKeyMarker>k</NextKeyMarker><NextUploadIdMarker>i</NextUploadIdMarker></ListMultipartUploadsResult>`)
			return
		}
		fmt.Fprint(w, `<ListBucketResult><IsTruncated>true</IsTruncated><NextContinuationToken>again</NextContinuationToken></ListBucketResult>`)
	})
	var err error
	for _, err = range b.List(t.Context(), "") {
	}
	if !errors.Is(err, backup.ErrUnavailable) || asked > 10 {
		t.Errorf("list: %v after %d requests", err, asked)
	}
	asked = 0
	for _, err = range b.Uploads(t.Context()) {
	}
	if !errors.Is(err, backup.ErrUnavailable) || asked > 10 {
		t.Errorf("uploads: %v after %d requests", err, asked)
	}
}

// TestS3Rights: a refusal names the right that is missing.
func TestS3Rights(t *testing.T) {
	t.Parallel()
	b := fakeS3(t, func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusForbidden)
		fmt.Fprint(w, `<Error><Code>AccessDenied</Code><Message>Access Denied</Message></Error>`)
	})
	_, openErr := b.Open(t.Context(), "k", 0, -1)
	_, putErr := upload(t.Context(), b, "k", nil)
	var listErr error
	for _, listErr = range b.List(t.Context(), "") {
	}
	for want, err := range map[string]error{"s3:GetObject": openErr, "s3:PutObject": putErr, "s3:ListBucket": listErr, "s3:DeleteObject": b.Delete(t.Context(), "k")} {
		if !errors.Is(err, backup.ErrDenied) || !strings.Contains(backup.Next(err), want) {
			t.Errorf("%s: %v; %s", want, err, backup.Next(err))
		}
	}
}

// TestS3Cut: a body that ends too early is an error, not a shorter object.
func TestS3Cut(t *testing.T) {
	t.Parallel()
	b := fakeS3(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "100")
		_, _ = w.Write(make([]byte, 50))
	})
	r, err := b.Open(t.Context(), "k", 0, -1)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if n, err := io.Copy(io.Discard, r); n != 50 || !errors.Is(err, backup.ErrUnavailable) {
		t.Errorf("%d bytes, %v", n, err)
	}
}

// TestSecretsStayInside: printing a configuration shows no secret.
func TestSecretsStayInside(t *testing.T) {
	t.Parallel()
	c := object.Config{AccountID: "acc", R2AccessKeyID: "key", R2SecretAccessKey: "hidden-value"}
	for _, format := range []string{"%v", "%+v", "%#v", "%s"} {
		if s := fmt.Sprintf(format, c); strings.Contains(s, "hidden-value") {
			t.Errorf("%s shows %s", format, s)
		}
	}
}

// TestS3Silence: a store that goes silent, before its answer or within it, is
// asked again; one that stays silent is given up.
func TestS3Silence(t *testing.T) {
	t.Parallel()
	const body = "all of it"
	for name, c := range map[string]struct {
		silent int // requests that go silent
		within bool
		ok     bool
	}{
		"once":       {1, false, true},
		"for ever":   {1000, false, false},
		"in a body":  {1, true, false},
		"not at all": {0, false, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var asked atomic.Int64
			b := fakeS3(t, func(w http.ResponseWriter, r *http.Request) {
				if asked.Add(1) > int64(c.silent) {
					fmt.Fprint(w, body)
					return
				}
				if c.within {
					w.Header().Set("Content-Length", fmt.Sprint(len(body)))
					fmt.Fprint(w, body[:3])
					_ = http.NewResponseController(w).Flush()
				}
				<-r.Context().Done()
			})
			object.SetSilence(b, 100*time.Millisecond)
			r, err := b.Open(t.Context(), "k", 0, -1)
			if err == nil {
				var got []byte
				got, err = io.ReadAll(r)
				if c.ok && string(got) != body {
					t.Errorf("got %q", got)
				}
				_ = r.Close()
			}
			if c.ok != (err == nil) || err != nil && (!errors.Is(err, backup.ErrUnavailable) || !strings.Contains(err.Error(), "says nothing")) {
				t.Errorf("after %d requests: %v", asked.Load(), err)
			}
			if asked.Load() == 0 || c.silent == 1 && !c.within && asked.Load() != 2 {
				t.Errorf("%d requests", asked.Load())
			}
		})
	}
}

// TestS3SilentCommit: the object was stored, and the answer hangs for ever.
func TestS3SilentCommit(t *testing.T) {
	t.Parallel()
	var fired atomic.Int64
	b := openS3(t, &http.Client{Transport: roundTrip(func(r *http.Request) (*http.Response, error) {
		res, err := http.DefaultTransport.RoundTrip(r)
		if r.Header.Get("If-None-Match") == "" || err != nil {
			return res, err
		}
		fired.Add(1)
		_ = res.Body.Close()
		<-r.Context().Done()
		return nil, r.Context().Err()
	})})
	object.SetSilence(b, 500*time.Millisecond)
	for _, size := range []int{100, 6 << 20} {
		if _, err := upload(t.Context(), b, fmt.Sprint(size), make([]byte, size)); err != nil {
			t.Error(err)
		}
	}
	if fired.Load() < 2 {
		t.Errorf("the fault fired %d times", fired.Load())
	}
}
