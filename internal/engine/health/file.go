package health

import (
	"encoding/json"
	"fmt"
	"os"
	"time"

	api "github.com/moby/moby/api/types/container"
)

// saved is a watch on disk. It is not synced: after a power failure its run is over.
type saved struct {
	Started time.Time  `json:"started"`
	Passed  bool       `json:"passed,omitempty"`
	Health  api.Health `json:"health"`
}

// Restore takes over what an earlier engine found of the same run; without it, or
// with a torn file, it begins anew.
func (w *Watch) Restore() {
	data, err := os.ReadFile(w.file)
	var s saved
	if err != nil || json.Unmarshal(data, &s) != nil || !s.Started.Equal(w.started) {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.health, w.passed = s.Health, s.Passed
	if w.health.Log == nil {
		w.health.Log = []*api.HealthcheckResult{}
	}
}

func (w *Watch) save() error {
	w.mu.Lock()
	data, err := json.Marshal(saved{w.started, w.passed, w.health})
	w.mu.Unlock()
	if err == nil {
		err = os.WriteFile(w.file+".new", data, 0o600)
	}
	if err == nil {
		err = os.Rename(w.file+".new", w.file)
	}
	if err != nil {
		return fmt.Errorf("store the health: %w", err)
	}
	return nil
}
