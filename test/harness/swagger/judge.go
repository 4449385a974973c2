package swagger

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"strings"

	"github.com/getkin/kin-openapi/openapi3"
)

// Judge says what of an answer is not as the description of its version has it;
// nil for requests that the description does not know.
func (l *Library) Judge(method, path string, status int, header http.Header, body []byte) error {
	s, err := l.For(path)
	if err != nil {
		return err
	}
	o, ok := s.Find(method, path)
	if !ok {
		return nil
	}
	if err := s.judge(o, status, header, body); err != nil {
		return fmt.Errorf("%s %s: %d is not as %s of version %s is described: %w", method, path, status, o.ID, s.Version, err)
	}
	return nil
}

func (s *Spec) judge(o Operation, status int, header http.Header, body []byte) error {
	kind, _, _ := mime.ParseMediaType(header.Get("Content-Type"))
	switch {
	case o.Method == http.MethodHead, status == http.StatusNotModified:
		return nil
	case status >= http.StatusBadRequest:
		// Which errors an operation has is not described in whole; their shape is.
		if kind != "application/json" {
			return fmt.Errorf("an error is told as %q", kind)
		}
		return s.shape(o, s.Failure, body)
	}
	described := o.op.Responses.Status(status)
	if described == nil {
		return errors.New("this status is not described")
	}
	schema := bodySchema(described.Value)
	switch {
	case schema == nil && status == http.StatusNoContent && len(body) > 0:
		return fmt.Errorf("a body that is not described: %.80q", body)
	case schema == nil, strings.HasPrefix(kind, streamType), described.Value.Content[kind] != nil && !strings.HasSuffix(kind, "json"):
		return nil
	case !strings.HasSuffix(kind, "json"):
		return fmt.Errorf("a body of type %q, which is not described", kind)
	}
	return s.shape(o, schema, body)
}

func bodySchema(r *openapi3.Response) *openapi3.Schema {
	for kind, media := range r.Content {
		if strings.HasSuffix(kind, "json") && media.Schema != nil {
			return media.Schema.Value
		}
	}
	return nil
}

// shape judges each of the JSON values of a body: a stream has many.
func (s *Spec) shape(o Operation, schema *openapi3.Schema, body []byte) error {
	if o.ID == "SystemEvents" && len(body) == 0 {
		return nil // there were none
	}
	d := json.NewDecoder(bytes.NewReader(body))
	for n := 0; ; n++ {
		var v any
		err := d.Decode(&v)
		if err == io.EOF && n > 0 {
			return nil
		}
		if err != nil {
			return fmt.Errorf("not JSON: %w: %.80q", err, body)
		}
		err = schema.VisitJSON(v, openapi3.VisitAsResponse(), openapi3.MultiErrors(), openapi3.SetSchemaErrorMessageCustomizer(brief))
		if err := s.without(o, err); err != nil {
			return err
		}
	}
}

// without leaves out what is wrong in the description.
func (s *Spec) without(o Operation, err error) error {
	var many openapi3.MultiError
	if !errors.As(err, &many) {
		many = openapi3.MultiError{err}
	}
	var left []error
	for _, e := range many {
		var one *openapi3.SchemaError
		if e != nil && !(errors.As(e, &one) && isWrong(o.ID, s.Version, strings.Join(one.JSONPointer(), "."))) {
			left = append(left, e)
		}
	}
	return errors.Join(left...)
}

// brief leaves out the schema, which is pages long.
func brief(err *openapi3.SchemaError) string {
	value, _ := json.Marshal(err.Value)
	return fmt.Sprintf("%s: %s, not %.60s", strings.Join(err.JSONPointer(), "."), err.Reason, value)
}
