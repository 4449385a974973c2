// Command berth-build is the builder of an engine, which starts it at the first
// build and ends it when it is idle. It is not run by hand.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"runtime/debug"
	"strconv"
	"sync"
	"syscall"
	"time"

	_ "github.com/moby/buildkit/util/grpcutil/encoding/proto" // carries file names that are not UTF-8
	bkversion "github.com/moby/buildkit/version"
	"github.com/sirupsen/logrus"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/berth-containers/berth/internal/build/calls"
	"github.com/berth-containers/berth/internal/build/service"
	"github.com/berth-containers/berth/internal/build/worker"
	"github.com/berth-containers/berth/internal/sys/cgroup"
	"github.com/berth-containers/berth/internal/sys/filelock"
)

// The descriptors that the engine hands over.
const (
	listenFD = 3 // where requests come in
	engineFD = 4 // the engine's services
)

const (
	startTime = 30 * time.Second
	stopTime  = 5 * time.Second
)

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "berth-build:", err)
		os.Exit(1)
	}
}

func run() error {
	bkversion.Version = buildkit()
	log := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))
	// The libraries log what they also return.
	logrus.SetOutput(io.Discard)
	if len(os.Args) != 2 {
		return errors.New("the engine starts this program at the first build; build with berth build or docker build")
	}
	// The next engine waits until it is free.
	lock, err := filelock.Take(filepath.Join(os.Args[1], "lock"))
	if err != nil {
		return err
	}
	defer lock.Close()
	if _, err := lock.WriteString(strconv.Itoa(os.Getpid())); err != nil {
		return err
	}
	gone := make(chan struct{})
	l, conn, err := inherited(gone)
	if err != nil {
		return err
	}
	defer conn.Close()
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGINT)
	signal.Ignore(syscall.SIGPIPE, syscall.SIGHUP)
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	start, stop := context.WithTimeout(ctx, startTime)
	defer stop()
	setup, err := calls.Call[calls.Setup](start, conn, calls.Hello, struct{}{})
	if err != nil {
		return fmt.Errorf("ask the engine: %w", err)
	}
	kit, err := worker.New(ctx, conn, setup)
	if err != nil {
		return err
	}
	sv := service.New(kit, setup, log)
	go func() {
		select {
		case <-signals:
		case <-gone:
			// Nobody else ends what runs now.
			clean, cancel := context.WithTimeout(context.Background(), stopTime)
			defer cancel()
			_ = cgroup.Open(setup.CgroupParent).Remove(clean)
			os.Exit(1)
		}
		sv.Close()
	}()
	return errors.Join(sv.Serve(l), kit.Close())
}

// buildkit is the version of the library, as its clients are told.
func buildkit() string {
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, m := range info.Deps {
			if m.Path == "github.com/moby/buildkit" {
				return m.Version
			}
		}
	}
	return "unknown"
}

// inherited are the two descriptors.
func inherited(gone chan struct{}) (net.Listener, *grpc.ClientConn, error) {
	f := os.NewFile(listenFD, "listener")
	l, err := net.FileListener(f)
	if err != nil {
		return nil, nil, fmt.Errorf("no listener was handed over: %w", err)
	}
	f.Close()
	e := os.NewFile(engineFD, "engine")
	c, err := net.FileConn(e)
	if err != nil {
		return nil, nil, fmt.Errorf("no connection was handed over: %w", err)
	}
	e.Close()
	w := &watched{Conn: c, gone: gone}
	given := make(chan net.Conn, 1)
	given <- w
	conn, err := grpc.NewClient("passthrough:///engine", grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(func(context.Context, string) (net.Conn, error) {
			select {
			case c := <-given:
				return c, nil
			default:
				return nil, io.EOF
			}
		}),
		grpc.WithIdleTimeout(0), // there is no other connection to go on with
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(calls.MessageBytes), grpc.MaxCallSendMsgSize(calls.MessageBytes)))
	return l, conn, err
}

// watched tells when the engine is gone.
type watched struct {
	net.Conn
	once sync.Once
	gone chan struct{}
}

func (w *watched) Read(p []byte) (int, error) {
	n, err := w.Conn.Read(p)
	if err != nil {
		w.once.Do(func() { close(w.gone) })
	}
	return n, err
}
