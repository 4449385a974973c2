package containers

import (
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/docker/go-units"
	"github.com/moby/moby/api/types/container"
	"github.com/spf13/cobra"

	"github.com/berth-containers/berth/internal/cli/auth"
	"github.com/berth-containers/berth/internal/cli/env"
	"github.com/berth-containers/berth/internal/cli/filter"
	"github.com/berth-containers/berth/internal/cli/format"
)

type listOptions struct {
	all, latest, quiet, noTrunc, size bool
	last                              int
	format                            string
	filter                            filter.Values
}

// ListCommand is `ps`; use is its name.
func ListCommand(e *env.Env, use string, aliases ...string) *cobra.Command {
	var o listOptions
	cmd := &cobra.Command{
		Use: use + " [OPTIONS]", Short: "List containers", Args: env.Exactly(0), Aliases: aliases,
		RunE: func(cmd *cobra.Command, _ []string) error { return list(cmd, e, o) },
	}
	flags := cmd.Flags()
	flags.BoolVarP(&o.all, "all", "a", false, "Show all containers (default shows just running)")
	flags.BoolVarP(&o.latest, "latest", "l", false, "Show the latest created container (includes all states)")
	flags.IntVarP(&o.last, "last", "n", -1, "Show n last created containers (includes all states)")
	flags.BoolVarP(&o.quiet, "quiet", "q", false, "Only display container IDs")
	flags.BoolVar(&o.noTrunc, "no-trunc", false, "Don't truncate output")
	flags.BoolVarP(&o.size, "size", "s", false, "Display total file sizes")
	flags.StringVar(&o.format, "format", "", format.Usage)
	flags.VarP(&o.filter, "filter", "f", "Filter output based on conditions provided")
	return cmd
}

func list(cmd *cobra.Command, e *env.Env, o listOptions) error {
	if o.format == "" && !o.quiet {
		config, err := auth.Load(e.ConfigDir)
		if err != nil {
			return err
		}
		o.format = config.PsFormat
	}
	query := url.Values{}
	if o.all {
		query.Set("all", "1")
	}
	if o.latest && o.last < 0 {
		o.last = 1
	}
	if o.last > 0 {
		query.Set("limit", strconv.Itoa(o.last))
	}
	if o.size || strings.Contains(o.format, ".Size") {
		query.Set("size", "1")
	}
	if err := o.filter.Query(query); err != nil {
		return err
	}
	var containers []container.Summary
	if err := e.Client.Get(cmd.Context(), "/containers/json", query, &containers); err != nil {
		return err
	}
	rows := make([]row, 0, len(containers))
	for _, c := range containers {
		rows = append(rows, rowOf(c, o.noTrunc))
	}
	byDefault := "table {{.ID}}\t{{.Image}}\t{{.Command}}\t{{.RunningFor}}\t{{.Status}}\t{{.Ports}}\t{{.Names}}"
	if o.size {
		byDefault += "\t{{.Size}}"
	}
	if o.quiet && (o.format == "" || o.format == "table") {
		byDefault, o.format = "{{.ID}}", ""
	}
	return format.Rows(e.Out, o.format, byDefault, format.Headers{"ID": "CONTAINER ID", "Image": "IMAGE", "Command": "COMMAND",
		"CreatedAt": "CREATED AT", "RunningFor": "CREATED", "Status": "STATUS", "State": "STATE", "Ports": "PORTS", "Names": "NAMES", "Size": "SIZE",
		"Labels": "LABELS", "Mounts": "MOUNTS", "LocalVolumes": "LOCAL VOLUMES", "Networks": "NETWORKS", "Platform": "PLATFORM"}, rows)
}

// row has Docker's columns.
type row struct {
	Command      string
	CreatedAt    string
	ID           string
	Image        string
	Labels       string
	LocalVolumes string
	Mounts       string
	Names        string
	Networks     string
	Platform     string
	Ports        string
	RunningFor   string
	Size         string
	State        string
	Status       string

	labels map[string]string
}

// Label is one label's value.
func (r row) Label(name string) string { return r.labels[name] }

func rowOf(c container.Summary, noTrunc bool) row {
	created := time.Unix(c.Created, 0)
	r := row{ID: c.ID, Image: c.Image, Command: c.Command, CreatedAt: created.Format("2006-01-02 15:04:05 -0700 MST"),
		RunningFor: format.Ago(created), State: string(c.State), Status: c.Status, Labels: format.Pairs(c.Labels), labels: c.Labels,
		Ports: portsText(c.Ports), Names: namesText(c.Names, noTrunc)}
	if !noTrunc {
		r.ID, r.Command = format.ShortID(r.ID), format.Ellipsis(r.Command, 20)
		if strings.HasPrefix(r.Image, "sha256:") {
			r.Image = format.ShortID(r.Image)
		}
	}
	if r.Image == "" {
		r.Image = "<no image>"
	}
	r.Command = strconv.Quote(r.Command)
	r.Size = units.HumanSizeWithPrecision(float64(c.SizeRw), 3)
	if c.SizeRootFs > 0 {
		r.Size += fmt.Sprintf(" (virtual %s)", units.HumanSizeWithPrecision(float64(c.SizeRootFs), 3))
	}
	var mounts []string
	volumes := 0
	for _, m := range c.Mounts {
		name := m.Name
		if name == "" {
			name = m.Source
		}
		if m.Type == "volume" {
			volumes++
		}
		if !noTrunc {
			name = format.Ellipsis(name, 15)
		}
		mounts = append(mounts, name)
	}
	r.Mounts, r.LocalVolumes = strings.Join(mounts, ","), strconv.Itoa(volumes)
	if c.NetworkSettings != nil {
		r.Networks = strings.Join(sortedKeys(c.NetworkSettings.Networks), ",")
	}
	if c.ImageManifestDescriptor != nil && c.ImageManifestDescriptor.Platform != nil {
		p := c.ImageManifestDescriptor.Platform
		r.Platform = strings.TrimSuffix(p.OS+"/"+p.Architecture+"/"+p.Variant, "/")
	}
	return r
}

// namesText leaves out what a link made of a name ("/web/db"), unless nothing is to be.
func namesText(names []string, noTrunc bool) string {
	var list []string
	for _, n := range names {
		n = strings.TrimPrefix(n, "/")
		if noTrunc || !strings.Contains(n, "/") {
			list = append(list, n)
		}
	}
	return strings.Join(list, ",")
}
