// Command bench measures Berth beside its peers, docker and podman from Debian,
// in one interleaved run, and prints a table of ratios with medians.
//
// Each system has its own roots in one lab without a route out. Nothing here
// passes or fails: a machine's speed drifts, a ratio taken in turn holds.
package main

import (
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/berth-containers/berth/test/harness"
)

func main() { harness.Enter(run) }

func run() int {
	rounds := flag.Int("runs", 9, "how often each row is measured on each system")
	only := flag.String("only", "", "measure only the rows whose name contains this")
	peers := flag.String("peers", "docker,podman", "which peers to measure against; with -runtimes crun,runc, or folders with other builds of Berth")
	crowd := flag.Int("crowd", 100, "how many containers run in the rows about many")
	images := flag.Bool("images", false, "measure how images travel")
	builds := flag.Bool("builds", false, "measure builds")
	runtimes := flag.Bool("runtimes", false, "measure the bare OCI runtimes")
	flag.Parse()
	if *runtimes && *peers == "docker,podman" {
		*peers = "crun,runc"
	}

	work, err := os.MkdirTemp("", "berth-bench-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(work)
	list, pause := rows(*crowd), restAfterNetworks
	var systems []*system
	if *runtimes {
		list, pause = runtimeRows(), restAfterRuntimes
		systems, err = ociRuntimes(work, strings.Split(*peers, ","))
	} else {
		var stop func()
		systems, stop, err = start(work, strings.Split(*peers, ","))
		defer stop()
		if *images && err == nil {
			list, err = imageRows(work)
		}
		if *builds && err == nil {
			list, err = buildRows(work)
		}
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	table := map[string]map[string][]float64{} // line → system → figures
	var lines []line
	for _, row := range list {
		if !slices.ContainsFunc(row.lines, func(l line) bool { return strings.Contains(l.name, *only) }) {
			continue
		}
		lines = append(lines, row.lines...)
		take(row, *rounds, pause, systems, table)
		fmt.Fprintln(os.Stderr, "measured:", row.lines[0].name)
	}
	print(systems, lines, table)
	return 0
}

// These let the kernel take down what the system before had, which it does
// after that has answered: nobody's figure is to hold another's networks.
const (
	restAfterNetworks = 300 * time.Millisecond
	restAfterRuntimes = 50 * time.Millisecond
)

// take measures a row on all systems in turn. The first round warms up and is
// not counted, but for the long rows.
func take(row row, rounds int, pause time.Duration, systems []*system, table map[string]map[string][]float64) {
	first := 0
	if row.rounds > 0 {
		rounds, first = min(rounds, row.rounds), 1
	}
	for round := first; round <= rounds; round++ {
		for _, s := range systems {
			rest := time.NewTimer(pause)
			<-rest.C
			figures, err := row.measure(s)
			if err != nil {
				fmt.Fprintf(os.Stderr, "%s on %s: %v\n", row.lines[0].name, s.name, err)
				continue
			}
			for i, l := range row.lines {
				if table[l.name] == nil {
					table[l.name] = map[string][]float64{}
				}
				if round > 0 {
					table[l.name][s.name] = append(table[l.name][s.name], figures[i])
				}
			}
		}
	}
}

func print(systems []*system, lines []line, table map[string]map[string][]float64) {
	w := tabwriter.NewWriter(os.Stdout, 0, 8, 2, ' ', 0)
	fmt.Fprint(w, "row\tunit")
	for _, s := range systems {
		fmt.Fprintf(w, "\t%s (min–max)", s.name)
	}
	for _, s := range systems[1:] {
		fmt.Fprintf(w, "\tberth/%s", s.name)
	}
	fmt.Fprintln(w)
	for _, l := range lines {
		name := l.name
		fmt.Fprintf(w, "%s\t%s", name, l.unit)
		for _, s := range systems {
			fmt.Fprintf(w, "\t%s", spread(table[name][s.name]))
		}
		for _, s := range systems[1:] {
			fmt.Fprintf(w, "\t%s", ratio(table[name]["berth"], table[name][s.name]))
		}
		fmt.Fprintln(w)
	}
	w.Flush()
}
