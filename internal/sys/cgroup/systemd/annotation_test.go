package systemd

import (
	"fmt"
	"strings"
	"testing"

	"github.com/containerd/errdefs"

	"github.com/berth-containers/berth/internal/sys/dbus"
)

func TestFromAnnotations(t *testing.T) {
	for _, tt := range []struct{ name, value, want string }{
		{"CollectMode", "'inactive-or-failed'", `CollectMode dbus.String "inactive-or-failed"`},
		{"Description", `"it's \"\u0041\""`, `Description dbus.String "it's \"A\""`},
		{"SendSIGHUP", "true", "SendSIGHUP dbus.Bool true"},
		{"SendSIGHUP", " false ", "SendSIGHUP dbus.Bool false"},
		{"CPUWeight", "uint64 50", "CPUWeight dbus.Uint64 0x32"},
		{"CPUWeight", "@t 0x32", "CPUWeight dbus.Uint64 0x32"},
		{"Mask", "uint32 7", "Mask dbus.Uint32 0x7"},
		{"Mask", "@u 7", "Mask dbus.Uint32 0x7"},
		{"After", "['a.service', \"b.service\" ]", `After dbus.Strings dbus.Strings{"a.service", "b.service"}`},
		{"After", "@as []", "After dbus.Strings dbus.Strings{}"},
		{"TimeoutStopUSec", "uint64 7", "TimeoutStopUSec dbus.Uint64 0x7"},
		{"TimeoutStopSec", "5", "TimeoutStopUSec dbus.Uint64 0x4c4b40"},
		{"TimeoutStopSec", "0.5", "TimeoutStopUSec dbus.Uint64 0x7a120"},
		{"TimeoutStopSec", "uint64 5", "TimeoutStopUSec dbus.Uint64 0x4c4b40"},
		{"TimeoutStopSec", "-1", "error number of seconds"},
		{"TimeoutStopSec", "nan", "error number of seconds"},
		{"TimeoutStopSec", "1e99", "error number of seconds"},
		{"TimeoutStopSec", "'5'", "error number of seconds"},
		{"Sec", "true", "Sec dbus.Bool true"},
		{"CPUWeight", "50", "error uint64 7"},
		{"Mask", "uint32 4294967296", "error is none of"},
		{"Mask", "uint64 -1", "error is none of"},
		{"Description", "'open", "error is none of"},
		{"Description", "'a' b", "error is none of"},
		{"Description", `'\x00'`, "error is none of"},
		{"Description", "bare", "error is none of"},
		{"Description", "", "error is none of"},
		{"After", "['a' 'b']", "error is none of"},
		{"After", "['a',", "error is none of"},
		{"After", "[a]", "error is none of"},
		{"Xy", "true", "error give letters"},
		{"Exec=Start", "true", "error give letters"},
		{"Größe", "true", "error give letters"},
		{"", "true", "error give letters"},
	} {
		props, err := FromAnnotations(map[string]string{"org.systemd.property." + tt.name: tt.value, "org.example.other": "x"})
		if want, fails := strings.CutPrefix(tt.want, "error "); fails {
			if !errdefs.IsInvalidArgument(err) || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), tt.name) {
				t.Errorf("%s = %s: %v, want %s", tt.name, tt.value, err, want)
			}
			continue
		}
		if err != nil || len(props) != 1 {
			t.Errorf("%s = %s: %v %v", tt.name, tt.value, props, err)
			continue
		}
		if got := show(props[0]); got != tt.want {
			t.Errorf("%s = %s: %s, want %s", tt.name, tt.value, got, tt.want)
		}
	}
}

func show(p dbus.Property) string {
	v := strings.TrimSuffix(strings.TrimPrefix(fmt.Sprintf("%#v", p.Value), "dbus.String("), ")")
	return fmt.Sprintf("%s %T %s", p.Name, p.Value, v)
}

// Whatever an annotation says, it is refused or a value without a zero byte.
func FuzzParseValue(f *testing.F) {
	for _, s := range []string{"true", "'a'", `"\n"`, "['a', 'b']", "@as []", "uint64 7", "@u 7", "[", "'\\"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		v, err := parseValue(text)
		if err == nil && strings.Contains(fmt.Sprint(v), "\x00") {
			t.Errorf("%q has a zero byte: %q", text, v)
		}
		if s, err := seconds(text); err == nil && s == nil {
			t.Errorf("%q is nothing", text)
		}
	})
}
