package containers

import (
	"strings"

	"github.com/spf13/cobra"

	"github.com/berth-containers/berth/internal/cli/disk"
	"github.com/berth-containers/berth/internal/cli/env"
)

func join(words []string) string { return strings.Join(words, " ") }

// Group is `container …`.
func Group(e *env.Env, inspect *cobra.Command) *cobra.Command {
	children := append(Shared(e), ListCommand(e, "ls", "list", "ps"), disk.ContainerPrune(e), inspect)
	return env.Group("container", "Manage containers", nil, children...)
}

// Shared are the commands that go by the same name with and without `container`.
func Shared(e *env.Env) []*cobra.Command {
	var list []*cobra.Command
	for _, command := range []func(*env.Env) *cobra.Command{
		AttachCommand, CommitCommand, CopyCommand, CreateCommand, DiffCommand, ExecCommand, ExportCommand, KillCommand, LogsCommand, PauseCommand, PortCommand, RenameCommand, RestartCommand,
		RemoveCommand, RunCommand, StartCommand, StatsCommand, StopCommand, TopCommand, UnpauseCommand, UpdateCommand, WaitCommand,
	} {
		list = append(list, command(e))
	}
	return list
}
