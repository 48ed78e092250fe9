package auth

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"net/http"
	"net/url"

	"github.com/jackc/pgx/v5"
	"github.com/labstack/echo/v4"

	"github.com/AutumnsGrove/Patina/backup"
	"github.com/AutumnsGrove/Patina/store"
	"github.com/AutumnsGrove/Patina/web/ui"
)

// setupSetting is the setting that makes the one-time link unlike any earlier one.
const setupSetting = "first_admin_nonce"

// FirstRun tells whether there is nobody yet who could sign in.
func (s *Service) FirstRun(ctx context.Context) (bool, error) {
	n, err := s.store.CountUsers(ctx)
	return n == 0, err
}

// SetupPath gives the link by which the first admin is made, for the log: ""
// as soon as there is a user. It is the same for every process.
func (s *Service) SetupPath(ctx context.Context) (string, error) {
	first, err := s.FirstRun(ctx)
	if err != nil || !first {
		return "", err
	}
	key, err := s.setupKey(ctx)
	if err != nil {
		return "", err
	}
	return "/setup?key=" + url.QueryEscape(key), nil
}

func (s *Service) setupKey(ctx context.Context) (string, error) {
	var nonce string
	found, err := s.store.Setting(ctx, setupSetting, &nonce)
	if err != nil {
		return "", err
	}
	if !found {
		if nonce, err = s.newNonce(ctx); err != nil {
			return "", err
		}
	}
	mac := hmac.New(sha256.New, s.secret)
	mac.Write([]byte("first admin\x00" + nonce))
	return base64.RawURLEncoding.EncodeToString(mac.Sum(nil)), nil
}

// newNonce keeps a new nonce, or gives the one that another process kept first.
func (s *Service) newNonce(ctx context.Context) (nonce string, err error) {
	err = s.store.InTx(ctx, func(_ pgx.Tx, tx *store.Store) error {
		if err := tx.LockUsers(ctx); err != nil {
			return err
		}
		found, err := tx.Setting(ctx, setupSetting, &nonce)
		if err != nil || found {
			return err
		}
		nonce = rand.Text()
		return tx.SetSetting(ctx, setupSetting, nonce)
	})
	return nonce, err
}

// checkSetup refuses, as not found, a link that is not the one, and every link
// once there is a user. The key has 256 bits, so guessing needs no brake.
func (s *Service) checkSetup(c echo.Context, key string) error {
	first, err := s.FirstRun(c.Request().Context())
	if err != nil {
		return err
	}
	gone := backup.Errorf(backup.ErrNotFound, "This link is not valid, or has been used. The log of a start without any user shows the one that is.")
	if !first {
		return gone
	}
	want, err := s.setupKey(c.Request().Context())
	if err != nil {
		return err
	}
	if !hmac.Equal([]byte(key), []byte(want)) {
		return gone
	}
	return nil
}

// SetupForm is GET /setup.
func (s *Service) SetupForm(c echo.Context) error {
	key := c.QueryParam("key")
	if err := s.checkSetup(c, key); err != nil {
		return err
	}
	return ui.Render(c, http.StatusOK, setupPage(ui.Chrome{Title: "First admin", Plain: true}, "", "", key))
}

// Setup is POST /setup: it makes the first admin, who may also download, and
// signs them in.
func (s *Service) Setup(c echo.Context) error {
	ctx, key, name, password := c.Request().Context(), c.Request().PostFormValue("key"), c.Request().PostFormValue("name"), c.Request().PostFormValue("password")
	if err := s.checkSetup(c, key); err != nil {
		return err
	}
	again := func(problem string) error {
		if ui.FaceOf(c.Request()) == ui.JSON {
			return backup.Errorf(backup.ErrInvalid, "%s", problem)
		}
		return ui.Render(c, http.StatusBadRequest, setupPage(ui.Chrome{Title: "First admin", Plain: true}, problem, name, key))
	}
	if !ValidName(name) {
		return again("A name has 1 to 64 letters, digits, dots, hyphens, underscores or @.")
	}
	hash, err := HashPassword(password)
	if err != nil {
		return again("A password has at least 12 characters.")
	}
	var u store.User
	err = s.store.InTx(ctx, func(_ pgx.Tx, tx *store.Store) error {
		if err := tx.LockUsers(ctx); err != nil {
			return err
		}
		n, err := tx.CountUsers(ctx)
		if err != nil {
			return err
		}
		if n > 0 {
			return backup.Errorf(backup.ErrNotFound, "Somebody else has used this link.")
		}
		u = store.User{Name: name, PasswordHash: hash, Role: "admin", Downloader: true, Epoch: 1, CreatedAt: s.clock()}
		if u.ID, err = tx.InsertUser(ctx, u); err != nil {
			return err
		}
		return tx.DeleteSetting(ctx, setupSetting)
	})
	if err != nil {
		return err
	}
	if err := errors.Join(s.record(c, name, "first admin", "user "+name, "made", ""), s.begin(c, u, byLink)); err != nil {
		return err
	}
	return ui.Go(c, "/")
}
