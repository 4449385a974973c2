// Command reaper stands in for testcontainers' Ryuk, whose image no test can pull:
// it takes lines of label filters on port 8080, acknowledges each, and once no
// client has come for RYUK_RECONNECTION_TIMEOUT after the last one removes what has
// the labels, through the mounted socket.
package main

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"net/url"
	"os"
	"time"

	"github.com/moby/moby/client"
)

func main() {
	if err := run(context.Background()); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(ctx context.Context) error {
	engine, err := client.New(client.FromEnv)
	if err != nil {
		return err
	}
	l, err := net.Listen("tcp", ":8080")
	if err != nil {
		return err
	}
	fmt.Println("Started")
	var filters []client.Filters
	gone, clients := make(chan client.Filters), 0
	arrived := make(chan struct{})
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			arrived <- struct{}{}
			go serve(conn, gone)
		}
	}()
	patience, err := time.ParseDuration(os.Getenv("RYUK_RECONNECTION_TIMEOUT"))
	if err != nil {
		return err
	}
	// The wait for the port connects and goes away without a word.
	for alone := false; !alone; {
		var end <-chan time.Time
		if len(filters) > 0 && clients == 0 {
			end = time.After(patience)
		}
		select {
		case <-arrived:
			clients++
		case f := <-gone:
			clients--
			if f != nil {
				filters = append(filters, f)
			}
		case <-end:
			alone = true
		}
	}
	for _, f := range filters {
		if err := reap(ctx, engine, f); err != nil {
			return err
		}
	}
	return nil
}

// serve tells what a client had said once it is gone: nil if nothing.
func serve(conn net.Conn, gone chan<- client.Filters) {
	defer conn.Close()
	var f client.Filters
	for s := bufio.NewScanner(conn); s.Scan(); {
		values, err := url.ParseQuery(s.Text())
		if err != nil {
			break
		}
		f = client.Filters{}
		for _, label := range values["label"] {
			f.Add("label", label)
		}
		fmt.Fprint(conn, "ACK\n")
	}
	gone <- f
}

func reap(ctx context.Context, engine *client.Client, f client.Filters) error {
	containers, err := engine.ContainerList(ctx, client.ContainerListOptions{All: true, Filters: f})
	if err != nil {
		return err
	}
	for _, c := range containers.Items {
		if _, err := engine.ContainerRemove(ctx, c.ID, client.ContainerRemoveOptions{Force: true, RemoveVolumes: true}); err != nil {
			return err
		}
	}
	networks, err := engine.NetworkList(ctx, client.NetworkListOptions{Filters: f})
	if err != nil {
		return err
	}
	for _, n := range networks.Items {
		if _, err := engine.NetworkRemove(ctx, n.ID, client.NetworkRemoveOptions{}); err != nil {
			return err
		}
	}
	return nil
}
