package objects

import (
	"fmt"
	"io"
	"runtime"
	"strings"

	"github.com/moby/moby/api/types/system"
	"github.com/spf13/cobra"

	"github.com/berth-containers/berth/internal/cli/client"
	"github.com/berth-containers/berth/internal/cli/env"
	"github.com/berth-containers/berth/internal/cli/format"
	"github.com/berth-containers/berth/internal/version"
)

type clientVersion struct {
	Platform          struct{ Name string }
	Version           string
	APIVersion        string `json:"ApiVersion"`
	DefaultAPIVersion string
	GitCommit         string
	GoVersion         string
	Os                string
	Arch              string
	BuildTime         string
	Context           string
}

type versions struct {
	Client clientVersion
	Server *system.VersionResponse
}

// ServerOK is whether the engine answered; templates ask.
func (v versions) ServerOK() bool { return v.Server != nil }

// VersionCommand is `version`.
func VersionCommand(e *env.Env) *cobra.Command {
	var layout string
	cmd := &cobra.Command{
		Use: "version [OPTIONS]", Short: "Show the Berth version information", Args: env.Exactly(0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			var v versions
			var server system.VersionResponse
			err := e.Client.Get(cmd.Context(), "/version", nil, &server)
			if err == nil {
				v.Server = &server
			}
			v.Client = clientVersion{Version: version.Version, APIVersion: e.Client.Version(), DefaultAPIVersion: client.NewestVersion,
				GoVersion: runtime.Version(), Os: runtime.GOOS, Arch: runtime.GOARCH, Context: "default"}
			v.Client.Platform.Name = "Berth"
			if layout != "" {
				if printed := format.Object(e.Out, layout, v); printed != nil && err == nil {
					return printed
				}
				return err
			}
			printVersions(e.Out, v)
			return err
		},
	}
	cmd.Flags().StringVarP(&layout, "format", "f", "", format.Usage)
	return cmd
}

func printVersions(w io.Writer, v versions) {
	line := func(indent, name, value string) {
		if value != "" {
			fmt.Fprintf(w, "%s%-18s%s\n", indent, name+":", value)
		}
	}
	fmt.Fprintln(w, "Client: Berth")
	line(" ", "Version", v.Client.Version)
	line(" ", "API version", v.Client.APIVersion)
	line(" ", "Go version", v.Client.GoVersion)
	line(" ", "OS/Arch", v.Client.Os+"/"+v.Client.Arch)
	s := v.Server
	if s == nil {
		return
	}
	fmt.Fprintln(w, strings.TrimSpace("\nServer: "+s.Platform.Name))
	if len(s.Components) == 0 {
		line(" ", "Version", s.Version)
		line(" ", "API version", s.APIVersion)
		return
	}
	for _, c := range s.Components {
		fmt.Fprintf(w, " %s:\n", c.Name)
		line("  ", "Version", c.Version)
		if c.Name == "Engine" {
			line("  ", "API version", fmt.Sprintf("%s (minimum version %s)", s.APIVersion, s.MinAPIVersion))
			line("  ", "Go version", s.GoVersion)
			line("  ", "Git commit", s.GitCommit)
			line("  ", "Built", s.BuildTime)
			line("  ", "OS/Arch", s.Os+"/"+s.Arch)
			continue
		}
		line("  ", "GitCommit", c.Details["GitCommit"])
	}
}
