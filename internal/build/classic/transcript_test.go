package classic

import (
	"strings"
	"testing"

	controlapi "github.com/moby/buildkit/api/services/control"
	"google.golang.org/protobuf/types/known/timestamppb"
)

const twoStages = `ARG V=1
FROM busybox AS base
ENV A=1
RUN one \
    more
FROM base
COPY . .
RUN two
CMD ["sh"]
`

// play makes messages of lines: "name" starts a vertex, "name!" ends it, "name="
// takes it from the cache, "name>text" is output of it.
func play(t *testing.T, tr *Transcript, lines ...string) {
	t.Helper()
	all := &controlapi.StatusResponse{} // BuildKit tells first what there is to do
	for _, line := range lines {
		if name := strings.TrimRight(line, "!="); !strings.Contains(line, ">") {
			all.Vertexes = append(all.Vertexes, &controlapi.Vertex{Name: name, Digest: "sha256:" + name})
		}
	}
	if err := tr.Take(all); err != nil {
		t.Fatal(err)
	}
	for _, line := range lines {
		m := &controlapi.StatusResponse{}
		v := &controlapi.Vertex{Started: timestamppb.Now()}
		name, text, isOutput := strings.Cut(line, ">")
		switch {
		case isOutput:
			m.Logs = []*controlapi.VertexLog{{Vertex: "sha256:" + name, Msg: []byte(text + "\n")}}
		case strings.HasSuffix(line, "!"):
			name, v.Completed = strings.TrimSuffix(line, "!"), timestamppb.Now()
		case strings.HasSuffix(line, "="):
			name, v.Completed, v.Cached = strings.TrimSuffix(line, "="), timestamppb.Now(), true
		}
		if !isOutput {
			v.Name, v.Digest = name, "sha256:"+name
			m.Vertexes = []*controlapi.Vertex{v}
		}
		if err := tr.Take(m); err != nil {
			t.Fatal(err)
		}
	}
}

func TestTranscript(t *testing.T) {
	tests := map[string]struct {
		dockerfile string
		lines      []string
		want       string
	}{
		"in the order of the file": {twoStages, []string{
			"[internal] load build definition", "[base 1/2] FROM docker.io/library/busybox=", "[stage-1 2/2] RUN two", "[stage-1 2/2] RUN two>second",
			"[base 2/2] RUN one more", "[base 2/2] RUN one more>first", "[base 2/2] RUN one more!", "[stage-1 1/2] COPY . .=", "[stage-1 2/2] RUN two!",
		}, `Step 1/8 : ARG V=1
Step 2/8 : FROM busybox AS base
Step 3/8 : ENV A=1
Step 4/8 : RUN one more
 ---> Running in [base 2/2] R
first
Step 5/8 : FROM base
Step 6/8 : COPY . .
 ---> Using cache
Step 7/8 : RUN two
 ---> Running in [stage-1 2/2
second
Step 8/8 : CMD ["sh"]
Successfully built 0123456789ab
Successfully tagged x:latest
`},
		"no Dockerfile at hand": {"", []string{"[1/2] FROM busybox=", "[2/2] RUN x", "[2/2] RUN x>out", "[2/2] RUN x!"}, `Step 1/2 : FROM busybox
 ---> Using cache
Step 2/2 : RUN x
 ---> Running in [2/2] RUN x
out
Successfully built 0123456789ab
Successfully tagged x:latest
`},
		"instructions of the base": {"FROM b\nRUN own\n", []string{"[1/3] FROM b=", "[2/3] ONBUILD RUN theirs!", "[3/3] RUN own!"}, `Step 1/3 : FROM b
Step 2/3 : RUN own
 ---> Running in [3/3] RUN ow
Step 3/3 : ONBUILD RUN theirs
Successfully built 0123456789ab
Successfully tagged x:latest
`},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			var got strings.Builder
			tr := NewTranscript([]byte(tt.dockerfile), func(s string) error { got.WriteString(s); return nil })
			play(t, tr, tt.lines...)
			if err := tr.Finish("sha256:0123456789abcdef", []string{"x:latest"}); err != nil {
				t.Fatal(err)
			}
			if got.String() != tt.want {
				t.Errorf("got:\n%s\nwant:\n%s", got.String(), tt.want)
			}
		})
	}
}

func FuzzTranscript(f *testing.F) {
	f.Add(twoStages, "[base 2/2] RUN one more")
	f.Add("FROM x\nRUN y", "[linux/amd64 1/1] FROM x")
	f.Add("", "[ 9/0] ")
	f.Fuzz(func(t *testing.T, dockerfile, name string) {
		tr := NewTranscript([]byte(dockerfile), func(string) error { return nil })
		play(t, tr, name, name+"!", name+"=")
		if err := tr.Finish("x", nil); err != nil {
			t.Error(err)
		}
	})
}
