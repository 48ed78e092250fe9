package main

import (
	"context"
	"fmt"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/AutumnsGrove/Patina/backup"
	"github.com/AutumnsGrove/Patina/store"
	"github.com/AutumnsGrove/Patina/web/auth"
)

func (a *app) tokenCommand() *cobra.Command {
	var useEmbedded bool
	cmd := &cobra.Command{Use: "token", Short: "The API tokens of programs", Args: noArgs}
	list := func(cmd *cobra.Command, _ []string) error {
		return a.withInstallation(cmd.Context(), useEmbedded, a.listTokens)
	}
	cmd.RunE = list
	listCmd := &cobra.Command{Use: "list", Short: "List the tokens; none is ever shown again", Args: noArgs, RunE: list}
	a.jsonFlag(cmd)
	a.jsonFlag(listCmd)
	embeddedFlag(cmd, &useEmbedded)
	revoke := &cobra.Command{
		Use: "revoke ID|NAME", Short: "End a token at once and for good", Args: exactly("ID|NAME"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.withInstallation(cmd.Context(), useEmbedded, func(ctx context.Context, in *installation) error {
				return revokeToken(ctx, in, args[0])
			})
		},
	}
	cmd.AddCommand(listCmd, a.tokenAddCommand(&useEmbedded), revoke)
	return cmd
}

// tokenOptions is what the flags of `patina token add` say.
type tokenOptions struct {
	role       string
	downloader bool
	databases  []string
	expires    time.Duration
}

func (a *app) tokenAddCommand(useEmbedded *bool) *cobra.Command {
	var o tokenOptions
	cmd := &cobra.Command{
		Use:   "add NAME",
		Short: "Make an API token; it is written to stdout, once",
		Args:  exactly("NAME"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if !store.Role(o.role).Valid() {
				return usagef("--role is %q, and must be viewer, operator or admin", o.role)
			}
			if o.expires < 0 {
				return usagef("--expires must not be negative")
			}
			return a.withInstallation(cmd.Context(), *useEmbedded, func(ctx context.Context, in *installation) error {
				return a.addToken(ctx, in, args[0], o)
			})
		},
	}
	cmd.Flags().StringVar(&o.role, "role", "viewer", "viewer, operator or admin")
	cmd.Flags().BoolVar(&o.downloader, "downloader", false, "may download what is inside the backups")
	cmd.Flags().StringSliceVar(&o.databases, "database", nil, "sees only this database; may be given more than once")
	cmd.Flags().DurationVar(&o.expires, "expires", 90*24*time.Hour, "ends after this time; 0 for never")
	a.jsonFlag(cmd)
	return cmd
}

func (a *app) addToken(ctx context.Context, in *installation, name string, o tokenOptions) error {
	secret, sha, hint := auth.NewToken()
	now := in.clock()
	t := store.Token{Name: name, SHA256: sha, Hint: hint, Role: store.Role(o.role), Downloader: o.downloader, CreatedBy: actor(), CreatedAt: now}
	for _, db := range o.databases {
		d, err := in.store.DatabaseByName(ctx, db)
		if err != nil {
			return err
		}
		t.Databases = append(t.Databases, d.ID)
	}
	if o.expires > 0 {
		at := now.Add(o.expires)
		t.ExpiresAt = &at
	}
	id, err := in.store.InsertToken(ctx, t)
	if err != nil {
		return err
	}
	if err := in.record(ctx, "token add", "token "+name, "done"); err != nil {
		return err
	}
	if a.json {
		return a.printJSON(map[string]any{"id": id, "name": name, "token": secret, "role": t.Role, "downloader": t.Downloader, "expires_at": t.ExpiresAt})
	}
	a.say("This is shown once; only its hash is kept.")
	_, err = fmt.Fprintln(a.out, secret)
	return err
}

func revokeToken(ctx context.Context, in *installation, what string) error {
	tokens, err := in.store.Tokens(ctx)
	if err != nil {
		return err
	}
	var found []store.Token
	for _, t := range tokens {
		if t.ID == what || t.Name == what && t.RevokedAt == nil {
			found = append(found, t)
		}
	}
	switch {
	case len(found) == 0:
		return backup.Errorf(backup.ErrNotFound, "there is no token %q that could be revoked", what)
	case len(found) > 1:
		return backup.Errorf(backup.ErrConflict, "%d tokens are called %q: name one by its id (patina token list)", len(found), what)
	}
	if err := in.store.RevokeToken(ctx, found[0].ID, in.clock()); err != nil {
		return err
	}
	return in.record(ctx, "token revoke", "token "+found[0].Name, "done")
}

type tokenJSON struct {
	ID         string     `json:"id"`
	Name       string     `json:"name"`
	Hint       string     `json:"hint"`
	Role       store.Role `json:"role"`
	Downloader bool       `json:"downloader"`
	Databases  []string   `json:"databases"` // ids; null for all
	CreatedBy  string     `json:"created_by"`
	CreatedAt  time.Time  `json:"created_at"`
	ExpiresAt  *time.Time `json:"expires_at"`
	LastUsedAt *time.Time `json:"last_used_at"`
	RevokedAt  *time.Time `json:"revoked_at"`
}

func (a *app) listTokens(ctx context.Context, in *installation) error {
	tokens, err := in.store.Tokens(ctx)
	if err != nil {
		return err
	}
	if a.json {
		out := make([]tokenJSON, len(tokens))
		for i, t := range tokens {
			out[i] = tokenJSON{t.ID, t.Name, t.Hint, t.Role, t.Downloader, t.Databases, t.CreatedBy, t.CreatedAt.UTC(), t.ExpiresAt, t.LastUsedAt, t.RevokedAt}
		}
		return a.printJSON(map[string]any{"tokens": out})
	}
	if len(tokens) == 0 {
		a.say("There is no token. `patina token add NAME --role operator` makes one.")
		return nil
	}
	w := tabwriter.NewWriter(a.out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "NAME\tHINT\tRIGHTS\tSTATE\tID")
	for _, t := range tokens {
		rights := []string{string(t.Role)}
		if t.Downloader {
			rights = append(rights, "downloader")
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\n", printable(t.Name), t.Hint, strings.Join(rights, ", "), tokenState(t, in.clock()), t.ID)
	}
	return w.Flush()
}

func tokenState(t store.Token, now time.Time) string {
	switch {
	case t.RevokedAt != nil:
		return "revoked"
	case t.ExpiresAt == nil:
		return "valid"
	case !now.Before(*t.ExpiresAt):
		return "expired"
	}
	return "valid until " + t.ExpiresAt.UTC().Format(time.DateOnly)
}
