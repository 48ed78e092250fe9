package main

import (
	"strings"
	"testing"

	"github.com/AutumnsGrove/Patina/jobs"
	"github.com/AutumnsGrove/Patina/store/storetest"
)

func TestMigrate(t *testing.T) {
	t.Parallel()
	e := env{"DATABASE_URL": storetest.EmptyURL(t), "PATINA_DATA": t.TempDir()}
	has(t, patina(t, e, "list").want(t, exitError).err, "migrations", "patina migrate")
	has(t, patina(t, e, "migrate", "status").want(t, exitDone).out, "waiting")
	patina(t, e, "migrate").want(t, exitDone)
	patina(t, e, "migrate", "up").want(t, exitDone)
	var status struct {
		Migrations []struct {
			Version   int64  `json:"version"`
			AppliedAt string `json:"applied_at"`
		} `json:"migrations"`
		Queue []struct{ Applied bool } `json:"queue"`
	}
	decode(t, patina(t, e, "migrate", "status", "--json").want(t, exitDone).out, &status)
	if len(status.Migrations) == 0 || status.Migrations[0].AppliedAt == "" || len(status.Queue) == 0 || !status.Queue[len(status.Queue)-1].Applied {
		t.Errorf("%+v", status)
	}
	patina(t, e, "list").want(t, exitDone)
}

func TestUsers(t *testing.T) {
	t.Parallel()
	e := env{"DATABASE_URL": storetest.NewURL(t, jobs.Migrate), "PATINA_DATA": t.TempDir()}
	has(t, patina(t, e, "user").want(t, exitDone).err, "Nobody can sign in yet")
	add := func(password string, args ...string) answer {
		return patinaIn(t, e, password+"\n", append([]string{"user", "add", "--password-stdin"}, args...)...)
	}
	has(t, add("short", "ada").want(t, exitError).err, "at least 12 characters")
	add("correct horse battery", "ada", "--role", "admin", "--downloader").want(t, exitDone)
	add("correct horse battery", "Ada").want(t, exitError)
	add("another long password", "bob").want(t, exitDone)
	if a := patina(t, e, "user", "add", "eve").want(t, exitUsage); !strings.Contains(a.err, "--password-stdin") {
		t.Errorf("without a terminal it should say how to give a password:\n%s", a.err)
	}
	has(t, patina(t, e, "user", "revoke", "ada").want(t, exitError).err, "only admin")
	patina(t, e, "user", "revoke", "bob").want(t, exitDone)
	patina(t, e, "user", "revoke", "nobody").want(t, exitError)
	patinaIn(t, e, "yet another password\n", "user", "password", "ada", "--password-stdin").want(t, exitDone)

	var list struct {
		Users []struct {
			Name, Role string
			Downloader bool
			DisabledAt *string `json:"disabled_at"`
		}
	}
	text := patina(t, e, "user", "list", "--json").want(t, exitDone).out
	decode(t, text, &list)
	if len(list.Users) != 2 || list.Users[0].Name != "ada" || !list.Users[0].Downloader || list.Users[1].DisabledAt == nil {
		t.Errorf("%s", text)
	}
	if strings.Contains(text, "argon2id") {
		t.Errorf("a password's hash shows:\n%s", text)
	}
	patina(t, e, "user", "enable", "bob").want(t, exitDone)
	has(t, patina(t, e, "user").want(t, exitDone).out, "bob", "active")
}

func TestTokens(t *testing.T) {
	t.Parallel()
	e := env{"DATABASE_URL": storetest.NewURL(t, jobs.Migrate), "PATINA_DATA": t.TempDir()}
	secret := strings.TrimSpace(patina(t, e, "token", "add", "ci", "--role", "operator").want(t, exitDone).out)
	if !strings.HasPrefix(secret, "patina_") || strings.ContainsAny(secret, " \n") {
		t.Fatalf("stdout should hold the token alone: %q", secret)
	}
	patina(t, e, "token", "add", "other", "--expires", "1ns").want(t, exitDone)
	patina(t, e, "token", "add", "x", "--database", "nowhere").want(t, exitError)
	listed := patina(t, e, "token", "list").want(t, exitDone).out
	has(t, listed, "ci", "operator", "valid until", "expired")
	if strings.Contains(listed, secret) {
		t.Error("a token is shown again")
	}
	patina(t, e, "token", "revoke", "ci").want(t, exitDone)
	has(t, patina(t, e, "token", "revoke", "ci").want(t, exitError).err, "no token")
	has(t, patina(t, e, "token").want(t, exitDone).out, "revoked")
}

func TestBackupWithoutAWorker(t *testing.T) {
	t.Parallel()
	e := env{"DATABASE_URL": storetest.NewURL(t, jobs.Migrate), "PATINA_DATA": t.TempDir()}
	has(t, patina(t, e, "backup", "--all").want(t, exitError).err, "databases sync")
	has(t, patina(t, e, "backup", "nowhere").want(t, exitError).err, "nowhere", "nothing was started")
	has(t, patina(t, e, "databases").want(t, exitDone).err, "registry is empty")
	has(t, patina(t, e, "download", "nowhere").want(t, exitError).err, "nowhere")
}
