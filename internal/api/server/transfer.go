package server

import (
	"cmp"
	"encoding/json"
	"io"
	"net/http"
	"strings"

	"github.com/containerd/errdefs"
	"github.com/distribution/reference"
	"github.com/moby/moby/api/types/events"
	"github.com/moby/moby/api/types/jsonstream"
	"github.com/moby/moby/api/types/registry"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/berth-containers/berth/internal/api/decode"
	"github.com/berth-containers/berth/internal/api/stream"
	"github.com/berth-containers/berth/internal/image"
)

// joinTag makes one reference of a repository and a tag or digest.
func joinTag(repository, tag string) string {
	switch {
	case tag == "":
		return repository
	case strings.Contains(tag, ":"):
		return repository + "@" + tag
	}
	return repository + ":" + tag
}

// familiar is ref as people write it.
func familiar(ref string) string {
	named, err := reference.ParseNormalizedNamed(ref)
	if err != nil {
		return ref
	}
	return reference.FamiliarString(reference.TagNameOnly(named))
}

func credentials(r *request) (image.Credentials, error) { return credentialsOf(r, registry.AuthHeader) }

func credentialsOf(r *request, header string) (image.Credentials, error) {
	auth, err := decode.RegistryAuth(r.Header.Get(header))
	return image.Credentials{Username: auth.Username, Password: auth.Password, IdentityToken: auth.IdentityToken}, err
}

// progress sends what a transfer tells, as Docker's lines. The first line is
// kept until the second: a transfer that ends with an error before that has
// not begun, and the error has a status of its own.
type progress struct {
	lines *stream.Lines
	first *jsonstream.Message
	begun bool
}

func (p *progress) tell(e image.Event) {
	m := jsonstream.Message{ID: e.ID, Status: e.Status}
	if e.Current != 0 || e.Total != 0 {
		m.Progress = &jsonstream.Progress{Current: e.Current, Total: e.Total}
	}
	p.send(m)
}

func (p *progress) send(m jsonstream.Message) {
	if !p.begun && p.first == nil {
		p.first = &m
		return
	}
	p.flush()
	_ = p.lines.Send(m) // a client that is gone has ended the request's context
}

func (p *progress) flush() {
	if p.first != nil {
		_ = p.lines.Send(*p.first)
	}
	p.first, p.begun = nil, true
}

// end finishes the answer with err.
func (p *progress) end(err error) error {
	if err == nil {
		p.flush()
		return p.lines.Start("application/json")
	}
	if !p.lines.Started() {
		return err
	}
	p.lines.Fail(statusOf(err), err)
	return nil
}

// createImage pulls, or imports what is sent.
func createImage(images Images, e announcer) handler {
	return func(w http.ResponseWriter, r *request) error {
		platform, err := decode.Platform(r.query.Get("platform"))
		if err != nil {
			return err
		}
		switch source := r.query.Get("fromSrc"); {
		case r.query.Get("fromImage") != "":
			return pullImage(images, e, w, r, platform)
		case source == "-":
			return importImage(images, e, w, r, r.Body, platform)
		case source != "":
			body, err := image.OpenAddress(r.Context(), source)
			if err != nil {
				return err
			}
			defer body.Close()
			return importImage(images, e, w, r, body, platform)
		}
		return errdefs.ErrInvalidArgument.WithMessage("parameter fromImage or fromSrc is needed")
	}
}

func pullImage(images Images, e announcer, w http.ResponseWriter, r *request, platform string) error {
	creds, err := credentials(r)
	if err != nil {
		return err
	}
	refs, err := pullRefs(r, images, creds)
	if err != nil {
		return err
	}
	p := &progress{lines: stream.NewLines(w)}
	for _, ref := range refs {
		img, err := images.Pull(r.Context(), ref, platform, creds, p.tell)
		if err != nil {
			return p.end(err)
		}
		e.ImageEvent(events.ActionPull, img.ID.String(), familiar(ref))
	}
	return p.end(nil)
}

// pullRefs is one name, or with no tag all that the registry has of the
// repository.
func pullRefs(r *request, images registries, creds image.Credentials) ([]string, error) {
	ref := joinTag(r.query.Get("fromImage"), r.query.Get("tag"))
	repository, tag := splitTag(ref)
	if tag != "" || strings.Contains(ref, "@") {
		return []string{ref}, nil
	}
	tags, err := images.Tags(r.Context(), repository, creds)
	if err != nil {
		return nil, err
	}
	var refs []string
	for _, tag := range tags {
		refs = append(refs, joinTag(repository, tag))
	}
	return refs, nil
}

// login checks the credentials of a registry for a client, which keeps them.
func login(images registries) handler {
	return func(w http.ResponseWriter, r *request) error {
		var auth registry.AuthConfig
		if err := decode.JSON(r.Request, &auth); err != nil {
			return err
		}
		c := image.Credentials{Username: auth.Username, Password: auth.Password, IdentityToken: auth.IdentityToken}
		if err := images.Login(r.Context(), auth.ServerAddress, c); err != nil {
			return err
		}
		return writeJSON(w, r, http.StatusOK, registry.AuthResponse{Status: "Login Succeeded"})
	}
}

// inspectRemote tells what a name means in its registry.
func inspectRemote(images registries) handler {
	return func(w http.ResponseWriter, r *request) error {
		creds, err := credentials(r)
		if err != nil {
			return err
		}
		desc, platforms, err := images.Remote(r.Context(), r.name, creds)
		if err != nil {
			return err
		}
		if platforms == nil {
			platforms = []ocispec.Platform{}
		}
		return writeJSON(w, r, http.StatusOK, registry.DistributionInspect{Descriptor: desc, Platforms: platforms})
	}
}

func importImage(images imageMover, e announcer, w http.ResponseWriter, r *request, body io.Reader, platform string) error {
	ref := joinTag(r.query.Get("repo"), r.query.Get("tag"))
	message := cmp.Or(r.query.Get("message"), "Imported from "+r.query.Get("fromSrc"))
	id, err := images.Import(r.Context(), body, ref, message, r.query["changes"], platform)
	if err != nil {
		return err
	}
	e.ImageEvent(events.ActionImport, id.String(), familiar(ref))
	return stream.NewLines(w).Send(jsonstream.Message{Status: id.String()})
}

func pushImage(images Images, e announcer) handler {
	return func(w http.ResponseWriter, r *request) error {
		creds, err := credentials(r)
		if err != nil {
			return err
		}
		platform, err := decode.Platform(r.query.Get("platform"))
		if err != nil {
			return err
		}
		refs, err := pushRefs(images, r)
		if err != nil {
			return err
		}
		p := &progress{lines: stream.NewLines(w)}
		for _, ref := range refs {
			digest, size, err := images.Push(r.Context(), ref, platform, creds, p.tell)
			if err != nil {
				return p.end(err)
			}
			_, tag := splitTag(ref)
			aux, err := json.Marshal(map[string]any{"Tag": tag, "Digest": digest, "Size": size})
			if err != nil {
				return p.end(err)
			}
			p.send(jsonstream.Message{Progress: &jsonstream.Progress{}, Aux: (*json.RawMessage)(&aux)})
			if img, err := images.Get(r.Context(), ref); err == nil {
				e.ImageEvent(events.ActionPush, img.ID.String(), familiar(ref))
			}
		}
		return p.end(nil)
	}
}

// pushRefs is one name, or with no tag all names of the repository.
func pushRefs(images imageReader, r *request) ([]string, error) {
	repository, tag := splitTag(r.name)
	if given := r.query.Get("tag"); given != "" {
		tag = given
	}
	if tag != "" {
		return []string{joinTag(repository, tag)}, nil
	}
	all, err := images.List(r.Context())
	if err != nil {
		return nil, err
	}
	var refs []string
	for _, img := range all {
		for _, name := range img.Tags {
			if of, _ := splitTag(name); of == repository {
				refs = append(refs, name)
			}
		}
	}
	if len(refs) == 0 {
		return nil, errdefs.ErrNotFound.WithMessage("An image does not exist locally with the tag: " + repository)
	}
	return refs, nil
}

// splitTag cuts the tag off; a colon before a slash is a port.
func splitTag(ref string) (repository, tag string) {
	if i := strings.LastIndexByte(ref, ':'); i > strings.LastIndexByte(ref, '/') {
		return ref[:i], ref[i+1:]
	}
	return ref, ""
}

func loadImages(images Images, e announcer) handler {
	return func(w http.ResponseWriter, r *request) error {
		platform, err := onePlatform(r)
		if err != nil {
			return err
		}
		tell := image.Progress(nil)
		p := &progress{lines: stream.NewLines(w)}
		if !decode.BoolOr(r.query, "quiet", true) {
			tell = p.tell
		}
		names, err := images.LoadFor(r.Context(), platform, r.Body, tell)
		for _, name := range names {
			what := "Loaded image: "
			if strings.HasPrefix(name, "sha256:") {
				what = "Loaded image ID: "
			}
			p.send(jsonstream.Message{Stream: what + name + "\n"})
			if img, err := images.Get(r.Context(), name); err == nil {
				e.ImageEvent(events.ActionLoad, img.ID.String(), name)
			}
		}
		return p.end(err)
	}
}

func saveImages(images Images, e announcer) handler {
	return func(w http.ResponseWriter, r *request) error {
		refs := r.query["names"]
		if r.name != "" {
			refs = []string{r.name}
		}
		if len(refs) == 0 {
			return errdefs.ErrInvalidArgument.WithMessage("parameter names is needed")
		}
		platform, err := onePlatform(r)
		if err != nil {
			return err
		}
		for _, ref := range refs { // while there is still a status to say it with
			if _, err := images.Get(r.Context(), ref); err != nil {
				return err
			}
		}
		w.Header().Set("Content-Type", "application/x-tar")
		if err := images.Save(r.Context(), refs, platform, onlyWriter{w}); err != nil {
			return err
		}
		for _, ref := range refs {
			if img, err := images.Get(r.Context(), ref); err == nil {
				e.ImageEvent(events.ActionSave, img.ID.String(), ref)
			}
		}
		return nil
	}
}

// onePlatform is the one that is asked for, or "".
func onePlatform(r *request) (string, error) {
	all := r.query["platform"]
	switch len(all) {
	case 0:
		return "", nil
	case 1:
		return decode.Platform(all[0])
	}
	return "", errdefs.ErrNotImplemented.WithMessage("Berth takes one platform at a time; name one by --platform")
}

// onlyWriter hides that the connection can be taken over.
type onlyWriter struct{ io.Writer }
