package runopts

import (
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"strings"

	"github.com/moby/moby/api/types/network"
)

// Published is one container port and where it is published.
type Published struct {
	Port    network.Port
	Binding network.PortBinding
}

// ParsePublish reads [[IP:][HOST]:]CONTAINER[/PROTOCOL] with port ranges, or
// target=…,published=…,protocol=….
func ParsePublish(s string) ([]Published, error) {
	if strings.Contains(s, "=") {
		short, err := longPort(s)
		if err != nil {
			return nil, err
		}
		s = short
	}
	ip, host, target, err := splitPort(s)
	if err != nil {
		return nil, err
	}
	var b network.PortBinding
	if ip != "" {
		if b.HostIP, err = netip.ParseAddr(ip); err != nil {
			return nil, fmt.Errorf("invalid IP address: %s", ip)
		}
	}
	ports, err := network.ParsePortRange(target)
	if err != nil || ports.Start() == 0 {
		return nil, fmt.Errorf("invalid container port: %s", target)
	}
	if err := checkProtocol(ports.Proto()); err != nil {
		return nil, err
	}
	if host == "" {
		return spread(ports, b, 0, 0), nil
	}
	first, last, err := hostRange(host)
	if err != nil {
		return nil, err
	}
	one := ports.Start() == ports.End()
	if last-first != int(ports.End()-ports.Start()) && !one {
		return nil, fmt.Errorf("the ranges of host (%s) and container (%s) differ in length", host, target)
	}
	if one && last != first { // any one of the range
		b.HostPort = host
		return spread(ports, b, 0, 0), nil
	}
	return spread(ports, b, first, 1), nil
}

// spread makes one binding for each container port, from the host port first
// on if step is 1.
func spread(ports network.PortRange, b network.PortBinding, first, step int) []Published {
	var list []Published
	for n := int(ports.Start()); n <= int(ports.End()); n++ {
		p, _ := network.PortFrom(uint16(n), ports.Proto())
		if step > 0 {
			b.HostPort = strconv.Itoa(first + n - int(ports.Start()))
		}
		list = append(list, Published{p, b})
	}
	return list
}

// splitPort takes the container's part from the right: the IP may hold colons.
func splitPort(s string) (ip, host, target string, err error) {
	if rest, ok := strings.CutPrefix(s, "["); ok {
		address, ports, ok := strings.Cut(rest, "]:")
		if !ok {
			return "", "", "", errors.New("the ] after the IP address is missing")
		}
		host, target, ok = strings.Cut(ports, ":")
		if !ok || strings.Contains(target, ":") {
			return "", "", "", errors.New("write [IP]:HOST:CONTAINER")
		}
		return address, host, target, nil
	}
	parts := strings.Split(s, ":")
	switch n := len(parts); {
	case n == 1:
		return "", "", s, nil
	case n == 2:
		return "", parts[0], parts[1], nil
	default:
		return strings.Join(parts[:n-2], ":"), parts[n-2], parts[n-1], nil
	}
}

func hostRange(s string) (first, last int, err error) {
	low, high, isRange := strings.Cut(s, "-")
	if !isRange {
		high = low
	}
	a, errA := strconv.ParseUint(low, 10, 16)
	b, errB := strconv.ParseUint(high, 10, 16)
	if errA != nil || errB != nil || a > b {
		return 0, 0, fmt.Errorf("invalid host port: %s", s)
	}
	return int(a), int(b), nil
}

func checkProtocol(p network.IPProtocol) error {
	switch p {
	case network.TCP, network.UDP, network.SCTP:
		return nil
	}
	return fmt.Errorf("invalid protocol: %s (tcp, udp or sctp)", p)
}

func longPort(s string) (string, error) {
	var published, target string
	protocol := "tcp"
	for _, field := range strings.Split(s, ",") {
		key, value, ok := strings.Cut(field, "=")
		if !ok || value == "" {
			return "", fmt.Errorf("invalid field %q: write key=value", field)
		}
		switch key {
		case "published":
			published = value
		case "target":
			target = value
		case "protocol":
			protocol = value
		case "mode": // the engine publishes on the host either way
		default:
			return "", fmt.Errorf("unknown field %q (target, published, protocol, mode)", key)
		}
	}
	if target == "" {
		return "", errors.New("the field target is missing")
	}
	if published == "" {
		return target + "/" + protocol, nil
	}
	return published + ":" + target + "/" + protocol, nil
}

// ParseExpose reads PORT[-PORT][/PROTOCOL].
func ParseExpose(s string) ([]network.Port, error) {
	ports, err := network.ParsePortRange(s)
	if err != nil || ports.Start() == 0 {
		return nil, fmt.Errorf("invalid port: %s", s)
	}
	if err := checkProtocol(ports.Proto()); err != nil {
		return nil, err
	}
	var list []network.Port
	for p := range ports.All() {
		list = append(list, p)
	}
	return list, nil
}
