package disk

import (
	"fmt"
	"net/url"

	"github.com/docker/go-units"
	"github.com/moby/moby/api/types/system"
	"github.com/spf13/cobra"

	"github.com/berth-containers/berth/internal/cli/env"
	"github.com/berth-containers/berth/internal/cli/format"
)

// row is one kind of thing.
type row struct {
	Type        string
	TotalCount  string
	Active      string
	Size        string
	Reclaimable string
}

func rowOf(kind string, total, active, size, reclaimable int64) row {
	r := row{kind, fmt.Sprint(total), fmt.Sprint(active), units.HumanSize(float64(size)), units.HumanSize(float64(reclaimable))}
	if size > 0 {
		r.Reclaimable += fmt.Sprintf(" (%d%%)", reclaimable*100/size)
	}
	return r
}

// UsageCommand is `system df`.
func UsageCommand(e *env.Env) *cobra.Command {
	var layout string
	var verbose bool
	cmd := &cobra.Command{
		Use: "df [OPTIONS]", Short: "Show disk usage", Args: env.Exactly(0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			query := url.Values{}
			if verbose {
				query.Set("verbose", "1")
			}
			var u system.DiskUsage
			if err := e.Client.Get(cmd.Context(), "/system/df", query, &u); err != nil {
				return err
			}
			if verbose {
				return printVerbose(e, layout, u)
			}
			return format.Rows(e.Out, layout, "table {{.Type}}\t{{.TotalCount}}\t{{.Active}}\t{{.Size}}\t{{.Reclaimable}}",
				format.Headers{"Type": "TYPE", "TotalCount": "TOTAL", "Active": "ACTIVE", "Size": "SIZE", "Reclaimable": "RECLAIMABLE"}, rows(u))
		},
	}
	cmd.Flags().StringVar(&layout, "format", "", format.Usage)
	cmd.Flags().BoolVarP(&verbose, "verbose", "v", false, "Show detailed information on space usage")
	return cmd
}

func rows(u system.DiskUsage) []row {
	var list []row
	if i := u.ImageUsage; i != nil {
		list = append(list, rowOf("Images", i.TotalCount, i.ActiveCount, i.TotalSize, i.Reclaimable))
	}
	if c := u.ContainerUsage; c != nil {
		list = append(list, rowOf("Containers", c.TotalCount, c.ActiveCount, c.TotalSize, c.Reclaimable))
	}
	if v := u.VolumeUsage; v != nil {
		list = append(list, rowOf("Local Volumes", v.TotalCount, v.ActiveCount, v.TotalSize, v.Reclaimable))
	}
	if b := u.BuildCacheUsage; b != nil {
		list = append(list, rowOf("Build Cache", b.TotalCount, b.ActiveCount, b.TotalSize, b.Reclaimable))
	}
	return list
}

// printVerbose prints every thing; a format gets the whole answer.
func printVerbose(e *env.Env, layout string, u system.DiskUsage) error {
	if layout != "" {
		return format.Object(e.Out, layout, u)
	}
	size := func(n int64) string { return units.HumanSize(float64(n)) }
	type line struct{ Name, ID, Size, Shared, Users string }
	headers := format.Headers{"Name": "NAME", "ID": "ID", "Size": "SIZE", "Shared": "SHARED SIZE", "Users": "CONTAINERS"}
	var list []line
	for _, i := range u.ImageUsage.Items {
		name := "<none>"
		if len(i.RepoTags) > 0 {
			name = i.RepoTags[0]
		}
		list = append(list, line{name, format.ShortID(i.ID), size(i.Size), size(i.SharedSize), fmt.Sprint(i.Containers)})
	}
	fmt.Fprintf(e.Out, "Images space usage: %s\n\n", size(u.ImageUsage.TotalSize))
	if err := format.Rows(e.Out, "", "table {{.Name}}\t{{.ID}}\t{{.Size}}\t{{.Shared}}\t{{.Users}}", headers, list); err != nil {
		return err
	}
	list = nil
	for _, c := range u.ContainerUsage.Items {
		name := ""
		if len(c.Names) > 0 {
			name = c.Names[0][1:]
		}
		list = append(list, line{Name: name, ID: format.ShortID(c.ID), Size: size(c.SizeRw), Users: string(c.State)})
	}
	fmt.Fprintf(e.Out, "\nContainers space usage: %s\n\n", size(u.ContainerUsage.TotalSize))
	headers["Users"] = "STATUS"
	if err := format.Rows(e.Out, "", "table {{.ID}}\t{{.Name}}\t{{.Size}}\t{{.Users}}", headers, list); err != nil {
		return err
	}
	list = nil
	for _, v := range u.VolumeUsage.Items {
		list = append(list, line{Name: v.Name, Size: size(v.UsageData.Size), Users: fmt.Sprint(v.UsageData.RefCount)})
	}
	fmt.Fprintf(e.Out, "\nLocal Volumes space usage: %s\n\n", size(u.VolumeUsage.TotalSize))
	headers["Users"] = "LINKS"
	return format.Rows(e.Out, "", "table {{.Name}}\t{{.Users}}\t{{.Size}}", headers, list)
}
