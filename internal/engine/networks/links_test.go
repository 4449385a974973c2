package networks

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/containerd/errdefs"
	api "github.com/moby/moby/api/types/container"
	mobynet "github.com/moby/moby/api/types/network"

	"github.com/berth-containers/berth/internal/container"
)

func TestLinks(t *testing.T) {
	db := &container.Record{ID: "db", Name: "db1", State: container.State{Status: container.Running},
		Config: &api.Config{Hostname: "dbhost", Env: []string{"USER=x", "PATH=/bin"}, ExposedPorts: mobynet.PortSet{
			mobynet.MustParsePort("5432/tcp"): {}, mobynet.MustParsePort("53/udp"): {}}},
		Networks: []container.Attachment{{Network: "bridge", Endpoint: &container.Endpoint{IP: netip.MustParsePrefix("10.0.0.2/24")}}}}
	find := func(ref string) (*container.Record, error) {
		if ref != "db1" {
			return nil, errdefs.ErrNotFound.WithMessage("No such container: " + ref)
		}
		return db, nil
	}
	r := &container.Record{ID: "app", Name: "app", Config: &api.Config{Env: []string{"MY_DB_NAME=own"}},
		HostConfig: &api.HostConfig{NetworkMode: "bridge", Links: []string{"db1:my-db"}}}
	if err := CheckLinks(r.HostConfig, find); err != nil {
		t.Fatal(err)
	}
	l, err := Links(r, find)
	if err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(l.Hosts, ""); got != "10.0.0.2\tmy-db dbhost db1\n" {
		t.Errorf("hosts: %q", got)
	}
	want := "MY_DB_PORT=udp://10.0.0.2:53 MY_DB_PORT_53_UDP=udp://10.0.0.2:53 MY_DB_PORT_53_UDP_ADDR=10.0.0.2 MY_DB_PORT_53_UDP_PORT=53 MY_DB_PORT_53_UDP_PROTO=udp " +
		"MY_DB_PORT_5432_TCP=tcp://10.0.0.2:5432 MY_DB_PORT_5432_TCP_ADDR=10.0.0.2 MY_DB_PORT_5432_TCP_PORT=5432 MY_DB_PORT_5432_TCP_PROTO=tcp MY_DB_ENV_USER=x MY_DB_NAME=own"
	if got := strings.Join(WithEnv(r, l).Config.Env, " "); got != want {
		t.Errorf("environment: %s", got)
	}
	shown := ShownLinks(r)
	if len(shown) != 1 || shown[0] != "/db1:/app/my-db" {
		t.Errorf("shown: %v", shown)
	}
	if name, alias, err := parseLink(shown[0]); name != "db1" || alias != "my-db" || err != nil {
		t.Errorf("read again: %s %s %v", name, alias, err)
	}
	db.State.Status = container.Exited
	if _, err := Links(r, find); !errdefs.IsConflict(err) || !strings.Contains(err.Error(), "Cannot link to a non running container: /db1 AS /app/my-db") {
		t.Error(err)
	}
	for links, want := range map[string]string{"nobody": "could not get container for nobody", "a:b:c": "bad format for links: a:b:c", "": "bad format"} {
		err := CheckLinks(&api.HostConfig{NetworkMode: "bridge", Links: []string{links}}, find)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v", links, err)
		}
	}
}

func TestAttachments(t *testing.T) {
	all := []mobynet.Network{{Name: "bridge", ID: strings.Repeat("b", 64)}, {Name: "host", ID: strings.Repeat("c", 64)}, {Name: "none", ID: strings.Repeat("d", 64)},
		{Name: "front", ID: strings.Repeat("f", 64), IPAM: mobynet.IPAM{Config: []mobynet.IPAMConfig{{Subnet: netip.MustParsePrefix("10.0.0.0/24")}}}}}
	ip := func(s string) *mobynet.EndpointSettings {
		return &mobynet.EndpointSettings{IPAMConfig: &mobynet.EndpointIPAMConfig{IPv4Address: netip.MustParseAddr(s)}}
	}
	type asked = map[string]*mobynet.EndpointSettings
	for _, row := range []struct {
		mode  string
		asked asked
		want  string
	}{
		{"bridge", nil, "bridge"},
		{"front", asked{"front": ip("10.0.0.9")}, "front"},
		{"ffff", asked{strings.Repeat("f", 64): ip("10.0.0.9")}, "front"},
		{"front", asked{"later": {}, "bridge": {}}, "front bridge later"},
		{"host", nil, "host"},
		{"container:x", asked{"front": {}}, ""},
		{"host", asked{"front": {}}, "!cannot attach both user-defined and non-user-defined network-modes"},
		{"front", asked{"none": {}}, "!cannot attach both"},
		{"front", asked{"front": ip("10.0.1.9")}, "!no configured subnet contains IP address 10.0.1.9"},
		{"bridge", asked{"bridge": ip("10.0.0.9")}, "!user-specified IP address is supported on user-defined networks only"},
		{"bridge", asked{"bridge": {Aliases: []string{"x"}}}, "!network-scoped aliases are only supported for user-defined networks"},
		{"front", asked{"front": {Links: []string{"::"}}}, "!bad format for links"},
	} {
		h := &api.HostConfig{NetworkMode: api.NetworkMode(row.mode)}
		list, err := Attachments(&api.Config{}, h, &mobynet.NetworkingConfig{EndpointsConfig: row.asked}, all)
		var got []string
		for _, a := range list {
			got = append(got, a.Network)
		}
		text := strings.Join(got, " ")
		if refusal, ok := strings.CutPrefix(row.want, "!"); ok {
			if err == nil || !strings.Contains(err.Error(), refusal) || !errdefs.IsInvalidArgument(err) {
				t.Errorf("%+v: %v", row, err)
			}
		} else if err != nil || text != row.want {
			t.Errorf("%+v: %s %v", row, text, err)
		}
		if row.mode == "ffff" && string(h.NetworkMode) != strings.Repeat("f", 64) {
			t.Errorf("mode %s", h.NetworkMode)
		}
	}
}
