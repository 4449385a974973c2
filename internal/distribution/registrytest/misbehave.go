package registrytest

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
)

// misbehave answers in the modes that concern every request of a kind.
func (r *Registry) misbehave(w http.ResponseWriter, req *http.Request, mode Mode) bool {
	token := req.URL.Path == "/token"
	switch {
	case mode == HangHeader, mode == TokenHang && token:
		r.hang(req)
	case mode == Page, mode == TokenPage && token:
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		fmt.Fprint(w, "<html>Please log in to the hotel's network</html>")
	case mode == Busy:
		w.Header().Set("Retry-After", "3600")
		failed(w, http.StatusTooManyRequests, "TOOMANYREQUESTS", "come back later")
	case mode == TokenFlood && token:
		r.flood(w, req)
	case mode == Endless && strings.HasSuffix(req.URL.Path, "/tags/list"):
		w.Header().Set("Link", fmt.Sprintf(`<%s?last=%s0>; rel="next"`, req.URL.Path, req.URL.Query().Get("last")))
		fmt.Fprintf(w, `{"tags":[%s"0"]}`, strings.Repeat(`"0",`, 10_000))
	default:
		return false
	}
	return true
}

// flood sends a token without an end, until the client has had enough.
func (r *Registry) flood(w http.ResponseWriter, req *http.Request) {
	piece := []byte(strings.Repeat("0", 64<<10))
	_, err := fmt.Fprint(w, `{"token":"`)
	for err == nil && req.Context().Err() == nil {
		_, err = w.Write(piece)
	}
}

// Scopes are those that tokens were asked for.
func (r *Registry) Scopes() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.scopes)
}
