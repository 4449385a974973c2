package rights

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"
	"syscall"

	"github.com/containerd/errdefs"

	"github.com/berth-containers/berth/internal/atomicfile"
)

// header explains a file that was made by a command.
const header = `# Who may do what in this registry. Read again when it changes.
#   user NAME HASH    key NAME HASH (can only pull)    cert COMMON-NAME    htpasswd FILE
#   allow NAME|users|everyone pull|push|delete|all REPOSITORY…    quota REPOSITORY SIZE
`

// Entry is a line of a listing.
type Entry struct {
	Name  string
	Kind  string // user, key or cert
	Rules []string
}

// AddUser adds a user, or gives one a new password, and the rule, if it says
// any rights. The file's other lines stay as they are.
func AddUser(path, name, password, actions string, repositories []string) error {
	if len(password) > MaxPassword {
		return errdefs.ErrInvalidArgument.WithMessage(fmt.Sprintf("the password has %d bytes; at most %d count", len(password), MaxPassword))
	}
	hash, err := hashPassword(password)
	if err != nil {
		return err
	}
	return add(path, user, name, hash, actions, repositories)
}

// AddKey adds a deploy key for some repositories and returns its secret.
func AddKey(path, name string, repositories []string) (string, error) {
	secret := NewSecret()
	return secret, add(path, key, name, hashSecret(secret), string(Pull), repositories)
}

func add(path string, kind kind, name, hash, actions string, repositories []string) error {
	return edit(path, func(lines []string) ([]string, error) {
		line := fmt.Sprintf("%s %s %s", kind, name, hash)
		old := slices.IndexFunc(lines, func(l string) bool { return declares(l, name) })
		switch {
		case old < 0:
			lines = append(lines, line)
		case words(lines[old])[0].text == string(kind):
			lines[old] = line
		default:
			return nil, errdefs.ErrAlreadyExists.WithMessage(fmt.Sprintf("%q is a %s already; choose another name, or remove it first", name, words(lines[old])[0].text))
		}
		if actions != "" && len(repositories) > 0 {
			rule := fmt.Sprintf("allow %s %s %s", name, actions, strings.Join(repositories, " "))
			if !slices.Contains(lines, rule) {
				lines = append(lines, rule)
			}
		}
		return lines, nil
	})
}

// Remove takes a user, key or certificate and its rules away.
func Remove(path, name string) error {
	return edit(path, func(lines []string) ([]string, error) {
		if !slices.ContainsFunc(lines, func(l string) bool { return declares(l, name) }) {
			return nil, errdefs.ErrNotFound.WithMessage(fmt.Sprintf("no user or key %q in %s", name, path))
		}
		return slices.DeleteFunc(lines, func(l string) bool { return declares(l, name) || allows(l, name) }), nil
	})
}

// List tells of everybody that the file knows, by name.
func List(path string) ([]Entry, error) {
	r, _, err := load(path)
	if err != nil {
		return nil, err
	}
	var list []Entry
	for name, id := range r.identities {
		e := Entry{Name: name, Kind: string(id.kind)}
		for _, rule := range r.rules {
			if rule.name == name {
				e.Rules = append(e.Rules, rule.String())
			}
		}
		list = append(list, e)
	}
	slices.SortFunc(list, func(a, b Entry) int { return strings.Compare(a.Name, b.Name) })
	return list, nil
}

func (r rule) String() string {
	var actions []string
	for _, a := range []Action{Pull, Push, Delete} {
		if slices.Contains(r.actions, a) {
			actions = append(actions, string(a))
		}
	}
	return strings.Join(actions, ",") + " " + strings.Join(r.patterns, " ")
}

func declares(line, name string) bool {
	w := words(line)
	return len(w) > 1 && slices.Contains([]kind{user, key, cert}, kind(w[0].text)) && w[1].text == name
}

func allows(line, name string) bool {
	w := words(line)
	return len(w) > 1 && w[0].text == "allow" && w[1].text == name
}

// edit changes the file's lines, one command at a time, and writes only what
// can be read again.
func edit(path string, change func([]string) ([]string, error)) (err error) {
	lock, err := os.OpenFile(path+".lock", os.O_CREATE|os.O_RDWR|syscall.O_CLOEXEC, 0o600)
	if err != nil {
		return fmt.Errorf("lock the rights file: %w", err)
	}
	defer lock.Close()
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX); err != nil {
		return fmt.Errorf("lock the rights file: %w", err)
	}
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		text, err = []byte(header), nil
	}
	if err != nil {
		return fmt.Errorf("read the rights file: %w", err)
	}
	if _, err := Parse(path, text); err != nil {
		return fmt.Errorf("the rights file has to be right before it can be changed: %w", err)
	}
	lines, err := change(strings.Split(strings.TrimSuffix(string(text), "\n"), "\n"))
	if err != nil {
		return err
	}
	text = []byte(strings.Join(lines, "\n") + "\n")
	if _, err := Parse(path, text); err != nil {
		return errdefs.ErrInvalidArgument.WithMessage(err.Error())
	}
	mode, owner := fs.FileMode(0o600), -1
	group := -1
	if info, err := os.Stat(path); err == nil {
		mode = info.Mode().Perm()
		if st, ok := info.Sys().(*syscall.Stat_t); ok {
			owner, group = int(st.Uid), int(st.Gid)
		}
	}
	if err := atomicfile.Write(path, text, mode); err != nil {
		return fmt.Errorf("write the rights file: %w", err)
	}
	return chown(path, owner, group)
}

// chown keeps the file readable for the registry's own user when root edits it.
func chown(path string, owner, group int) error {
	if owner < 0 || os.Geteuid() != 0 {
		return nil
	}
	return os.Lchown(path, owner, group)
}
