package objects

import (
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/moby/moby/api/types/network"
	"github.com/spf13/cobra"

	"github.com/berth-containers/berth/internal/cli/disk"
	"github.com/berth-containers/berth/internal/cli/env"
	"github.com/berth-containers/berth/internal/cli/filter"
	"github.com/berth-containers/berth/internal/cli/format"
	"github.com/berth-containers/berth/internal/cli/networks"
)

// NetworkGroup is `network …`.
func NetworkGroup(e *env.Env) *cobra.Command {
	return env.Group("network", "Manage networks", nil, networks.ConnectCommand(e), networks.CreateCommand(e), networks.DisconnectCommand(e),
		networkList(e), disk.NetworkPrune(e), networks.RemoveCommand(e),
		inspectOne(e, "network", "NETWORK", "Display detailed information on one or more networks"))
}

type networkRow struct {
	CreatedAt string
	Driver    string
	ID        string
	IPv4      string
	IPv6      string
	Internal  string
	Labels    string
	Name      string
	Scope     string

	labels map[string]string
}

// Label is one label's value.
func (r networkRow) Label(name string) string { return r.labels[name] }

func networkList(e *env.Env) *cobra.Command {
	var quiet, noTrunc bool
	var layout string
	var filters filter.Values
	cmd := &cobra.Command{
		Use: "ls [OPTIONS]", Short: "List networks", Args: env.Exactly(0), Aliases: []string{"list"},
		RunE: func(cmd *cobra.Command, _ []string) error {
			query := url.Values{}
			if err := filters.Query(query); err != nil {
				return err
			}
			var list []network.Summary
			if err := e.Client.Get(cmd.Context(), "/networks", query, &list); err != nil {
				return err
			}
			slices.SortFunc(list, func(a, b network.Summary) int { return strings.Compare(a.Name, b.Name) })
			var rows []networkRow
			for _, n := range list {
				r := networkRow{CreatedAt: n.Created.String(), Driver: n.Driver, ID: n.ID, IPv4: strconv.FormatBool(n.EnableIPv4), IPv6: strconv.FormatBool(n.EnableIPv6),
					Internal: strconv.FormatBool(n.Internal), Labels: format.Pairs(n.Labels), Name: n.Name, Scope: n.Scope, labels: n.Labels}
				if !noTrunc {
					r.ID = format.ShortID(r.ID)
				}
				rows = append(rows, r)
			}
			byDefault := "table {{.ID}}\t{{.Name}}\t{{.Driver}}\t{{.Scope}}"
			if quiet && layout == "" {
				byDefault = "{{.ID}}"
			}
			return format.Rows(e.Out, layout, byDefault, format.Headers{"ID": "NETWORK ID", "Name": "NAME", "Driver": "DRIVER", "Scope": "SCOPE",
				"IPv4": "IPV4", "IPv6": "IPV6", "Internal": "INTERNAL", "Labels": "LABELS", "CreatedAt": "CREATED AT"}, rows)
		},
	}
	cmd.Flags().BoolVarP(&quiet, "quiet", "q", false, "Only display network IDs")
	cmd.Flags().BoolVar(&noTrunc, "no-trunc", false, "Do not truncate the output")
	cmd.Flags().StringVar(&layout, "format", "", format.Usage)
	cmd.Flags().VarP(&filters, "filter", "f", "Provide filter values (e.g. \"driver=bridge\")")
	return cmd
}
