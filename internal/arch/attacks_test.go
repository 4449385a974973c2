package arch

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"regexp"
	"strings"
	"testing"
)

// Each attack and each bad input that the design page speaks of has a test, which
// is there.
func TestAttacksAreTested(t *testing.T) {
	page, err := os.ReadFile("../../docs/design/security.md")
	if err != nil {
		t.Fatal(err)
	}
	there := testNames(t)
	name := regexp.MustCompile("`(Test[A-Za-z0-9]+)`")
	rows, table := 0, false
	for line := range strings.Lines(string(page)) {
		line = strings.TrimSpace(line)
		switch {
		case !strings.HasPrefix(line, "|"):
			table = false
			continue
		case strings.HasSuffix(line, "| test |"):
			table = true
			continue
		case !table || strings.HasPrefix(line, "|--"):
			continue
		}
		rows++
		cells := strings.Split(strings.Trim(line, "|"), "|")
		tests := name.FindAllStringSubmatch(cells[len(cells)-1], -1)
		if len(tests) == 0 {
			t.Errorf("no test for %s", strings.TrimSpace(cells[0]))
		}
		for _, test := range tests {
			if !there[test[1]] {
				t.Errorf("%s: there is no %s", strings.TrimSpace(cells[0]), test[1])
			}
		}
	}
	if rows == 0 {
		t.Error("the page has no table of tests")
	}
}

func testNames(t *testing.T) map[string]bool {
	t.Helper()
	names := map[string]bool{}
	for _, root := range []string{"..", "../../cmd", "../../test"} {
		for _, path := range goFiles(t, root) {
			if !strings.HasSuffix(path, "_test.go") {
				continue
			}
			file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
			if err != nil {
				t.Fatal(err)
			}
			for _, d := range file.Decls {
				if f, ok := d.(*ast.FuncDecl); ok && f.Recv == nil {
					names[f.Name.Name] = true
				}
			}
		}
	}
	return names
}
