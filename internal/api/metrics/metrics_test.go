package metrics

import (
	"context"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/moby/moby/api/types/network"
	"github.com/moby/moby/api/types/system"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"github.com/berth-containers/berth/internal/filters"
)

type engine struct{}

func (engine) Info(context.Context) (system.Info, error) {
	return system.Info{ContainersRunning: 3, ContainersStopped: 2, Images: 7, NCPU: 2, OperatingSystem: `a "b" \ c`}, nil
}

func (engine) NetworkList(context.Context, filters.Filters) ([]network.Summary, error) {
	return make([]network.Summary, 3), nil
}

// The judge of the format is Prometheus's own parser.
func TestMetrics(t *testing.T) {
	m := New()
	m.Phase("images", 20*time.Millisecond)
	m.Observe("ContainerList", 3*time.Millisecond, false)
	m.Observe("ContainerList", time.Minute, true)
	var none *Metrics
	none.Observe("ContainerList", time.Second, false)
	none.Phase("images", time.Second)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- m.Serve(ctx, l, engine{}) }()
	answer, err := http.Get("http://" + l.Addr().String() + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(answer.Body)
	answer.Body.Close()
	if err != nil {
		t.Fatal(err)
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(strings.NewReader(string(text)))
	if err != nil {
		t.Fatalf("%v in\n%s", err, text)
	}
	h := families["berth_api_request_seconds"].GetMetric()[0].GetHistogram()
	if h.GetSampleCount() != 2 || h.GetBucket()[3].GetCumulativeCount() != 1 || h.GetBucket()[len(bounds)].GetCumulativeCount() != 2 {
		t.Errorf("%v", h)
	}
	for _, want := range []string{`engine_daemon_container_states_containers{state="running"} 3`, "berth_images 7", "berth_networks 3",
		`berth_start_seconds{phase="images"} 0.02`, `berth_api_errors_total{operation="ContainerList"} 1`} {
		if !strings.Contains(string(text), want+"\n") {
			t.Errorf("no %s in\n%s", want, text)
		}
	}
}
