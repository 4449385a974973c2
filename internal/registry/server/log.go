package server

import (
	"log/slog"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// report writes a request's line and counts it.
func (s *Server) report(w *response, r *http.Request, received int64, took time.Duration, broken any) {
	if w.status == 0 {
		w.status = http.StatusOK
	}
	about := "other"
	line := []any{"remote", remote(r), "user", w.caller, "method", r.Method, "path", r.URL.Path}
	if rt, err := parseRoute(r.URL.Path); err == nil {
		about = string(rt.kind)
		line = append(line, "repository", rt.repository, "reference", rt.reference)
	}
	line = append(line, "status", w.status, "received", received, "sent", w.bytes, "ms", float64(took.Microseconds())/1000, "agent", r.UserAgent())
	level := slog.LevelInfo
	if w.problem.Len() > 0 || broken != nil {
		level = slog.LevelError
		line = append(line, "problem", w.problem.String(), "broken", broken)
	}
	s.opt.Access.Log(r.Context(), level, "request", line...)
	s.metrics.requests.WithLabelValues(known(r.Method), about, strconv.Itoa(w.status)).Inc()
	s.metrics.seconds.WithLabelValues(about).Observe(took.Seconds())
	s.metrics.received.Add(float64(received))
	s.metrics.sent.Add(float64(w.bytes))
}

// known keeps made-up methods from becoming metrics of their own.
func known(method string) string {
	switch method {
	case "GET", "HEAD", "PUT", "POST", "PATCH", "DELETE":
		return method
	}
	return "other"
}

// remote is the client's address; behind a proxy on this host, the one that it tells.
func remote(r *http.Request) string {
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		host = r.RemoteAddr
	}
	if ip := net.ParseIP(host); ip != nil && ip.IsLoopback() {
		if last := strings.TrimSpace(lastOf(r.Header.Get("X-Forwarded-For"))); net.ParseIP(last) != nil {
			return last
		}
	}
	return host
}

func lastOf(list string) string { return list[strings.LastIndexByte(list, ',')+1:] }
