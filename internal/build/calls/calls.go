// Package calls is what the engine and its builder, a process of its own, say
// to each other besides containerd's services: plain values as JSON in gRPC
// calls without a schema. It keeps nothing.
package calls

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/containerd/errdefs/pkg/errgrpc"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/berth-containers/berth/internal/distribution/registries"
	"github.com/berth-containers/berth/internal/image"
)

// service is the name that all calls are under.
const service = "berth.build.Engine"

// The calls that the engine answers.
const (
	// Hello takes nothing and answers the Setup.
	Hello = "Hello"
	// Enter takes an image.Made and answers an Entered.
	Enter = "Enter"
	// Images takes nothing and answers all names, as []images.Image.
	Images = "Images"
	// FindImage takes a name as BuildKit has it and answers its images.Image.
	FindImage = "FindImage"
	// TakeNetwork takes the ID of a container and answers a Network.
	TakeNetwork = "TakeNetwork"
	// ReleaseNetwork takes what TakeNetwork took.
	ReleaseNetwork = "ReleaseNetwork"
)

// MessageBytes bounds one message between the two: a piece of a blob.
const MessageBytes = 16 << 20

// CachePath is where the builder lists its cache.
const CachePath = "/build/cache"

// Entered is the answer to Enter.
type Entered struct{ ID string }

// Made is the question of Enter.
type Made = image.Made

// Network is a network namespace on the engine's bridge.
type Network struct {
	Path string // of the namespace; valid until ReleaseNetwork
}

// Setup is what the builder is told when it starts.
type Setup struct {
	Root         string // a directory of the data root that is the builder's
	State        string // one of the exec root, empty at the start
	Blobs        string // the OCI layout with the blobs of the store
	Namespace    string // of the store
	Snapshotter  string
	CgroupParent string // of RUN's cgroups
	InitBinary   string
	Registries   registries.Table
	Insecure     bool // RUN --security=insecure may be allowed by a build
	Version      string
	Gateway      string // what host-gateway stands for
	Limits       Limits
}

// Limits of the cache, in bytes; 0 leaves it to the free space of the disk.
type Limits struct{ ReservedBytes, MaxBytes, MinFreeBytes int64 }

// Handler answers one call.
type Handler func(ctx context.Context, question []byte) (answer any, err error)

// Answer makes a handler of a function of plain values.
func Answer[Q, A any](f func(context.Context, Q) (A, error)) Handler {
	return func(ctx context.Context, text []byte) (any, error) {
		var q Q
		if err := json.Unmarshal(text, &q); err != nil {
			return nil, fmt.Errorf("read the question: %w", err)
		}
		return f(ctx, q)
	}
}

// Serve has a server answer calls by their names.
func Serve(s *grpc.Server, handlers map[string]Handler) {
	desc := &grpc.ServiceDesc{ServiceName: service, HandlerType: (*any)(nil)}
	for name, h := range handlers {
		desc.Methods = append(desc.Methods, grpc.MethodDesc{MethodName: name, Handler: func(_ any, ctx context.Context, decode func(any) error, _ grpc.UnaryServerInterceptor) (any, error) {
			question := &wrapperspb.BytesValue{}
			if err := decode(question); err != nil {
				return nil, err
			}
			answer, err := h(ctx, question.Value)
			if err != nil {
				return nil, errgrpc.ToGRPC(err)
			}
			text, err := json.Marshal(answer)
			return wrapperspb.Bytes(text), err
		}})
	}
	s.RegisterService(desc, struct{}{})
}

// Call asks; errors are of the kind that the other side had.
func Call[A any](ctx context.Context, conn grpc.ClientConnInterface, name string, question any) (answer A, err error) {
	text, err := json.Marshal(question)
	if err != nil {
		return answer, err
	}
	out := &wrapperspb.BytesValue{}
	if err := conn.Invoke(ctx, "/"+service+"/"+name, wrapperspb.Bytes(text), out); err != nil {
		return answer, errgrpc.ToNative(err)
	}
	err = json.Unmarshal(out.Value, &answer)
	return answer, err
}
