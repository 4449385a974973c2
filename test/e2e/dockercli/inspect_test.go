package dockercli

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/berth-containers/berth/test/harness"
)

const inspectFile = "testdata/inspect.txt"

// containers are made by both; the first word is create or run.
var containers = []string{
	"create busybox", "create busybox echo 'two words'", "create --entrypoint /bin/sh busybox -c true", "create --entrypoint '' busybox true",
	"create --env A=b --env C= --label x=y --label z busybox", "create --tty --interactive busybox", "create --hostname h --domainname d.example busybox",
	"create --user 5:6 --workdir /w --group-add 7 busybox", "create --memory 64m --memory-swap 128m --memory-reservation 32m --cpu-shares 5 --pids-limit 9 busybox",
	"create --cpus 0.5 --cpuset-cpus 0 --cpuset-mems 0 busybox", "create --cpu-period 50000 --cpu-quota 20000 --oom-score-adj 5 busybox",
	"create --publish 127.0.0.1:18080:80 --publish 18081:81/udp --expose 90-92 busybox", "create --publish-all --expose 7 busybox",
	"create --volume /anon --volume named:/named:ro --volume /tmp:/host:ro busybox", "create --tmpfs /t:size=1m --read-only busybox",
	"create --mount type=volume,src=named,dst=/v --mount type=tmpfs,dst=/m,tmpfs-size=1m --mount type=bind,src=/tmp,dst=/b,readonly busybox",
	"create --cap-add NET_ADMIN --cap-drop CHOWN --security-opt no-new-privileges busybox", "create --privileged --device /dev/null:/dev/x busybox",
	"create --restart on-failure:3 --stop-signal USR1 --stop-timeout 4 busybox", "create --health-cmd true --health-interval 9s --health-retries 2 busybox",
	"create --no-healthcheck --init busybox", "create --network none busybox", "create --network host busybox", "create --ipc shareable --pid host --uts host busybox",
	"create --add-host a:1.2.3.4 --dns 8.8.8.8 --dns-search s --dns-option o busybox", "create --ulimit nofile=5:6 --sysctl net.core.somaxconn=9 --shm-size 1m busybox",
	"create --log-driver json-file --log-opt max-size=1m busybox", "create --rm busybox", "create --cgroupns private --userns host busybox",
	"run --detach --name NAME busybox sleep 1000", "run --detach --name NAME --publish 18082:80 --volume named:/v busybox sleep 1000", "run --name NAME busybox sh -c 'exit 3'",
}

// TestInspect compares inspect field by field, and has each container made once
// more from what inspect says.
func TestInspect(t *testing.T) {
	e, ours, theirs := both(t)
	known := readFields(t)
	seen := map[string]bool{}
	shown := [2][]map[string]any{}
	var making sync.WaitGroup
	for i, p := range []player{ours, theirs} {
		making.Go(func() { shown[i] = makeAll(t, p) })
	}
	making.Wait()
	if t.Failed() {
		return
	}
	for i := range containers {
		a, b := flat(shown[0][i], ours), flat(shown[1][i], theirs)
		for _, field := range slices.Sorted(maps.Keys(union(a, b))) {
			if a[field] == b[field] {
				continue
			}
			seen[field] = true
			if _, ok := known[field]; !ok {
				t.Errorf("%s: %s is %s here, %s with docker", containers[i], field, orAbsent(a[field]), orAbsent(b[field]))
			}
		}
		again(t, e, i, shown[0][i])
	}
	for field := range known {
		if !seen[field] {
			t.Errorf("%s: %s no longer differs; take it off", inspectFile, field)
		}
	}
}

func orAbsent(s string) string {
	if s == "" {
		return "absent"
	}
	return s
}

func makeAll(t *testing.T, p player) (all []map[string]any) {
	for i, line := range containers {
		name := fmt.Sprintf("c%02d", i)
		line = strings.ReplaceAll(strings.Replace(line, "create ", "create --name "+name+" ", 1), "NAME", name)
		o := p.play("docker " + line)
		raw, err := p.raw("docker inspect " + name)
		if err != nil {
			t.Errorf("%s: %+v %v", line, o, err)
			return nil
		}
		var list []map[string]any
		if err := json.Unmarshal(raw, &list); err != nil {
			t.Errorf("%s: %v", line, err)
			return nil
		}
		all = append(all, list[0])
	}
	return all
}

// again makes a container of what inspect said and compares what is said of it.
func again(t *testing.T, e *harness.Engine, i int, first map[string]any) {
	t.Helper()
	body := maps.Clone(first["Config"].(map[string]any))
	body["HostConfig"] = first["HostConfig"]
	b, err := json.Marshal(body)
	if err != nil {
		t.Fatal(err)
	}
	name := fmt.Sprintf("again%02d", i)
	if status, answer, err := e.Do("POST", "/v"+apiVersion+"/containers/create?name="+name, string(b)); err != nil || status != 201 {
		t.Errorf("%s: made again: %d %s %v", containers[i], status, answer, err)
		return
	}
	_, answer, err := e.Do("GET", "/v"+apiVersion+"/containers/"+name+"/json", "")
	if err != nil {
		t.Fatal(err)
	}
	var second map[string]any
	if err := json.Unmarshal([]byte(answer), &second); err != nil {
		t.Fatal(err)
	}
	for _, part := range []string{"Config", "HostConfig", "Path", "Args", "Image"} {
		if !reflect.DeepEqual(first[part], second[part]) {
			t.Errorf("%s: %s made again from inspect:\n%v\nwas\n%v", containers[i], part, second[part], first[part])
		}
	}
}

// flat is a line for each field, with numbers of lists left out of its name and
// values that are of the run made equal.
func flat(object map[string]any, p player) map[string]string {
	fields := map[string]string{}
	var walk func(path string, v any)
	walk = func(path string, v any) {
		switch v := v.(type) {
		case map[string]any:
			if len(v) == 0 {
				fields[path] += "{};"
			}
			for k, inner := range v {
				walk(strings.TrimPrefix(path+"."+k, "."), inner)
			}
		case []any:
			slices.SortStableFunc(v, func(a, b any) int { return strings.Compare(destination(path, a), destination(path, b)) })
			if len(v) == 0 {
				fields[path] += "[];"
			}
			for _, inner := range v {
				walk(path, inner)
			}
		default:
			b, _ := json.Marshal(v)
			fields[path] += p.normal(string(b)) + ";"
		}
	}
	walk("", object)
	return fields
}

// destination sorts mounts and binds, whose order Docker and its CLI leave to chance.
func destination(path string, v any) string {
	if bind, ok := v.(string); ok && path == "HostConfig.Binds" {
		return bind
	}
	m, _ := v.(map[string]any)
	d, _ := m["Destination"].(string)
	return d
}

func union(a, b map[string]string) map[string]string {
	u := maps.Clone(a)
	maps.Copy(u, b)
	return u
}

// readFields reads "field: why".
func readFields(t *testing.T) map[string]string {
	t.Helper()
	text, err := os.ReadFile(inspectFile)
	if err != nil {
		t.Fatal(err)
	}
	known := map[string]string{}
	for line := range strings.Lines(string(text)) {
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		field, why, ok := strings.Cut(line, ": ")
		if !ok {
			t.Errorf("%s: no reason: %s", inspectFile, line)
		}
		known[field] = why
	}
	return known
}

// both starts an engine and Debian's dockerd, with the image's tar in their homes.
func both(t *testing.T) (e *harness.Engine, ours, theirs player) {
	t.Helper()
	e = harness.New(t)
	e.Judge()
	ours = player{socket: e.Clients(), home: filepath.Join(e.Dir, "home")}
	registries(t)
	theirs = debian(t)
	tarball, err := harness.BusyboxTar()
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range []player{ours, theirs} {
		if err := os.MkdirAll(p.home, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(p.home, "box.tar"), tarball, 0o644); err != nil {
			t.Fatal(err)
		}
		if o := p.play(base); o.code != 0 {
			t.Fatalf("import: %+v", o)
		}
	}
	return e, ours, theirs
}
