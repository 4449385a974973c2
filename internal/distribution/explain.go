package distribution

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"path/filepath"
	"strings"
	"time"

	"github.com/berth-containers/berth/internal/distribution/registries"
	"github.com/containerd/containerd/v2/core/remotes/docker"
	"github.com/containerd/containerd/v2/core/remotes/docker/auth"
	remoteerrors "github.com/containerd/containerd/v2/core/remotes/errors"
	"github.com/containerd/errdefs"
	"github.com/distribution/reference"
)

// explain words an error of a registry as Docker does, and adds what to do.
func (r *Repository) explain(ctx context.Context, err error, verb string) error {
	if err == nil {
		return nil
	}
	if cause := context.Cause(ctx); cause != nil {
		return cause
	}
	if worded(err) {
		return err
	}
	var stopped silent
	if errors.As(err, &stopped) {
		return errdefs.ErrUnavailable.WithMessage(stopped.Error())
	}
	var status remoteerrors.ErrUnexpectedStatus
	hasStatus := errors.As(err, &status)
	switch {
	case refused(err):
		return r.denied(status.Body, verb)
	case hasStatus && status.StatusCode == http.StatusNotFound && verb != "push":
		return errdefs.ErrNotFound.WithMessage(fmt.Sprintf("manifest for %s not found: manifest unknown: manifest unknown",
			reference.FamiliarString(r.ref)))
	case hasStatus && status.StatusCode == http.StatusTooManyRequests:
		return errdefs.ErrUnavailable.WithMessage("toomanyrequests: " + message(status.Body, "the registry limits the rate; log in or try again later") + after(err))
	case hasStatus:
		return errdefs.ErrUnavailable.WithMessage(fmt.Sprintf("%s: the %s answered %s: %s; try again later%s",
			reference.FamiliarString(r.ref), who(err), status.Status, message(status.Body, "without saying why"), after(err)))
	}
	return unreachable(err, verb+" "+reference.FamiliarString(r.ref), reference.Domain(r.ref))
}

// worded says if an error has its kind and its words already.
func worded(err error) bool {
	return errdefs.IsDataLoss(err) || errdefs.IsNotFound(err) || errdefs.IsInvalidArgument(err) || errdefs.IsUnavailable(err) || errdefs.IsFailedPrecondition(err)
}

// who answered.
func who(err error) string {
	var token noToken
	if errors.As(err, &token) {
		return "token server of the registry"
	}
	return "registry"
}

// after is when to try again, if the registry says so.
func after(err error) string {
	var later postponed
	if !errors.As(err, &later) {
		return ""
	}
	return fmt.Sprintf(" (it asks to wait for %s)", later.wait.Round(time.Second))
}

// refused says if a registry, or its token server, wants other credentials.
func refused(err error) bool {
	var status remoteerrors.ErrUnexpectedStatus
	return errors.Is(err, docker.ErrInvalidAuthorization) ||
		errors.As(err, &status) && (status.StatusCode == http.StatusUnauthorized || status.StatusCode == http.StatusForbidden) ||
		strings.Contains(err.Error(), "missing username or secret")
}

func (r *Repository) denied(body []byte, verb string) error {
	if verb == "push" {
		return errdefs.ErrPermissionDenied.WithMessage("denied: " + message(body, "requested access to the resource is denied") +
			fmt.Sprintf("; log in to %s with an account that may push to %s", reference.Domain(r.ref), reference.FamiliarName(r.ref)))
	}
	if r.known {
		return errdefs.ErrNotFound.WithMessage(fmt.Sprintf(
			"pull access denied for %s, repository does not exist or may require 'docker login': unauthorized: the given credentials were refused",
			reference.FamiliarName(r.ref)))
	}
	return errdefs.ErrNotFound.WithMessage(fmt.Sprintf(
		"pull access denied for %s, repository does not exist or may require 'docker login': denied: requested access to the resource is denied",
		reference.FamiliarName(r.ref)))
}

// unreachable words what kept the registry from answering at all.
func unreachable(err error, what, registry string) error {
	var request *url.Error
	if errors.Is(err, auth.ErrNoToken) || strings.Contains(err.Error(), "decode token response") {
		return errdefs.ErrUnavailable.WithMessage(fmt.Sprintf("%s: the token server of registry %s answers without a token: %v", what, registry, err))
	}
	if !errors.As(err, &request) {
		return fmt.Errorf("%s: %w", what, err)
	}
	hint := fmt.Sprintf("is the registry %s up and reachable from here?", registry)
	text := request.Error()
	switch {
	case strings.Contains(text, "server gave HTTP response to HTTPS client"):
		hint = "the registry speaks plain HTTP: if it may, add it to insecure-registries in the engine's configuration"
	case strings.Contains(text, "certificate required"):
		hint = "the registry wants a certificate of the client: put it and its key, as client.cert and client.key, into " + filepath.Join(registries.CertsDirs[0], registry)
	case strings.Contains(text, "x509: "), strings.Contains(text, "tls: "):
		hint = "the registry's certificate is not trusted by this system: put that of its CA, as ca.crt, into " + filepath.Join(registries.CertsDirs[0], registry)
	case strings.Contains(text, "no such host"):
		hint = "is the name of the registry right?"
	}
	return errdefs.ErrUnavailable.WithMessage(text + " (" + hint + ")")
}

// message is the first message of a registry's error body, or otherwise.
func message(body []byte, otherwise string) string {
	var answer struct {
		Errors []struct{ Code, Message string }
	}
	if json.Unmarshal(body, &answer) != nil || len(answer.Errors) == 0 || answer.Errors[0].Message == "" {
		return otherwise
	}
	return answer.Errors[0].Message
}
