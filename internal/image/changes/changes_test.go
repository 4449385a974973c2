package changes

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/container"
)

func TestApply(t *testing.T) {
	for line, want := range map[string]string{
		`CMD echo "a b"`:                      `{"Cmd":["/bin/sh","-c","echo \"a b\""]}`,
		`cmd ["a", "b"]`:                      `{"Cmd":["a","b"]}`,
		"ENTRYPOINT\t[\"/x\"]":                `{"Entrypoint":["/x"]}`,
		`ENV A=1 B="2 3" C='4 "5"' D=a\ b`:    `{"Env":["A=1","B=2 3","C=4 \"5\"","D=a b"]}`,
		`ENV OLD two words`:                   `{"Env":["OLD=two words"]}`,
		`ENV A=1 A=2`:                         `{"Env":["A=2"]}`,
		`EXPOSE 80 53/udp 8000-8001`:          `{"ExposedPorts":{"53/udp":{},"80/tcp":{},"8000/tcp":{},"8001/tcp":{}}}`,
		`LABEL a=b "c d"=e`:                   `{"Labels":{"a":"b","c d":"e"}}`,
		`ONBUILD RUN make`:                    `{"OnBuild":["RUN make"]}`,
		`SHELL ["/bin/bash", "-c"]`:           `{"Shell":["/bin/bash","-c"]}`,
		`STOPSIGNAL SIGINT`:                   `{"StopSignal":"SIGINT"}`,
		`USER 1:2`:                            `{"User":"1:2"}`,
		`VOLUME /a /b`:                        `{"Volumes":{"/a":{},"/b":{}}}`,
		`VOLUME ["/a b"]`:                     `{"Volumes":{"/a b":{}}}`,
		`WORKDIR /a/../b`:                     `{"WorkingDir":"/b"}`,
		`WORKDIR rel`:                         `{"WorkingDir":"/rel"}`,
		`HEALTHCHECK NONE`:                    `{"Healthcheck":{"Test":["NONE"]}}`,
		`HEALTHCHECK --retries=3 CMD curl -f`: `{"Healthcheck":{"Test":["CMD-SHELL","curl -f"],"Retries":3}}`,
		`HEALTHCHECK --interval=5s CMD ["a"]`: `{"Healthcheck":{"Test":["CMD","a"],"Interval":5000000000}}`,
		``:                                    `{}`,
	} {
		var c container.Config
		if err := Apply(&c, []string{line}); err != nil {
			t.Errorf("%s: %v", line, err)
			continue
		}
		var full map[string]any
		b, _ := json.Marshal(c)
		if err := json.Unmarshal(b, &full); err != nil {
			t.Fatal(err)
		}
		for k, v := range full {
			if v == nil || v == false || v == "" {
				delete(full, k)
			}
		}
		got, _ := json.Marshal(full)
		var wanted any
		if err := json.Unmarshal([]byte(want), &wanted); err != nil {
			t.Fatal(err)
		}
		w, _ := json.Marshal(wanted)
		if string(got) != string(w) {
			t.Errorf("%s: %s, want %s", line, got, w)
		}
	}
}

func TestApplyRefusals(t *testing.T) {
	for line, want := range map[string]string{
		`RUN x`:                          "RUN is not a valid change command",
		`CMD`:                            "CMD requires at least one argument",
		`ENV A`:                          "is not key=value",
		`ENV A=1 B`:                      "is not key=value",
		`ENV A="x`:                       "unterminated quote",
		`ENV A=x\`:                       "nothing after the backslash",
		`EXPOSE x`:                       "EXPOSE x",
		`EXPOSE 70000`:                   "EXPOSE 70000",
		`SHELL bash`:                     "JSON form",
		`HEALTHCHECK x`:                  "unknown type",
		`HEALTHCHECK CMD`:                "missing command",
		`HEALTHCHECK --interval=x CMD a`: "must be a duration",
		`HEALTHCHECK --odd=1s CMD a`:     "unknown flag",
		`VOLUME ""`:                      "empty",
	} {
		err := Apply(&container.Config{}, []string{line})
		if !errdefs.IsInvalidArgument(err) || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", line, err, want)
		}
	}
}

func FuzzApply(f *testing.F) {
	for _, line := range []string{`CMD ["a"]`, `ENV A=1 B="x y" C='z'`, `EXPOSE 1-3/udp`, `HEALTHCHECK --retries=1 CMD x`, `LABEL a\=b`, `VOLUME ["/x"]`} {
		f.Add(line)
	}
	f.Fuzz(func(t *testing.T, line string) {
		if strings.HasPrefix(strings.ToUpper(strings.TrimSpace(line)), "EXPOSE") && len(line) > 40 {
			t.Skip("many whole ranges only take long")
		}
		var c container.Config
		if err := Apply(&c, []string{line}); err != nil && !errdefs.IsInvalidArgument(err) {
			t.Errorf("%q: %v", line, err)
		}
	})
}
