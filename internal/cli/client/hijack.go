package client

import (
	"bufio"
	"bytes"
	"context"
	"io"
	"net"
	"net/http"
	"net/url"
)

// Stream is a connection that the engine has turned from HTTP into stdio.
type Stream struct {
	conn net.Conn
	r    *bufio.Reader
}

// Read reads what the engine sends.
func (s *Stream) Read(p []byte) (int, error) { return s.r.Read(p) }

// Write sends input.
func (s *Stream) Write(p []byte) (int, error) { return s.conn.Write(p) }

// Close ends the stream.
func (s *Stream) Close() error { return s.conn.Close() }

// CloseWrite ends the input; output goes on.
func (s *Stream) CloseWrite() error {
	if c, ok := s.conn.(interface{ CloseWrite() error }); ok {
		return c.CloseWrite()
	}
	return nil
}

// Hijack posts in as JSON and takes over the connection.
func (c *Client) Hijack(ctx context.Context, path string, query url.Values, in any) (*Stream, error) {
	body, err := encode(in)
	if err != nil {
		return nil, err
	}
	s, err := c.hijack(ctx, path, query, body)
	if c.tooNew(err) {
		return c.hijack(ctx, path, query, body)
	}
	return s, err
}

// Upgrade takes over a connection to speak another protocol on it. The header
// says more about that.
func (c *Client) Upgrade(ctx context.Context, path, protocol string, header http.Header) (net.Conn, error) {
	header = header.Clone()
	if header == nil {
		header = http.Header{}
	}
	header.Set("Connection", "Upgrade")
	header.Set("Upgrade", protocol)
	s, err := c.takeOver(ctx, path, nil, header, nil)
	if c.tooNew(err) {
		s, err = c.takeOver(ctx, path, nil, header, nil)
	}
	if err != nil {
		return nil, err
	}
	return upgraded{s.conn, s.r}, nil
}

// upgraded is a connection of which a little was read ahead.
type upgraded struct {
	net.Conn
	r *bufio.Reader
}

func (u upgraded) Read(p []byte) (int, error) { return u.r.Read(p) }

func (c *Client) hijack(ctx context.Context, path string, query url.Values, body []byte) (*Stream, error) {
	header := http.Header{"Content-Type": {"application/json"}, "Connection": {"Upgrade"}, "Upgrade": {"tcp"}}
	return c.takeOver(ctx, path, query, header, body)
}

func (c *Client) takeOver(ctx context.Context, path string, query url.Values, header http.Header, body []byte) (_ *Stream, err error) {
	req, err := c.request(ctx, http.MethodPost, path, query, header, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	conn, err := c.dial(ctx)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			conn.Close()
		}
	}()
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	defer stop()
	if err := req.Write(conn); err != nil {
		return nil, err
	}
	r := bufio.NewReader(conn)
	resp, err := http.ReadResponse(r, req)
	if err != nil {
		if err == io.ErrUnexpectedEOF {
			err = io.EOF
		}
		return nil, err
	}
	if resp.StatusCode != http.StatusSwitchingProtocols && resp.StatusCode != http.StatusOK {
		defer resp.Body.Close()
		return nil, readError(resp)
	}
	return &Stream{conn: conn, r: r}, nil
}
