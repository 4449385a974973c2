// Package objects holds the commands about volumes, networks and the engine
// itself, and those that take any kind of object.
package objects

import (
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"

	"github.com/moby/moby/api/types/volume"
	"github.com/spf13/cobra"

	"github.com/berth-containers/berth/internal/cli/client"
	"github.com/berth-containers/berth/internal/cli/disk"
	"github.com/berth-containers/berth/internal/cli/env"
	"github.com/berth-containers/berth/internal/cli/filter"
	"github.com/berth-containers/berth/internal/cli/format"
	"github.com/berth-containers/berth/internal/cli/runopts"
)

// VolumeGroup is `volume …`.
func VolumeGroup(e *env.Env) *cobra.Command {
	return env.Group("volume", "Manage volumes", nil, volumeList(e), volumeCreate(e), volumeRemove(e), disk.VolumePrune(e),
		inspectOne(e, "volume", "VOLUME", "Display detailed information on one or more volumes"))
}

type volumeRow struct {
	Driver     string
	Labels     string
	Mountpoint string
	Name       string
	Scope      string

	labels map[string]string
}

// Label is one label's value.
func (r volumeRow) Label(name string) string { return r.labels[name] }

func volumeList(e *env.Env) *cobra.Command {
	var quiet bool
	var layout string
	var filters filter.Values
	cmd := &cobra.Command{
		Use: "ls [OPTIONS]", Short: "List volumes", Args: env.Exactly(0), Aliases: []string{"list"},
		RunE: func(cmd *cobra.Command, _ []string) error {
			query := url.Values{}
			if err := filters.Query(query); err != nil {
				return err
			}
			var list volume.ListResponse
			if err := e.Client.Get(cmd.Context(), "/volumes", query, &list); err != nil {
				return err
			}
			e.Warn(list.Warnings)
			slices.SortFunc(list.Volumes, func(a, b volume.Volume) int { return strings.Compare(a.Name, b.Name) })
			var rows []volumeRow
			for _, v := range list.Volumes {
				rows = append(rows, volumeRow{Driver: v.Driver, Labels: format.Pairs(v.Labels), Mountpoint: v.Mountpoint, Name: v.Name, Scope: v.Scope, labels: v.Labels})
			}
			byDefault := "table {{.Driver}}\t{{.Name}}"
			if quiet && layout == "" {
				byDefault = "{{.Name}}"
			}
			return format.Rows(e.Out, layout, byDefault, format.Headers{"Driver": "DRIVER", "Name": "VOLUME NAME", "Scope": "SCOPE",
				"Mountpoint": "MOUNTPOINT", "Labels": "LABELS"}, rows)
		},
	}
	cmd.Flags().BoolVarP(&quiet, "quiet", "q", false, "Only display volume names")
	cmd.Flags().StringVar(&layout, "format", "", format.Usage)
	cmd.Flags().VarP(&filters, "filter", "f", "Provide filter values (e.g. \"dangling=true\")")
	return cmd
}

func volumeCreate(e *env.Env) *cobra.Command {
	var r volume.CreateRequest
	var labels, options []string
	cmd := &cobra.Command{
		Use: "create [OPTIONS] [VOLUME]", Short: "Create a volume", Args: env.Between(0, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 1 {
				if r.Name != "" && r.Name != args[0] {
					return errors.New("conflicting options: cannot specify a volume name through both --name and as a positional arg")
				}
				r.Name = args[0]
			}
			r.Labels, r.DriverOpts = runopts.Pairs(labels), runopts.Pairs(options)
			var v volume.Volume
			if err := e.Client.Post(cmd.Context(), "/volumes/create", nil, r, &v); err != nil {
				return err
			}
			fmt.Fprintln(e.Out, v.Name)
			return nil
		},
	}
	cmd.Flags().StringVarP(&r.Driver, "driver", "d", "local", "Specify volume driver name")
	cmd.Flags().StringVar(&r.Name, "name", "", "Specify volume name")
	_ = cmd.Flags().MarkHidden("name")
	cmd.Flags().StringArrayVar(&labels, "label", nil, "Set metadata for a volume")
	cmd.Flags().StringArrayVarP(&options, "opt", "o", nil, "Set driver specific options")
	return cmd
}

func volumeRemove(e *env.Env) *cobra.Command {
	var force bool
	cmd := &cobra.Command{
		Use: "rm [OPTIONS] VOLUME [VOLUME...]", Short: "Remove one or more volumes", Args: env.AtLeast(1), Aliases: []string{"remove"},
		RunE: func(cmd *cobra.Command, args []string) error {
			query := url.Values{}
			if force {
				query.Set("force", "1")
			}
			return e.Each(args, func(name string) error {
				return e.Client.Remove(cmd.Context(), "/volumes/"+client.Ref(name), query, force)
			})
		},
	}
	cmd.Flags().BoolVarP(&force, "force", "f", false, "Force the removal of one or more volumes")
	return cmd
}
