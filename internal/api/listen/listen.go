// Package listen opens the sockets that the API is served on. A unix socket
// belongs to root and a group, mode 0660. One that a dead engine left is
// replaced; one that somebody listens on is refused.
package listen

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"github.com/containerd/errdefs"
)

// Options say who may connect.
type Options struct {
	GID int         // of unix sockets
	TLS *tls.Config // of tcp://
}

// Open opens hosts in the forms unix://PATH, tcp://ADDRESS:PORT and fd://.
func Open(hosts []string, o Options) ([]net.Listener, error) {
	var all []net.Listener
	for _, host := range hosts {
		opened, err := open(host, o)
		if err != nil {
			return nil, errors.Join(fmt.Errorf("listen on %s: %w", host, err), Close(all))
		}
		all = append(all, opened...)
	}
	return all, nil
}

// Close closes listeners.
func Close(all []net.Listener) error {
	var errs []error
	for _, l := range all {
		errs = append(errs, l.Close())
	}
	return errors.Join(errs...)
}

func open(host string, o Options) ([]net.Listener, error) {
	scheme, rest, _ := strings.Cut(host, "://")
	var l net.Listener
	var err error
	switch scheme {
	case "fd":
		return inherited()
	case "tcp":
		l, err = tls.Listen("tcp", rest, o.TLS)
	default:
		l, err = openUnix(rest, o.GID)
	}
	if err != nil {
		return nil, err
	}
	return []net.Listener{l}, nil
}

func openUnix(path string, gid int) (net.Listener, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o711); err != nil {
		return nil, err
	}
	if err := removeStale(path); err != nil {
		return nil, err
	}
	l, err := net.Listen("unix", path)
	if err != nil {
		return nil, err
	}
	// Until here only root could connect: that takes the right to write.
	if err := errors.Join(os.Chown(path, 0, gid), os.Chmod(path, 0o660)); err != nil {
		return nil, errors.Join(err, l.Close())
	}
	return l, nil
}

func removeStale(path string) error {
	info, err := os.Lstat(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if info.Mode().Type() != os.ModeSocket {
		return errdefs.ErrConflict.WithMessage(path + " exists and is not a socket: remove it, or choose another with --host")
	}
	conn, err := net.Dial("unix", path)
	if err == nil {
		conn.Close()
		return errdefs.ErrConflict.WithMessage("another process listens on " + path + ": stop it, or choose another with --host")
	}
	if !errors.Is(err, syscall.ECONNREFUSED) {
		return err
	}
	return os.Remove(path)
}

// firstFD is that of the sockets which systemd passes (sd_listen_fds(3)).
const firstFD = 3

// inherited takes the sockets that the service manager opened.
func inherited() ([]net.Listener, error) {
	pid, count := os.Getenv("LISTEN_PID"), os.Getenv("LISTEN_FDS")
	n, err := strconv.Atoi(count)
	if pid != strconv.Itoa(os.Getpid()) || err != nil || n < 1 {
		return nil, errdefs.ErrFailedPrecondition.WithMessage("no socket was passed by the service manager (LISTEN_PID, LISTEN_FDS): start the socket unit, or use unix://")
	}
	// The shim must not take them for its own.
	err = errors.Join(os.Unsetenv("LISTEN_PID"), os.Unsetenv("LISTEN_FDS"), os.Unsetenv("LISTEN_FDNAMES"))
	var all []net.Listener
	for fd := firstFD; fd < firstFD+n; fd++ {
		l, failed := fromFD(fd)
		if failed != nil {
			err = errors.Join(err, failed)
			continue
		}
		all = append(all, l)
	}
	if err != nil {
		return nil, errors.Join(err, Close(all))
	}
	return all, nil
}

func fromFD(fd int) (net.Listener, error) {
	syscall.CloseOnExec(fd)
	f := os.NewFile(uintptr(fd), "LISTEN_FD_"+strconv.Itoa(fd))
	defer f.Close() // FileListener has a copy
	l, err := net.FileListener(f)
	if err != nil {
		return nil, fmt.Errorf("take the passed socket %d: %w", fd, err)
	}
	if _, ok := l.(*net.UnixListener); !ok {
		return nil, errors.Join(errdefs.ErrInvalidArgument.WithMessage(
			fmt.Sprintf("the passed socket %s is not a unix socket: TCP needs TLS, use tcp:// with --tlsverify", l.Addr())), l.Close())
	}
	return l, nil
}

// TLS is the configuration for clients with a certificate of the CA.
func TLS(ca, cert, key string) (*tls.Config, error) {
	pair, err := tls.LoadX509KeyPair(cert, key)
	if err != nil {
		return nil, fmt.Errorf("read --tlscert and --tlskey: %w", err)
	}
	text, err := os.ReadFile(ca)
	if err != nil {
		return nil, fmt.Errorf("read --tlscacert: %w", err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(text) {
		return nil, errdefs.ErrInvalidArgument.WithMessage("--tlscacert: " + ca + " has no certificate in PEM")
	}
	return &tls.Config{
		MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{pair},
		ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: pool,
		NextProtos: []string{"http/1.1"}, // connections are taken over
	}, nil
}
