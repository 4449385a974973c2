package runopts

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/spf13/pflag"
)

func build(t *testing.T, args ...string) (*Request, error) {
	t.Helper()
	set := pflag.NewFlagSet("run", pflag.ContinueOnError)
	f := Register(set)
	detach := set.BoolP("detach", "d", false, "")
	if err := set.Parse(args); err != nil {
		return nil, err
	}
	return f.Build(set.Args(), *detach)
}

// Each row is flags and what they must put into the request, as JSON.
func TestBuild(t *testing.T) {
	dir := t.TempDir()
	write := func(name, content string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
		return path
	}
	profile := write("seccomp.json", "{\n \"defaultAction\": \"x\"\n}")
	envFile := write("env", "A=file\nB=file\n")
	labels := write("labels", "l1=v\nl2\n")
	for _, tc := range []struct{ flags, want string }{
		{"", `{"Image":"busybox","Cmd":null,"Entrypoint":null,"AttachStdout":true,"AttachStderr":true,"AttachStdin":false,"Env":[],"HostConfig":{"NetworkMode":"default","RestartPolicy":{"Name":"no"},"AutoRemove":false}}`},
		{"busybox -x --name y", `{"Image":"busybox","Cmd":["-x","--name","y"]}`},
		{"-it", `{"Tty":true,"OpenStdin":true,"AttachStdin":true,"StdinOnce":true}`},
		{"-di", `{"OpenStdin":true,"AttachStdin":false,"AttachStdout":false,"StdinOnce":false}`},
		{"-i -a stdin -a STDERR", `{"AttachStdin":true,"AttachStdout":false,"AttachStderr":true}`},
		{"-e A=1 -e B= --env-file " + envFile, `{"Env":["A=file","B=file","A=1","B="]}`},
		{"-w /x -u 1:2 -h host --domainname d --entrypoint /e", `{"WorkingDir":"/x","User":"1:2","Hostname":"host","Domainname":"d","Entrypoint":["/e"]}`},
		{"--entrypoint=", `{"Entrypoint":[""]}`},
		{"-v n:/d:ro -v /anon --tmpfs /t:size=1m --read-only --volumes-from c:ro", `{"Volumes":{"/anon":{}},"HostConfig":{"Binds":["n:/d:ro"],"Tmpfs":{"/t":"size=1m"},"ReadonlyRootfs":true,"VolumesFrom":["c:ro"]}}`},
		{"--mount type=bind,src=/a,dst=/b", `{"HostConfig":{"Mounts":[{"Type":"bind","Source":"/a","Target":"/b"}]}}`},
		{"-p 8080:80 -p 127.0.0.1:8080:80 --expose 90-91/udp -P", `{"ExposedPorts":{"80/tcp":{},"90/udp":{},"91/udp":{}},"HostConfig":{"PublishAllPorts":true,"PortBindings":{"80/tcp":[{"HostIp":"","HostPort":"8080"},{"HostIp":"127.0.0.1","HostPort":"8080"}]}}}`},
		{"--net host", `{"HostConfig":{"NetworkMode":"host"},"NetworkingConfig":null}`},
		{"--network n --ip 10.0.0.2 --network-alias a --mac-address 02:00:00:00:00:01", `{"HostConfig":{"NetworkMode":"n"},"NetworkingConfig":{"EndpointsConfig":{"n":{"Aliases":["a"],"IPAMConfig":{"IPv4Address":"10.0.0.2"},"MacAddress":"02:00:00:00:00:01"}}}}`},
		{"--network name=n,alias=a,ip=10.0.0.2 --network m", `{"HostConfig":{"NetworkMode":"n"},"NetworkingConfig":{"EndpointsConfig":{"n":{"Aliases":["a"]},"m":{"NetworkID":""}}}}`},
		{"--cap-add NET_ADMIN --cap-drop ALL --privileged --group-add 5 --sysctl a.b=1", `{"HostConfig":{"CapAdd":["NET_ADMIN"],"CapDrop":["ALL"],"Privileged":true,"GroupAdd":["5"],"Sysctls":{"a.b":"1"}}}`},
		{"--security-opt seccomp=" + profile + " --security-opt no-new-privileges --security-opt apparmor:x", `{"HostConfig":{"SecurityOpt":["seccomp={\"defaultAction\":\"x\"}","no-new-privileges","apparmor:x"]}}`},
		{"--security-opt seccomp=unconfined --security-opt systempaths=unconfined", `{"HostConfig":{"SecurityOpt":["seccomp=unconfined"],"MaskedPaths":[],"ReadonlyPaths":[]}}`},
		{"--device /dev/fuse:/dev/f:r", `{"HostConfig":{"Devices":[{"PathOnHost":"/dev/fuse","PathInContainer":"/dev/f","CgroupPermissions":"r"}]}}`},
		{"-m 1g --memory-swap -1 --memory-reservation 10m --shm-size 1m --cpus 1.5 -c 512 --cpu-period 1 --cpu-quota 2 --cpuset-cpus 0-1 --cpuset-mems 0",
			`{"HostConfig":{"Memory":1073741824,"MemorySwap":-1,"MemoryReservation":10485760,"ShmSize":1048576,"NanoCpus":1500000000,"CpuShares":512,"CpuPeriod":1,"CpuQuota":2,"CpusetCpus":"0-1","CpusetMems":"0"}}`},
		{"--pids-limit -1 --ulimit nofile=1:2 --oom-kill-disable --oom-score-adj 5 --blkio-weight 10", `{"HostConfig":{"PidsLimit":-1,"Ulimits":[{"Name":"nofile","Soft":1,"Hard":2}],"OomKillDisable":true,"OomScoreAdj":5,"BlkioWeight":10}}`},
		{"--device-read-bps /dev/sda:1mb --device-write-iops /dev/sda:5 --blkio-weight-device /dev/sda:100", `{"HostConfig":{"BlkioDeviceReadBps":[{"Path":"/dev/sda","Rate":1048576}],"BlkioDeviceWriteIOps":[{"Path":"/dev/sda","Rate":5}],"BlkioWeightDevice":[{"Path":"/dev/sda","Weight":100}]}}`},
		{"--init --rm --stop-signal INT --stop-timeout 0", `{"StopSignal":"INT","StopTimeout":0,"HostConfig":{"Init":true,"AutoRemove":true}}`},
		{"--restart on-failure:3 -l a=b -l c --label-file " + labels + " --annotation x=y", `{"Labels":{"a":"b","c":"","l1":"v","l2":""},"HostConfig":{"RestartPolicy":{"Name":"on-failure","MaximumRetryCount":3},"Annotations":{"x":"y"}}}`},
		{"--pid host --ipc private --uts host --cgroupns host --cgroup-parent /p --userns host", `{"HostConfig":{"PidMode":"host","IpcMode":"private","UTSMode":"host","CgroupnsMode":"host","CgroupParent":"/p","UsernsMode":"host"}}`},
		{"--add-host a:10.0.0.1 --dns 10.0.0.2 --dns-search s --dns-option ndots:1 --link c:d", `{"HostConfig":{"ExtraHosts":["a:10.0.0.1"],"Dns":["10.0.0.2"],"DnsSearch":["s"],"DnsOptions":["ndots:1"],"Links":["c:d"]}}`},
		{"--log-driver json-file --log-opt max-size=1m", `{"HostConfig":{"LogConfig":{"Type":"json-file","Config":{"max-size":"1m"}}}}`},
		{"--health-cmd true --health-interval 2s --health-retries 3", `{"Healthcheck":{"Test":["CMD-SHELL","true"],"Interval":2000000000,"Retries":3}}`},
		{"--health-http 8080/ok --restart-unhealthy", `{"Labels":{"berth.restart.unhealthy":"true"},"Healthcheck":{"Test":["HTTP","8080/ok"]}}`},
		{"--health-tcp 5432 --health-timeout 1s", `{"Healthcheck":{"Test":["TCP","5432"],"Timeout":1000000000}}`},
		{"--no-healthcheck", `{"Healthcheck":{"Test":["NONE"]}}`},
	} {
		args := strings.Fields(tc.flags)
		if !strings.Contains(tc.flags, "busybox") {
			args = append(args, "busybox")
		}
		r, err := build(t, args...)
		if err != nil {
			t.Errorf("%s: %v", tc.flags, err)
			continue
		}
		var want any
		if err := json.Unmarshal([]byte(tc.want), &want); err != nil {
			t.Fatalf("%s: %v", tc.want, err)
		}
		b, _ := json.Marshal(r.CreateRequest)
		var got any
		_ = json.Unmarshal(b, &got)
		if at, ok := contains(got, want, ""); !ok {
			t.Errorf("%s: differs at %s: %s", tc.flags, at, b)
		}
	}
}

// contains is whether got has everything that want has.
func contains(got, want any, at string) (string, bool) {
	switch w := want.(type) {
	case map[string]any:
		g, ok := got.(map[string]any)
		if !ok && len(w) > 0 {
			return at, false
		}
		for k, v := range w {
			if where, ok := contains(g[k], v, at+"."+k); !ok {
				return where, false
			}
		}
		return "", true
	default:
		a, _ := json.Marshal(got)
		b, _ := json.Marshal(want)
		if list, ok := want.([]any); ok { // of objects: each contains
			g, ok := got.([]any)
			if !ok || len(g) != len(list) {
				return at, false
			}
			for i := range list {
				if where, ok := contains(g[i], list[i], at); !ok {
					return where, false
				}
			}
			return "", true
		}
		return at, string(a) == string(b)
	}
}

func TestBuildRefuses(t *testing.T) {
	for flags, want := range map[string]string{
		"--nosuch":                         "--nosuch",
		"-m lots":                          `"lots" for "-m, --memory"`,
		"--cpus x":                         `"x" for "--cpus"`,
		"-p 99999:80":                      `"99999:80" for "-p, --publish"`,
		"-v /tmp:relative":                 `"/tmp:relative"`,
		"--ulimit nofile=x":                `"nofile=x" for "--ulimit"`,
		"--restart always --rm":            "cannot specify both --restart and --rm",
		"--restart sometimes":              "sometimes",
		"--restart always:3":               "on-failure",
		"--restart on-failure:x":           "integer",
		"-d -a stdout":                     "both --attach and --detach",
		"-a nowhere":                       "nowhere",
		"--pull often":                     "often",
		"--pid elsewhere":                  `"elsewhere" for "--pid"`,
		"--cgroupns x":                     `"x" for "--cgroupns"`,
		"--security-opt seccomp=/no/such":  "/no/such",
		"--security-opt x":                 `"x"`,
		"--env-file /no/such":              "/no/such",
		"-e =x":                            `"=x"`,
		"--ip x":                           `"x" for "--ip"`,
		"--mac-address x":                  `"x" for "--mac-address"`,
		"--network a --network a":          "multiple times",
		"--add-host x":                     `"x" for "--add-host"`,
		"--dns x":                          `"x" for "--dns"`,
		"--device relative:x:q":            "device",
		"--no-healthcheck --health-cmd x":  "--no-healthcheck",
		"--health-tcp 1 --health-cmd x":    "--health-cmd",
		"--restart-unhealthy --rm":         "--rm",
		"--log-driver none --log-opt a=b":  "a=b",
		"--memory-swappiness 101":          "101",
		"--blkio-weight-device /dev/sda:7": "between 10 and 1000",
		"--tmpfs relative":                 "absolute",
		"--expose 0":                       `"0" for "--expose"`,
		"--sysctl x":                       `"x" for "--sysctl"`,
		"--gpus some":                      "--gpus",
		"--mount type=bind,target=/x":      "source",
	} {
		_, err := build(t, append(strings.Fields(flags), "busybox")...)
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: %v; want one line with %q", flags, err, want)
		}
	}
}
