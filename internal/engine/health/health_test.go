package health

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	api "github.com/moby/moby/api/types/container"
)

func TestCommand(t *testing.T) {
	for _, row := range []struct {
		test, shell []string
		want        string
	}{
		{[]string{"CMD", "a", "b c"}, nil, "a|b c"},
		{[]string{"CMD-SHELL", "a && b"}, nil, "/bin/sh|-c|a && b"},
		{[]string{"CMD-SHELL", "a"}, []string{"/bin/bash", "-ec"}, "/bin/bash|-ec|a"},
	} {
		if got := strings.Join(Command(&api.HealthConfig{Test: row.test}, row.shell), "|"); got != row.want {
			t.Errorf("%v: %s", row.test, got)
		}
	}
	for _, c := range []*api.HealthConfig{nil, {}, {Test: []string{"NONE"}}, {Test: []string{"a", "b"}}} {
		if Wanted(c) {
			t.Errorf("%+v is wanted", c)
		}
	}
}

// scripted are probes with these exit codes, then 0s.
func scripted(codes ...int) Probe {
	return func(context.Context) (int, string, error) {
		if len(codes) == 0 {
			return 0, "ok", nil
		}
		code := codes[0]
		codes = codes[1:]
		return code, "said", nil
	}
}

func TestWatch(t *testing.T) {
	for _, row := range []struct {
		name    string
		config  api.HealthConfig
		probe   Probe
		seconds int
		want    []api.HealthStatus
		streak  int
	}{
		{"healthy after the first interval", api.HealthConfig{Interval: time.Second}, scripted(), 2, []api.HealthStatus{api.Healthy}, 0},
		{"not before it", api.HealthConfig{Interval: 3 * time.Second}, scripted(), 2, nil, 0},
		{"unhealthy after three", api.HealthConfig{Interval: time.Second}, scripted(1, 1, 1, 1, 1, 1, 1), 5, []api.HealthStatus{api.Unhealthy}, 5},
		{"and healthy again", api.HealthConfig{Interval: time.Second, Retries: 1}, scripted(0, 1, 0), 5, []api.HealthStatus{api.Healthy, api.Unhealthy, api.Healthy}, 0},
		{"failures while it starts do not count", api.HealthConfig{Interval: time.Second, StartInterval: time.Second, StartPeriod: 3 * time.Second, Retries: 1}, scripted(1, 1, 1, 1), 4,
			[]api.HealthStatus{api.Unhealthy}, 2},
		{"nor after a success in it", api.HealthConfig{Interval: time.Second, StartInterval: time.Second, StartPeriod: 9 * time.Second, Retries: 2}, scripted(1, 0, 1), 3, []api.HealthStatus{api.Healthy}, 1},
		{"one that hangs", api.HealthConfig{Interval: time.Second, Timeout: time.Second, Retries: 1}, func(ctx context.Context) (int, string, error) { <-ctx.Done(); return 0, "", ctx.Err() }, 3,
			[]api.HealthStatus{api.Unhealthy}, 1},
		{"one that cannot be run", api.HealthConfig{Interval: time.Second, Retries: 1}, func(context.Context) (int, string, error) { return 0, "", errors.New("no such program") }, 2,
			[]api.HealthStatus{api.Unhealthy}, 2},
	} {
		t.Run(row.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithTimeout(t.Context(), time.Duration(row.seconds)*time.Second+time.Millisecond)
				defer cancel()
				w := New(row.config, time.Now(), filepath.Join(t.TempDir(), "health.json"))
				var got []api.HealthStatus
				w.Run(ctx, hooks(t, row.probe, func(s api.HealthStatus) { got = append(got, s) }))
				if h := w.Health(); !slices.Equal(got, row.want) || h.FailingStreak != row.streak || len(h.Log) > keptResults {
					t.Errorf("%v %+v, want %v and a streak of %d", got, h, row.want, row.streak)
				}
			})
		})
	}
}

func hooks(t *testing.T, probe Probe, changed func(api.HealthStatus)) Hooks {
	return Hooks{Probe: probe, Skip: func() bool { return false }, Changed: changed, Failed: func(err error) { t.Error(err) }}
}

func TestWhatIsKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second+time.Millisecond)
		defer cancel()
		w := New(api.HealthConfig{Interval: time.Second}, time.Now(), filepath.Join(t.TempDir(), "health.json"))
		paused := 0
		h := hooks(t, func(context.Context) (int, string, error) { return 1, strings.Repeat("x", 2*MaxOutput), nil }, func(api.HealthStatus) {})
		h.Skip = func() bool { paused++; return paused < 3 }
		w.Run(ctx, h)
		got := w.Health()
		if len(got.Log) != keptResults || len(got.Log[0].Output) != MaxOutput || got.FailingStreak != paused-2 {
			t.Errorf("%d results, %d bytes, a streak of %d after %d", len(got.Log), len(got.Log[0].Output), got.FailingStreak, paused)
		}
		if w.End(); w.Health().Status != api.Unhealthy {
			t.Error(w.Health().Status)
		}
	})
}

// The next engine goes on with what was found of the same run, and makes the next
// probe when it is due.
func TestRestore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		file, began := filepath.Join(t.TempDir(), "health.json"), time.Now()
		config := api.HealthConfig{Interval: 10 * time.Second, Retries: 2}
		probes := 0
		h := hooks(t, func(context.Context) (int, string, error) { probes++; return 1, "no", nil }, func(api.HealthStatus) {})
		run := func(w *Watch, d time.Duration) {
			ctx, cancel := context.WithTimeout(t.Context(), d)
			defer cancel()
			w.Run(ctx, h)
		}
		run(New(config, began, file), 12*time.Second)
		second := New(config, began, file)
		second.Restore()
		if got := second.Health(); got.FailingStreak != 1 || len(got.Log) != 1 || got.Status != api.Starting {
			t.Errorf("restored %+v", got)
		}
		run(second, 7*time.Second)
		if probes != 1 {
			t.Errorf("%d probes after 19 s", probes)
		}
		run(second, 2*time.Second)
		if got := second.Health(); probes != 2 || got.Status != api.Unhealthy {
			t.Errorf("%d probes, %+v", probes, got)
		}
		other := New(config, began.Add(time.Second), file)
		if other.Restore(); len(other.Health().Log) != 0 {
			t.Error("another run's health was taken over")
		}
		if err := os.WriteFile(file, []byte(`{"started":`), 0o600); err != nil {
			t.Fatal(err)
		}
		torn := New(config, began, file)
		if torn.Restore(); torn.Health().Status != api.Starting {
			t.Error("a torn file was taken over")
		}
	})
}
