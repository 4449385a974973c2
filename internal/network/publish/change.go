package publish

import (
	"net/netip"
	"slices"

	"github.com/berth-containers/berth/internal/container"
)

// Change is what a container's ports become while it lives.
type Change struct {
	Kept, Gone []container.Port // of those that it has
	New        []container.Port // to be reserved
}

// Compare finds what must change for want. A port that was chosen freely, or from
// a range, stays as it is.
func Compare(have, want []container.Port) Change {
	c := Change{Gone: slices.Clone(have)}
	for _, exact := range []bool{true, false} {
		for _, w := range want {
			n, err := normal(w)
			if leavesNoChoice(n) != exact {
				continue
			}
			i := slices.IndexFunc(c.Gone, func(h container.Port) bool { return err == nil && serves(h, n) })
			if i < 0 {
				c.New = append(c.New, w)
				continue
			}
			c.Kept = append(c.Kept, c.Gone[i])
			c.Gone = slices.Delete(c.Gone, i, i+1)
		}
	}
	return c
}

// serves is whether a port that is held is what was asked for.
func serves(have, want container.Port) bool {
	if have.Proto != want.Proto || have.HostIP != want.HostIP || have.ContainerPort != want.ContainerPort {
		return false
	}
	if want.HostPort == 0 { // not one that was asked for by its number and is to go
		return have.HostPort >= firstRandom
	}
	return have.HostPort >= want.HostPort && have.HostPort <= max(want.HostPort, want.LastHostPort)
}

// Extend holds further ports for a container, all or none, as Reserve does; each
// has its HostIP.
func (p *Ports) Extend(owner string, ports []container.Port) ([]container.Port, error) {
	var held []container.Port
	for _, want := range ports {
		want, err := normal(want)
		var got []container.Port
		if err == nil {
			got, err = p.reserve(owner, want, []netip.Addr{want.HostIP})
		}
		if err != nil {
			p.Shrink(owner, held)
			return nil, err
		}
		held = append(held, got...)
	}
	return held, nil
}

// Shrink gives some of a container's ports back.
func (p *Ports) Shrink(owner string, ports []container.Port) {
	p.mu.Lock()
	var gone []*claim
	kept := slices.DeleteFunc(slices.Clone(p.claims[owner]), func(c *claim) bool {
		if !slices.Contains(ports, c.port) {
			return false
		}
		gone = append(gone, c)
		return true
	})
	p.claims[owner] = kept
	if len(kept) == 0 {
		delete(p.claims, owner)
	}
	p.mu.Unlock()
	closeAll(gone)
}
