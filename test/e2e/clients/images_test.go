package clients

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/berth-containers/berth/test/harness"
)

const postgres = "/usr/lib/postgresql/15/bin/"

// stackImages gives the engine what the stack is made of: programs of this Debian
// with the libraries they need, on busybox.
func stackImages(t *testing.T, e *harness.Engine) {
	t.Helper()
	image(t, e, "stack-web", []string{"/usr/sbin/nginx"}, map[string]string{
		"etc/nginx/mime.types": "types { text/html html; }\n",
	}, `ENTRYPOINT ["nginx", "-g", "daemon off; error_log stderr;"]`, "EXPOSE 80")
	image(t, e, "stack-cache", []string{"/usr/bin/redis-server", "/usr/bin/redis-cli"}, nil,
		`ENTRYPOINT ["redis-server"]`, "VOLUME /data", "WORKDIR /data", "EXPOSE 6379")
	image(t, e, "stack-db", []string{postgres + "postgres", postgres + "initdb", postgres + "psql", postgres + "pg_isready", postgres + "pg_ctl",
		"/usr/share/postgresql/15", "/usr/lib/postgresql/15/lib/plpgsql.so", "/usr/lib/postgresql/15/lib/dict_snowball.so", "/usr/share/zoneinfo/Etc/UTC"},
		map[string]string{"bin/entrypoint": read(t, "testdata/stack/db-entrypoint")},
		`ENTRYPOINT ["entrypoint"]`, "USER postgres", "ENV PGDATA=/var/lib/postgresql/data PATH="+postgres+":/usr/bin:/bin",
		"VOLUME /var/lib/postgresql/data", "EXPOSE 5432", "STOPSIGNAL SIGINT")
	image(t, e, "stack-app", []string{"/usr/bin/redis-cli", postgres + "psql"}, map[string]string{
		"www/cgi-bin/page": read(t, "testdata/stack/page"),
	}, `CMD ["httpd", "-f", "-vv", "-h", "/www", "-p", "8080"]`, "ENV PATH="+postgres+":/usr/bin:/bin", "EXPOSE 8080")
}

func read(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// image imports an image of busybox, the host's files at paths with the libraries
// of the programs among them, and files of its own, which are executable.
func image(t *testing.T, e *harness.Engine, name string, paths []string, files map[string]string, changes ...string) {
	t.Helper()
	root := t.TempDir()
	base, err := harness.BusyboxTar()
	if err != nil {
		t.Fatal(err)
	}
	pipe(t, bytes.NewReader(base), "tar", "-xC", root)
	// A link is what it leads to: the libraries' names are the links.
	if len(paths) > 0 {
		packed := pipe(t, nil, "tar", append([]string{"-chf", "-", "-C", "/"}, relative(append(paths, libraries(t, paths)...))...)...)
		pipe(t, bytes.NewReader(packed), "tar", "-xC", root)
	}
	for _, dir := range []string{"run", "var/log/nginx", "var/lib/nginx", "var/lib/postgresql/data", "data"} {
		if err := os.MkdirAll(filepath.Join(root, dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for path, text := range files {
		full := filepath.Join(root, path)
		if err := os.MkdirAll(filepath.Dir(full), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(full, []byte(text), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	users := "root:x:0:0:root:/root:/bin/sh\npostgres:x:70:70::/var/lib/postgresql:/bin/sh\nwww-data:x:33:33::/var/www:/bin/sh\nnobody:x:65534:65534::/:/bin/sh\n"
	groups := "root:x:0:\npostgres:x:70:\nwww-data:x:33:\nnogroup:x:65534:\n"
	for path, text := range map[string]string{"etc/passwd": users, "etc/group": groups} {
		if err := os.WriteFile(filepath.Join(root, path), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	pipe(t, nil, "chown", "-R", "70:70", filepath.Join(root, "var/lib/postgresql"))
	args := []string{"import"}
	for _, c := range changes {
		args = append(args, "--change", c)
	}
	cmd := e.Command("docker", append(args, "-", name)...)
	cmd.Stdin = bytes.NewReader(pipe(t, nil, "tar", "-cC", root, "."))
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("import %s: %v\n%s", name, err, out)
	}
}

func relative(paths []string) (list []string) {
	for _, p := range paths {
		list = append(list, strings.TrimPrefix(p, "/"))
	}
	return list
}

// libraries are those that the programs are linked with, the linker among them.
func libraries(t *testing.T, programs []string) (list []string) {
	t.Helper()
	seen := map[string]bool{}
	for _, p := range programs {
		out, err := exec.Command("ldd", p).Output()
		if err != nil {
			continue // a directory, a static program or data
		}
		for _, word := range strings.Fields(string(out)) {
			if strings.HasPrefix(word, "/") && !seen[word] {
				seen[word] = true
				list = append(list, word)
			}
		}
	}
	return list
}

func pipe(t *testing.T, in *bytes.Reader, name string, args ...string) []byte {
	t.Helper()
	cmd := exec.Command(name, args...)
	if in != nil {
		cmd.Stdin = in
	}
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil {
		t.Fatalf("%s %v: %v\n%s", name, args, err, errs.String())
	}
	return out.Bytes()
}
