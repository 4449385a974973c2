// Package logging decides which log a container has. It is pure.
//
// A container that asks for no driver has the ring. It is shown as json-file, as
// Docker's default is: clients such as docker-py read the output of no other. Who
// asks for json-file by name has its files.
package logging

import (
	"cmp"
	"maps"
	"path/filepath"
	"slices"
	"strings"

	api "github.com/moby/moby/api/types/container"

	"github.com/berth-containers/berth/internal/container"
	"github.com/berth-containers/berth/internal/logs"
	"github.com/berth-containers/berth/internal/logs/attributes"
)

// Default is for containers that ask for nothing; the zero value is the ring.
type Default struct {
	Driver string
	Opts   map[string]string
}

// Shown is the default driver as docker info names it.
func (d Default) Shown() string { return cmp.Or(d.Driver, logs.DriverJSONFile) }

// Choose completes what was asked for, as inspect shows it. The driver is another
// than that only if it is not "".
func (d Default) Choose(asked api.LogConfig) (shown api.LogConfig, driver string) {
	shown = api.LogConfig{Type: cmp.Or(asked.Type, d.Driver), Config: map[string]string{}}
	if asked.Type == "" || asked.Type == d.Driver {
		maps.Copy(shown.Config, d.Opts)
	}
	maps.Copy(shown.Config, asked.Config)
	if shown.Type != "" {
		return shown, ""
	}
	shown.Type = logs.DriverJSONFile
	if logs.Validate(logs.DriverRing, shown.Config) == nil {
		driver = logs.DriverRing
	}
	return shown, driver // else an option that only json-file has
}

// Check returns InvalidArgument for a driver or an option that there is not.
func Check(c api.LogConfig) error {
	if err := logs.Validate(c.Type, c.Config); err != nil {
		return err
	}
	_, err := attributes.Of(c.Config, attributes.Origin{})
	return err
}

// Config is a container's log, in dir.
func Config(r *container.Record, dir string) (logs.Config, error) {
	l := r.HostConfig.LogConfig
	c := logs.Config{Driver: cmp.Or(r.LogDriver, l.Type), Dir: dir, Opts: l.Config}
	if c.Driver != logs.DriverJSONFile {
		return c, nil
	}
	command := strings.Join(slices.Concat(r.Config.Entrypoint, r.Config.Cmd), " ")
	attrs, err := attributes.Of(l.Config, attributes.Origin{ID: r.ID, Name: r.Name, ImageID: r.ImageID.String(), ImageName: r.Image,
		Command: command, Labels: r.Config.Labels, Env: r.Config.Env})
	c.Attrs = attrs
	return c, err
}

// Link is where Docker has the file of a json-file log, below a container's
// directory: a link to the one that is written.
func Link(dir, id string) string { return filepath.Join(dir, id+"-json.log") }

// Path is what inspect shows as LogPath: "" for a log without a file that others
// can read, or that has not begun.
func Path(r *container.Record, dir, logDir string) string {
	c, err := Config(r, logDir)
	if err != nil || c.Driver != logs.DriverJSONFile || logs.Path(c) == "" {
		return ""
	}
	return Link(dir, r.ID)
}
