package server

import (
	"context"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/berth-containers/berth/internal/registry/rights"
)

// caller is who makes a request and what the rights said at its beginning.
type caller struct {
	name   string
	rights *rights.Rights // nil: the registry is open
}

func (c caller) may(action rights.Action, repository string) bool {
	return c.rights == nil || c.rights.Allowed(c.name, action, repository)
}

type callerKey struct{}

func callerOf(r *http.Request) caller {
	c, _ := r.Context().Value(callerKey{}).(caller)
	return c
}

// identify finds out who makes a request; false if what they show is wrong.
func (s *Server) identify(r *http.Request) (caller, bool, error) {
	c := caller{rights: s.opt.Rights.Current()}
	if c.rights == nil {
		return c, true, nil
	}
	scheme, value, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	switch {
	case strings.EqualFold(scheme, "Bearer"):
		name, err := s.tokens.verify(c.rights, value, time.Now())
		c.name = name
		return c, err == nil, nil
	case scheme != "":
		name, password, ok := r.BasicAuth()
		if !ok {
			return c, false, nil
		}
		c.name = name
		right, err := s.passwords.Verify(r.Context(), c.rights, name, password)
		return c, right, err
	}
	if r.TLS != nil && len(r.TLS.VerifiedChains) > 0 {
		if name := commonName(r.TLS.VerifiedChains[0]); c.rights.Known(name) {
			c.name = name
		}
	}
	return c, true, nil
}

func commonName(chain []*x509.Certificate) string {
	if len(chain) == 0 {
		return ""
	}
	return chain[0].Subject.CommonName
}

// authenticate answers for the handler if somebody shows a wrong credential.
func (s *Server) authenticate(next http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		c, ok, err := s.identify(r)
		if err != nil {
			s.fail(w, r, err)
			return
		}
		noteCaller(w, c.name)
		if !ok {
			s.metrics.denied.WithLabelValues("credential").Inc()
			s.challenge(w, r, "", "the user name, password, key or token is wrong")
			return
		}
		next(w, r.WithContext(context.WithValue(r.Context(), callerKey{}, c)))
	}
}

// authorize says whether the caller may do this, and answers if not: always
// the same for a repository, whether or not there is one of that name.
func (s *Server) authorize(w http.ResponseWriter, r *http.Request, action rights.Action, repository string) bool {
	c := callerOf(r)
	if c.may(action, repository) {
		return true
	}
	s.metrics.denied.WithLabelValues(string(action)).Inc()
	if c.name == "" {
		s.challenge(w, r, "repository:"+repository+":"+scopeActions(action), "log in to "+string(action)+" here")
		return false
	}
	// Whoever may see the repository is told of the right that is missing.
	e := &apiError{http.StatusForbidden, "DENIED", fmt.Sprintf("%s has no right to %s here, or there is nothing of that name", c.name, action)}
	if c.may(rights.Pull, repository) {
		e.message = fmt.Sprintf("%s has no right to %s in %s", c.name, action, repository)
	}
	e.write(w)
	return false
}

func scopeActions(a rights.Action) string {
	if a == rights.Push {
		return "pull,push"
	}
	return string(a)
}

// challenge asks a client to get a token, and a browser for a password.
func (s *Server) challenge(w http.ResponseWriter, r *http.Request, scope, message string) {
	challenge := fmt.Sprintf(`Bearer realm="%s/token",service="berth-registry"`, s.baseURL(r))
	if scope != "" {
		challenge += fmt.Sprintf(`,scope="%s"`, scope)
	}
	if !strings.HasPrefix(r.URL.Path, "/v2/") {
		challenge = `Basic realm="Berth registry", charset="UTF-8"`
	}
	w.Header().Set("WWW-Authenticate", challenge)
	(&apiError{http.StatusUnauthorized, "UNAUTHORIZED", message}).write(w)
}

// baseURL is what clients call this registry.
func (s *Server) baseURL(r *http.Request) string {
	if s.opt.URL != "" {
		return strings.TrimSuffix(s.opt.URL, "/")
	}
	scheme := "http"
	if r.TLS != nil || r.Header.Get("X-Forwarded-Proto") == "https" {
		scheme = "https"
	}
	// A host with a quote in it would end the challenge's string.
	return scheme + "://" + strings.Map(func(c rune) rune {
		if c == '"' || c == '\\' || c < ' ' {
			return -1
		}
		return c
	}, r.Host)
}

// token gives who has a password, a key or nothing a token that says so.
func (s *Server) token(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodGet {
		errMethod.write(w) // clients that POST first take GET then
		return
	}
	c := callerOf(r)
	if c.rights == nil {
		c.rights = &rights.Rights{}
	}
	now := time.Now()
	token, err := s.tokens.sign(c.rights, c.name, now)
	if err != nil {
		s.fail(w, r, err)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	_ = json.NewEncoder(w).Encode(map[string]any{ // the client went away
		"token": token, "access_token": token, "expires_in": int(tokenLife.Seconds()), "issued_at": now.UTC().Format(time.RFC3339),
	})
}
