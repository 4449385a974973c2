package storage

import (
	"testing"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/mount"

	"github.com/berth-containers/berth/internal/container"
	"github.com/berth-containers/berth/internal/engine/mounts"
)

func TestLayerSize(t *testing.T) {
	for _, tc := range []struct {
		options map[string]string
		want    int64
		err     string
	}{
		{nil, 0, ""}, {map[string]string{"size": "10M"}, 10 << 20, ""},
		{map[string]string{"size": "0"}, 0, "--storage-opt size=0 is not a size such as 10G"},
		{map[string]string{"size": "big"}, 0, "--storage-opt size=big is not a size such as 10G"},
		{map[string]string{"inodes": "5"}, 0, "Unknown option inodes: --storage-opt takes size"},
	} {
		got, err := LayerSize(tc.options)
		if got != tc.want || (err == nil) != (tc.err == "") || err != nil && (err.Error() != tc.err || !errdefs.IsInvalidArgument(err)) {
			t.Errorf("%v: %d, %v", tc.options, got, err)
		}
	}
}

// A bind of the engine's own data, or around it, follows the unmounts there.
func TestAroundRoot(t *testing.T) {
	s := &Store{Options: Options{DataRoot: "/var/lib/berth"}}
	for _, tc := range []struct {
		source      string
		bind        mount.BindOptions
		propagation mount.Propagation
		want        mount.Propagation // "": refused
	}{
		{"/", mount.BindOptions{}, mount.PropagationRPrivate, mount.PropagationRSlave},
		{"/var/lib", mount.BindOptions{}, mount.PropagationRPrivate, mount.PropagationRSlave},
		{"/var/lib/berth", mount.BindOptions{}, mount.PropagationRPrivate, mount.PropagationRSlave},
		{"/var/lib/berth/volumes", mount.BindOptions{}, mount.PropagationRPrivate, mount.PropagationRSlave},
		{"/var/lib/berthold", mount.BindOptions{}, mount.PropagationRPrivate, mount.PropagationRPrivate},
		{"/home", mount.BindOptions{}, mount.PropagationRPrivate, mount.PropagationRPrivate},
		{"/", mount.BindOptions{NonRecursive: true}, mount.PropagationRPrivate, mount.PropagationRPrivate},
		{"/", mount.BindOptions{Propagation: mount.PropagationRShared}, mount.PropagationRShared, mount.PropagationRShared},
		{"/", mount.BindOptions{Propagation: mount.PropagationRPrivate}, mount.PropagationRPrivate, ""},
	} {
		p := mounts.Plan{Mount: container.Mount{Type: mount.TypeBind, Source: tc.source, Propagation: tc.propagation, Bind: &tc.bind}}
		err := s.aroundRoot(&p)
		if tc.want == "" && !errdefs.IsInvalidArgument(err) || tc.want != "" && (err != nil || p.Propagation != tc.want) {
			t.Errorf("%+v: %s, %v", tc, p.Propagation, err)
		}
	}
	if OwnerOf("abc.3") != "abc" || OwnerOf("abc") != "abc" {
		t.Error("whose layers")
	}
}
