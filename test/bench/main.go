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
	"strings"
	"text/tabwriter"

	"github.com/berth-containers/berth/test/harness"
)

func main() { harness.Enter(run) }

func run() int {
	rounds := flag.Int("runs", 9, "how often each row is measured on each system")
	only := flag.String("only", "", "measure only the rows whose name contains this")
	peers := flag.String("peers", "docker,podman", "which peers to measure against")
	crowd := flag.Int("crowd", 100, "how many containers run in the rows about many")
	flag.Parse()

	work, err := os.MkdirTemp("", "berth-bench-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(work)
	systems, stop, err := start(work, strings.Split(*peers, ","))
	defer stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	table := map[string]map[string][]float64{} // row → system → figures
	var order []string
	for _, row := range rows(*crowd) {
		if !strings.Contains(row.name, *only) {
			continue
		}
		order = append(order, row.name)
		table[row.name] = map[string][]float64{}
		n := *rounds
		if row.rounds > 0 {
			n = min(n, row.rounds)
		}
		for round := range n + 1 { // the first warms up and is not counted
			for _, s := range systems {
				figure, err := row.measure(s)
				if err != nil {
					fmt.Fprintf(os.Stderr, "%s on %s: %v\n", row.name, s.name, err)
					continue
				}
				if round > 0 || n == 1 {
					table[row.name][s.name] = append(table[row.name][s.name], figure)
				}
			}
		}
		fmt.Fprintln(os.Stderr, "measured:", row.name)
	}
	print(systems, order, table)
	return 0
}

func print(systems []*system, order []string, table map[string]map[string][]float64) {
	units := map[string]string{}
	for _, row := range rows(0) {
		units[row.name] = row.unit
	}
	w := tabwriter.NewWriter(os.Stdout, 0, 8, 2, ' ', 0)
	fmt.Fprint(w, "row\tunit")
	for _, s := range systems {
		fmt.Fprintf(w, "\t%s (min–max)", s.name)
	}
	for _, s := range systems[1:] {
		fmt.Fprintf(w, "\tberth/%s", s.name)
	}
	fmt.Fprintln(w)
	for _, name := range order {
		fmt.Fprintf(w, "%s\t%s", name, units[name])
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
