package arch

import (
	"cmp"
	"fmt"
	"go/ast"
	"go/token"
	"slices"
	"strconv"
	"strings"
)

const (
	maxFileLines = 500
	maxFuncLines = 70
	maxMainLines = 49
)

// Measure is one number that the ratchet watches.
type Measure struct {
	Key    string // as it stands in ratchet.txt: "file p", "func p:name", "order-free dir"
	Value  int
	Limit  int    // at or below it no exception is needed
	Reason string // what Value counts
}

// Measures counts the lines of every file and function. Lines within a table
// literal do not count, functions written inside a table do; generated files do
// not count at all.
func Measures(t *Tree) []Measure {
	var all []Measure
	for _, f := range t.Files {
		if ast.IsGenerated(f.Syntax) {
			continue
		}
		free := tableLines(t, f.Syntax)
		all = append(all, Measure{"file " + f.Path, f.Lines - len(free), maxFileLines, "lines"})
		for _, decl := range f.Syntax.Decls {
			for _, fn := range functions(decl) {
				m := Measure{Key: "func " + f.Path + ":" + fn.name, Limit: maxFuncLines, Reason: "lines"}
				for line := t.line(fn.from); line <= t.line(fn.to); line++ {
					if !free[line] {
						m.Value++
					}
				}
				all = append(all, m)
			}
		}
	}
	return all
}

type span struct {
	name     string
	from, to token.Pos
}

// functions lists what a declaration holds in code: itself, or the outermost
// function literals of its variables.
func functions(decl ast.Decl) []span {
	if fn, ok := decl.(*ast.FuncDecl); ok {
		name := fn.Name.Name
		if fn.Recv != nil && len(fn.Recv.List) == 1 {
			name = receiver(fn.Recv.List[0].Type) + "." + name
		}
		return []span{{name, fn.Pos(), fn.End()}}
	}
	var found []span
	name := "var"
	ast.Inspect(decl, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.ValueSpec:
			name = n.Names[0].Name
		case *ast.FuncLit:
			found = append(found, span{name, n.Pos(), n.End()})
			return false
		}
		return true
	})
	return found
}

func receiver(x ast.Expr) string {
	switch x := x.(type) {
	case *ast.StarExpr:
		return receiver(x.X)
	case *ast.IndexExpr:
		return receiver(x.X)
	case *ast.IndexListExpr:
		return receiver(x.X)
	case *ast.Ident:
		return x.Name
	}
	return "?"
}

// tableLines are the lines strictly inside slice, array and map literals, without
// those of function literals among them.
func tableLines(t *Tree, root ast.Node) map[int]bool {
	free := map[int]bool{}
	ast.Inspect(root, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.CompositeLit:
			switch n.Type.(type) {
			case *ast.ArrayType, *ast.MapType:
				for line := t.line(n.Lbrace) + 1; line < t.line(n.Rbrace); line++ {
					free[line] = true
				}
			}
		case *ast.FuncLit:
			for line := t.line(n.Pos()); line <= t.line(n.End()); line++ {
				delete(free, line)
			}
		}
		return true
	})
	return free
}

// CheckMain reports main.go files of commands that do more than start.
func CheckMain(t *Tree) []string {
	var bad []string
	for _, f := range t.Files {
		if Room(f.Dir) == "cmd" && strings.HasSuffix(f.Path, "/main.go") && f.Lines > maxMainLines {
			bad = append(bad, fmt.Sprintf("%s:1: has %d lines; keep it under %d: one file per subcommand", f.Path, f.Lines, maxMainLines+1))
		}
	}
	return bad
}

// Compare holds measures against the text of ratchet.txt: one exception a line,
// "KEY NUMBER", comments after #. A number may shrink and never grow: complaints
// are measures above their number, and numbers that are too high or not needed.
func Compare(ratchet string, measures []Measure) []string {
	listed, bad := parseRatchet(ratchet)
	seen := map[string]bool{}
	slices.SortFunc(measures, func(a, b Measure) int {
		return cmp.Or(strings.Compare(a.Key, b.Key), cmp.Compare(b.Value, a.Value))
	})
	for _, m := range measures {
		if seen[m.Key] {
			continue // two functions of one name, say init: the longer one counts
		}
		seen[m.Key] = true
		number, ok := listed[m.Key]
		switch {
		case m.Value > m.Limit && !ok:
			bad = append(bad, fmt.Sprintf("%s: %d %s, %d allowed; make it smaller, or put in this line with the reason in the commit: %s %d", m.Key, m.Value, m.Reason, m.Limit, m.Key, m.Value))
		case ok && m.Value > number:
			bad = append(bad, fmt.Sprintf("%s: grew to %d %s, the ratchet holds it at %d; make it smaller", m.Key, m.Value, m.Reason, number))
		case ok && m.Value <= m.Limit:
			bad = append(bad, fmt.Sprintf("%s: is down to %d %s and needs no exception; delete its line", m.Key, m.Value, m.Reason))
		case ok && m.Value < number:
			bad = append(bad, fmt.Sprintf("%s: shrank; lower its line to: %s %d", m.Key, m.Key, m.Value))
		}
	}
	for key := range listed {
		if !seen[key] {
			bad = append(bad, fmt.Sprintf("%s: is gone; delete its line", key))
		}
	}
	slices.Sort(bad)
	return bad
}

func parseRatchet(text string) (listed map[string]int, bad []string) {
	listed = map[string]int{}
	number := 0
	for line := range strings.Lines(text) {
		number++
		line, _, _ = strings.Cut(line, "#")
		line = strings.TrimSpace(line)
		if line == "" {
			continue
		}
		cut := strings.LastIndexByte(line, ' ')
		value, err := strconv.Atoi(line[cut+1:])
		if cut < 0 || err != nil {
			bad = append(bad, fmt.Sprintf("ratchet.txt:%d: %q is not KEY NUMBER", number, line))
			continue
		}
		key := line[:cut]
		if _, twice := listed[key]; twice {
			bad = append(bad, fmt.Sprintf("ratchet.txt:%d: %q is listed twice", number, key))
		}
		listed[key] = value
	}
	return listed, bad
}
