package object

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/AutumnsGrove/Patina/backup"
)

// Exposed tells in words who could read an object, or see the list of all of
// them, without any credentials: "" for nobody. It asks as a stranger would, at
// the address that the bucket itself is asked at, and of a folder it looks at
// the rights. An address that the bucket has besides, as R2's r2.dev and domains
// of one's own, is not known here.
func Exposed(ctx context.Context, b Bucket, key string) (string, error) {
	switch b := b.(type) {
	case *folder:
		st, err := b.root.Stat(".")
		if err != nil {
			return "", fault("look at the folder", err)
		}
		if m := st.Mode().Perm(); m&0o005 != 0 {
			return fmt.Sprintf("every user of this machine may read the folder (its mode is %04o)", m), nil
		}
		return "", nil
	case *s3Bucket:
		at := "https://" + b.name + ".s3.amazonaws.com"
		if b.endpoint != "" {
			at = strings.TrimSuffix(b.endpoint, "/") + "/" + b.name
		}
		for _, what := range []struct{ address, words string }{
			{at + "/" + (&url.URL{Path: key}).EscapedPath(), "anybody may read its objects"},
			{at + "?list-type=2", "anybody may list its objects"},
		} {
			open, err := b.strangerMay(ctx, what.address)
			if err != nil || open {
				return what.words, err
			}
		}
	}
	return "", nil
}

// strangerMay tells whether a request without a signature is answered.
func (b *s3Bucket) strangerMay(ctx context.Context, address string) (bool, error) {
	ctx, cancel := context.WithTimeout(ctx, 15*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return false, backup.Errorf(backup.ErrInvalid, "the bucket's address cannot be asked")
	}
	res, err := b.http.Do(req)
	if err != nil {
		return false, b.fault("ask the bucket as a stranger", err)
	}
	defer res.Body.Close()
	_, _ = io.Copy(io.Discard, io.LimitReader(res.Body, 64<<10))
	return res.StatusCode >= 200 && res.StatusCode < 300, nil
}

// R2Domains gives the addresses at which anybody may read an R2 bucket: its
// r2.dev address and domains of one's own, where they are switched on. It asks
// Cloudflare's API ("" is the usual base) with an API token. Errors: ErrDenied
// for a token without the right to read R2's settings.
func R2Domains(ctx context.Context, base, token, bucket string, cfg Config) ([]string, error) {
	if base == "" {
		base = "https://api.cloudflare.com/client/v4"
	}
	at := strings.TrimSuffix(base, "/") + "/accounts/" + url.PathEscape(cfg.AccountID) + "/r2/buckets/" + url.PathEscape(bucket) + "/domains/"
	var managed struct {
		Domain  string
		Enabled bool
	}
	var custom struct {
		Domains []struct {
			Domain  string
			Enabled bool
		}
	}
	for path, into := range map[string]any{"managed": &managed, "custom": &custom} {
		if err := askR2(ctx, at+path, token, cfg, into); err != nil {
			return nil, err
		}
	}
	var open []string
	if managed.Enabled {
		open = append(open, managed.Domain)
	}
	for _, d := range custom.Domains {
		if d.Enabled {
			open = append(open, d.Domain)
		}
	}
	return open, nil
}

func askR2(ctx context.Context, address, token string, cfg Config, result any) error {
	ctx, cancel := context.WithTimeout(ctx, 15*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return backup.Errorf(backup.ErrInvalid, "Cloudflare's address cannot be asked")
	}
	req.Header.Set("Authorization", "Bearer "+token)
	if cfg.R2Jurisdiction != "" {
		req.Header.Set("Cf-R2-Jurisdiction", cfg.R2Jurisdiction)
	}
	client := http.DefaultClient
	if cfg.HTTPClient != nil {
		client = cfg.HTTPClient
	}
	res, err := client.Do(req)
	if err != nil {
		return backup.Errorf(backup.ErrUnavailable, "Cloudflare's API does not answer")
	}
	defer res.Body.Close()
	var body struct {
		Result json.RawMessage
	}
	err = json.NewDecoder(io.LimitReader(res.Body, 1<<20)).Decode(&body)
	switch {
	case res.StatusCode == http.StatusUnauthorized || res.StatusCode == http.StatusForbidden:
		return backup.Errorf(backup.ErrDenied, "the token may not read the settings of R2")
	case res.StatusCode != http.StatusOK || err != nil:
		return backup.Errorf(backup.ErrUnavailable, "Cloudflare's API answered %d when asked about the bucket's domains", res.StatusCode)
	}
	if err := json.Unmarshal(body.Result, result); err != nil {
		return backup.Errorf(backup.ErrUnavailable, "Cloudflare's answer about the bucket's domains cannot be read")
	}
	return nil
}
