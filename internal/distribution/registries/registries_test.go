package registries

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const example = `{
	"default": "registry.lan:5000",
	"certs": "/nowhere",
	"hosts": {
		"docker.io": {"mirrors": ["http://10.0.0.2:5000", "cache.lan/hub/"]},
		"registry.lan": {"insecure": true},
		"*": {"mirrors": ["https://cache.lan"]}
	}
}`

func TestEndpoints(t *testing.T) {
	table, err := Parse([]byte(example))
	if err != nil {
		t.Fatal(err)
	}
	if table, err = table.With([]string{"old.lan:80"}, []string{"last.lan"}); err != nil {
		t.Fatal(err)
	}
	for registry, want := range map[string]string{
		"docker.io":         "http://10.0.0.2:5000/v2 mirror, https://cache.lan/hub/v2 mirror, https://last.lan/v2 mirror, https://registry.lan:5000/v2 insecure",
		"registry.lan:5000": "https://registry.lan:5000/v2 insecure",
		"old.lan:80":        "https://cache.lan/v2 mirror, https://old.lan:80/v2 insecure",
		"quay.example":      "https://cache.lan/v2 mirror, https://quay.example/v2",
		"127.0.0.1:5000":    "https://cache.lan/v2 mirror, https://127.0.0.1:5000/v2 insecure",
	} {
		list, err := table.Endpoints(registry)
		if err != nil {
			t.Fatal(err)
		}
		var texts []string
		for _, e := range list {
			text := fmt.Sprintf("%s://%s%s", e.Scheme, e.Host, e.Path)
			if e.Mirror {
				text += " mirror"
			}
			if e.Insecure {
				text += " insecure"
			}
			texts = append(texts, text)
		}
		if got := strings.Join(texts, ", "); got != want {
			t.Errorf("%s: %s, want %s", registry, got, want)
		}
	}
}

func TestCerts(t *testing.T) {
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "a.example:5000"), 0o755); err != nil {
		t.Fatal(err)
	}
	table := Table{Certs: dir}
	for host, want := range map[string]string{"a.example:5000": filepath.Join(dir, "a.example:5000"), "a.example": ""} {
		list, err := table.Endpoints(host)
		if err != nil || list[0].Certs != want {
			t.Errorf("%s: %+v, %v", host, list, err)
		}
	}
}

func TestParseRefuses(t *testing.T) {
	for text, want := range map[string]string{
		`[]`:                         "not a table of registries",
		`{"mirror": []}`:             `unknown field "mirror"`,
		`{"default": "http://a"}`:    `default: "http://a"`,
		`{"certs": "certs.d"}`:       `certs: "certs.d"`,
		`{"hosts": {"a/b": {}}}`:     `hosts: "a/b"`,
		`{"hosts": {"a": {"x": 1}}}`: `unknown field "x"`,
		`{"hosts": {"a": {"mirrors": ["ftp://b"]}}}`:        `hosts: a: mirrors: "ftp://b"`,
		`{"hosts": {"a": {"mirrors": ["https://u:p@b"]}}}`:  "mirrors",
		`{"hosts": {"a": {"mirrors": ["https://b?ns=c"]}}}`: "mirrors",
	} {
		if _, err := Parse([]byte(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", text, err, want)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add(example, "docker.io")
	f.Add(`{"hosts":{"[::1]:5000":{"mirrors":["[::1]"]}}}`, "[::1]:5000")
	f.Fuzz(func(t *testing.T, text, registry string) {
		table, err := Parse([]byte(text))
		if err != nil {
			return
		}
		table.Certs = t.TempDir()
		if list, err := table.Endpoints(registry); err == nil && list[len(list)-1].Mirror {
			t.Errorf("the registry itself is not asked: %+v", list)
		}
	})
}
