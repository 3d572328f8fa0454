package arch

import (
	"go/ast"
	"go/token"
	"slices"
	"strconv"
	"strings"
)

// pure are the deterministic rooms: same inputs, same outputs, on every machine.
var pure = []string{"wire", "quorum", "machine", "auth", "merkle", "pbft", "kv", "placement", "host", "sim"}

// pureStd are the standard packages that a pure room may import directly: no
// clock, no lock, no source of chance, no outside world.
var pureStd = strings.Fields(`bytes cmp container/heap crypto/ed25519 crypto/sha256 crypto/sha512
	encoding/binary encoding/hex errors fmt iter maps math/bits slices sort strconv strings unicode/utf8`)

// pureMore are further imports of single rooms. The simulator needs seeded chance,
// the crashable disk, and the checker of linearizability.
var pureMore = map[string][]string{
	"sim": {"math/rand/v2", Module + "/storage", "github.com/anishathalye/porcupine"},
}

// CheckPure reports what would make a pure room's behaviour depend on anything but
// its inputs. Iteration over maps is CheckMaps' business.
func CheckPure(t *Tree) []string {
	var bad []string
	for _, f := range t.Files {
		room := Room(f.Dir)
		if f.Test || !slices.Contains(pure, room) {
			continue
		}
		for _, spec := range f.Syntax.Imports {
			importPath, _ := strconv.Unquote(spec.Path.Value)
			if !pureImport(room, importPath) {
				bad = append(bad, t.complain(spec.Pos(), "%s is pure and may not import %q; see the list in internal/arch/pure.go", room, importPath))
			}
		}
		ast.Inspect(f.Syntax, func(n ast.Node) bool {
			if what := impure(n); what != "" {
				bad = append(bad, t.complain(n.Pos(), "%s is pure and may not use %s", room, what))
			}
			return true
		})
	}
	return bad
}

func pureImport(room, importPath string) bool {
	if slices.Contains(pureStd, importPath) || slices.Contains(pureMore[room], importPath) {
		return true
	}
	dir, own := ownDir(importPath)
	return own && slices.Contains(pure, Room(dir))
}

// impure names the construct that n is, if it is one that pure rooms do without.
func impure(n ast.Node) string {
	switch n := n.(type) {
	case *ast.GoStmt:
		return "a go statement"
	case *ast.SelectStmt:
		return "select"
	case *ast.ChanType:
		return "channels"
	case *ast.SendStmt:
		return "a channel send"
	case *ast.UnaryExpr:
		if n.Op == token.ARROW {
			return "a channel receive"
		}
	case *ast.Ident:
		switch n.Name {
		case "float32", "float64", "complex64", "complex128":
			return n.Name
		}
	}
	return ""
}
