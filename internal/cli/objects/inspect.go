package objects

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/image"
	"github.com/moby/moby/api/types/network"
	"github.com/moby/moby/api/types/volume"
	"github.com/spf13/cobra"

	"github.com/berth-containers/berth/internal/cli/client"
	"github.com/berth-containers/berth/internal/cli/env"
	"github.com/berth-containers/berth/internal/cli/format"
)

// kind is a kind of object that can be inspected.
type kind struct {
	name string
	path func(ref string) string
	new  func() any // its type
}

// kinds in the order in which a name is looked for.
func kinds() []kind {
	return []kind{
		{"container", func(ref string) string { return "/containers/" + ref + "/json" }, func() any { return new(container.InspectResponse) }},
		{"image", func(ref string) string { return "/images/" + ref + "/json" }, func() any { return new(image.InspectResponse) }},
		{"network", func(ref string) string { return "/networks/" + ref }, func() any { return new(network.Inspect) }},
		{"volume", func(ref string) string { return "/volumes/" + ref }, func() any { return new(volume.Volume) }},
	}
}

type inspectOptions struct {
	format, kind, platform string
	size                   bool
}

// InspectCommand is `inspect`.
func InspectCommand(e *env.Env) *cobra.Command {
	var o inspectOptions
	cmd := &cobra.Command{
		Use: "inspect [OPTIONS] NAME|ID [NAME|ID...]", Short: "Return low-level information on Docker objects", Args: env.AtLeast(1),
		RunE: func(cmd *cobra.Command, args []string) error { return inspect(cmd.Context(), e, args, o) },
	}
	cmd.Flags().StringVarP(&o.format, "format", "f", "", format.Usage)
	cmd.Flags().BoolVarP(&o.size, "size", "s", false, "Display total file sizes if the type is container")
	cmd.Flags().StringVar(&o.kind, "type", "", "Only inspect objects of the given type")
	return cmd
}

// ContainerInspect is `container inspect`.
func ContainerInspect(e *env.Env) *cobra.Command {
	return inspectOne(e, "container", "CONTAINER", "Display detailed information on one or more containers")
}

// ImageInspect is `image inspect`.
func ImageInspect(e *env.Env) *cobra.Command {
	return inspectOne(e, "image", "IMAGE", "Display detailed information on one or more images")
}

func inspectOne(e *env.Env, kind, arg, short string) *cobra.Command {
	o := inspectOptions{kind: kind}
	var verbose bool
	cmd := &cobra.Command{
		Use: fmt.Sprintf("inspect [OPTIONS] %s [%s...]", arg, arg), Short: short, Args: env.AtLeast(1),
		RunE: func(cmd *cobra.Command, args []string) error { return inspect(cmd.Context(), e, args, o) },
	}
	cmd.Flags().StringVarP(&o.format, "format", "f", "", format.Usage)
	switch kind {
	case "container":
		cmd.Flags().BoolVarP(&o.size, "size", "s", false, "Display total file sizes")
	case "image":
		cmd.Flags().StringVar(&o.platform, "platform", "", "Inspect a specific platform of the multi-platform image")
	case "network":
		cmd.Flags().BoolVarP(&verbose, "verbose", "v", false, "Verbose output for diagnostics")
	}
	return cmd
}

// inspect prints what was found also if something was not.
func inspect(ctx context.Context, e *env.Env, refs []string, o inspectOptions) error {
	all := kinds()
	if o.kind != "" {
		all = slices.DeleteFunc(all, func(k kind) bool { return k.name != o.kind })
		if len(all) == 0 {
			return fmt.Errorf("%q is not a valid value for --type (container, image, network, volume)", o.kind)
		}
	}
	var found []format.Inspected
	var failures []error
	for _, ref := range refs {
		object, err := find(ctx, e, all, ref, o)
		if err != nil {
			failures = append(failures, err)
			continue
		}
		found = append(found, object)
	}
	err := format.Inspect(e.Out, o.format, found)
	return errors.Join(append([]error{err}, failures...)...)
}

func find(ctx context.Context, e *env.Env, all []kind, ref string, o inspectOptions) (format.Inspected, error) {
	var last error
	for _, k := range all {
		query := url.Values{}
		if o.size && k.name == "container" {
			query.Set("size", "1")
		}
		if o.platform != "" {
			query.Set("platform", o.platform)
		}
		var object format.Inspected
		err := e.Client.Get(ctx, k.path(client.Ref(strings.TrimPrefix(ref, "/"))), query, &object.Raw)
		if err == nil {
			typed := k.new()
			if json.Unmarshal(object.Raw, typed) == nil {
				object.Typed = typed
			}
			return object, nil
		}
		// Another kind may have a name that this kind finds malformed.
		if !client.IsStatus(err, http.StatusNotFound) && (len(all) == 1 || !client.IsStatus(err, http.StatusBadRequest)) {
			return object, err
		}
		last = err
	}
	if len(all) == 1 {
		return format.Inspected{}, last
	}
	return format.Inspected{}, &client.Error{Status: http.StatusNotFound, Message: "No such object: " + ref}
}
