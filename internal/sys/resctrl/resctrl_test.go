package resctrl

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// fake is a resctrl with the group "there". Its directories can be removed only
// when they are empty, unlike the kernel's.
func fake(t *testing.T) string {
	t.Helper()
	root := t.TempDir()
	if err := os.MkdirAll(filepath.Join(root, "there/mon_groups"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(root, "there/schemata"), []byte("    L3:0=0f;1=ff\n    MB:0=50;1=100\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	return root
}

func TestCreate(t *testing.T) {
	for name, tt := range map[string]struct {
		rdt  specs.LinuxIntelRdt
		made string // with this in its schemata
		err  string
	}{
		"own":            {specs.LinuxIntelRdt{L3CacheSchema: "L3:0=f", MemBwSchema: "MB:0=10", Schemata: []string{"L2:0=1"}}, "L3:0=f\nMB:0=10\nL2:0=1\n", ""},
		"own, unlimited": {specs.LinuxIntelRdt{}, "", ""},
		"there":          {specs.LinuxIntelRdt{ClosID: "there"}, "", ""},
		"there, alike":   {specs.LinuxIntelRdt{ClosID: "there", L3CacheSchema: "L3:1=FF;0=f", EnableMonitoring: true}, "", ""},
		"there, other":   {specs.LinuxIntelRdt{ClosID: "there", L3CacheSchema: "L3:0=1"}, "", `linux.intelRdt "L3:0=1" is not what the group`},
		"missing":        {specs.LinuxIntelRdt{ClosID: "new"}, "", `closID "new": there is no such group`},
		"the root":       {specs.LinuxIntelRdt{ClosID: "/"}, "", ""},
		"no monitoring":  {specs.LinuxIntelRdt{Schemata: []string{"L3:0=1"}, EnableMonitoring: true}, "", "make resctrl monitoring group"},
	} {
		root := fake(t)
		err := Create(root, "box", &tt.rdt)
		if tt.err != "" && (err == nil || !strings.Contains(err.Error(), tt.err)) || tt.err == "" && err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if b, _ := os.ReadFile(filepath.Join(root, "box/schemata")); tt.made != "" && string(b) != tt.made {
			t.Errorf("%s: %q", name, b)
		}
	}
}

func TestRemove(t *testing.T) {
	root := fake(t)
	own, shared := &specs.LinuxIntelRdt{}, &specs.LinuxIntelRdt{ClosID: "there", EnableMonitoring: true}
	for range 2 {
		for _, r := range []*specs.LinuxIntelRdt{own, shared} {
			if err := Create(root, "box", r); err != nil {
				t.Fatal(err)
			}
			if err := Remove(root, "box", r); err != nil {
				t.Fatal(err)
			}
			if err := Remove(root, "box", r); err != nil {
				t.Error(err)
			}
		}
	}
	if _, err := os.Stat(filepath.Join(root, "there")); err != nil {
		t.Error(err)
	}
}

func TestUpdate(t *testing.T) {
	root := fake(t)
	own := &specs.LinuxIntelRdt{L3CacheSchema: "L3:0=f"}
	if err := Create(root, "box", own); err != nil {
		t.Fatal(err)
	}
	for name, tt := range map[string]struct {
		rdt         *specs.LinuxIntelRdt
		change      specs.LinuxIntelRdt
		group, want string
		err         string
	}{
		"both":         {own, specs.LinuxIntelRdt{L3CacheSchema: "L3:0=1", MemBwSchema: "MB:0=20"}, "box", "L3:0=1\nMB:0=20\n", ""},
		"of the group": {&specs.LinuxIntelRdt{ClosID: "there"}, specs.LinuxIntelRdt{MemBwSchema: "MB:0=30"}, "there", "MB:0=30\n", ""},
		"no group":     {nil, specs.LinuxIntelRdt{MemBwSchema: "MB:0=30"}, "", "", "set linux.intelRdt"},
		"gone":         {&specs.LinuxIntelRdt{ClosID: "gone"}, specs.LinuxIntelRdt{MemBwSchema: "MB:0=30"}, "", "", "find resctrl group"},
		"two lines":    {own, specs.LinuxIntelRdt{L3CacheSchema: "L3:0=1\nMB:0=1"}, "", "", "is not one line"},
	} {
		err := Update(root, "box", tt.rdt, &tt.change)
		if tt.err != "" && (err == nil || !strings.Contains(err.Error(), tt.err)) || tt.err == "" && err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if b, _ := os.ReadFile(filepath.Join(root, tt.group, "schemata")); tt.want != "" && string(b) != tt.want {
			t.Errorf("%s: %q", name, b)
		}
	}
}

func TestCheck(t *testing.T) {
	for _, r := range []specs.LinuxIntelRdt{{ClosID: "../x"}, {ClosID: ".."}, {Schemata: []string{"L3:0=1\nMB:0=1"}}, {MemBwSchema: "L3:0=1"}, {L3CacheSchema: "f"}} {
		if Check(&r) == nil {
			t.Errorf("%+v is taken", r)
		}
	}
}
