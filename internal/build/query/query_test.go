package query

import (
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/containerd/errdefs"
)

// text is a request as lines.
func text(t *testing.T, values string) (string, error) {
	t.Helper()
	q, err := url.ParseQuery(values)
	if err != nil {
		t.Fatal(err)
	}
	o, err := Parse(q)
	if err != nil {
		return "", err
	}
	req, err := o.Solve("172.30.0.1")
	if err != nil {
		return "", err
	}
	var lines []string
	for _, name := range slices.Sorted(maps.Keys(req.FrontendAttrs)) {
		lines = append(lines, name+"="+req.FrontendAttrs[name])
	}
	for _, e := range req.Exporters {
		lines = append(lines, fmt.Sprintf("export %s %v", e.Type, e.Attrs))
	}
	for _, e := range req.Entitlements {
		lines = append(lines, "allow "+e)
	}
	for _, e := range req.Cache.Exports {
		lines = append(lines, "cache-to "+e.Type)
	}
	return strings.Join(lines, "\n"), nil
}

func TestSolve(t *testing.T) {
	tests := map[string]string{
		"": "image-resolve-mode=local\nexport moby map[]",
		"t=a&t=b:1&target=x&pull=1&nocache=1&dockerfile=D":                          "filename=D\nimage-resolve-mode=pull\nno-cache=\ntarget=x\nexport moby map[name:a,b:1]",
		`buildargs={"A":"1","B":null,"BUILDKIT_INLINE_CACHE":"1"}&labels={"k":"v"}`: "build-arg:A=1\nbuild-arg:BUILDKIT_INLINE_CACHE=1\nimage-resolve-mode=local\nlabel:k=v\nexport moby map[]\ncache-to inline",
		"squash=1": "image-resolve-mode=local\nexport moby map[flat:true]",
		"networkmode=host&shmsize=1024&memory=4096&cpuquota=5&cpusetcpus=0":    "cpuquota=5\ncpusetcpus=0\nforce-network-mode=host\nimage-resolve-mode=local\nmemory=4096\nshm-size=1024\nexport moby map[]\nallow network.host",
		"extrahosts=a:1.2.3.4&extrahosts=b:host-gateway&extrahosts=c=[::1]":    "add-hosts=a=1.2.3.4,b=172.30.0.1,c=::1\nimage-resolve-mode=local\nexport moby map[]",
		`ulimits=[{"Name":"nofile","Soft":10,"Hard":20}]&cachefrom=["r/x"]`:    "cache-from=r/x\nimage-resolve-mode=local\nulimit=nofile=10:20\nexport moby map[]",
		`version=2&remote=client-session&session=s&outputs=[{"Type":"local"}]`: "image-resolve-mode=local\nexport local map[]",
		`remote=https://x/y.git&outputs=[{"Type":"cacheonly"}]`:                "context=https://x/y.git\nimage-resolve-mode=local",
	}
	for values, want := range tests {
		got, err := text(t, values)
		if err != nil || got != want {
			t.Errorf("%s: %v\n%s\nwant:\n%s", values, err, got, want)
		}
	}
}

func TestRefused(t *testing.T) {
	for values, want := range map[string]string{
		"version=3":                           `invalid version "3"`,
		"memory=much":                         `parameter memory: "much" is not a number`,
		"labels=x":                            "parameter labels",
		"platform=a/b/c/d/e":                  "invalid platform",
		"t=good&t=Bad":                        `invalid image name "Bad"`,
		"networkmode=mine":                    `network mode "mine" not supported`,
		"extrahosts=x":                        "invalid host x",
		"extrahosts=x:y":                      `"y" is not an address`,
		"securityopt=seccomp=unconfined":      "not supported",
		"isolation=hyperv":                    "unsupported isolation",
		`outputs=[{"Type":"a"},{"Type":"b"}]`: "multiple outputs",
	} {
		if _, err := text(t, values); !errdefs.IsInvalidArgument(err) || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %s", values, err, want)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add(`t=a&buildargs={"A":null}&ulimits=[null]&extrahosts=a:b`)
	f.Fuzz(func(t *testing.T, values string) {
		q, err := url.ParseQuery(values)
		if err != nil {
			return
		}
		if o, err := Parse(q); err == nil {
			_, _ = o.Solve("")
		}
	})
}
