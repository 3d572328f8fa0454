package arch

import (
	"fmt"
	"go/ast"
	"path"
	"regexp"
	"slices"
	"strings"
)

// CheckPackageComments reports packages without exactly one package comment, which
// stands in doc.go, for commands in main.go.
func CheckPackageComments(t *Tree) []string {
	var bad []string
	for _, dir := range t.Dirs() {
		name, commented := "", []string{}
		for _, f := range t.In(dir) {
			if f.Test {
				continue
			}
			name = f.Syntax.Name.Name
			if f.Syntax.Doc.Text() != "" {
				commented = append(commented, f.Path)
			}
		}
		if name == "" {
			continue // only tests so far
		}
		home := path.Join(dir, "doc.go")
		if name == "main" {
			home = path.Join(dir, "main.go")
		}
		if !slices.Contains(commented, home) {
			bad = append(bad, fmt.Sprintf("%s:1: the package comment is missing; what is it, what is it not, who calls it, its one rule?", home))
		}
		for _, p := range commented {
			if p != home {
				bad = append(bad, fmt.Sprintf("%s:1: has a package comment; the only one stands in %s", p, home))
			}
		}
	}
	return bad
}

// CheckTests reports tests that sleep or skip.
func CheckTests(t *Tree) []string {
	var bad []string
	for _, f := range t.Files {
		if !f.Test {
			continue
		}
		testers := testerNames(f.Syntax)
		ast.Inspect(f.Syntax, func(n ast.Node) bool {
			sel, ok := n.(*ast.SelectorExpr)
			if !ok {
				return true
			}
			id, ok := sel.X.(*ast.Ident)
			switch {
			case !ok:
			case id.Name == "time" && sel.Sel.Name == "Sleep":
				bad = append(bad, t.complain(n.Pos(), "a test sleeps; wait for what it waits for, or use testing/synctest"))
			case testers[id.Name] && strings.HasPrefix(sel.Sel.Name, "Skip"):
				bad = append(bad, t.complain(n.Pos(), "a test skips; what needs a special machine is a make target that fails loudly without it"))
			}
			return true
		})
	}
	return bad
}

// testerNames are the parameters of type *testing.T and its kin.
func testerNames(f *ast.File) map[string]bool {
	names := map[string]bool{}
	ast.Inspect(f, func(n ast.Node) bool {
		field, ok := n.(*ast.Field)
		if !ok {
			return true
		}
		typ := field.Type
		if star, ok := typ.(*ast.StarExpr); ok {
			typ = star.X
		}
		if sel, ok := typ.(*ast.SelectorExpr); ok {
			if id, ok := sel.X.(*ast.Ident); ok && id.Name == "testing" {
				for _, name := range field.Names {
					names[name.Name] = true
				}
			}
		}
		return true
	})
	return names
}

var (
	later  = regexp.MustCompile(`\b(TODO|FIXME|XXX)\b`)
	issue  = regexp.MustCompile(`#[0-9]+`)
	cited  = regexp.MustCompile(`\[([ID][0-9]+)\]`)
	invRow = regexp.MustCompile(`(?m)^\| (I[0-9]+) `)
	ruleAt = regexp.MustCompile(`(?m)^- \*\*(D[0-9]+)\*\*`)
)

// CheckComments reports promises without an issue's number.
func CheckComments(t *Tree) []string {
	var bad []string
	eachCommentLine(t, func(c *ast.Comment, line string) {
		if word := later.FindString(line); word != "" && !issue.MatchString(line) {
			bad = append(bad, t.complain(c.Pos(), "%s without the number of an issue (#N)", word))
		}
	})
	return bad
}

// protocol is the page that defines invariants and rules.
const protocol = "docs/protocol.md"

// CheckCitations reports a protocol page that does not define I1 to I12 and D1 to
// D6 once each, and citations of the form [I4] or [D3] in Go comments that name
// nothing.
func CheckCitations(t *Tree) []string {
	var bad []string
	defined := map[string]int{}
	for _, re := range []*regexp.Regexp{invRow, ruleAt} {
		for _, m := range re.FindAllStringSubmatch(t.texts[protocol], -1) {
			defined[m[1]]++
		}
	}
	for prefix, last := range map[string]int{"I": 12, "D": 6} {
		for i := 1; i <= last; i++ {
			if name := fmt.Sprint(prefix, i); defined[name] != 1 {
				bad = append(bad, fmt.Sprintf("%s:1: defines %s %d times, not once", protocol, name, defined[name]))
			}
		}
	}
	eachCommentLine(t, func(c *ast.Comment, line string) {
		for _, m := range cited.FindAllStringSubmatch(line, -1) {
			if defined[m[1]] == 0 {
				bad = append(bad, t.complain(c.Pos(), "cites [%s], which %s does not define", m[1], protocol))
			}
		}
	})
	slices.Sort(bad)
	return bad
}

func eachCommentLine(t *Tree, visit func(c *ast.Comment, line string)) {
	for _, f := range t.Files {
		for _, group := range f.Syntax.Comments {
			for _, c := range group.List {
				for line := range strings.Lines(c.Text) {
					visit(c, line)
				}
			}
		}
	}
}
