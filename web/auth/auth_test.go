package auth

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

func TestMay(t *testing.T) {
	t.Parallel()
	viewer, operator, admin := &Actor{Rank: View}, &Actor{Rank: Operate}, &Actor{Rank: Admin}
	loader := &Actor{Rank: View, Downloader: true}
	for _, tt := range []struct {
		who  *Actor
		want string // public, view, operate, admin, download
	}{
		{nil, "10000"},
		{viewer, "11000"},
		{operator, "11100"},
		{admin, "11110"},
		{loader, "11001"},
		{&Actor{Rank: Admin, Downloader: true}, "11111"},
		{&Actor{Rank: rank("nonsense"), Downloader: true}, "10000"},
	} {
		got := ""
		for r := Public; r <= Download; r++ {
			if tt.who.May(r) {
				got += "1"
			} else {
				got += "0"
			}
		}
		if got != tt.want {
			t.Errorf("%+v may %s, want %s", tt.who, got, tt.want)
		}
	}
}

func TestSees(t *testing.T) {
	t.Parallel()
	all, one, none := &Actor{}, &Actor{Databases: []string{"a"}}, &Actor{Databases: []string{}}
	if !all.Sees("b") || !one.Sees("a") || one.Sees("b") || none.Sees("a") || (*Actor)(nil).Sees("a") {
		t.Error("a token sees exactly the databases it was given")
	}
}

func TestLocalPath(t *testing.T) {
	t.Parallel()
	for _, next := range []string{"/", "/list?database=a&date=2026-11-23", "/databases/grove%20auth", "/jobs/1#x"} {
		if got := LocalPath(next); got != next {
			t.Errorf("LocalPath(%q) = %q", next, got)
		}
	}
	for _, next := range []string{
		"", "evil", "//evil", "///evil", `/\evil`, `\\evil`, "https://evil", "javascript:alert(1)", "/%5cevil", "/%2f/evil",
		"/\t/evil", "/\n//evil", "/a\\b", " /a", "/a b", "/%00", "/" + strings.Repeat("a", 3000), "http:/evil", "/%0d%0aSet-Cookie:x",
	} {
		if got := LocalPath(next); got != "/" {
			t.Errorf("LocalPath(%q) = %q", next, got)
		}
	}
}

func TestPassword(t *testing.T) {
	t.Parallel()
	hash, err := HashPassword("correct horse battery")
	if err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(hash, "$argon2id$v=19$m=19456,t=2,p=1$") {
		t.Errorf("hash is %s", hash)
	}
	if !CheckPassword("correct horse battery", hash) || CheckPassword("correct horse batterz", hash) || CheckPassword("anything", "") {
		t.Error("a password matches its own hash and no other")
	}
	for _, bad := range []string{"short", strings.Repeat("é", MinPassword-1), strings.Repeat("x", MaxPassword+1)} {
		if _, err := HashPassword(bad); err == nil {
			t.Errorf("%d characters were taken", len(bad))
		}
	}
}

func TestToken(t *testing.T) {
	t.Parallel()
	secret, sha, hint := NewToken()
	other, _, _ := NewToken()
	if !strings.HasPrefix(secret, TokenPrefix) || len(secret) < 40 || secret == other {
		t.Errorf("token is %d characters", len(secret))
	}
	if string(sha) != string(HashToken(secret)) || !strings.HasSuffix(secret, strings.TrimPrefix(hint, "…")) || len(hint) > 8 {
		t.Errorf("hint %q", hint)
	}
	if Hint("abc") != "…" {
		t.Error("a short secret was shown in its hint")
	}
}

func TestLimiter(t *testing.T) {
	t.Parallel()
	now := time.Unix(1_800_000_000, 0)
	l := NewLimiter(func() time.Time { return now })
	for i := range burstBoth {
		if ok, _ := l.Allow("192.0.2.1", "ada"); !ok {
			t.Fatalf("try %d was refused", i)
		}
	}
	ok, wait := l.Allow("192.0.2.1", "ADA")
	if ok || wait <= 0 || wait > refillBoth {
		t.Errorf("after the burst: %v, wait %v", ok, wait)
	}
	if ok, _ := l.Allow("192.0.2.2", "ada"); !ok {
		t.Error("somebody guessing elsewhere kept ada out")
	}
	now = now.Add(refillBoth)
	if ok, _ := l.Allow("192.0.2.1", "ada"); !ok {
		t.Error("no try came back: that is a lock-out")
	}
	l.Forget("192.0.2.1", "ada")
	if ok, _ := l.Allow("192.0.2.1", "ada"); !ok {
		t.Error("signing in gave no fresh bucket")
	}

	refused := 0
	for i := range 1000 { // one address, a thousand names
		if ok, _ := l.Allow("2001:db8::"+fmt.Sprintf("%x", i), fmt.Sprintf("name%d", i)); !ok {
			refused++
		}
	}
	if refused < 900 {
		t.Errorf("one /64 had %d tries at once", 1000-refused)
	}
	refused = 0
	for i := range 1000 { // a thousand addresses, one name
		if ok, _ := l.Allow(fmt.Sprintf("198.51.%d.%d", i/250, i%250), "grace"); !ok {
			refused++
		}
	}
	if refused < 900 {
		t.Errorf("one name had %d tries at once", 1000-refused)
	}
}

func TestLimiterMemory(t *testing.T) {
	t.Parallel()
	now := time.Unix(1_800_000_000, 0)
	l := NewLimiter(func() time.Time { return now })
	for i := range 3 * maxBuckets {
		l.Allow(fmt.Sprint("host", i), "x")
	}
	if len(l.buckets) > maxBuckets+3 {
		t.Errorf("%d buckets are kept", len(l.buckets))
	}
}
