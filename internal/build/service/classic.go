package service

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/distribution/reference"
	controlapi "github.com/moby/buildkit/api/services/control"
	gateway "github.com/moby/buildkit/frontend/gateway/pb"
	"github.com/moby/moby/api/types/jsonstream"
	"github.com/moby/moby/api/types/registry"

	"github.com/berth-containers/berth/internal/build/classic"
	"github.com/berth-containers/berth/internal/build/query"
)

// classic builds for a client without a session: the context is the body, or an
// address.
func (s *Service) classic(ctx context.Context, w http.ResponseWriter, r *http.Request, o query.Options, req *controlapi.SolveRequest) error {
	var files *classic.Context
	var dockerfile []byte
	if o.Remote == "" {
		var err error
		if files, err = classic.Unpack(ctx, s.setup.State, r.Body); err != nil {
			return err
		}
		defer files.Close()
		if dockerfile, err = files.Dockerfile(o.Dockerfile); err != nil {
			return err
		}
	}
	id, end, err := classic.Session(ctx, s.kit.Sessions, files, credentials(r))
	if err != nil {
		return err
	}
	defer end()
	req.Session = id
	out := newLines(w)
	say := out.text
	if o.Quiet {
		say = func(string) error { return nil }
	}
	t := classic.NewTranscript(dockerfile, say)
	image, err := s.solve(ctx, req, t.Take)
	if err != nil {
		out.fail(asClassic(err))
		return nil
	}
	if image != "" {
		_ = out.aux("", map[string]string{"ID": image}) // who is gone misses it
	}
	_ = t.Finish(image, familiar(o.Tags))
	if o.Quiet && image != "" {
		_ = out.text(image + "\n")
	}
	return nil
}

func familiar(tags []string) []string {
	list := make([]string, 0, len(tags))
	for _, t := range tags {
		if named, err := reference.ParseNormalizedNamed(t); err == nil {
			t = reference.FamiliarString(reference.TagNameOnly(named))
		}
		list = append(list, t)
	}
	return list
}

// credentials are those of the header; one that cannot be read is none, as with
// Docker.
func credentials(r *http.Request) map[string]registry.AuthConfig {
	var creds map[string]registry.AuthConfig
	text := base64.NewDecoder(base64.URLEncoding, strings.NewReader(r.Header.Get("X-Registry-Config")))
	if err := json.NewDecoder(text).Decode(&creds); err != nil {
		return nil
	}
	return creds
}

// asClassic words an error as the classic builder did where clients look for it.
func asClassic(err error) *jsonstream.Error {
	var exit *gateway.ExitError
	if !errors.As(err, &exit) || exit.ExitCode == gateway.UnknownExitStatus {
		return &jsonstream.Error{Message: err.Error()}
	}
	e := &jsonstream.Error{Code: int(exit.ExitCode), Message: err.Error()}
	if _, rest, ok := strings.Cut(err.Error(), "process \""); ok {
		if command, _, ok := strings.Cut(rest, "\" did not complete"); ok {
			e.Message = fmt.Sprintf("The command '%s' returned a non-zero code: %d", command, exit.ExitCode)
		}
	}
	return e
}
