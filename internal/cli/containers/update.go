package containers

import (
	"github.com/moby/moby/api/types/container"
	"github.com/spf13/cobra"

	"github.com/berth-containers/berth/internal/cli/client"
	"github.com/berth-containers/berth/internal/cli/env"
	"github.com/berth-containers/berth/internal/cli/runopts"
)

// UpdateCommand is `update`.
func UpdateCommand(e *env.Env) *cobra.Command {
	var flags runopts.Update
	cmd := &cobra.Command{
		Use: "update [OPTIONS] CONTAINER [CONTAINER...]", Short: "Update configuration of one or more containers", Args: env.AtLeast(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			config, err := flags.Build()
			if err != nil {
				return err
			}
			return e.Each(args, func(ref string) error {
				var answer container.UpdateResponse
				err := e.Client.Post(cmd.Context(), "/containers/"+client.Ref(ref)+"/update", nil, config, &answer)
				e.Warn(answer.Warnings)
				return err
			})
		},
	}
	flags.Register(cmd.Flags())
	return cmd
}
