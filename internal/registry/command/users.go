package command

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"
	"text/tabwriter"

	"github.com/containerd/errdefs"
	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/berth-containers/berth/internal/registry/rights"
)

func newUser(o *options) *cobra.Command {
	cmd := &cobra.Command{Use: "user", Short: "Add, remove and list users"}
	var actions, password string
	var fromStdin bool
	add := &cobra.Command{
		Use: "add NAME [REPOSITORY…]", Short: "Add a user, or give one a new password",
		Long: "Add a user who may do what --allow says in the repositories: names, or patterns such as team/*, or ** for all.\nWithout --password-stdin and a terminal, a password is made and printed.",
		Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) (err error) {
			made := false
			switch {
			case fromStdin:
				password, err = readPassword(cmd.InOrStdin())
			case term.IsTerminal(int(os.Stdin.Fd())):
				password, err = askPassword(cmd.ErrOrStderr())
			default:
				password, made = rights.NewSecret(), true
			}
			if err != nil {
				return err
			}
			if err := o.prepare(); err != nil {
				return err
			}
			if err := rights.AddUser(o.rightsFile(), args[0], password, actions, args[1:]); err != nil {
				return err
			}
			if made {
				printf(cmd.OutOrStdout(), "%s\n", password)
			}
			if len(args) == 1 {
				printf(cmd.ErrOrStderr(), "%s has no rights from this: name repositories, or write an allow line in %s\n", args[0], o.rightsFile())
			}
			return nil
		},
	}
	add.Flags().StringVar(&actions, "allow", "all", "what the user may do there: pull, push, delete or all, with commas")
	add.Flags().BoolVar(&fromStdin, "password-stdin", false, "read the password from standard input")
	cmd.AddCommand(add, newRemove(o, "user"), newList(o))
	return cmd
}

func newKey(o *options) *cobra.Command {
	cmd := &cobra.Command{Use: "key", Short: "Add, remove and list deploy keys, which can only pull"}
	add := &cobra.Command{
		Use: "add NAME REPOSITORY…", Short: "Add a deploy key and print its secret", Args: cobra.MinimumNArgs(2),
		Long: "Add a key that can pull from these repositories and never do more. To use it, log in with its name and its secret.",
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := o.prepare(); err != nil {
				return err
			}
			secret, err := rights.AddKey(o.rightsFile(), args[0], args[1:])
			if err != nil {
				return err
			}
			printf(cmd.OutOrStdout(), "%s\n", secret)
			return nil
		},
	}
	cmd.AddCommand(add, newRemove(o, "key"), newList(o))
	return cmd
}

func newRemove(o *options, what string) *cobra.Command {
	return &cobra.Command{
		Use: "rm NAME", Short: "Remove a " + what + " and its rights", Args: cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error { return rights.Remove(o.rightsFile(), args[0]) },
	}
}

func newList(o *options) *cobra.Command {
	return &cobra.Command{
		Use: "list", Aliases: []string{"ls"}, Short: "List who there is and what they may do", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			entries, err := rights.List(o.rightsFile())
			if errors.Is(err, fs.ErrNotExist) {
				printf(cmd.ErrOrStderr(), "there is no rights file %s: everybody may do everything\n", o.rightsFile())
				return nil
			}
			if err != nil {
				return err
			}
			w := tabwriter.NewWriter(cmd.OutOrStdout(), 0, 8, 2, ' ', 0)
			printf(w, "NAME\tKIND\tMAY\n")
			for _, e := range entries {
				printf(w, "%s\t%s\t%s\n", e.Name, e.Kind, strings.Join(e.Rules, "; "))
			}
			return w.Flush()
		},
	}
}

// maxInput is far more than bcrypt takes.
const maxInput = 4 << 10

func readPassword(in io.Reader) (string, error) {
	line, err := bufio.NewReader(io.LimitReader(in, maxInput)).ReadString('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		return "", fmt.Errorf("read the password: %w", err)
	}
	if line = strings.TrimRight(line, "\r\n"); line == "" {
		return "", errdefs.ErrInvalidArgument.WithMessage("the password is empty")
	}
	return line, nil
}

func askPassword(out io.Writer) (string, error) {
	var lines [2]string
	for i, prompt := range []string{"Password: ", "Again: "} {
		printf(out, "%s", prompt)
		b, err := term.ReadPassword(int(os.Stdin.Fd()))
		printf(out, "\n")
		if err != nil {
			return "", fmt.Errorf("read the password: %w", err)
		}
		lines[i] = string(b)
	}
	switch {
	case lines[0] != lines[1]:
		return "", errdefs.ErrInvalidArgument.WithMessage("the passwords are not the same")
	case lines[0] == "":
		return "", errdefs.ErrInvalidArgument.WithMessage("the password is empty")
	}
	return lines[0], nil
}
