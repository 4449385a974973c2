package objects

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/docker/go-units"
	"github.com/moby/moby/api/types/system"
	"github.com/spf13/cobra"

	"github.com/berth-containers/berth/internal/cli/env"
	"github.com/berth-containers/berth/internal/cli/format"
	"github.com/berth-containers/berth/internal/version"
)

// InfoCommand is `info`.
func InfoCommand(e *env.Env) *cobra.Command {
	var layout string
	cmd := &cobra.Command{
		Use: "info [OPTIONS]", Short: "Display system-wide information", Args: env.Exactly(0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			var i system.Info
			if err := e.Client.Get(cmd.Context(), "/info", nil, &i); err != nil {
				return err
			}
			if layout != "" {
				return format.Object(e.Out, layout, i)
			}
			printInfo(e.Out, i)
			for _, w := range i.Warnings {
				fmt.Fprintln(e.Err, w)
			}
			return nil
		},
	}
	cmd.Flags().StringVarP(&layout, "format", "f", "", format.Usage)
	return cmd
}

func printInfo(w io.Writer, i system.Info) {
	line := func(name string, value any) {
		if text := fmt.Sprint(value); text != "" {
			fmt.Fprintf(w, " %s: %s\n", name, text)
		}
	}
	fmt.Fprintf(w, "Client: Berth\n Version: %s\n\nServer:\n", version.Version)
	line("Containers", i.Containers)
	line(" Running", i.ContainersRunning)
	line(" Paused", i.ContainersPaused)
	line(" Stopped", i.ContainersStopped)
	line("Images", i.Images)
	line("Server Version", i.ServerVersion)
	line("Storage Driver", i.Driver)
	for _, pair := range i.DriverStatus {
		line(" "+pair[0], pair[1])
	}
	line("Logging Driver", i.LoggingDriver)
	line("Cgroup Driver", i.CgroupDriver)
	line("Cgroup Version", i.CgroupVersion)
	fmt.Fprintln(w, " Plugins:")
	line(" Volume", strings.Join(i.Plugins.Volume, " "))
	line(" Network", strings.Join(i.Plugins.Network, " "))
	line(" Log", strings.Join(i.Plugins.Log, " "))
	line("Runtimes", strings.Join(slices.Sorted(maps.Keys(i.Runtimes)), " "))
	line("Default Runtime", i.DefaultRuntime)
	line("Init Binary", i.InitBinary)
	if len(i.SecurityOptions) > 0 {
		fmt.Fprintln(w, " Security Options:")
		for _, o := range i.SecurityOptions {
			fmt.Fprintln(w, "  "+strings.TrimPrefix(o, "name="))
		}
	}
	line("Kernel Version", i.KernelVersion)
	line("Operating System", i.OperatingSystem)
	line("OSType", i.OSType)
	line("Architecture", i.Architecture)
	line("CPUs", i.NCPU)
	line("Total Memory", units.BytesSize(float64(i.MemTotal)))
	line("Name", i.Name)
	line("ID", i.ID)
	line("Docker Root Dir", i.DockerRootDir)
	line("HTTP Proxy", i.HTTPProxy)
	line("HTTPS Proxy", i.HTTPSProxy)
	line("No Proxy", i.NoProxy)
	if len(i.Labels) > 0 {
		line("Labels", strings.Join(i.Labels, " "))
	}
	line("Experimental", i.ExperimentalBuild)
	if i.RegistryConfig != nil && len(i.RegistryConfig.InsecureRegistryCIDRs) > 0 {
		fmt.Fprintln(w, " Insecure Registries:")
		for _, name := range slices.Sorted(maps.Keys(i.RegistryConfig.IndexConfigs)) {
			if !i.RegistryConfig.IndexConfigs[name].Secure {
				fmt.Fprintln(w, "  "+name)
			}
		}
		for _, c := range i.RegistryConfig.InsecureRegistryCIDRs {
			fmt.Fprintln(w, "  "+c.String())
		}
	}
	line("Live Restore Enabled", i.LiveRestoreEnabled)
}
