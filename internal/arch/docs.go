package arch

import (
	"fmt"
	"go/ast"
	"go/token"
	"io/fs"
	"net/url"
	"path"
	"regexp"
	"strconv"
	"strings"
)

var (
	link     = regexp.MustCompile(`\]\(<?([^)>\s]+)>?(?:\s+"[^"]*")?\)`)
	linkDef  = regexp.MustCompile(`^\s{0,3}\[[^\]]+\]:\s+<?([^>\s]+)>?`)
	codeSpan = regexp.MustCompile("`[^`]*`")
	verb     = regexp.MustCompile(`\btagma ([a-z][a-z-]*)`)
)

// CheckLinks reports relative links of Markdown files that point at no file.
func CheckLinks(t *Tree) []string {
	var bad []string
	for _, p := range t.Markdown {
		eachLine(t.texts[p], func(number int, line string, fenced bool) {
			if fenced {
				return
			}
			line = codeSpan.ReplaceAllString(line, "``")
			found := link.FindAllStringSubmatch(line, -1)
			found = append(found, linkDef.FindAllStringSubmatch(line, -1)...)
			for _, m := range found {
				if !t.resolves(p, m[1]) {
					bad = append(bad, fmt.Sprintf("%s:%d: links to %s, which does not exist", p, number, m[1]))
				}
			}
		})
	}
	return bad
}

// resolves reports whether a link's target exists, as far as the tree can tell.
func (t *Tree) resolves(from, target string) bool {
	u, err := url.Parse(target)
	if err != nil {
		return false
	}
	if u.Scheme != "" || u.Host != "" || u.Path == "" {
		return true // the outside world, or a heading of the same page
	}
	to := path.Join(path.Dir(from), u.Path)
	if strings.HasPrefix(u.Path, "/") {
		to = path.Clean(u.Path[1:])
	}
	_, err = fs.Stat(t.FS, to)
	return err == nil
}

// command is the directory of the program that README.md teaches.
const command = "cmd/tagma"

// CheckVerbs reports subcommands that README.md shows in code and that the program
// does not have: neither a file of that name nor a cobra Use text that starts with
// it. It waits until there is a program.
func CheckVerbs(t *Tree) []string {
	var bad []string
	if _, err := fs.Stat(t.FS, command+"/main.go"); err != nil {
		return nil
	}
	known := map[string]bool{"help": true, "completion": true} // cobra's own
	for _, f := range t.In(command) {
		if f.Test {
			continue
		}
		known[strings.TrimSuffix(path.Base(f.Path), ".go")] = true
		ast.Inspect(f.Syntax, func(n ast.Node) bool {
			if name := useVerb(n); name != "" {
				known[name] = true
			}
			return true
		})
	}
	eachLine(t.texts["README.md"], func(number int, line string, fenced bool) {
		if !fenced {
			return
		}
		for _, m := range verb.FindAllStringSubmatch(line, -1) {
			if !known[m[1]] {
				bad = append(bad, fmt.Sprintf("README.md:%d: shows `tagma %s`, which %s does not have", number, m[1], command))
			}
		}
	})
	return bad
}

// useVerb is the first word of the literal in `Use: "verb …"`.
func useVerb(n ast.Node) string {
	pair, ok := n.(*ast.KeyValueExpr)
	if !ok {
		return ""
	}
	key, ok := pair.Key.(*ast.Ident)
	if !ok || key.Name != "Use" {
		return ""
	}
	literal, ok := pair.Value.(*ast.BasicLit)
	if !ok || literal.Kind != token.STRING {
		return ""
	}
	text, _ := strconv.Unquote(literal.Value)
	name, _, _ := strings.Cut(text, " ")
	return name
}

// eachLine visits the lines of a Markdown text and says which stand in fenced code.
// The fences themselves are not visited.
func eachLine(text string, visit func(number int, line string, fenced bool)) {
	fenced, number := false, 0
	for line := range strings.Lines(text) {
		number++
		if strings.HasPrefix(strings.TrimSpace(line), "```") {
			fenced = !fenced
			continue
		}
		visit(number, line, fenced)
	}
}
