package executor

import (
	"slices"
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

func TestNameLayers(t *testing.T) {
	long := "/" + strings.Repeat("l", 200)
	s := &specs.Spec{Mounts: []specs.Mount{
		{Type: "overlay", Options: []string{"ro", "lowerdir=/a:/b"}},
		{Type: "overlay", Options: []string{"lowerdir=" + long + ":/b:" + long, "index=off", "redirect_dir=off", "upperdir=/u", "workdir=/w"}},
		{Type: "bind", Options: []string{"lowerdir=" + long + long}},
	}}
	nameLayers(s)
	for i, want := range [][]string{
		{"ro", "lowerdir=/a:/b"},
		{"lowerdir+=" + long, "lowerdir+=/b", "lowerdir+=" + long, "upperdir=/u", "workdir=/w"},
		{"lowerdir=" + long + long},
	} {
		if got := s.Mounts[i].Options; !slices.Equal(got, want) {
			t.Errorf("mount %d: %v; want %v", i, got, want)
		}
	}
}
