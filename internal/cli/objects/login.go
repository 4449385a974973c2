package objects

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/moby/moby/api/types/registry"
	"github.com/spf13/cobra"

	"github.com/berth-containers/berth/internal/cli/auth"
	"github.com/berth-containers/berth/internal/cli/disk"
	"github.com/berth-containers/berth/internal/cli/env"
	"github.com/berth-containers/berth/internal/cli/name"
	"github.com/berth-containers/berth/internal/cli/terminal"
)

// LoginCommand is `login`.
func LoginCommand(e *env.Env) *cobra.Command {
	var user, password string
	var fromStdin bool
	cmd := &cobra.Command{
		Use: "login [OPTIONS] [SERVER]", Short: "Authenticate to a registry", Args: env.Between(0, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if fromStdin && cmd.Flags().Changed("password") {
				return errors.New("conflicting options: cannot specify both --password and --password-stdin")
			}
			if fromStdin && user == "" {
				return errors.New("the --password-stdin option requires --username to be set")
			}
			if fromStdin {
				b, err := io.ReadAll(io.LimitReader(e.In, 1<<20))
				if err != nil {
					return fmt.Errorf("read the password: %w", err)
				}
				password = strings.TrimRight(string(b), "\r\n")
			}
			server := name.Hub
			if len(args) == 1 {
				server = args[0]
			}
			return login(cmd, e, server, user, password)
		},
	}
	cmd.Flags().StringVarP(&user, "username", "u", "", "Username")
	cmd.Flags().StringVarP(&password, "password", "p", "", "Password")
	cmd.Flags().BoolVar(&fromStdin, "password-stdin", false, "Take the password from stdin")
	return cmd
}

func login(cmd *cobra.Command, e *env.Env, server, user, password string) error {
	config, err := auth.Load(e.ConfigDir)
	if err != nil {
		return err
	}
	if user, password, err = prompt(e, user, password); err != nil {
		return err
	}
	a := registry.AuthConfig{Username: user, Password: password, ServerAddress: auth.Server(server)}
	var answer registry.AuthResponse
	if err := e.Client.Post(cmd.Context(), "/auth", nil, a, &answer); err != nil {
		return err
	}
	if answer.IdentityToken != "" {
		a.Password, a.IdentityToken = "", answer.IdentityToken
	}
	plain, err := config.Store(cmd.Context(), server, a)
	if err != nil {
		return err
	}
	if plain {
		fmt.Fprintf(e.Err, "WARNING: the password is stored unencrypted in %s; a credential helper (credsStore) keeps it safe\n", config.Path())
	}
	if answer.Status == "" {
		answer.Status = "Login Succeeded"
	}
	fmt.Fprintln(e.Out, answer.Status)
	return nil
}

func prompt(e *env.Env, user, password string) (string, string, error) {
	if user != "" && password != "" {
		return user, password, nil
	}
	tty := terminal.Of(e.In)
	if tty == nil {
		return "", "", errors.New("cannot perform an interactive login from a non TTY device: give --username and --password-stdin")
	}
	if user == "" {
		fmt.Fprint(e.Err, "Username: ")
		line, err := bufio.NewReader(e.In).ReadString('\n')
		if err != nil {
			return "", "", fmt.Errorf("read the username: %w", err)
		}
		user = strings.TrimSpace(line)
	}
	if password == "" {
		fmt.Fprint(e.Err, "Password: ")
		line, err := terminal.ReadPassword(tty)
		fmt.Fprintln(e.Err)
		if err != nil {
			return "", "", fmt.Errorf("read the password: %w", err)
		}
		password = line
	}
	if user == "" || password == "" {
		return "", "", errors.New("username and password are required")
	}
	return user, password, nil
}

// LogoutCommand is `logout`.
func LogoutCommand(e *env.Env) *cobra.Command {
	return &cobra.Command{
		Use: "logout [SERVER]", Short: "Log out from a registry", Args: env.Between(0, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			server := name.Hub
			if len(args) == 1 {
				server = args[0]
			}
			config, err := auth.Load(e.ConfigDir)
			if err != nil {
				return err
			}
			found, err := config.Erase(cmd.Context(), server)
			switch {
			case err != nil:
				return err
			case !found:
				fmt.Fprintln(e.Out, "Not logged in to "+auth.Server(server))
			default:
				fmt.Fprintln(e.Out, "Removing login credentials for "+auth.Server(server))
			}
			return nil
		},
	}
}

// SystemGroup is `system …`.
func SystemGroup(e *env.Env) *cobra.Command {
	return env.Group("system", "Manage Berth", nil, InfoCommand(e), EventsCommand(e), disk.UsageCommand(e), disk.SystemPrune(e))
}

// BuilderGroup is `builder`, with the command build in it.
func BuilderGroup(e *env.Env, build *cobra.Command) *cobra.Command {
	return env.Group("builder", "Manage builds", nil, build, disk.BuilderPrune(e))
}
