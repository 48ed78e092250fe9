package d1

import (
	"cmp"
	"context"
	"fmt"
	"net/http"
	"slices"
	"time"

	api "github.com/cloudflare/cloudflare-go/v7/d1"
	"github.com/cloudflare/cloudflare-go/v7/option"

	"github.com/AutumnsGrove/Patina/backup"
)

// Info is what the account says of a database.
type Info struct {
	ID        string    `json:"uuid"`
	Name      string    `json:"name"`
	Version   string    `json:"version"`
	CreatedAt time.Time `json:"created_at"`
	Tables    int       `json:"num_tables"` // 0 in a list
	Size      int64     `json:"file_size"`  // bytes; 0 in a list
}

// perPage is how many databases one answer of a list carries.
const perPage = 100

// maxPages bounds a list: an account has at most 50,000 databases.
const maxPages = 1000

// List gives every database of the account, sorted by name.
func (c *Client) List(ctx context.Context) ([]Info, error) {
	var all []Info
	for page := 1; ; page++ {
		if page > maxPages {
			return nil, backup.Errorf(backup.ErrUnavailable, "the list of databases does not end")
		}
		var p api.DatabaseListParams
		p.AccountID.Value, p.AccountID.Present = c.cfg.AccountID, true
		p.Page.Value, p.Page.Present = float64(page), true
		p.PerPage.Value, p.PerPage.Present = perPage, true
		e, err := small[[]Info](ctx, c, "list databases", "", true, func(ctx context.Context, opts ...option.RequestOption) error {
			_, err := c.service.List(ctx, p, opts...)
			return err
		})
		if err != nil {
			return nil, err
		}
		if e.Result == nil {
			return nil, lacks("the list", "list databases", "")
		}
		all = append(all, e.Result...)
		if total := e.ResultInfo.TotalCount; len(e.Result) == 0 || total > 0 && len(all) >= total || total == 0 && len(e.Result) < perPage {
			if len(all) < total { // a list that came short would look like databases that are gone
				return nil, named(&Error{Status: http.StatusOK, Message: fmt.Sprintf("%d of %d databases were listed", len(all), total), garbled: true}, "list databases", "")
			}
			break
		}
	}
	slices.SortFunc(all, func(a, b Info) int { return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.ID, b.ID)) })
	return slices.CompactFunc(all, func(a, b Info) bool { return a.ID == b.ID }), nil
}

// Get gives one database, with its size.
func (c *Client) Get(ctx context.Context, id string) (Info, error) {
	var p api.DatabaseGetParams
	p.AccountID.Value, p.AccountID.Present = c.cfg.AccountID, true
	e, err := small[Info](ctx, c, "look up", id, true, func(ctx context.Context, opts ...option.RequestOption) error {
		_, err := c.service.Get(ctx, id, p, opts...)
		return err
	})
	if err == nil && e.Result.ID == "" {
		err = lacks("the database", "look up", id)
	}
	return e.Result, err
}

// lacks is an answer that says it succeeded and does not hold what was asked.
func lacks(what, op, id string) error {
	return named(&Error{Status: http.StatusOK, Message: "the answer succeeded and lacks " + what, garbled: true}, op, id)
}

// CreateOptions says where a new database lies; "" leaves it to Cloudflare.
type CreateOptions struct {
	LocationHint string
	Jurisdiction string
}

// Create makes an empty database. It is sent once.
func (c *Client) Create(ctx context.Context, name string, o CreateOptions) (Info, error) {
	var p api.DatabaseNewParams
	p.AccountID.Value, p.AccountID.Present = c.cfg.AccountID, true
	body, err := c.body(struct {
		Name         string `json:"name"`
		LocationHint string `json:"primary_location_hint,omitempty"`
		Jurisdiction string `json:"jurisdiction,omitempty"`
	}{name, o.LocationHint, o.Jurisdiction})
	if err != nil {
		return Info{}, err
	}
	e, err := small[Info](ctx, c, "create database", "", false, func(ctx context.Context, opts ...option.RequestOption) error {
		_, err := c.service.New(ctx, p, append(opts, body)...)
		return err
	})
	if err == nil && e.Result.ID == "" {
		err = lacks("the database", "create database", "")
	}
	return e.Result, err
}

// Delete removes a database for good. It is sent once.
func (c *Client) Delete(ctx context.Context, id string) error {
	var p api.DatabaseDeleteParams
	p.AccountID.Value, p.AccountID.Present = c.cfg.AccountID, true
	_, err := small[any](ctx, c, "delete database", id, false, func(ctx context.Context, opts ...option.RequestOption) error {
		_, err := c.service.Delete(ctx, id, p, opts...)
		return err
	})
	return err
}

// Bookmark gives the Time Travel bookmark of a moment; the zero time is now.
func (c *Client) Bookmark(ctx context.Context, id string, at time.Time) (string, error) {
	var p api.DatabaseTimeTravelGetBookmarkParams
	p.AccountID.Value, p.AccountID.Present = c.cfg.AccountID, true
	if !at.IsZero() {
		p.Timestamp.Value, p.Timestamp.Present = at.UTC(), true
	}
	e, err := small[struct {
		Bookmark string `json:"bookmark"`
	}](ctx, c, "bookmark", id, true, func(ctx context.Context, opts ...option.RequestOption) error {
		_, err := c.service.TimeTravel.GetBookmark(ctx, id, p, opts...)
		return err
	})
	if err == nil && e.Result.Bookmark == "" {
		err = lacks("the bookmark", "bookmark", id)
	}
	return e.Result.Bookmark, err
}

// RestoreBookmark puts a database back to a bookmark, and gives the bookmark of
// what it held just before. It is sent once.
func (c *Client) RestoreBookmark(ctx context.Context, id, bookmark string) (previous string, err error) {
	var p api.DatabaseTimeTravelRestoreParams
	p.AccountID.Value, p.AccountID.Present = c.cfg.AccountID, true
	p.Bookmark.Value, p.Bookmark.Present = bookmark, true
	e, err := small[struct {
		Previous string `json:"previous_bookmark"`
	}](ctx, c, "restore to a bookmark", id, false, func(ctx context.Context, opts ...option.RequestOption) error {
		_, err := c.service.TimeTravel.Restore(ctx, id, p, opts...)
		return err
	})
	return e.Result.Previous, err
}
