package shim

import (
	"context"
	"os"

	"github.com/containerd/errdefs"
)

// Mounts returns the mount namespace of a container; see MountsRequest. The
// caller closes it. ErrNotFound: without a Spec, if the container does not run.
func (c *Client) Mounts(ctx context.Context, r MountsRequest) (*os.File, error) {
	conn, err := c.open(ctx, MethodMounts, r, nil)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	_, file, err := ReadHold(conn)
	if err != nil {
		return nil, broken(ctx, err)
	}
	if file == nil {
		return nil, errdefs.ErrUnavailable.WithMessage("the shim sent no mount namespace")
	}
	return file.File(), nil
}
