package main

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/AutumnsGrove/Patina/backup"
	"github.com/AutumnsGrove/Patina/store"
	"github.com/AutumnsGrove/Patina/web/auth"
)

func (a *app) userCommand() *cobra.Command {
	var useEmbedded bool
	cmd := &cobra.Command{Use: "user", Short: "The people who may sign in", Args: noArgs}
	list := func(cmd *cobra.Command, _ []string) error {
		return a.withInstallation(cmd.Context(), useEmbedded, a.listUsers)
	}
	cmd.RunE = list
	listCmd := &cobra.Command{Use: "list", Short: "List everybody", Args: noArgs, RunE: list}
	a.jsonFlag(cmd)
	a.jsonFlag(listCmd)
	embeddedFlag(cmd, &useEmbedded)

	change := func(use, short string, f func(context.Context, *installation, store.User) error) *cobra.Command {
		return &cobra.Command{
			Use: use + " NAME", Short: short, Args: exactly("NAME"),
			RunE: func(cmd *cobra.Command, args []string) error {
				return a.withInstallation(cmd.Context(), useEmbedded, func(ctx context.Context, in *installation) error {
					u, err := in.store.UserByName(ctx, args[0])
					if err != nil {
						return err
					}
					if err := f(ctx, in, u); err != nil {
						return err
					}
					return in.record(ctx, "user "+use, "user "+u.Name, "done")
				})
			},
		}
	}
	revoke := change("revoke", "Shut a person out and end every session", func(ctx context.Context, in *installation, u store.User) error {
		return in.store.DisableUser(ctx, u.ID, in.clock())
	})
	enable := change("enable", "Let a person in again", func(ctx context.Context, in *installation, u store.User) error {
		return in.store.EnableUser(ctx, u.ID)
	})
	var fromStdin bool
	password := change("password", "Give a person a new password and end every session", func(ctx context.Context, in *installation, u store.User) error {
		hash, err := a.askPassword(fromStdin)
		if err != nil {
			return err
		}
		return in.store.SetPassword(ctx, u.ID, hash)
	})
	passwordFlag(password, &fromStdin)
	cmd.AddCommand(listCmd, a.userAddCommand(&useEmbedded), revoke, enable, password)
	return cmd
}

func passwordFlag(cmd *cobra.Command, v *bool) {
	cmd.Flags().BoolVar(v, "password-stdin", false, "read the password from the first line of stdin instead of asking")
}

func (a *app) userAddCommand(useEmbedded *bool) *cobra.Command {
	var role string
	var downloader, fromStdin bool
	cmd := &cobra.Command{
		Use:   "add NAME",
		Short: "Add a person",
		Long: `Adds a person. Roles: viewer sees what is stored and how it went; operator also
starts backups; admin also manages people, tokens and settings. The right to
download what is inside a backup is granted apart, with --downloader.`,
		Args: exactly("NAME"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if !store.Role(role).Valid() {
				return usagef("--role is %q, and must be viewer, operator or admin", role)
			}
			if !auth.ValidName(args[0]) {
				return usagef("a name has 1 to 64 letters, digits, dots, hyphens, underscores, + or @")
			}
			return a.withInstallation(cmd.Context(), *useEmbedded, func(ctx context.Context, in *installation) error {
				hash, err := a.askPassword(fromStdin)
				if err != nil {
					return err
				}
				u := store.User{Name: args[0], PasswordHash: hash, Role: store.Role(role), Downloader: downloader, CreatedAt: in.clock()}
				if _, err := in.store.InsertUser(ctx, u); err != nil {
					return err
				}
				a.say("%s may sign in as %s.", u.Name, u.Role)
				return in.record(ctx, "user add", "user "+u.Name, "done")
			})
		},
	}
	cmd.Flags().StringVar(&role, "role", "viewer", "viewer, operator or admin")
	cmd.Flags().BoolVar(&downloader, "downloader", false, "may download what is inside the backups")
	passwordFlag(cmd, &fromStdin)
	return cmd
}

// askPassword gives the hash of a password, asked for twice on a terminal.
func (a *app) askPassword(fromStdin bool) (string, error) {
	if fromStdin {
		text, err := bufio.NewReader(a.in).ReadString('\n')
		if err != nil && text == "" {
			return "", backup.Errorf(backup.ErrInvalid, "stdin holds no password")
		}
		return auth.HashPassword(strings.TrimRight(text, "\r\n"))
	}
	f, ok := a.in.(*os.File)
	if !ok || !isTerminal(f) {
		return "", usagef("there is no terminal to ask for a password: give --password-stdin")
	}
	ask := func(prompt string) (string, error) {
		fmt.Fprint(a.err, prompt)
		b, err := term.ReadPassword(int(f.Fd()))
		fmt.Fprintln(a.err)
		return string(b), err
	}
	first, err := ask("Password: ")
	if err != nil {
		return "", err
	}
	hash, err := auth.HashPassword(first)
	if err != nil {
		return "", err
	}
	second, err := ask("Once more: ")
	if err == nil && second != first {
		err = backup.Errorf(backup.ErrInvalid, "the two passwords differ; nothing was changed")
	}
	return hash, err
}

type userJSON struct {
	Name         string     `json:"name"`
	Role         store.Role `json:"role"`
	Downloader   bool       `json:"downloader"`
	CreatedAt    time.Time  `json:"created_at"`
	LastSignInAt *time.Time `json:"last_sign_in_at"`
	DisabledAt   *time.Time `json:"disabled_at"`
}

func (a *app) listUsers(ctx context.Context, in *installation) error {
	users, err := in.store.Users(ctx)
	if err != nil {
		return err
	}
	if a.json {
		out := make([]userJSON, len(users))
		for i, u := range users {
			out[i] = userJSON{u.Name, u.Role, u.Downloader, u.CreatedAt.UTC(), u.LastSignInAt, u.DisabledAt}
		}
		return a.printJSON(map[string]any{"users": out})
	}
	if len(users) == 0 {
		a.say("Nobody can sign in yet. `patina user add NAME --role admin --downloader` adds the first admin.")
		return nil
	}
	w := tabwriter.NewWriter(a.out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "NAME\tROLE\tDOWNLOADS\tLAST SIGN-IN\tSTATE")
	for _, u := range users {
		state, last := "active", "never"
		if u.DisabledAt != nil {
			state = "revoked"
		}
		if u.LastSignInAt != nil {
			last = u.LastSignInAt.UTC().Format(time.RFC3339)
		}
		fmt.Fprintf(w, "%s\t%s\t%t\t%s\t%s\n", u.Name, u.Role, u.Downloader, last, state)
	}
	return w.Flush()
}
