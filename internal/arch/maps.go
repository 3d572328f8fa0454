package arch

import (
	"go/ast"
	"go/importer"
	"go/token"
	"go/types"
	"path"
	"regexp"
	"slices"
	"strings"
)

// marked is the comment that allows iteration over a map: the order of the
// iteration is said not to matter, and why.
var marked = regexp.MustCompile(`^//order-free:\s*\S`)

// CheckMaps reports iteration over maps in pure rooms, by range or through package
// maps, that is neither sorted at once (slices.Sorted(maps.Keys(m))) nor marked on
// its line or the line above with "//order-free: reason"; and marks that mark
// nothing. It returns the number of marks of each pure package, for the ratchet.
func CheckMaps(t *Tree) (bad []string, marks []Measure) {
	c := &checker{
		tree:    t,
		std:     importer.ForCompiler(t.Fset, "source", nil),
		checked: map[string]*types.Package{},
		info:    &types.Info{Types: map[ast.Expr]types.TypeAndValue{}, Uses: map[*ast.Ident]types.Object{}, Defs: map[*ast.Ident]types.Object{}},
	}
	for _, dir := range t.Dirs() {
		if !slices.Contains(pure, Room(dir)) {
			continue
		}
		c.check(dir)
		count := 0
		for _, f := range t.In(dir) {
			if f.Test {
				continue
			}
			lines := c.markLines(f)
			count += len(lines)
			bad = append(bad, c.unmarked(f, lines)...)
		}
		if count > 0 {
			marks = append(marks, Measure{Key: "order-free " + dir, Value: count, Reason: "order-free marks"})
		}
	}
	return bad, marks
}

// markLines lists the lines of f that carry a mark, sorted.
func (c *checker) markLines(f *File) []int {
	var lines []int
	for _, group := range f.Syntax.Comments {
		for _, comment := range group.List {
			if marked.MatchString(comment.Text) {
				lines = append(lines, c.tree.line(comment.Pos()))
			}
		}
	}
	return lines
}

// unmarked reports the iterations of f without a mark and the marks without an
// iteration.
func (c *checker) unmarked(f *File, marks []int) []string {
	var bad []string
	used := map[int]bool{}
	all := c.iterations(f)
	own := map[int]bool{} // lines with an iteration: a mark there serves that line only
	for _, at := range all {
		own[c.tree.line(at)] = true
	}
	for _, at := range all {
		line := c.tree.line(at)
		switch {
		case slices.Contains(marks, line):
			used[line] = true
		case slices.Contains(marks, line-1) && !own[line-1]:
			used[line-1] = true
		default:
			bad = append(bad, c.tree.complain(at, "iteration over a map in a pure room; sort its keys (slices.Sorted(maps.Keys(m))) or mark the line //order-free: reason"))
		}
	}
	for _, line := range marks {
		if !used[line] {
			bad = append(bad, c.tree.complain(c.tree.Fset.File(f.Syntax.Pos()).LineStart(line), "order-free mark without iteration over a map; delete it"))
		}
	}
	return bad
}

// iterations finds the places in f where the order of a map's entries leaks.
func (c *checker) iterations(f *File) []token.Pos {
	var at []token.Pos
	sorted := map[ast.Expr]bool{} // arguments of slices.Sorted and its kin
	ast.Inspect(f.Syntax, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.RangeStmt:
			if c.isMap(n.X) {
				at = append(at, n.Pos())
			}
		case *ast.CallExpr:
			if c.isCall(n, "slices", "Sorted", "SortedFunc", "SortedStableFunc") && len(n.Args) > 0 {
				sorted[n.Args[0]] = true
			}
			if c.isCall(n, "maps", "All", "Keys", "Values") && !sorted[n] {
				at = append(at, n.Pos())
			}
		}
		return true
	})
	return at
}

func (c *checker) isMap(x ast.Expr) bool {
	typ := c.info.TypeOf(x)
	if typ == nil {
		return false
	}
	if param, ok := types.Unalias(typ).(*types.TypeParam); ok {
		return mayBeMap(param.Constraint())
	}
	_, ok := typ.Underlying().(*types.Map)
	return ok
}

// mayBeMap reports whether a constraint admits a map type.
func mayBeMap(constraint types.Type) bool {
	set, ok := constraint.Underlying().(*types.Interface)
	if !ok {
		_, isMap := constraint.Underlying().(*types.Map)
		return isMap
	}
	for embedded := range set.EmbeddedTypes() {
		union, ok := embedded.(*types.Union)
		if !ok {
			if mayBeMap(embedded) {
				return true
			}
			continue
		}
		for term := range union.Terms() {
			if mayBeMap(term.Type()) {
				return true
			}
		}
	}
	return false
}

// isCall reports whether n calls one of the named functions of a standard package,
// under whatever name it was imported.
func (c *checker) isCall(n *ast.CallExpr, pkg string, names ...string) bool {
	fun := ast.Unparen(n.Fun)
	if index, ok := fun.(*ast.IndexExpr); ok {
		fun = index.X
	}
	sel, ok := fun.(*ast.SelectorExpr)
	if !ok || !slices.Contains(names, sel.Sel.Name) {
		return false
	}
	id, ok := sel.X.(*ast.Ident)
	if !ok {
		return false
	}
	name, ok := c.info.Uses[id].(*types.PkgName)
	return ok && name.Imported().Path() == pkg
}

// checker type-checks the tree's packages on demand, from source, forgiving every
// error: it wants the types of expressions, not a verdict.
type checker struct {
	tree    *Tree
	std     types.Importer
	checked map[string]*types.Package // by import path; a nil entry is in progress
	info    *types.Info
}

// check type-checks the package in one directory. Packages that import each other
// in a circle see an empty package instead: the layers forbid circles anyhow.
func (c *checker) check(dir string) *types.Package {
	importPath := path.Join(Module, dir)
	if pkg, ok := c.checked[importPath]; ok {
		if pkg == nil {
			return empty(importPath)
		}
		return pkg
	}
	c.checked[importPath] = nil
	var files []*ast.File
	for _, f := range c.tree.In(dir) {
		if !f.Test {
			files = append(files, f.Syntax)
		}
	}
	config := types.Config{
		Importer:         c,
		Error:            func(error) {},
		IgnoreFuncBodies: !slices.Contains(pure, Room(dir)),
	}
	pkg, _ := config.Check(importPath, c.tree.Fset, files, c.info)
	if pkg == nil || len(files) == 0 {
		pkg = empty(importPath)
	}
	c.checked[importPath] = pkg
	return pkg
}

// Import serves the type-checker: our own packages from the tree, the standard
// packages of pure rooms from their source, all others as empty packages.
func (c *checker) Import(importPath string) (*types.Package, error) {
	if dir, own := ownDir(importPath); own {
		return c.check(dir), nil
	}
	if pkg := c.checked[importPath]; pkg != nil {
		return pkg, nil
	}
	pkg := empty(importPath)
	if slices.Contains(pureStd, importPath) {
		if std, err := c.std.Import(importPath); err == nil {
			pkg = std
		}
	}
	c.checked[importPath] = pkg
	return pkg, nil
}

var version = regexp.MustCompile(`^v[0-9]+$`)

func empty(importPath string) *types.Package {
	name := path.Base(importPath)
	if version.MatchString(name) {
		name = path.Base(path.Dir(importPath))
	}
	pkg := types.NewPackage(importPath, strings.ReplaceAll(name, "-", "_"))
	pkg.MarkComplete()
	return pkg
}
