package containers

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"net"
	"slices"
	"strconv"
	"strings"

	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/network"
	"github.com/spf13/cobra"

	"github.com/berth-containers/berth/internal/cli/env"
)

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }

// portRun is ports in a row that are published alike.
type portRun struct {
	ip, protocol  string
	first, last   uint16 // of the container
	public, until uint16 // of the host; 0: not published
}

// portsText is "0.0.0.0:8000-8001->80-81/tcp, 443/tcp".
func portsText(ports []container.PortSummary) string {
	ports = slices.Clone(ports)
	slices.SortFunc(ports, func(a, b container.PortSummary) int {
		return cmp.Or(a.IP.Compare(b.IP), cmp.Compare(a.Type, b.Type), cmp.Compare(a.PrivatePort, b.PrivatePort), cmp.Compare(a.PublicPort, b.PublicPort))
	})
	var runs []portRun
	for _, p := range ports {
		r := portRun{protocol: p.Type, first: p.PrivatePort, last: p.PrivatePort, public: p.PublicPort, until: p.PublicPort}
		if p.IP.IsValid() {
			r.ip = p.IP.String()
		}
		if n := len(runs); n > 0 && runs[n-1].extend(r) {
			continue
		}
		runs = append(runs, r)
	}
	var published, exposed []string
	for _, r := range runs {
		if r.public != 0 {
			published = append(published, r.String())
		} else {
			exposed = append(exposed, r.String())
		}
	}
	return strings.Join(append(published, exposed...), ", ")
}

func (r *portRun) extend(next portRun) bool {
	if r.ip != next.ip || r.protocol != next.protocol || next.first != r.last+1 || (r.public == 0) != (next.public == 0) ||
		r.public != 0 && next.public != r.until+1 {
		return false
	}
	r.last, r.until = next.last, next.until
	return true
}

func (r portRun) String() string {
	target := span(r.first, r.last) + "/" + r.protocol
	if r.public == 0 {
		return target
	}
	public := span(r.public, r.until)
	if r.ip != "" {
		public = net.JoinHostPort(r.ip, public)
	}
	return public + "->" + target
}

func span(first, last uint16) string {
	if first == last {
		return strconv.Itoa(int(first))
	}
	return fmt.Sprintf("%d-%d", first, last)
}

// PortCommand is `port`.
func PortCommand(e *env.Env) *cobra.Command {
	return &cobra.Command{
		Use: "port CONTAINER [PRIVATE_PORT[/PROTO]]", Short: "List port mappings or a specific mapping for the container", Args: env.Between(1, 2),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := inspect(cmd.Context(), e, args[0])
			if err != nil {
				return err
			}
			if c.NetworkSettings == nil {
				return nil
			}
			if len(args) == 2 {
				return onePort(e, c, args)
			}
			for _, p := range slices.SortedFunc(maps.Keys(c.NetworkSettings.Ports), func(a, b network.Port) int {
				return cmp.Or(cmp.Compare(a.Num(), b.Num()), cmp.Compare(a.Proto(), b.Proto()))
			}) {
				for _, b := range c.NetworkSettings.Ports[p] {
					fmt.Fprintf(e.Out, "%s -> %s\n", p, bindingText(b))
				}
			}
			return nil
		},
	}
}

func onePort(e *env.Env, c container.InspectResponse, args []string) error {
	p, err := network.ParsePort(args[1])
	if err != nil {
		return err
	}
	bindings := c.NetworkSettings.Ports[p]
	if len(bindings) == 0 {
		return errors.New("no public port '" + p.String() + "' published for " + args[0])
	}
	for _, b := range bindings {
		fmt.Fprintln(e.Out, bindingText(b))
	}
	return nil
}

func bindingText(b network.PortBinding) string {
	ip := "0.0.0.0"
	if b.HostIP.IsValid() {
		ip = b.HostIP.String()
	}
	return net.JoinHostPort(ip, b.HostPort)
}
