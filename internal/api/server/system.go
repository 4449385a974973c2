package server

import (
	"net/http"
	"os"
	"runtime"
	"strings"

	"github.com/moby/moby/api/types"
	"github.com/moby/moby/api/types/events"
	"github.com/moby/moby/api/types/system"

	"github.com/berth-containers/berth/internal/api/decode"
	"github.com/berth-containers/berth/internal/api/stream"
	"github.com/berth-containers/berth/internal/api/version"
	"github.com/berth-containers/berth/internal/engine"
)

// builderVersion is BuildKit's.
const builderVersion = "2"

func ping(w http.ResponseWriter, r *request) error {
	h := w.Header()
	h.Set("Builder-Version", builderVersion)
	h.Set("Swarm", "inactive")
	h.Set("Cache-Control", "no-cache, no-store, must-revalidate")
	h.Set("Pragma", "no-cache")
	h.Set("Content-Type", "text/plain; charset=utf-8")
	h.Set("Content-Length", "2")
	w.WriteHeader(http.StatusOK)
	if r.Method == http.MethodHead {
		return nil
	}
	_, err := w.Write([]byte("OK"))
	return err
}

func showVersion(engineVersion string) handler {
	kernel := kernelRelease()
	return func(w http.ResponseWriter, r *request) error {
		return writeJSON(w, r, http.StatusOK, system.VersionResponse{
			Platform: system.PlatformInfo{Name: "Berth"},
			Components: []system.ComponentVersion{{
				Name: "Engine", Version: engineVersion,
				Details: map[string]string{
					"ApiVersion": version.Newest, "MinAPIVersion": version.Oldest, "Os": runtime.GOOS, "Arch": runtime.GOARCH,
					"GoVersion": runtime.Version(), "KernelVersion": kernel, "Experimental": "false", "GitCommit": "", "BuildTime": "",
				},
			}},
			Version: engineVersion, APIVersion: version.Newest, MinAPIVersion: version.Oldest,
			Os: runtime.GOOS, Arch: runtime.GOARCH, GoVersion: runtime.Version(), KernelVersion: kernel,
		})
	}
}

func kernelRelease() string {
	text, _ := os.ReadFile("/proc/sys/kernel/osrelease") // absent: not known
	return strings.TrimSpace(string(text))
}

func info(e facts) handler {
	return func(w http.ResponseWriter, r *request) error {
		i, err := e.Info(r.Context())
		if err != nil {
			return err
		}
		return writeJSON(w, r, http.StatusOK, i)
	}
}

func watchEvents(e facts) handler {
	return func(w http.ResponseWriter, r *request) error {
		o, err := eventsOptions(r)
		if err != nil {
			return err
		}
		kind := eventsType(r)
		lines := stream.NewLines(w)
		if err := lines.Start(kind); err != nil {
			return nil // it is gone
		}
		err = e.Events(r.Context(), o, func(m events.Message) error {
			body, err := version.Shim(r.version, r.operation, m)
			if err != nil {
				return err
			}
			if kind == types.MediaTypeJSONSequence {
				return lines.SendRecord(body)
			}
			return lines.Send(body)
		})
		return ignoreGone(r.Context(), err)
	}
}

func eventsOptions(r *request) (o engine.EventsOptions, err error) {
	if o.Since, err = decode.Time(r.query, "since"); err != nil {
		return o, err
	}
	if o.Until, err = decode.Time(r.query, "until"); err != nil {
		return o, err
	}
	o.Filters, err = decode.Filters(r.query.Get("filters"))
	return o, err
}

// eventsType is the first type of lines that the client accepts.
func eventsType(r *request) string {
	if r.version.Before("1.52") {
		return types.MediaTypeJSON
	}
	for _, word := range strings.Split(r.Header.Get("Accept"), ",") {
		kind, _, _ := strings.Cut(word, ";")
		switch kind = strings.TrimSpace(kind); kind {
		case types.MediaTypeJSON, types.MediaTypeNDJSON, types.MediaTypeJSONLines, types.MediaTypeJSONSequence:
			return kind
		}
	}
	return types.MediaTypeJSON
}
