package alert

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/AutumnsGrove/Patina/backup"
)

// secretPrefix marks a signing secret, as Standard Webhooks writes it.
const secretPrefix = "whsec_"

// NewSigningSecret makes a secret of 32 random bytes, in the form that the
// libraries of Standard Webhooks take.
func NewSigningSecret() string {
	b := make([]byte, 32)
	_, _ = rand.Read(b) // never fails
	return secretPrefix + base64.StdEncoding.EncodeToString(b)
}

// Sign gives the header webhook-signature: one signature a secret, so that a
// receiver may change over in its own time.
func Sign(id string, at time.Time, body []byte, secrets ...string) (string, error) {
	var out []string
	for _, s := range secrets {
		key, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(s, secretPrefix))
		if err != nil || len(key) < 16 {
			return "", backup.Errorf(backup.ErrInvalid, "the signing secret is not %s and base64", secretPrefix)
		}
		mac := hmac.New(sha256.New, key)
		_, _ = mac.Write([]byte(id + "." + strconv.FormatInt(at.Unix(), 10) + "."))
		_, _ = mac.Write(body)
		out = append(out, "v1,"+base64.StdEncoding.EncodeToString(mac.Sum(nil)))
	}
	return strings.Join(out, " "), nil
}

// sign sets the three headers of Standard Webhooks.
func sign(h http.Header, id string, at time.Time, body []byte, secrets []string) error {
	signature, err := Sign(id, at, body, secrets...)
	if err != nil {
		return err
	}
	h.Set("Webhook-Id", id)
	h.Set("Webhook-Timestamp", strconv.FormatInt(at.Unix(), 10))
	h.Set("Webhook-Signature", signature)
	return nil
}
