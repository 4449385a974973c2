package network

import (
	"errors"
	"fmt"
	"net"
	"os"
	"slices"

	"github.com/berth-containers/berth/internal/network/sandbox"
	"github.com/berth-containers/berth/internal/undo"
)

// broken is what a crash in the middle of a connect or disconnect left.
type broken struct {
	// missing are the endpoints without a link.
	missing map[string]bool
	// strayed: a link goes that was one more of a sandbox, and perhaps the one
	// with its default route.
	strayed bool
}

// mend gives a running container what its endpoints say: a link that is missing
// is made again, and its default routes lead through its endpoints.
func (n *Network) mend(l Live, b broken) error {
	places := n.of(l.ContainerID)
	lost := slices.ContainsFunc(places, func(p place) bool { return b.missing[p.ID] })
	if !lost && !b.strayed || len(l.Endpoints) == 0 || l.NetNS == "" {
		return nil
	}
	ns, err := openSandbox(l.NetNS, l.ContainerID)
	if err != nil {
		return err
	}
	defer ns.Close()
	if err := n.replug(ns, places, b.missing); err != nil {
		return err
	}
	four, six := gateways(places)
	if !lost {
		through, err := sandbox.DefaultLinks(ns)
		if err != nil {
			return err
		}
		ours := func(link string) bool {
			return slices.ContainsFunc(places, func(p place) bool { return p.Link == link })
		}
		// What a program inside has made of a route that is sound stays.
		if (four < 0 || ours(through.Four)) && (six < 0 || ours(through.Six)) {
			return nil
		}
	}
	return sandbox.SetRoutes(ns, routes(places, four, six)...)
}

// replug makes the links again that are missing.
func (n *Network) replug(ns *os.File, places []place, missing map[string]bool) error {
	var errs []error
	for i := range places {
		p := &places[i]
		if !missing[p.ID] {
			continue
		}
		mac, err := net.ParseMAC(p.MAC)
		if err != nil {
			return err
		}
		var back undo.Stack // of no use: the place is the container's whether it can be had or not
		if err := n.link(ns, p, Join{MAC: mac}, false, false, &back); err != nil {
			errs = append(errs, fmt.Errorf("make link %s of the container again: %w", p.Link, err))
		}
	}
	return errors.Join(errs...)
}
