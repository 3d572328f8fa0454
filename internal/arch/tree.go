package arch

import (
	"bytes"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path"
	"slices"
	"strings"
)

// Module is the import path of the root of the tree.
const Module = "github.com/tagma-db/tagma"

// Tree is the module's text as the checks see it. Everything in it is sorted by
// path and paths are slash-separated, relative to the root.
type Tree struct {
	FS       fs.FS
	Fset     *token.FileSet
	Files    []*File           // every Go file that parses; bound: the tree
	Markdown []string          // paths of the *.md files
	Broken   []string          // complaints about files that do not parse
	byDir    map[string][]int  // directory to indices in Files, in order
	texts    map[string]string // contents of the Markdown files by path
}

// File is one parsed Go file.
type File struct {
	Path   string
	Dir    string // "." for the root
	Test   bool
	Lines  int
	Syntax *ast.File
}

// skipped are directories that hold no source of ours: build products, a demo
// cluster's data, fixtures. Hidden ones are skipped too.
var skipped = []string{"bin", "tagma-demo", "testdata", "vendor", "node_modules"}

// Load parses the tree. A file that does not parse becomes a line of Broken; only
// an unreadable tree is an error. Nested modules keep their own rules: skipped.
func Load(root fs.FS) (*Tree, error) {
	t := &Tree{
		FS:    root,
		Fset:  token.NewFileSet(),
		byDir: map[string][]int{},
		texts: map[string]string{},
	}
	err := fs.WalkDir(root, ".", func(p string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir():
			return t.enter(p)
		case strings.HasPrefix(path.Base(p), "."):
			return nil
		case strings.HasSuffix(p, ".go"), strings.HasSuffix(p, ".md"):
			return t.read(p)
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("arch: cannot read the tree: %w", err)
	}
	return t, nil
}

func (t *Tree) enter(dir string) error {
	if dir == "." {
		return nil
	}
	base := path.Base(dir)
	if slices.Contains(skipped, base) || strings.HasPrefix(base, ".") || strings.HasPrefix(base, "_") {
		return fs.SkipDir
	}
	if _, err := fs.Stat(t.FS, path.Join(dir, "go.mod")); err == nil {
		return fs.SkipDir
	}
	return nil
}

func (t *Tree) read(p string) error {
	text, err := fs.ReadFile(t.FS, p)
	if err != nil {
		return err
	}
	if strings.HasSuffix(p, ".md") {
		t.Markdown = append(t.Markdown, p)
		t.texts[p] = string(text)
		return nil
	}
	syntax, err := parser.ParseFile(t.Fset, p, text, parser.ParseComments|parser.SkipObjectResolution)
	if err != nil {
		t.Broken = append(t.Broken, fmt.Sprintf("%v: does not parse", err))
		return nil
	}
	dir := path.Dir(p)
	t.byDir[dir] = append(t.byDir[dir], len(t.Files))
	t.Files = append(t.Files, &File{
		Path:   p,
		Dir:    dir,
		Test:   strings.HasSuffix(p, "_test.go"),
		Lines:  bytes.Count(text, []byte("\n")),
		Syntax: syntax,
	})
	return nil
}

// In returns the files of one directory, in order of path.
func (t *Tree) In(dir string) []*File {
	var files []*File
	for _, i := range t.byDir[dir] {
		files = append(files, t.Files[i])
	}
	return files
}

// Dirs returns the directories that hold Go files, sorted.
func (t *Tree) Dirs() []string {
	var dirs []string
	for _, f := range t.Files {
		dirs = append(dirs, f.Dir)
	}
	slices.Sort(dirs)
	return slices.Compact(dirs)
}

// line is the line of a position.
func (t *Tree) line(p token.Pos) int { return t.Fset.Position(p).Line }

// complain formats a complaint about a position.
func (t *Tree) complain(at token.Pos, format string, args ...any) string {
	p := t.Fset.Position(at)
	return fmt.Sprintf("%s:%d: ", p.Filename, p.Line) + fmt.Sprintf(format, args...)
}
