package runopts

import (
	"reflect"
	"strings"
	"testing"

	"github.com/docker/go-units"
	"github.com/moby/moby/api/types/mount"
)

func TestParsePublish(t *testing.T) {
	for in, want := range map[string]string{
		"80":                                    "80/tcp<-:",
		"80/udp":                                "80/udp<-:",
		"8080:80":                               "80/tcp<-:8080",
		"0:80":                                  "80/tcp<-:0",
		"127.0.0.1::80":                         "80/tcp<-127.0.0.1:",
		"127.0.0.1:8080:80/TCP":                 "80/tcp<-127.0.0.1:8080",
		"[::1]:8080:80":                         "80/tcp<-::1:8080",
		"[::1]::80/sctp":                        "80/sctp<-::1:",
		"::1:8080:80":                           "80/tcp<-::1:8080",
		"8000-8001:80-81":                       "80/tcp<-:8000 81/tcp<-:8001",
		"80-81":                                 "80/tcp<-: 81/tcp<-:",
		"8000-8009:80":                          "80/tcp<-:8000-8009",
		"65535:65535":                           "65535/tcp<-:65535",
		"target=80,published=8080,protocol=udp": "80/udp<-:8080",
		"target=80":                             "80/tcp<-:",
		"99999:80":                              "error: invalid host port: 99999",
		"80:0":                                  "error: invalid container port: 0",
		"8000-8001:80-82":                       "error: the ranges of host (8000-8001) and container (80-82) differ in length",
		"8001-8000:80":                          "error: invalid host port: 8001-8000",
		"localhost:80:80":                       "error: invalid IP address: localhost",
		"80/icmp":                               "error: invalid protocol: icmp (tcp, udp or sctp)",
		"[::1:80:80":                            "error: the ] after the IP address is missing",
		"[::1]:80":                              "error: write [IP]:HOST:CONTAINER",
		"":                                      "error: invalid container port: ",
		"published=80":                          "error: the field target is missing",
		"target=80,colour=red":                  `error: unknown field "colour" (target, published, protocol, mode)`,
	} {
		if got := publishText(in); got != want {
			t.Errorf("%q: %s; want %s", in, got, want)
		}
	}
}

func publishText(in string) string {
	list, err := ParsePublish(in)
	if err != nil {
		return "error: " + err.Error()
	}
	var words []string
	for _, p := range list {
		ip := ""
		if p.Binding.HostIP.IsValid() {
			ip = p.Binding.HostIP.String()
		}
		words = append(words, p.Port.String()+"<-"+ip+":"+p.Binding.HostPort)
	}
	return strings.Join(words, " ")
}

func TestParseVolume(t *testing.T) {
	for _, tc := range []struct{ in, bind, target, err string }{
		{"/data", "", "/data", ""},
		{"name:/data", "name:/data", "/data", ""},
		{"/src:/dst:ro", "/src:/dst:ro", "/dst", ""},
		{"relative/path:/x", "relative/path:/x", "/x", ""}, // the engine says what is wrong with it
		{"data", "", "", "must be absolute"},
		{"/tmp:relative", "", "", `"relative", must be absolute`},
		{"/src:/", "", "", "cannot be /"},
		{":/x", "", "", "source is empty"},
		{"a:/b:ro:x", "", "", "[SOURCE:]TARGET[:OPTIONS]"},
		{"a:/b:", "", "", "options"},
	} {
		bind, target, err := ParseVolume(tc.in)
		if tc.err != "" {
			if err == nil || !strings.Contains(err.Error(), tc.err) {
				t.Errorf("%q: %v; want %q", tc.in, err, tc.err)
			}
			continue
		}
		if err != nil || bind != tc.bind || target != tc.target {
			t.Errorf("%q: %q %q %v", tc.in, bind, target, err)
		}
	}
	if bind, _, err := ParseVolume("./x:/y"); err != nil || !strings.HasPrefix(bind, "/") || !strings.HasSuffix(bind, "/x:/y") {
		t.Errorf("./x:/y: %q %v", bind, err)
	}
}

func TestParseMount(t *testing.T) {
	for in, want := range map[string]mount.Mount{
		"type=bind,source=/a,target=/b,readonly": {Type: mount.TypeBind, Source: "/a", Target: "/b", ReadOnly: true},
		"type=bind,src=/a,dst=/b,ro=false,bind-propagation=rslave": {Type: mount.TypeBind, Source: "/a", Target: "/b",
			BindOptions: &mount.BindOptions{Propagation: mount.PropagationRSlave}},
		"src=v,destination=/b,volume-nocopy,volume-subpath=s,volume-label=a=b,volume-opt=o=rw,volume-driver=local": {Type: mount.TypeVolume, Source: "v", Target: "/b",
			VolumeOptions: &mount.VolumeOptions{NoCopy: true, Subpath: "s", Labels: map[string]string{"a": "b"},
				DriverConfig: &mount.Driver{Name: "local", Options: map[string]string{"o": "rw"}}}},
		"type=tmpfs,target=/t,tmpfs-size=1m,tmpfs-mode=1770": {Type: mount.TypeTmpfs, Target: "/t", TmpfsOptions: &mount.TmpfsOptions{SizeBytes: 1 << 20, Mode: 0o1770}},
		"type=bind,source=/a,target=/b,bind-recursive=writable": {Type: mount.TypeBind, Source: "/a", Target: "/b",
			BindOptions: &mount.BindOptions{ReadOnlyNonRecursive: true}},
		"type=image,source=busybox,target=/i": {Type: mount.TypeImage, Source: "busybox", Target: "/i"},
		`type=bind,"source=/a,b",target=/b`:   {Type: mount.TypeBind, Source: "/a,b", Target: "/b"},
	} {
		if got, err := ParseMount(in); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %+v %v; want %+v", in, got, err, want)
		}
	}
	for in, want := range map[string]string{
		"":                                      "type=",
		"type=bind,target=/b":                   "source is missing",
		"type=bind,source=/a":                   "target is missing",
		"type=pigeon,target=/b":                 `"pigeon"`,
		"type=tmpfs,source=/a,target=/b":        "no source",
		"type=bind,source=/a,target=b":          "absolute",
		"type=bind,source=/a,target=/b,x=y":     `"x"`,
		"type=bind,source=/a,target=/b,ro=nah":  "ro",
		"type=volume,target=/b,tmpfs-size=1":    "tmpfs-*",
		"type=tmpfs,target=/b,tmpfs-mode=999":   "tmpfs-mode",
		"type=volume,target=/b,bind-recursive":  "key=value",
		"type=volume,target=/b,volume-opt=nope": "volume-opt",
	} {
		if _, err := ParseMount(in); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v; want %q", in, err, want)
		}
	}
}

func TestParseEnvFile(t *testing.T) {
	lookup := func(name string) (string, bool) { return "looked up", name == "SET" }
	got, err := ParseEnvFile(strings.NewReader("\xef\xbb\xbfA=1\n# comment\n\n  B=two words\nSET\nUNSET\nC=\nD=#not\n"), lookup)
	want := []string{"A=1", "B=two words", "SET=looked up", "C=", "D=#not"}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("%q %v", got, err)
	}
	for in, want := range map[string]string{"=x": "line 1", "A=1\nb c=2": "whitespace", "A=\xff": "UTF-8"} {
		if _, err := ParseEnvFile(strings.NewReader(in), lookup); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v", in, err)
		}
	}
}

func TestSmallParsers(t *testing.T) {
	for in, want := range map[string]string{
		"/dev/fuse":           "{/dev/fuse /dev/fuse rwm}",
		"/dev/fuse:r":         "{/dev/fuse /dev/fuse r}",
		"/dev/fuse:/dev/x":    "{/dev/fuse /dev/x rwm}",
		"/dev/fuse:/dev/x:rw": "{/dev/fuse /dev/x rw}",
	} {
		if d, err := parseDevice(in); err != nil || want != "{"+d.PathOnHost+" "+d.PathInContainer+" "+d.CgroupPermissions+"}" {
			t.Errorf("%s: %+v %v", in, d, err)
		}
	}
	for _, in := range []string{"", "/dev/a:/b:x", "/dev/a:b", "/dev/a:/b:rr", "/a:/b:rw:c"} {
		if d, err := parseDevice(in); err == nil {
			t.Errorf("device %q: %+v", in, d)
		}
	}
	for in, want := range map[string]string{"db:10.0.0.1": "db:10.0.0.1", "db=10.0.0.1": "db:10.0.0.1", "db:[::1]": "db:::1", "gw:host-gateway": "gw:host-gateway"} {
		if got, err := parseHost(in); err != nil || got != want {
			t.Errorf("%s: %q %v", in, got, err)
		}
	}
	for in, want := range map[string]int64{"1.5": 1500000000, "0.000000001": 1, "2": 2000000000} {
		var c cpus
		if err := c.Set(in); err != nil || int64(c) != want {
			t.Errorf("cpus %s: %d %v", in, c, err)
		}
	}
	for _, in := range []string{"x", "1/2", "1e9", "0.0000000001", "", ".", "99999999999999999999"} {
		var c cpus
		if err := c.Set(in); err == nil {
			t.Errorf("cpus %q: %d", in, c)
		}
	}
}

func FuzzParsePublish(f *testing.F) {
	for _, s := range []string{"80", "1-3:4-6/udp", "[::1]:1:2", "target=1,published=2", "0.0.0.0::65535", "1-65535"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		list, err := ParsePublish(s)
		if err == nil && len(list) == 0 {
			t.Error("neither a port nor an error")
		}
		for _, p := range list {
			if p.Port.Num() == 0 {
				t.Errorf("port 0 of %q", s)
			}
		}
	})
}

func FuzzParseVolume(f *testing.F) {
	for _, s := range []string{"/a", "a:/b", "/a:/b:ro,z", "./a:/b", ":", "::"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		bind, target, err := ParseVolume(s)
		if err == nil && (target == "" || target[0] != '/') {
			t.Errorf("%q: %q %q", s, bind, target)
		}
	})
}

func FuzzParseMount(f *testing.F) {
	for _, s := range []string{"type=bind,src=/a,dst=/b", "type=tmpfs,target=/x,tmpfs-size=1g", `"a=b,c"`, "ro"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		m, err := ParseMount(s)
		if err == nil && (m.Target == "" || m.Target[0] != '/') {
			t.Errorf("%q: %+v", s, m)
		}
	})
}

func FuzzParseEnvFile(f *testing.F) {
	f.Add("A=1\nB\n#c\n")
	f.Add("\xef\xbb\xbf=")
	f.Fuzz(func(t *testing.T, s string) {
		list, err := ParseEnvFile(strings.NewReader(s), func(string) (string, bool) { return "", true })
		if err != nil {
			return
		}
		for _, v := range list {
			if name, _, ok := strings.Cut(v, "="); !ok || name == "" {
				t.Errorf("%q makes %q", s, v)
			}
		}
	})
}

func FuzzSmallParsers(f *testing.F) {
	for _, s := range []string{"nofile=1:2", "core=-1", "/dev/a:/b:rwm", "name=n,ip=1.2.3.4,alias=a", "h:1.2.3.4", "1.5", "on-failure:3", "1g", "/dev/sda:10mb"} {
		f.Add(s)
	}
	f.Fuzz(func(_ *testing.T, s string) {
		_ = checkUlimit(s)
		_, _ = units.RAMInBytes(s)
		_, _ = parseDevice(s)
		_, _ = parseNetwork(s)
		_, _ = parseHost(s)
		_, _ = parseRestart(s)
		_, _ = parseThrottle(s, true)
		_, _ = ParseExpose(s)
		var c cpus
		_ = c.Set(s)
	})
}
