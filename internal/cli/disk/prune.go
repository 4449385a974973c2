// Package disk holds the commands about the space that things take: what takes
// it, and the removal of what nobody uses.
package disk

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net/url"
	"strings"

	"github.com/docker/go-units"
	"github.com/moby/moby/api/types/build"
	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/image"
	"github.com/moby/moby/api/types/network"
	"github.com/moby/moby/api/types/volume"
	"github.com/spf13/cobra"

	"github.com/berth-containers/berth/internal/cli/env"
	"github.com/berth-containers/berth/internal/cli/filter"
)

// options are those of the prune commands.
type options struct {
	force, all, volumes bool
	filter              filter.Values
}

func (o *options) register(cmd *cobra.Command, what string) {
	cmd.Flags().BoolVarP(&o.force, "force", "f", false, "Do not prompt for confirmation")
	cmd.Flags().Var(&o.filter, "filter", "Provide filter values (e.g. "+what+")")
}

// pruned is what one request removed.
type pruned struct {
	title     string
	lines     []string
	reclaimed uint64
}

func command(e *env.Env, short, what string, o *options, warning func() []string, prune func(cmd *cobra.Command) ([]pruned, error)) *cobra.Command {
	cmd := &cobra.Command{
		Use: "prune [OPTIONS]", Short: short, Args: env.Exactly(0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if !o.force && !confirm(e, warning()) {
				return errors.New("nothing was removed: confirm with y, or use --force")
			}
			results, err := prune(cmd)
			report(e.Out, results)
			return err
		},
	}
	o.register(cmd, what)
	return cmd
}

// confirm asks; the end of the input is a no.
func confirm(e *env.Env, warning []string) bool {
	fmt.Fprint(e.Out, strings.Join(warning, "\n")+"\nAre you sure you want to continue? [y/N] ")
	answer, _ := bufio.NewReader(e.In).ReadString('\n')
	answer = strings.ToLower(strings.TrimSpace(answer))
	return answer == "y" || answer == "yes"
}

func report(w io.Writer, results []pruned) {
	var sum uint64
	for _, r := range results {
		sum += r.reclaimed
		if len(r.lines) > 0 {
			fmt.Fprintf(w, "%s:\n%s\n\n", r.title, strings.Join(r.lines, "\n"))
		}
	}
	fmt.Fprintf(w, "Total reclaimed space: %s\n", units.HumanSize(float64(sum)))
}

// ask sends one request with the filters and more.
func ask(cmd *cobra.Command, e *env.Env, path string, f filter.Values, answer any, more ...string) error {
	for i := 0; i+1 < len(more); i += 2 {
		f.Add(more[i], more[i+1])
	}
	query := url.Values{}
	if err := f.Query(query); err != nil {
		return err
	}
	return e.Client.Post(cmd.Context(), path, query, nil, answer)
}

func pruneContainers(cmd *cobra.Command, e *env.Env, o *options) (pruned, error) {
	var answer container.PruneReport
	err := ask(cmd, e, "/containers/prune", o.filter.Clone(), &answer)
	return pruned{"Deleted Containers", answer.ContainersDeleted, answer.SpaceReclaimed}, err
}

func pruneImages(cmd *cobra.Command, e *env.Env, o *options) (pruned, error) {
	var answer image.PruneReport
	err := ask(cmd, e, "/images/prune", o.filter.Clone(), &answer, "dangling", fmt.Sprint(!o.all))
	p := pruned{title: "Deleted Images", reclaimed: answer.SpaceReclaimed}
	for _, d := range answer.ImagesDeleted {
		if d.Untagged != "" {
			p.lines = append(p.lines, "untagged: "+d.Untagged)
		} else {
			p.lines = append(p.lines, "deleted: "+d.Deleted)
		}
	}
	return p, err
}

func pruneVolumes(cmd *cobra.Command, e *env.Env, o *options) (pruned, error) {
	var answer volume.PruneReport
	var more []string
	if o.all {
		more = []string{"all", "true"}
	}
	err := ask(cmd, e, "/volumes/prune", o.filter.Clone(), &answer, more...)
	return pruned{"Deleted Volumes", answer.VolumesDeleted, answer.SpaceReclaimed}, err
}

func pruneNetworks(cmd *cobra.Command, e *env.Env, o *options) (pruned, error) {
	var answer network.PruneReport
	err := ask(cmd, e, "/networks/prune", o.filter.Clone(), &answer)
	return pruned{"Deleted Networks", answer.NetworksDeleted, 0}, err
}

func pruneBuilds(cmd *cobra.Command, e *env.Env, _ *options) (pruned, error) {
	return pruneCache(cmd, e, url.Values{})
}

func pruneCache(cmd *cobra.Command, e *env.Env, query url.Values) (pruned, error) {
	var answer build.CachePruneReport
	err := e.Client.Post(cmd.Context(), "/build/prune", query, nil, &answer)
	return pruned{"Deleted build cache objects", answer.CachesDeleted, answer.SpaceReclaimed}, err
}

// step is one kind of thing to prune.
type step = func(*cobra.Command, *env.Env, *options) (pruned, error)

func steps(e *env.Env, o *options, list ...step) func(*cobra.Command) ([]pruned, error) {
	return func(cmd *cobra.Command) ([]pruned, error) {
		var results []pruned
		for _, prune := range list {
			p, err := prune(cmd, e, o)
			if err != nil {
				return results, err
			}
			results = append(results, p)
		}
		return results, nil
	}
}

func always(lines ...string) func() []string { return func() []string { return lines } }

// ContainerPrune is `container prune`.
func ContainerPrune(e *env.Env) *cobra.Command {
	var o options
	return command(e, "Remove all stopped containers", `"until=<timestamp>"`, &o,
		always("WARNING! This will remove all stopped containers."), steps(e, &o, pruneContainers))
}

// NetworkPrune is `network prune`.
func NetworkPrune(e *env.Env) *cobra.Command {
	var o options
	return command(e, "Remove all unused networks", `"until=<timestamp>"`, &o,
		always("WARNING! This will remove all custom networks not used by at least one container."), steps(e, &o, pruneNetworks))
}

// ImagePrune is `image prune`.
func ImagePrune(e *env.Env) *cobra.Command {
	var o options
	cmd := command(e, "Remove unused images", `"until=<timestamp>"`, &o, func() []string {
		if o.all {
			return []string{"WARNING! This will remove all images without at least one container associated to them."}
		}
		return []string{"WARNING! This will remove all dangling images."}
	}, steps(e, &o, pruneImages))
	cmd.Flags().BoolVarP(&o.all, "all", "a", false, "Remove all unused images, not just dangling ones")
	return cmd
}

// VolumePrune is `volume prune`.
func VolumePrune(e *env.Env) *cobra.Command {
	var o options
	cmd := command(e, "Remove unused local volumes", `"label=<label>"`, &o, func() []string {
		if o.all {
			return []string{"WARNING! This will remove all local volumes not used by at least one container."}
		}
		return []string{"WARNING! This will remove anonymous local volumes not used by at least one container."}
	}, steps(e, &o, pruneVolumes))
	cmd.Flags().BoolVarP(&o.all, "all", "a", false, "Remove all unused volumes, not just anonymous ones")
	return cmd
}

// BuilderPrune is `builder prune`.
func BuilderPrune(e *env.Env) *cobra.Command {
	var o options
	var keep string
	cmd := command(e, "Remove build cache", `"until=24h"`, &o, func() []string {
		if o.all {
			return []string{"WARNING! This will remove all build cache."}
		}
		return []string{"WARNING! This will remove all dangling build cache."}
	}, func(cmd *cobra.Command) ([]pruned, error) {
		query := url.Values{"all": {fmt.Sprint(o.all)}}
		if keep != "" {
			n, err := units.RAMInBytes(keep)
			if err != nil {
				return nil, fmt.Errorf("--reserved-space %s: %w", keep, err)
			}
			query.Set("reserved-space", fmt.Sprint(n))
			query.Set("keep-storage", fmt.Sprint(n)) // its name before 1.48
		}
		if err := o.filter.Query(query); err != nil {
			return nil, err
		}
		p, err := pruneCache(cmd, e, query)
		return []pruned{p}, err
	})
	cmd.Flags().BoolVarP(&o.all, "all", "a", false, "Remove all unused build cache, not just dangling ones")
	cmd.Flags().StringVar(&keep, "reserved-space", "", "How much of it to keep, in `bytes`")
	cmd.Flags().StringVar(&keep, "keep-storage", "", "")
	_ = cmd.Flags().MarkHidden("keep-storage")
	return cmd
}

// SystemPrune is `system prune`.
func SystemPrune(e *env.Env) *cobra.Command {
	var o options
	cmd := command(e, "Remove unused data", `"label=<key>=<value>"`, &o, o.systemWarning, func(cmd *cobra.Command) ([]pruned, error) {
		if o.volumes && o.filter.Has("until") {
			return nil, errors.New("the filter until does not go with --volumes: volumes are never removed by their age")
		}
		list := []step{pruneContainers, pruneNetworks}
		if o.volumes {
			list = append(list, func(cmd *cobra.Command, e *env.Env, o *options) (pruned, error) {
				return pruneVolumes(cmd, e, &options{filter: o.filter})
			})
		}
		return steps(e, &o, append(list, pruneImages, pruneBuilds)...)(cmd)
	})
	cmd.Flags().BoolVarP(&o.all, "all", "a", false, "Remove all unused images, not just dangling ones")
	cmd.Flags().BoolVar(&o.volumes, "volumes", false, "Prune anonymous volumes")
	return cmd
}

func (o *options) systemWarning() []string {
	lines := []string{"WARNING! This will remove:", "  - all stopped containers", "  - all networks not used by at least one container"}
	if o.volumes {
		lines = append(lines, "  - all anonymous volumes not used by at least one container")
	}
	if o.all {
		lines = append(lines, "  - all images without at least one container associated to them")
	} else {
		lines = append(lines, "  - all dangling images")
	}
	return append(lines, "  - unused build cache", "")
}
