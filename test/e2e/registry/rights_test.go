package registry

import (
	"encoding/json"
	"fmt"
	"os/exec"
	"regexp"
	"strings"
	"testing"

	"github.com/berth-containers/berth/test/harness"
)

// varying is what differs between any two answers.
var varying = regexp.MustCompile(`(?im)^date: .*$|time="[^"]*"|docker-upload-uuid: \S+|location: \S+|[0-9a-f]{8}-[0-9a-f-]{27}|content-length: \d+`)

// curl sends one request by curl and returns the answer with its headers.
func curl(t *testing.T, creds, method, url string) string {
	t.Helper()
	args := []string{"-s", "-i", "--max-time", "60", "-X", method, "-H", "Content-Type: application/vnd.oci.image.manifest.v1+json"}
	if method == "HEAD" {
		args = []string{"-s", "-I", "--max-time", "60"}
	}
	if creds != "" {
		args = append(args, "-u", creds)
	}
	if method == "PUT" || method == "POST" {
		args = append(args, "-d", "{}")
	}
	out, err := exec.Command("curl", append(args, url)...).CombinedOutput()
	if err != nil {
		t.Fatalf("curl %s %s: %v", method, url, err)
	}
	return string(out)
}

func (r *registry) digestOf(creds, repository string) string {
	r.t.Helper()
	status, _, h := r.request("HEAD", "/v2/"+repository+"/manifests/1", creds, nil)
	if status != 200 {
		r.t.Fatalf("%s: %d", repository, status)
	}
	return h.Get("Docker-Content-Digest")
}

// secretRegistry has team/real, bob with rights elsewhere, and the key ci for team/real.
// The engine is there first, so that it ends last and sees what is left behind.
func secretRegistry(t *testing.T) (e *harness.Engine, r *registry, key string) {
	t.Helper()
	e = harness.New(t)
	r = newRegistry(t, t.TempDir())
	r.ok("alice-secret", "user", "add", "alice", "team/**", "--password-stdin")
	r.ok("bob-secret", "user", "add", "bob", "bob/**", "--password-stdin")
	key = r.ok("", "key", "add", "ci", "team/real")
	r.start()
	image := "oci-archive:" + archive(t)
	if out, err := skopeo(t, "copy", "--dest-tls-verify=false", "--dest-creds", "alice:alice-secret", image, "docker://"+r.host+"/team/real:1"); err != nil {
		t.Fatalf("push: %v\n%s", err, out)
	}
	return e, r, key
}

// same asks about a repository that is there, and one that is not and whose
// name has the same length.
func same(t *testing.T, what string, ask func(repository string) string) {
	t.Helper()
	got := map[string]string{}
	for _, name := range []string{"real", "void"} {
		text := ask("team/" + name)
		got[name] = varying.ReplaceAllString(strings.ReplaceAll(text, "team/"+name, "team/X"), "")
	}
	if got["real"] != got["void"] {
		t.Errorf("%s: of what is there\n%s\nof what is not\n%s", what, got["real"], got["void"])
	}
}

// Who has no rights gets, for what is there, the answers for what is not there,
// whatever the client.
func TestNothingToLearn(t *testing.T) {
	e, r, key := secretRegistry(t)
	digest := r.digestOf("alice:alice-secret", "team/real")
	t.Run("curl", func(t *testing.T) {
		for _, creds := range []string{"", "bob:bob-secret", "nobody:x"} {
			for _, what := range []string{
				"GET manifests/1", "HEAD manifests/1", "GET manifests/" + digest, "PUT manifests/2", "DELETE manifests/1", "DELETE manifests/" + digest,
				"GET blobs/" + digest, "HEAD blobs/" + digest, "DELETE blobs/" + digest, "POST blobs/uploads/", "GET tags/list", "GET referrers/" + digest,
			} {
				method, path, _ := strings.Cut(what, " ")
				same(t, creds+" "+what, func(repository string) string {
					return curl(t, creds, method, "http://"+r.host+"/v2/"+repository+"/"+path)
				})
			}
			for _, page := range []string{"/v2/_catalog", "/"} {
				if out := curl(t, creds, "GET", "http://"+r.host+page); strings.Contains(out, "team/real") {
					t.Errorf("%q learns from %s: %s", creds, page, out)
				}
			}
		}
		same(t, "a mount", func(repository string) string {
			return curl(t, "bob:bob-secret", "POST", "http://"+r.host+"/v2/bob/mine/blobs/uploads/?mount="+digest+"&from="+repository)
		})
		same(t, "a key's other repository", func(repository string) string {
			return curl(t, "ci:"+key, "GET", "http://"+r.host+"/v2/other/"+strings.TrimPrefix(repository, "team/")+"/tags/list")
		})
	})
	t.Run("skopeo", func(t *testing.T) {
		image := archive(t)
		for _, creds := range []string{"bob:bob-secret", "bob:wrong"} {
			for _, args := range [][]string{
				{"inspect", "--tls-verify=false", "--creds", creds}, {"list-tags", "--tls-verify=false", "--creds", creds},
				{"delete", "--tls-verify=false", "--creds", creds}, {"copy", "--dest-tls-verify=false", "--dest-creds", creds, "oci-archive:" + image},
			} {
				same(t, creds+" skopeo "+args[0], func(repository string) string {
					name := "docker://" + r.host + "/" + repository
					if args[0] != "list-tags" {
						name += ":1"
					}
					out, err := skopeo(t, append(args[:len(args):len(args)], name)...)
					if err == nil {
						t.Errorf("%s %v worked", creds, args)
					}
					return out
				})
			}
		}
	})
	t.Run("docker and berth", func(t *testing.T) { nothingToLearn(t, e, r) })
}

func nothingToLearn(t *testing.T, e *harness.Engine, r *registry) {
	e.Busybox()
	for _, creds := range []string{"", "bob-secret"} {
		if creds != "" {
			e.DockerOK("login", "-u", "bob", "-p", creds, r.host)
		}
		for client, run := range map[string]func(...string) harness.Result{"docker": e.Docker, "berth": e.Berth} {
			for _, verb := range []string{"pull", "push"} {
				same(t, client+" "+verb, func(repository string) string {
					name := r.host + "/" + repository + ":1"
					if verb == "push" {
						e.OK("tag", "busybox", name)
					}
					got := run(verb, name)
					if got.Code == 0 {
						t.Errorf("%s %s %s worked", client, verb, name)
					}
					// The order of layers that run side by side is anybody's.
					return fmt.Sprint(got.Code, lastLine(got.Err))
				})
			}
		}
	}
	e.OK("rmi", r.host+"/team/real:1", r.host+"/team/void:1")
}

func lastLine(text string) string {
	text = strings.TrimSpace(text)
	return text[strings.LastIndexByte(text, '\n')+1:]
}

// A read-only key pulls, and changes nothing, whatever the client.
func TestReadOnlyKey(t *testing.T) {
	e, r, key := secretRegistry(t)
	creds := "ci:" + key
	app := r.host + "/team/real"
	digest := r.digestOf(creds, "team/real")
	t.Run("curl", func(t *testing.T) {
		for what, want := range map[string]string{
			"GET manifests/1": "200", "GET tags/list": "200", "GET referrers/" + digest: "200",
			"PUT manifests/2": "403", "PUT manifests/1": "403", "PUT manifests/" + digest: "403", "POST blobs/uploads/": "403",
			"DELETE manifests/1": "403", "DELETE manifests/" + digest: "403", "DELETE blobs/" + digest: "403",
			"POST blobs/uploads/?mount=" + digest + "&from=team/real": "403",
		} {
			method, path, _ := strings.Cut(what, " ")
			if out := curl(t, creds, method, "http://"+r.host+"/v2/team/real/"+path); !strings.HasPrefix(out, "HTTP/1.1 "+want) {
				t.Errorf("%s: want %s: %s", what, want, out)
			}
		}
	})
	t.Run("skopeo", func(t *testing.T) {
		image := archive(t)
		for _, row := range []struct {
			works bool
			args  []string
		}{
			{true, []string{"inspect", "--tls-verify=false", "--creds", creds, "docker://" + app + ":1"}},
			{false, []string{"copy", "--dest-tls-verify=false", "--dest-creds", creds, "oci-archive:" + image, "docker://" + app + ":2"}},
			{false, []string{"copy", "--src-tls-verify=false", "--dest-tls-verify=false", "--src-creds", creds, "--dest-creds", creds, "docker://" + app + ":1", "docker://" + app + ":tagged"}},
			{false, []string{"delete", "--tls-verify=false", "--creds", creds, "docker://" + app + ":1"}},
		} {
			if out, err := skopeo(t, row.args...); (err == nil) != row.works {
				t.Errorf("skopeo %s: %v\n%s", row.args[0], err, out)
			}
		}
	})
	t.Run("docker and berth", func(t *testing.T) {
		e.DockerOK("login", "-u", "ci", "-p", key, r.host)
		for client, run := range map[string]func(...string) harness.Result{"docker": e.Docker, "berth": e.Berth} {
			if got := run("pull", app+":1"); got.Code != 0 {
				t.Errorf("%s pull: %s", client, got.Err)
			}
			e.OK("tag", app+":1", app+":"+client)
			if got := run("push", app+":"+client); got.Code == 0 || !strings.Contains(got.Err, "denied") {
				t.Errorf("%s push: exit %d %s", client, got.Code, got.Err)
			}
		}
		e.OK("rmi", app+":docker", app+":berth", app+":1")
	})
	_, body, _ := r.request("GET", "/v2/team/real/tags/list", "alice:alice-secret", nil)
	var list struct{ Tags []string }
	if err := json.Unmarshal([]byte(body), &list); err != nil || fmt.Sprint(list.Tags) != "[1]" || r.digestOf("alice:alice-secret", "team/real") != digest {
		t.Errorf("after all of it: %s, %v", body, err)
	}
}
