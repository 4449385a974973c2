package cli

import (
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"
)

func printHelp(w io.Writer, cmd *cobra.Command) error {
	text := cmd.Long
	if text == "" {
		text = cmd.Short
	}
	if _, err := fmt.Fprintf(w, "%s\n\n", text); err != nil {
		return err
	}
	return printUsage(w, cmd)
}

// printUsage does without a template, which would be parsed for one use.
func printUsage(w io.Writer, cmd *cobra.Command) error {
	var b strings.Builder
	line := cmd.Use
	if cmd.HasParent() {
		line = cmd.Parent().CommandPath() + " " + line
	}
	fmt.Fprintf(&b, "Usage:  %s\n", line)
	if len(cmd.Aliases) > 0 {
		fmt.Fprintf(&b, "\nAliases: %s\n", strings.Join(append([]string{cmd.Name()}, cmd.Aliases...), ", "))
	}
	groups := cmd.Groups()
	if len(groups) == 0 {
		groups = []*cobra.Group{{Title: "Commands:"}}
	}
	for _, g := range groups {
		if !cmd.HasAvailableSubCommands() {
			break
		}
		fmt.Fprintf(&b, "\n%s\n", g.Title)
		for _, c := range cmd.Commands() {
			if c.GroupID == g.ID && c.IsAvailableCommand() {
				fmt.Fprintf(&b, "  %-11s %s\n", c.Name(), c.Short)
			}
		}
	}
	if cmd.HasAvailableLocalFlags() {
		const noise = "[=true|false]" // said of every switch; the columns stay
		flags := strings.ReplaceAll(cmd.LocalFlags().FlagUsages(), noise, strings.Repeat(" ", len(noise)))
		fmt.Fprintf(&b, "\nOptions:\n%s", flags)
	}
	if cmd.HasAvailableSubCommands() {
		fmt.Fprintf(&b, "\nRun '%s COMMAND --help' for more information on a command.\n", cmd.CommandPath())
	}
	_, err := io.WriteString(w, b.String())
	return err
}
