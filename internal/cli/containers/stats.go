package containers

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/docker/go-units"
	"github.com/moby/moby/api/types/container"
	"github.com/spf13/cobra"

	"github.com/berth-containers/berth/internal/cli/client"
	"github.com/berth-containers/berth/internal/cli/env"
	"github.com/berth-containers/berth/internal/cli/format"
)

const (
	redraw      = time.Second
	clearScreen = "\x1b[H\x1b[2J"
	noFigure    = "--"
)

// statsRow is one container's line.
type statsRow struct {
	BlockIO, CPUPerc, Container, ID, MemPerc, MemUsage, Name, NetIO, PIDs string
}

var statsHeaders = format.Headers{"Container": "CONTAINER", "ID": "CONTAINER ID", "Name": "NAME", "CPUPerc": "CPU %", "MemUsage": "MEM USAGE / LIMIT",
	"MemPerc": "MEM %", "NetIO": "NET I/O", "BlockIO": "BLOCK I/O", "PIDs": "PIDS"}

const statsTable = "table {{.ID}}\t{{.Name}}\t{{.CPUPerc}}\t{{.MemUsage}}\t{{.MemPerc}}\t{{.NetIO}}\t{{.BlockIO}}\t{{.PIDs}}"

type statsOptions struct {
	all, noStream, noTrunc bool
	format                 string
}

// StatsCommand is `stats`.
func StatsCommand(e *env.Env) *cobra.Command {
	var o statsOptions
	cmd := &cobra.Command{
		Use: "stats [OPTIONS] [CONTAINER...]", Short: "Display a live stream of container(s) resource usage statistics", Args: env.AtLeast(0),
		RunE: func(cmd *cobra.Command, args []string) error { return showStats(cmd.Context(), e, o, args) },
	}
	cmd.Flags().BoolVarP(&o.all, "all", "a", false, "Show all containers (default shows just running)")
	cmd.Flags().BoolVar(&o.noStream, "no-stream", false, "Disable streaming stats and only pull the first result")
	cmd.Flags().BoolVar(&o.noTrunc, "no-trunc", false, "Do not truncate output")
	cmd.Flags().StringVar(&o.format, "format", "", format.Usage)
	return cmd
}

func showStats(ctx context.Context, e *env.Env, o statsOptions, refs []string) error {
	if o.noStream {
		return showOnce(ctx, e, o, refs)
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	m := &meters{env: e, options: o, named: refs, rows: map[string]statsRow{}}
	if err := m.follow(ctx); err != nil {
		return err
	}
	tick := time.NewTicker(redraw)
	defer tick.Stop()
	for {
		if err := m.draw(); err != nil {
			return err
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return ctx.Err()
		}
		if err := m.follow(ctx); err != nil {
			return err
		}
		if len(refs) > 0 && m.ended() {
			return m.draw()
		}
	}
}

// wanted are the containers to show: those that were named, or that there are now.
func wanted(ctx context.Context, e *env.Env, o statsOptions, refs []string) ([]string, error) {
	if len(refs) > 0 {
		return refs, nil
	}
	query := url.Values{}
	if o.all {
		query.Set("all", "1")
	}
	var list []container.Summary
	if err := e.Client.Get(ctx, "/containers/json", query, &list); err != nil {
		return nil, err
	}
	ids := make([]string, 0, len(list))
	for _, c := range list {
		ids = append(ids, c.ID)
	}
	return ids, nil
}

func showOnce(ctx context.Context, e *env.Env, o statsOptions, refs []string) error {
	ids, err := wanted(ctx, e, o, refs)
	if err != nil {
		return err
	}
	rows, errs := make([]statsRow, len(ids)), make([]error, len(ids))
	var all sync.WaitGroup
	for i, id := range ids {
		all.Go(func() {
			var s container.StatsResponse
			errs[i] = e.Client.Get(ctx, "/containers/"+client.Ref(id)+"/stats", url.Values{"stream": {"0"}}, &s)
			rows[i] = usage(id, s, o.noTrunc)
		})
	}
	all.Wait()
	if err := errors.Join(errs...); err != nil {
		return err
	}
	return format.Rows(e.Out, o.format, statsTable, statsHeaders, rows)
}

// meters are the streams of several containers.
type meters struct {
	env     *env.Env
	options statsOptions
	named   []string

	mu    sync.Mutex
	order []string
	rows  map[string]statsRow
	over  int
}

// follow begins with the containers that are new and leaves out those that went.
func (m *meters) follow(ctx context.Context) error {
	ids, err := wanted(ctx, m.env, m.options, m.named)
	if err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.order = ids
	for _, id := range ids {
		if _, known := m.rows[id]; known {
			continue
		}
		body, err := m.env.Client.Stream(ctx, http.MethodGet, "/containers/"+client.Ref(id)+"/stats", url.Values{"stream": {"1"}}, nil)
		if client.IsStatus(err, http.StatusNotFound) && len(m.named) == 0 {
			continue // gone since it was listed
		}
		if err != nil {
			return err
		}
		m.rows[id] = usage(id, container.StatsResponse{}, m.options.noTrunc)
		go m.read(id, body)
	}
	return nil
}

func (m *meters) read(id string, body io.ReadCloser) {
	defer body.Close()
	for lines := json.NewDecoder(body); ; {
		var s container.StatsResponse
		err := lines.Decode(&s)
		m.mu.Lock()
		if err != nil {
			m.over++
			m.mu.Unlock()
			return
		}
		m.rows[id] = usage(id, s, m.options.noTrunc)
		m.mu.Unlock()
	}
}

func (m *meters) ended() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.over == len(m.named)
}

func (m *meters) draw() error {
	m.mu.Lock()
	var rows []statsRow
	for _, id := range m.order {
		rows = append(rows, m.rows[id])
	}
	m.mu.Unlock()
	var b bytes.Buffer
	if m.options.format == "" || strings.HasPrefix(m.options.format, "table") {
		b.WriteString(clearScreen)
	}
	if err := format.Rows(&b, m.options.format, statsTable, statsHeaders, rows); err != nil {
		return err
	}
	_, err := m.env.Out.Write(b.Bytes())
	return err
}

func usage(id string, s container.StatsResponse, whole bool) statsRow {
	r := statsRow{Container: id, ID: id, Name: strings.TrimPrefix(s.Name, "/"), CPUPerc: noFigure, MemUsage: noFigure + " / " + noFigure, MemPerc: noFigure,
		NetIO: noFigure, BlockIO: noFigure, PIDs: noFigure}
	if s.ID != "" {
		r.ID = s.ID
	}
	if !whole {
		r.ID = format.ShortID(r.ID)
	}
	if s.Read.IsZero() {
		return r
	}
	memory := used(s.MemoryStats)
	r.CPUPerc = fmt.Sprintf("%.2f%%", cpuPercent(s))
	r.MemUsage = units.BytesSize(float64(memory)) + " / " + units.BytesSize(float64(s.MemoryStats.Limit))
	if s.MemoryStats.Limit > 0 {
		r.MemPerc = fmt.Sprintf("%.2f%%", float64(memory)*100/float64(s.MemoryStats.Limit))
	}
	var in, out, read, written uint64
	for _, n := range s.Networks {
		in, out = in+n.RxBytes, out+n.TxBytes
	}
	for _, e := range s.BlkioStats.IoServiceBytesRecursive {
		switch strings.ToLower(e.Op) {
		case "read":
			read += e.Value
		case "write":
			written += e.Value
		}
	}
	size := func(n uint64) string { return units.HumanSizeWithPrecision(float64(n), 3) }
	r.NetIO, r.BlockIO = size(in)+" / "+size(out), size(read)+" / "+size(written)
	r.PIDs = fmt.Sprint(s.PidsStats.Current)
	return r
}

// used is memory without the pages that can be taken back at once.
func used(m container.MemoryStats) uint64 {
	for _, key := range []string{"total_inactive_file", "inactive_file"} { // v1, v2
		if cache, ok := m.Stats[key]; ok && cache < m.Usage {
			return m.Usage - cache
		}
	}
	return m.Usage
}

func cpuPercent(s container.StatsResponse) float64 {
	own := float64(s.CPUStats.CPUUsage.TotalUsage) - float64(s.PreCPUStats.CPUUsage.TotalUsage)
	all := float64(s.CPUStats.SystemUsage) - float64(s.PreCPUStats.SystemUsage)
	if own <= 0 || all <= 0 || s.PreRead.IsZero() {
		return 0
	}
	return own / all * float64(s.CPUStats.OnlineCPUs) * 100
}
