package images

import (
	"bufio"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os/exec"
	"strings"

	"github.com/spf13/cobra"

	"github.com/berth-containers/berth/internal/cli/client"
	"github.com/berth-containers/berth/internal/cli/env"
	"github.com/berth-containers/berth/internal/cli/progress"
	"github.com/berth-containers/berth/internal/image/report"
)

// The two sides speak in lines of JSON: the sender lists the blobs of the image,
// the receiver answers with those that its engine lacks, the sender sends an
// archive with just these, and the receiver passes on what its engine says.

// remote is another machine's engine.
type remote struct {
	args []string // of the command that speaks to it
	host string
}

// parseRemote reads ssh://[USER@]HOST[:PORT][/SOCKET].
func parseRemote(text string, getenv func(string) string) (remote, error) {
	u, err := url.Parse(text)
	if err != nil {
		return remote{}, fmt.Errorf("read %q: %w", text, err)
	}
	user := u.User.Username()
	_, password := u.User.Password()
	switch host := u.Hostname(); {
	case host == "" || strings.HasPrefix(host, "-") || strings.HasPrefix(user, "-"):
		return remote{}, fmt.Errorf("%q names no host; it is ssh://[USER@]HOST[:PORT][/SOCKET]", text)
	case password:
		return remote{}, errors.New("no password can be in the address: ssh asks for it, or use a key")
	case u.RawQuery != "" || u.Fragment != "":
		return remote{}, fmt.Errorf("%q has more than ssh://[USER@]HOST[:PORT][/SOCKET]", text)
	}
	args := strings.Fields(cmp.Or(getenv("BERTH_SSH"), "ssh"))
	if u.Port() != "" {
		args = append(args, "-p", u.Port())
	}
	where := u.Hostname()
	if user != "" {
		where = user + "@" + where
	}
	args = append(args, where, "berth")
	if u.Path != "" && u.Path != "/" {
		args = append(args, "-H", "unix://"+quote(u.Path))
	}
	return remote{args: append(args, "image", "receive"), host: u.Hostname()}, nil
}

// quote makes a word for the shell at the other end.
func quote(s string) string { return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'" }

// pushOver sends an image to another machine's engine; only what that lacks goes.
func pushOver(ctx context.Context, e *env.Env, to, image string, out io.Writer) (err error) {
	r, err := parseRemote(to, e.Getenv)
	if err != nil {
		return err
	}
	var blobs []report.Blob
	if err := e.Client.Get(ctx, "/berth/images/"+client.Ref(image)+"/blobs", nil, &blobs); err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	cmd := exec.CommandContext(ctx, r.args[0], r.args[1:]...)
	cmd.Stderr = e.Err
	in, err := cmd.StdinPipe()
	if err != nil {
		return err
	}
	answer, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("run %s: %w; install it, or name another command by BERTH_SSH", r.args[0], err)
	}
	sent, talkErr := talk(ctx, e, in, answer, image, blobs, out)
	if talkErr != nil {
		cancel()
	}
	waitErr := cmd.Wait()
	switch {
	case talkErr == io.ErrUnexpectedEOF && waitErr != nil:
		return fmt.Errorf("the other side ended early (%w): is berth on the PATH of %s, and an engine running?", waitErr, r.host)
	case talkErr != nil:
		return talkErr
	case waitErr != nil:
		return fmt.Errorf("%s: %w", strings.Join(r.args, " "), waitErr)
	}
	_, err = fmt.Fprintf(out, "Sent %d of %d blobs, %s of %s\n", len(sent), len(blobs), size(total(sent)), size(total(blobs)))
	return err
}

func talk(ctx context.Context, e *env.Env, in io.WriteCloser, answer io.Reader, image string, blobs []report.Blob, out io.Writer) ([]report.Blob, error) {
	defer in.Close()
	from := bufio.NewReader(answer)
	var missing []report.Blob
	if err := json.NewEncoder(in).Encode(blobs); err != nil {
		return nil, io.ErrUnexpectedEOF // it does not listen
	}
	if err := readLine(from, &missing); err != nil {
		return nil, err
	}
	part, err := e.Client.SendJSON(ctx, "/berth/images/"+client.Ref(image)+"/part", missing)
	if err != nil {
		return nil, err
	}
	defer part.Close()
	if _, err := io.Copy(in, progress.Reader(out, "Sending", total(missing), part)); err != nil {
		return nil, fmt.Errorf("send the image: %w", err)
	}
	if err := in.Close(); err != nil {
		return nil, fmt.Errorf("send the image: %w", err)
	}
	return missing, progress.Show(out, from, nil)
}

const lineBytes = 1 << 20

// readLine reads a line of JSON; one that is missing is io.ErrUnexpectedEOF.
func readLine(r *bufio.Reader, into any) error {
	var line []byte
	for {
		part, more, err := r.ReadLine()
		if err != nil {
			return io.ErrUnexpectedEOF
		}
		if line = append(line, part...); len(line) > lineBytes {
			return errors.New("the other side sent too long a line")
		}
		if !more {
			break
		}
	}
	if err := json.Unmarshal(line, into); err != nil {
		return fmt.Errorf("the other side does not speak berth's protocol (%.80q): %w", line, err)
	}
	return nil
}

func total(blobs []report.Blob) (n int64) {
	for _, b := range blobs {
		n += b.Bytes
	}
	return n
}

// ReceiveCommand is `image receive`, the other side of `image push ssh://`.
func ReceiveCommand(e *env.Env) *cobra.Command {
	return &cobra.Command{
		Use: "receive", Short: "Take an image from `image push ssh://…` at the standard input", Args: env.Exactly(0), Hidden: true,
		RunE: func(cmd *cobra.Command, _ []string) error {
			in := bufio.NewReader(e.In)
			var blobs, missing []report.Blob
			if err := readLine(in, &blobs); err != nil {
				return fmt.Errorf("read the list of blobs: %w", err)
			}
			if err := e.Client.Post(cmd.Context(), "/berth/images/missing", nil, blobs, &missing); err != nil {
				return err
			}
			if err := json.NewEncoder(e.Out).Encode(missing); err != nil {
				return err
			}
			answer, err := e.Client.Send(cmd.Context(), "/images/load", url.Values{"quiet": {"0"}}, http.Header{}, in)
			if err != nil {
				return err
			}
			defer answer.Close()
			_, err = io.Copy(e.Out, answer)
			return err
		},
	}
}
