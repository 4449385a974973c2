package ports

import (
	"fmt"
	"testing"

	api "github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/network"
)

func TestBindings(t *testing.T) {
	for asked, want := range map[string]string{"": "0 0", "8000": "8000 0", "8000-8000": "8000 0", "8000-8005": "8000 8005"} {
		ports, err := Bindings(&api.Config{}, &api.HostConfig{PortBindings: network.PortMap{network.MustParsePort("80/tcp"): {{HostPort: asked}}}})
		if err != nil || len(ports) != 1 || fmt.Sprint(ports[0].HostPort, ports[0].LastHostPort) != want {
			t.Errorf("%q: %+v, %v", asked, ports, err)
		}
	}
}
