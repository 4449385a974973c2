package device

import (
	"fmt"
	"strings"
	"testing"

	"github.com/containerd/errdefs"
	specs "github.com/opencontainers/runtime-spec/specs-go"
)

func ptr[T any](v T) *T { return &v }

func TestV1(t *testing.T) {
	rules, err := Parse([]specs.LinuxDeviceCgroup{{Access: "rwm"}, {Allow: true, Type: "c", Major: ptr[int64](10), Minor: ptr[int64](229), Access: "rw"}})
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	for _, l := range V1(rules) {
		fmt.Fprintln(&b, l.File, "=", l.Value)
	}
	want := `devices.deny = a
devices.allow = c 10:229 rw
devices.allow = c *:* m
devices.allow = b *:* m
devices.allow = c 1:3 rwm
devices.allow = c 1:5 rwm
devices.allow = c 1:7 rwm
devices.allow = c 1:8 rwm
devices.allow = c 1:9 rwm
devices.allow = c 5:0 rwm
devices.allow = c 5:2 rwm
devices.allow = c 136:* rwm
`
	if b.String() != want {
		t.Errorf("%s\nwant\n%s", b.String(), want)
	}
}

func TestRefusedRules(t *testing.T) {
	for _, d := range []specs.LinuxDeviceCgroup{{Type: "x"}, {Access: "q"}, {Major: ptr[int64](-2)}, {Minor: ptr[int64](1 << 40)}} {
		if _, err := Parse([]specs.LinuxDeviceCgroup{d}); !errdefs.IsInvalidArgument(err) {
			t.Errorf("%+v: %v", d, err)
		}
	}
}

func TestAllowsAll(t *testing.T) {
	for _, tt := range []struct {
		list []specs.LinuxDeviceCgroup
		want bool
	}{
		{nil, false},
		{[]specs.LinuxDeviceCgroup{{Allow: true, Access: "rwm"}}, true},
		{[]specs.LinuxDeviceCgroup{{Allow: true}, {Type: "c", Access: "w"}}, false},
		{[]specs.LinuxDeviceCgroup{{Access: "rwm"}, {Allow: true, Type: "a", Access: "rwm"}}, true},
		{[]specs.LinuxDeviceCgroup{{Allow: true, Type: "a", Access: "rw"}}, false},
	} {
		rules, err := Parse(tt.list)
		if err != nil {
			t.Fatal(err)
		}
		if got := AllowsAll(rules); got != tt.want {
			t.Errorf("%+v: %v, want %v", tt.list, got, tt.want)
		}
	}
}
