package swagger

import (
	"bytes"
	"io"
	"net/http"
)

// Transport judges each answer once its body was read to the end.
type Transport struct {
	Base    http.RoundTripper
	Library *Library
	Tell    func(error) // what is not as described
}

// most is the longest body that is judged.
const most = 16 << 20

// RoundTrip implements http.RoundTripper.
func (t Transport) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := t.Base.RoundTrip(r)
	if err != nil || resp.StatusCode == http.StatusSwitchingProtocols {
		return resp, err
	}
	resp.Body = &listener{ReadCloser: resp.Body, ended: func(body []byte) {
		if err := t.Library.Judge(r.Method, r.URL.Path, resp.StatusCode, resp.Header, body); err != nil {
			t.Tell(err)
		}
	}}
	return resp, nil
}

// listener keeps what is read.
type listener struct {
	io.ReadCloser
	kept    bytes.Buffer
	tooLong bool
	ended   func(body []byte)
}

func (l *listener) Read(p []byte) (int, error) {
	n, err := l.ReadCloser.Read(p)
	if l.tooLong = l.tooLong || l.kept.Len()+n > most; !l.tooLong {
		l.kept.Write(p[:n])
	}
	if err == io.EOF && l.ended != nil {
		if !l.tooLong {
			l.ended(l.kept.Bytes())
		}
		l.ended = nil
	}
	return n, err
}
