// Package stream carries bytes between clients and processes: hijacked
// connections, framed logs, lines of JSON. A stream ends when either side is
// gone or the context ends, and whoever carries it has then nothing running.
package stream

import (
	"bufio"
	"errors"
	"fmt"
	"net"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/berth-containers/berth/internal/sys/unixsock"
)

// Conn is a connection that was taken from the HTTP server.
type Conn struct {
	net.Conn
	buffered *bufio.Reader // what the client sent too early
	closing  atomic.Bool
	headRead bool // the client has read the answer's head; only Write uses it
}

// headPatience is how long the stream may wait for its client to read the head.
const headPatience = time.Second

// Hijack takes the connection of a request whose body was read, and answers
// 101 UPGRADED if the client asked to upgrade, else 200. After an error nothing
// was answered, unless the connection is broken.
func Hijack(w http.ResponseWriter, r *http.Request, contentType string) (*Conn, error) {
	conn, rw, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return nil, fmt.Errorf("take over the connection: %w", err)
	}
	c := &Conn{Conn: conn, buffered: rw.Reader}
	head := "HTTP/1.1 200 OK\r\nContent-Type: " + contentType + "\r\n\r\n"
	if r.Header.Get("Upgrade") != "" {
		head = "HTTP/1.1 101 UPGRADED\r\nContent-Type: " + contentType + "\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n"
	}
	// The server's own time limits end here.
	err = errors.Join(conn.SetDeadline(time.Time{}), write(conn, head))
	if err != nil {
		conn.Close()
		return nil, fmt.Errorf("answer the upgrade: %w", err)
	}
	return c, nil
}

func write(conn net.Conn, s string) error {
	_, err := conn.Write([]byte(s))
	return err
}

// Read returns what the client sent too early and then reads the connection
// itself: the server's reader would end the request's context at a half-close.
func (c *Conn) Read(p []byte) (int, error) {
	if n := c.buffered.Buffered(); n > 0 {
		return c.buffered.Read(p[:min(n, len(p))])
	}
	return c.Conn.Read(p)
}

// Write writes a part of the stream, not from two goroutines at once.
func (c *Conn) Write(p []byte) (int, error) {
	if !c.headRead {
		c.awaitHeadRead()
		c.headRead = true
	}
	return c.Conn.Write(p)
}

// awaitHeadRead returns when the client has read the head, or takes too long.
// docker-py, for one, reads the head with a buffer and the stream without: what
// came together with the head is lost to it.
func (c *Conn) awaitHeadRead() {
	u, ok := c.Conn.(*net.UnixConn)
	if !ok {
		return
	}
	// The kernel tells no event for this.
	pause := 20 * time.Microsecond
	for waited := time.Duration(0); waited < headPatience; waited += pause {
		if n, err := unixsock.Unread(u); n == 0 || err != nil {
			return
		}
		pause = min(2*pause, 5*time.Millisecond)
		time.Sleep(pause)
	}
}

// CloseWrite tells the client that no more comes.
func (c *Conn) CloseWrite() error {
	if half, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return nil
}

// waitGone returns true once the client, which sends no more, has closed its
// side wholly. TCP does not tell this from a half-close: then it returns false
// at once and the client's absence shows when something is written.
func (c *Conn) waitGone() bool {
	if u, ok := c.Conn.(*net.UnixConn); ok {
		return unixsock.WaitHangup(u) == nil
	}
	return false
}
