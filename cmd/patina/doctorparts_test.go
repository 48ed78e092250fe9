package main

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/AutumnsGrove/Patina/backup/d1/d1sim"
	"github.com/AutumnsGrove/Patina/backup/object"
	"github.com/AutumnsGrove/Patina/backup/object/objecttest"
	"github.com/AutumnsGrove/Patina/jobs"
	"github.com/AutumnsGrove/Patina/store/storetest"
)

// spoiler stands between the doctor and a server, and spoils what it is told to.
type spoiler func(w http.ResponseWriter, r *http.Request, next http.Handler)

func refuse(when func(*http.Request) bool) spoiler {
	return func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		if !when(r) {
			next.ServeHTTP(w, r)
			return
		}
		_, _ = io.Copy(io.Discard, r.Body)
		w.WriteHeader(http.StatusForbidden)
		_, _ = io.WriteString(w, `<?xml version="1.0"?><Error><Code>AccessDenied</Code><Message>Access Denied</Message></Error>`)
	}
}

// change lets the server answer and then changes the answer.
func change(f func(*http.Request, *httptest.ResponseRecorder)) spoiler {
	return func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		rec := httptest.NewRecorder()
		next.ServeHTTP(rec, r)
		f(r, rec)
		for k, v := range rec.Header() {
			w.Header()[k] = v
		}
		if r.Method != http.MethodHead {
			w.Header().Del("Content-Length")
		}
		w.WriteHeader(rec.Code)
		_, _ = w.Write(rec.Body.Bytes())
	}
}

func TestDoctorBucket(t *testing.T) {
	t.Parallel()
	at, cfg := objecttest.VersityGW(t)
	u, err := url.Parse(at)
	if err != nil {
		t.Fatal(err)
	}
	target, err := url.Parse(u.Query().Get("endpoint"))
	if err != nil {
		t.Fatal(err)
	}
	direct, err := object.Open(t.Context(), at, cfg)
	if err != nil {
		t.Fatal(err)
	}
	signed := func(r *http.Request) bool { return r.Header.Get("Authorization") != "" }
	probe := func(r *http.Request) bool { return strings.Contains(r.URL.Path, "/meta/doctor-") && signed(r) }
	query := func(r *http.Request, name string) bool { return r.URL.Query().Has(name) }
	for name, c := range map[string]struct {
		spoil spoiler
		want  []string
	}{
		"nothing": {func(w http.ResponseWriter, r *http.Request, next http.Handler) { next.ServeHTTP(w, r) }, nil},
		"no right to write": {
			refuse(func(r *http.Request) bool { return probe(r) && r.Method == http.MethodPut }),
			[]string{"write to", "s3:PutObject"},
		},
		"no right to read": {
			refuse(func(r *http.Request) bool { return probe(r) && r.Method == http.MethodGet }),
			[]string{"read from", "s3:GetObject"},
		},
		"no right to list": {
			refuse(func(r *http.Request) bool { return query(r, "list-type") && signed(r) }),
			[]string{"list s3://", "s3:ListBucket"},
		},
		"no right to delete": {
			refuse(func(r *http.Request) bool {
				return probe(r) && r.Method == http.MethodDelete && !query(r, "uploadId")
			}),
			[]string{"delete from", "s3:DeleteObject"},
		},
		"no right to parts": {
			refuse(func(r *http.Request) bool { return r.Method == http.MethodPost && query(r, "uploads") }),
			[]string{"in parts", "s3:PutObject"},
		},
		"no right to give up": {
			refuse(func(r *http.Request) bool { return r.Method == http.MethodDelete && query(r, "uploadId") }),
			[]string{"give up an upload", "s3:AbortMultipartUpload"},
		},
		"no right to list uploads": {
			refuse(func(r *http.Request) bool { return r.Method == http.MethodGet && query(r, "uploads") }),
			[]string{"list the uploads", "s3:ListBucketMultipartUploads"},
		},
		"overwrites": {
			func(w http.ResponseWriter, r *http.Request, next http.Handler) {
				if r.Method == http.MethodPut && probe(r) && !query(r, "partNumber") { // as if it was not asked to refuse
					if err := direct.Delete(r.Context(), strings.TrimPrefix(r.URL.Path, "/bucket/")); err != nil {
						t.Error(err)
					}
				}
				next.ServeHTTP(w, r)
			},
			[]string{"does not refuse to overwrite", "If-None-Match"},
		},
		"open to strangers": {
			func(w http.ResponseWriter, r *http.Request, next http.Handler) {
				if !signed(r) && strings.Contains(r.URL.Path, "/meta/") {
					_, _ = io.WriteString(w, "written by patina doctor\n")
					return
				}
				next.ServeHTTP(w, r)
			},
			[]string{"not private", "anybody may read its objects"},
		},
		"listed to strangers": {
			func(w http.ResponseWriter, r *http.Request, next http.Handler) {
				if !signed(r) && query(r, "list-type") {
					_, _ = io.WriteString(w, "<ListBucketResult/>")
					return
				}
				next.ServeHTTP(w, r)
			},
			[]string{"not private", "anybody may list its objects"},
		},
		"a list that leaves out": {
			change(func(r *http.Request, rec *httptest.ResponseRecorder) {
				if signed(r) && query(r, "list-type") && strings.Contains(rec.Body.String(), "<Contents>") {
					rec.Body.Reset()
					rec.Body.WriteString(`<?xml version="1.0"?><ListBucketResult><Name>bucket</Name><KeyCount>0</KeyCount></ListBucketResult>`)
				}
			}),
			[]string{"does not list an object", "consistent"},
		},
		"keeps what is deleted": {
			func(w http.ResponseWriter, r *http.Request, next http.Handler) {
				if probe(r) && r.Method == http.MethodDelete && !query(r, "uploadId") {
					w.WriteHeader(http.StatusNoContent)
					return
				}
				next.ServeHTTP(w, r)
			},
			[]string{"keeps an object that was deleted", "lock"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e := env{"PATINA_DATA": t.TempDir(), "R2_ACCESS_KEY_ID": cfg.R2AccessKeyID, "R2_SECRET_ACCESS_KEY": cfg.R2SecretAccessKey}
			e["PATINA_BUCKET"] = through(t, target, c.spoil)
			d := diagnose(t, e)
			if c.want == nil {
				d.healthy("bucket", "clock")
				return
			}
			d.finds("bucket", findingFail, c.want...)
		})
	}
	t.Run("another time", func(t *testing.T) {
		t.Parallel()
		e := env{"PATINA_DATA": t.TempDir(), "R2_ACCESS_KEY_ID": cfg.R2AccessKeyID, "R2_SECRET_ACCESS_KEY": cfg.R2SecretAccessKey}
		for _, shift := range []time.Duration{-10 * time.Minute, 10 * time.Minute} {
			e["PATINA_BUCKET"] = through(t, target, change(func(_ *http.Request, rec *httptest.ResponseRecorder) {
				if at, err := http.ParseTime(rec.Header().Get("Last-Modified")); err == nil {
					rec.Header().Set("Last-Modified", at.Add(shift).UTC().Format(http.TimeFormat))
				}
			}))
			diagnose(t, e).finds("clock", findingFail, "the bucket's are", "apart", "NTP")
		}
	})
	t.Run("wrong key", func(t *testing.T) {
		t.Parallel()
		e := env{"PATINA_DATA": t.TempDir(), "R2_ACCESS_KEY_ID": cfg.R2AccessKeyID, "R2_SECRET_ACCESS_KEY": "wrong", "PATINA_BUCKET": at}
		diagnose(t, e).finds("bucket", findingFail, "access key")
	})
}

// through gives the URL of the bucket behind a spoiler. The request's Host is
// the proxy's own, as it was signed.
func through(t *testing.T, target *url.URL, spoil spoiler) string {
	t.Helper()
	proxy := &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) {
		r.Out.URL.Scheme, r.Out.URL.Host, r.Out.Host = target.Scheme, target.Host, r.In.Host
	}}
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { spoil(w, r, proxy) }))
	t.Cleanup(srv.Close)
	return "s3://bucket?region=us-east-1&endpoint=" + srv.URL
}

func TestDoctorTokens(t *testing.T) {
	t.Parallel()
	sim, err := d1sim.New(d1sim.Config{Dir: t.TempDir(), AccountID: "acc", Token: "writer", ReadOnlyToken: "reader"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = sim.Close() })
	if _, err := sim.Create("one"); err != nil {
		t.Fatal(err)
	}
	var spoil spoiler
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if spoil != nil {
			spoil(w, r, sim.Handler())
			return
		}
		sim.Handler().ServeHTTP(w, r)
	}))
	t.Cleanup(srv.Close)
	with := func(api, restore string) env {
		return env{"PATINA_DATA": t.TempDir(), "CLOUDFLARE_ACCOUNT_ID": "acc", "CLOUDFLARE_API_TOKEN": api, "CLOUDFLARE_RESTORE_TOKEN": restore, "CLOUDFLARE_BASE_URL": srv.URL}
	}
	d := diagnose(t, with("reader", "writer"), "--scratch")
	d.healthy("account", "token", "restore token", "d1", "d1 scratch")
	d.finds("d1 scratch", findingOK, "a batch is one transaction")
	d.finds("d1 scratch", findingOK, "moves with a write")
	d.finds("d1 scratch", findingOK, "an import that fails leaves nothing behind")
	d.finds("d1 scratch", findingOK, "an answer of 32 MB")
	diagnose(t, with("reader", "writer")).finds("d1", findingNote, "not tried", "--scratch")
	diagnose(t, with("nobody", "")).finds("account", findingFail, "list the databases", "CLOUDFLARE_API_TOKEN")
	diagnose(t, with("reader", "nobody")).finds("restore token", findingFail, "CLOUDFLARE_RESTORE_TOKEN")
	diagnose(t, with("reader", "reader")).finds("restore token", findingFail, "may not write", "Edit")
	diagnose(t, with("writer", "writer")).finds("token", findingNote, "may write, though")
	diagnose(t, with("writer", "")).finds("token", findingNote, "could also change every database")
	d = diagnose(t, with("reader", ""), "--scratch")
	d.finds("token", findingNote, "nothing can be restored")
	d.finds("d1", findingFail, "no token may write")

	body := func(r *http.Request) string {
		b, _ := io.ReadAll(r.Body)
		r.Body = io.NopCloser(bytes.NewReader(b))
		return string(b)
	}
	raw := func(r *http.Request) bool { return strings.HasSuffix(r.URL.Path, "/raw") }
	answer := func(code int, text string, when func(*http.Request) bool) spoiler {
		return func(w http.ResponseWriter, r *http.Request, next http.Handler) {
			if when(r) {
				w.WriteHeader(code)
				_, _ = io.WriteString(w, text)
				return
			}
			next.ServeHTTP(w, r)
		}
	}
	asks := func(part string) func(*http.Request) bool {
		return func(r *http.Request) bool { return raw(r) && strings.Contains(body(r), part) }
	}
	bookmarks := 0
	for name, c := range map[string]struct {
		spoil spoiler
		check string
		state string
		want  []string
	}{
		"no query": {answer(403, `{"success":false,"errors":[{"code":10000,"message":"Authentication error"}]}`, raw), "d1", findingFail, []string{"in a batch", "D1"}},
		"no bookmark": {
			answer(403, `{"success":false,"errors":[{"code":10000,"message":"Authentication error"}]}`, func(r *http.Request) bool { return strings.Contains(r.URL.Path, "bookmark") }),
			"d1", findingFail,
			[]string{"read a bookmark of one"},
		},
		"small answers": {answer(500, ``, asks(`i \u003c 8)`)), "d1", findingNote, []string{"an answer of 8 MB", "does not arrive"}},
		"other numbers": {
			answer(422, `{"success":false,"errors":[{"code":42,"message":"no such table: x: SQLITE_ERROR"}]}`, asks("patina_probe_no_such_table")),
			"d1", findingNote,
			[]string{"other numbers", "42"},
		},
		"other words": {answer(400, `{"success":false,"errors":[{"code":7500,"message":"nope"}]}`, asks("patina_probe_no_such_table")), "d1", findingNote, []string{"words that are not known", "nope"}},
		"no refusal": {
			answer(200, `{"success":true,"errors":[],"result":[{"success":true,"results":{"columns":["a"],"rows":[]},"meta":{"served_by_primary":true}}]}`, asks("patina_probe_no_such_table")),
			"d1", findingFail,
			[]string{"as if it did"},
		},
		"a bookmark that wanders": {
			func(w http.ResponseWriter, r *http.Request, next http.Handler) {
				if strings.Contains(r.URL.Path, "bookmark") {
					bookmarks++
					fmt.Fprintf(w, `{"success":true,"errors":[],"result":{"bookmark":"b%d"}}`, bookmarks)
					return
				}
				next.ServeHTTP(w, r)
			}, "d1 scratch", findingNote, []string{"idle database moves by itself"},
		},
		"a bookmark that stays": {
			answer(200, `{"success":true,"errors":[],"result":{"bookmark":"b"}}`, func(r *http.Request) bool { return strings.Contains(r.URL.Path, "bookmark") }),
			"d1 scratch", findingFail,
			[]string{"does not move the bookmark", "quiet"},
		},
		"a batch that is none": {
			func(w http.ResponseWriter, r *http.Request, next http.Handler) {
				if raw(r) && strings.Contains(body(r), "patina_probe_nowhere") {
					if err := sim.Exec(strings.Split(r.URL.Path, "/")[5], "CREATE TABLE patina_probe_a(x)"); err != nil {
						t.Error(err)
					}
					answer(400, `{"success":false,"errors":[{"code":7500,"message":"no such table: patina_probe_nowhere: SQLITE_ERROR"}]}`, raw)(w, r, next)
					return
				}
				next.ServeHTTP(w, r)
			}, "d1 scratch", findingFail, []string{"not one transaction", "snapshot"},
		},
		"an import in pieces": {
			func(w http.ResponseWriter, r *http.Request, next http.Handler) {
				if strings.HasSuffix(r.URL.Path, "/import") && strings.Contains(body(r), "ingest") {
					if err := sim.Exec(strings.Split(r.URL.Path, "/")[5], "CREATE TABLE patina_probe_c(x)"); err != nil {
						t.Error(err)
					}
					answer(400, `{"success":false,"errors":[{"code":7500,"message":"no such table: patina_probe_nowhere: SQLITE_ERROR"}]}`, func(*http.Request) bool { return true })(w, r, next)
					return
				}
				next.ServeHTTP(w, r)
			}, "d1 scratch", findingNote, []string{"leaves behind"},
		},
		"no new database": {
			answer(400, `{"success":false,"errors":[{"code":7406,"message":"too many databases"}]}`, func(r *http.Request) bool {
				return r.Method == http.MethodPost && strings.HasSuffix(r.URL.Path, "/database")
			}),
			"d1 scratch", findingFail,
			[]string{"make the database patina-doctor-", "too many"},
		},
		"no end of it": {
			answer(403, `{"success":false,"errors":[{"code":10000,"message":"Authentication error"}]}`, func(r *http.Request) bool { return r.Method == http.MethodDelete }),
			"d1 scratch", findingFail,
			[]string{"delete the database patina-doctor-"},
		},
	} {
		spoil = c.spoil
		t.Log(name)
		diagnose(t, with("reader", "writer"), "--scratch").finds(c.check, c.state, c.want...)
	}
}

func TestDoctorPostgres(t *testing.T) {
	t.Parallel()
	at := storetest.NewURL(t, jobs.Migrate)
	e := func(url string) env { return env{"PATINA_DATA": t.TempDir(), "DATABASE_URL": url} }
	diagnose(t, e(at)).healthy("postgres", "migrations")
	diagnose(t, e("postgres://nobody@127.0.0.1:1/x")).finds("postgres", findingFail, "Postgres")

	conn, err := pgx.Connect(t.Context(), at)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.WithoutCancel(t.Context()))
	database := pgx.Identifier{conn.Config().Database}.Sanitize()
	role := "doctor_" + conn.Config().Database // roles are the whole server's
	reader := pgx.Identifier{role}.Sanitize()
	for _, q := range []string{
		"CREATE ROLE " + reader + " LOGIN", "GRANT USAGE ON SCHEMA public TO " + reader, "REVOKE CREATE ON SCHEMA public FROM public",
		"GRANT SELECT ON ALL TABLES IN SCHEMA public TO " + reader, "GRANT CONNECT ON DATABASE " + database + " TO " + reader,
	} {
		if _, err := conn.Exec(t.Context(), q); err != nil {
			t.Fatal(err)
		}
	}
	u, err := url.Parse(at)
	if err != nil {
		t.Fatal(err)
	}
	asReader := *u
	query := asReader.Query()
	query.Set("user", role)
	asReader.RawQuery = query.Encode()
	d := diagnose(t, e(asReader.String()))
	d.finds("postgres", findingFail, "may not make tables", "GRANT CREATE")
	d.finds("postgres", findingFail, "may not read and write", "and", "more", "GRANT ALL")
	standby := *u
	q := standby.Query()
	q.Set("default_transaction_read_only", "on")
	standby.RawQuery = q.Encode()
	diagnose(t, e(standby.String())).finds("postgres", findingFail, "takes no writes")
	diagnose(t, e(deaf(t, conn.Config(), u))).finds("postgres", findingFail, "a note from one connection", "transaction pooler")
}

// deaf gives the URL of the same database through a proxy that, like a
// transaction pooler, passes no notes on.
func deaf(t *testing.T, cfg *pgx.ConnConfig, u *url.URL) string {
	t.Helper()
	network, addr := "tcp", net.JoinHostPort(cfg.Host, fmt.Sprint(cfg.Port))
	if strings.HasPrefix(cfg.Host, "/") {
		network, addr = "unix", fmt.Sprintf("%s/.s.PGSQL.%d", cfg.Host, cfg.Port)
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
			out, err := net.Dial(network, addr)
			if err != nil {
				_ = in.Close()
				continue
			}
			go func() { _, _ = io.Copy(out, in); _ = out.Close() }()
			go func() {
				defer in.Close()
				var head [5]byte
				for {
					if _, err := io.ReadFull(out, head[:]); err != nil {
						return
					}
					rest := make([]byte, binary.BigEndian.Uint32(head[1:])-4)
					if _, err := io.ReadFull(out, rest); err != nil {
						return
					}
					if head[0] == 'A' { // a notification
						continue
					}
					if _, err := in.Write(append(head[:], rest...)); err != nil {
						return
					}
				}
			}()
		}
	}()
	q := url.Values{"sslmode": {"disable"}}
	return (&url.URL{Scheme: "postgres", User: url.User(cfg.User), Host: l.Addr().String(), Path: "/" + cfg.Database, RawQuery: q.Encode()}).String()
}
