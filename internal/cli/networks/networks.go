// Package networks holds the commands that change networks and who is in them.
package networks

import (
	"errors"
	"fmt"
	"net/netip"
	"net/url"

	"github.com/moby/moby/api/types/network"
	"github.com/spf13/cobra"

	"github.com/berth-containers/berth/internal/cli/client"
	"github.com/berth-containers/berth/internal/cli/env"
	"github.com/berth-containers/berth/internal/cli/runopts"
)

// create is the flags of network create.
type create struct {
	request                    network.CreateRequest
	subnets, ranges, gateways  []string
	aux, labels, options, ipam []string
	ipv4, ipv6                 bool
	ipamDriver, configFrom     string
}

// CreateCommand is `network create`.
func CreateCommand(e *env.Env) *cobra.Command {
	var c create
	cmd := &cobra.Command{
		Use: "create [OPTIONS] NETWORK", Short: "Create a network", Args: env.Exactly(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			c.request.Name = args[0]
			if err := c.build(cmd); err != nil {
				return err
			}
			var made network.CreateResponse
			if err := e.Client.Post(cmd.Context(), "/networks/create", nil, c.request, &made); err != nil {
				return err
			}
			if made.Warning != "" {
				e.Warn([]string{made.Warning})
			}
			fmt.Fprintln(e.Out, made.ID)
			return nil
		},
	}
	f := cmd.Flags()
	f.BoolVar(&c.request.Attachable, "attachable", false, "Enable manual container attachment")
	f.StringArrayVar(&c.aux, "aux-address", nil, "Auxiliary IPv4 or IPv6 addresses used by Network driver")
	f.StringVar(&c.configFrom, "config-from", "", "The network from which to copy the configuration")
	f.BoolVar(&c.request.ConfigOnly, "config-only", false, "Create a configuration only network")
	f.StringVarP(&c.request.Driver, "driver", "d", "bridge", "Driver to manage the Network")
	f.StringSliceVar(&c.gateways, "gateway", nil, "IPv4 or IPv6 Gateway for the master subnet")
	f.BoolVar(&c.request.Ingress, "ingress", false, "Create swarm routing-mesh network")
	f.BoolVar(&c.request.Internal, "internal", false, "Restrict external access to the network")
	f.StringSliceVar(&c.ranges, "ip-range", nil, "Allocate container ip from a sub-range")
	f.StringVar(&c.ipamDriver, "ipam-driver", "default", "IP Address Management Driver")
	f.StringArrayVar(&c.ipam, "ipam-opt", nil, "Set IPAM driver specific options")
	f.BoolVar(&c.ipv4, "ipv4", true, "Enable or disable IPv4 address assignment")
	f.BoolVar(&c.ipv6, "ipv6", false, "Enable or disable IPv6 address assignment")
	f.StringArrayVar(&c.labels, "label", nil, "Set metadata on a network")
	f.StringArrayVarP(&c.options, "opt", "o", nil, "Set driver specific options")
	f.StringVar(&c.request.Scope, "scope", "", "Control the network's scope")
	f.StringSliceVar(&c.subnets, "subnet", nil, "Subnet in CIDR format that represents a network segment")
	return cmd
}

func (c *create) build(cmd *cobra.Command) error {
	r := &c.request
	if cmd.Flags().Changed("ipv4") {
		r.EnableIPv4 = &c.ipv4
	}
	if cmd.Flags().Changed("ipv6") {
		r.EnableIPv6 = &c.ipv6
	}
	if c.configFrom != "" {
		r.ConfigFrom = &network.ConfigReference{Network: c.configFrom}
	}
	r.Labels, r.Options = runopts.Pairs(c.labels), runopts.Pairs(c.options)
	config, err := Subnets(c.subnets, c.ranges, c.gateways, runopts.Pairs(c.aux))
	if err != nil {
		return err
	}
	r.IPAM = &network.IPAM{Driver: c.ipamDriver, Options: runopts.Pairs(c.ipam), Config: config}
	return nil
}

// Subnets puts each range, gateway and auxiliary address to the subnet that it is
// in.
func Subnets(subnets, ranges, gateways []string, aux map[string]string) ([]network.IPAMConfig, error) {
	if len(subnets) < len(ranges) || len(subnets) < len(gateways) {
		return nil, errors.New("every ip-range or gateway must have a corresponding subnet")
	}
	var list []network.IPAMConfig
	for _, s := range subnets {
		p, err := netip.ParsePrefix(s)
		if err != nil {
			return nil, fmt.Errorf("invalid subnet %s: write it as ADDRESS/BITS", s)
		}
		for _, o := range list {
			if o.Subnet.Overlaps(p) {
				return nil, errors.New("multiple overlapping subnet configuration is not supported")
			}
		}
		list = append(list, network.IPAMConfig{Subnet: p})
	}
	find := func(a netip.Addr, what string) (*network.IPAMConfig, error) {
		for i := range list {
			if list[i].Subnet.Contains(a) {
				return &list[i], nil
			}
		}
		return nil, fmt.Errorf("no matching subnet for %s", what)
	}
	for _, r := range ranges {
		p, err := netip.ParsePrefix(r)
		if err != nil {
			return nil, fmt.Errorf("invalid ip-range %s: write it as ADDRESS/BITS", r)
		}
		c, err := find(p.Addr(), "range "+r)
		if err == nil && c.IPRange.IsValid() {
			err = fmt.Errorf("cannot configure multiple ranges (%s, %s) on the same subnet (%s)", r, c.IPRange, c.Subnet)
		}
		if err != nil {
			return nil, err
		}
		c.IPRange = p
	}
	for _, g := range gateways {
		a, err := netip.ParseAddr(g)
		if err != nil {
			return nil, fmt.Errorf("invalid gateway %s: it is no IP address", g)
		}
		c, err := find(a, "gateway "+g)
		if err == nil && c.Gateway.IsValid() {
			err = fmt.Errorf("cannot configure multiple gateways (%s, %s) for the same subnet (%s)", g, c.Gateway, c.Subnet)
		}
		if err != nil {
			return nil, err
		}
		c.Gateway = a
	}
	for name, value := range aux {
		a, err := netip.ParseAddr(value)
		if err != nil {
			return nil, fmt.Errorf("invalid auxiliary address %s=%s: it is no IP address", name, value)
		}
		c, err := find(a, "aux-address "+value)
		if err != nil {
			return nil, err
		}
		if c.AuxAddress == nil {
			c.AuxAddress = map[string]netip.Addr{}
		}
		c.AuxAddress[name] = a
	}
	return list, nil
}

// RemoveCommand is `network rm`.
func RemoveCommand(e *env.Env) *cobra.Command {
	var force bool
	cmd := &cobra.Command{
		Use: "rm NETWORK [NETWORK...]", Short: "Remove one or more networks", Args: env.AtLeast(1), Aliases: []string{"remove"},
		RunE: func(cmd *cobra.Command, args []string) error {
			return e.Each(args, func(name string) error {
				return e.Client.Remove(cmd.Context(), "/networks/"+client.Ref(name), nil, force)
			})
		},
	}
	cmd.Flags().BoolVarP(&force, "force", "f", false, "Do not error if the network does not exist")
	return cmd
}

// ConnectCommand is `network connect`.
func ConnectCommand(e *env.Env) *cobra.Command {
	var s network.EndpointSettings
	var ip, ip6 string
	var local, options []string
	cmd := &cobra.Command{
		Use: "connect [OPTIONS] NETWORK CONTAINER", Short: "Connect a container to a network", Args: env.Exactly(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			s.DriverOpts = runopts.Pairs(options)
			s.IPAMConfig = &network.EndpointIPAMConfig{}
			for _, f := range []struct {
				flag, value string
				to          *netip.Addr
			}{{"ip", ip, &s.IPAMConfig.IPv4Address}, {"ip6", ip6, &s.IPAMConfig.IPv6Address}} {
				if err := address(f.flag, f.value, f.to); err != nil {
					return err
				}
			}
			for _, l := range local {
				var a netip.Addr
				if err := address("link-local-ip", l, &a); err != nil {
					return err
				}
				s.IPAMConfig.LinkLocalIPs = append(s.IPAMConfig.LinkLocalIPs, a)
			}
			return e.Client.Post(cmd.Context(), "/networks/"+client.Ref(args[0])+"/connect", nil,
				network.ConnectRequest{Container: args[1], EndpointConfig: &s}, nil)
		},
	}
	f := cmd.Flags()
	f.StringSliceVar(&s.Aliases, "alias", nil, "Add network-scoped alias for the container")
	f.StringArrayVar(&options, "driver-opt", nil, "driver options for the network")
	f.IntVar(&s.GwPriority, "gw-priority", 0, "Highest gw-priority provides the default gateway. Accepts positive and negative values.")
	f.StringVar(&ip, "ip", "", `IPv4 address (e.g., "172.30.100.104")`)
	f.StringVar(&ip6, "ip6", "", `IPv6 address (e.g., "2001:db8::33")`)
	f.StringArrayVar(&s.Links, "link", nil, "Add link to another container")
	f.StringSliceVar(&local, "link-local-ip", nil, "Add a link-local address for the container")
	return cmd
}

func address(flag, value string, to *netip.Addr) error {
	if value == "" {
		return nil
	}
	a, err := netip.ParseAddr(value)
	if err != nil {
		return fmt.Errorf("invalid value %q for --%s: it is no IP address", value, flag)
	}
	*to = a
	return nil
}

// DisconnectCommand is `network disconnect`.
func DisconnectCommand(e *env.Env) *cobra.Command {
	var q network.DisconnectRequest
	cmd := &cobra.Command{
		Use: "disconnect [OPTIONS] NETWORK CONTAINER", Short: "Disconnect a container from a network", Args: env.Exactly(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			q.Container = args[1]
			return e.Client.Post(cmd.Context(), "/networks/"+client.Ref(args[0])+"/disconnect", url.Values{}, q, nil)
		},
	}
	cmd.Flags().BoolVarP(&q.Force, "force", "f", false, "Force the container to disconnect from a network")
	return cmd
}
