package arch

import (
	"bufio"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// The gates. Below them there is still a wanted size (docs/design/parts.md);
// these are where the build stops.
const (
	maxFileLines        = 500
	maxFuncLines        = 80
	maxMethods          = 30
	maxPackageLines     = 4000
	maxInterfaceMethods = 5
)

func TestSizes(t *testing.T) {
	methods := map[string]int{}  // "folder Type" → methods
	packages := map[string]int{} // folder → lines, tests not counted
	for _, root := range []string{"..", "../../cmd", "../../test"} {
		for _, path := range goFiles(t, root) {
			if generated(t, path) {
				continue
			}
			lines := checkFile(t, path, methods)
			if !strings.HasSuffix(path, "_test.go") {
				packages[filepath.Dir(path)] += lines
			}
		}
	}
	for name, n := range methods {
		if n > maxMethods {
			t.Errorf("%s has %d methods; split it (at most %d)", name, n, maxMethods)
		}
	}
	for name, n := range packages {
		if n > maxPackageLines {
			t.Errorf("%s has %d lines; split it (at most %d)", name, n, maxPackageLines)
		}
	}
}

// checkFile checks one file, counts its methods into methods and returns its lines.
func checkFile(t *testing.T, path string, methods map[string]int) int {
	t.Helper()
	set := token.NewFileSet()
	f, err := parser.ParseFile(set, path, nil, parser.SkipObjectResolution)
	if err != nil {
		t.Fatal(err)
	}
	lines := set.Position(f.FileEnd).Line
	if lines > maxFileLines {
		t.Errorf("%s has %d lines; split it (at most %d)", path, lines, maxFileLines)
	}
	ast.Inspect(f, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.FuncDecl:
			length := set.Position(n.End()).Line - set.Position(n.Pos()).Line + 1
			if length > maxFuncLines {
				t.Errorf("%s: %s has %d lines; split it (at most %d)", path, n.Name.Name, length, maxFuncLines)
			}
			if n.Recv != nil {
				methods[filepath.Dir(path)+" "+receiver(n.Recv.List[0].Type)]++
			}
		case *ast.TypeSpec:
			iface, ok := n.Type.(*ast.InterfaceType)
			if ok && ownMethods(iface) > maxInterfaceMethods {
				t.Errorf("%s: interface %s has %d methods (at most %d)", path, n.Name.Name, ownMethods(iface), maxInterfaceMethods)
			}
		}
		return true
	})
	return lines
}

// ownMethods does not count what an interface is joined of.
func ownMethods(iface *ast.InterfaceType) int {
	n := 0
	for _, m := range iface.Methods.List {
		n += len(m.Names)
	}
	return n
}

func receiver(e ast.Expr) string {
	switch e := e.(type) {
	case *ast.StarExpr:
		return receiver(e.X)
	case *ast.IndexExpr:
		return receiver(e.X)
	case *ast.Ident:
		return e.Name
	}
	return "?"
}

func generated(t *testing.T, path string) bool {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	s := bufio.NewScanner(f)
	return s.Scan() && strings.HasPrefix(s.Text(), "// Code generated ")
}

func goFiles(t *testing.T, root string) []string {
	t.Helper()
	var files []string
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && d.Name() == "testdata" {
			return filepath.SkipDir
		}
		if strings.HasSuffix(path, ".go") {
			files = append(files, path)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}
