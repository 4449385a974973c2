package command

import (
	"errors"
	"flag"
	"fmt"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/containerd/errdefs"

	"github.com/berth-containers/berth/internal/runtime/command/state"
)

func runList(e *env, flags *flag.FlagSet, args []string) error {
	format := stringFlag(flags, "format", "f", "table", "table or json")
	quiet := boolFlag(flags, "quiet", "q", "IDs only")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if err := oneOf("--format", *format, "table", "json"); err != nil {
		return err
	}
	ids, err := e.store.IDs()
	if err != nil {
		return err
	}
	all := []state.Shown{}
	for _, id := range ids {
		s, err := e.store.Load(id)
		if errdefs.IsNotFound(err) {
			continue // deleted meanwhile
		}
		if err != nil {
			e.log.warn("%v", err)
			continue
		}
		all = append(all, s.Show())
	}
	if *format == "json" && !*quiet {
		return e.printIndented(all, "")
	}
	w := tabwriter.NewWriter(e.out, 12, 1, 3, ' ', 0)
	if !*quiet {
		fmt.Fprint(w, "ID\tPID\tSTATUS\tBUNDLE\tCREATED\tOWNER\n")
	}
	for _, s := range all {
		if *quiet {
			fmt.Fprintln(w, s.ID)
			continue
		}
		fmt.Fprintf(w, "%s\t%d\t%s\t%s\t%s\t%s\n", s.ID, s.Pid, s.Status, s.Bundle, s.Created.Format(time.RFC3339Nano), s.Owner)
	}
	return w.Flush()
}

func runPs(e *env, flags *flag.FlagSet, args []string) error {
	format := stringFlag(flags, "format", "f", "table", "table or json")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if err := oneOf("--format", *format, "table", "json"); err != nil {
		return err
	}
	if flags.NArg() < 1 {
		return errors.New("ps takes the container's ID")
	}
	s, err := e.store.Load(flags.Arg(0))
	if err != nil {
		return err
	}
	group, err := groupOf(s)
	if err != nil {
		return err
	}
	pids, err := group.Pids()
	if err != nil {
		return err
	}
	if *format == "json" {
		return e.printIndented(append([]int{}, pids...), "")
	}
	options := flags.Args()[1:]
	if len(options) == 0 {
		options = []string{"-ef"}
	}
	out, err := exec.Command("ps", options...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("run ps (it is in Debian's procps; --format json needs none): %w: %s", err, out)
	}
	table, err := ofProcesses(string(out), pids)
	fmt.Fprint(e.out, table)
	return err
}

// ofProcesses is the head of a table of ps and the lines of the processes.
func ofProcesses(table string, pids []int) (string, error) {
	head, lines, _ := strings.Cut(table, "\n")
	column := slices.Index(strings.Fields(head), "PID")
	if column < 0 {
		return "", fmt.Errorf("the output of ps has no column PID; ask for it by its options")
	}
	kept := head + "\n"
	for line := range strings.Lines(lines) {
		f := strings.Fields(line)
		if len(f) <= column {
			continue
		}
		if pid, err := strconv.Atoi(f[column]); err == nil && slices.Contains(pids, pid) {
			kept += line
		}
	}
	return kept, nil
}
