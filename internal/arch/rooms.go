package arch

import (
	"fmt"
	"path"
	"slices"
	"strconv"
	"strings"
)

// layers are the rows of ARCHITECTURE.md's package map, the lowest first. An
// import must point to a strictly lower row; rooms of one row are strangers.
var layers = [][]string{
	{"wire", "quorum", "web", "internal/golden"},
	{"machine"},
	{"auth", "merkle"},
	{"pbft", "kv", "placement", "storage", "transport"},
	{"host", "client"},
	{"node", "gateway", "sim"},
	{"cmd", "examples"},
}

// free rooms stand outside the rows: they may import anything.
var free = []string{"internal/arch"}

// Room names the room that a directory belongs to: its first element, or the
// first two under internal.
func Room(dir string) string {
	parts := strings.SplitN(dir, "/", 3)
	if parts[0] == "internal" && len(parts) > 1 {
		return path.Join(parts[0], parts[1])
	}
	return parts[0]
}

// layer is the row of a room, -1 if it has none.
func layer(room string) int {
	return slices.IndexFunc(layers, func(row []string) bool { return slices.Contains(row, room) })
}

// ownDir turns an import path of this module into its directory.
func ownDir(importPath string) (dir string, own bool) {
	if importPath == Module {
		return ".", true
	}
	return strings.CutPrefix(importPath, Module+"/")
}

// CheckRooms reports unknown rooms, imports that do not point strictly downward,
// and rooms that ARCHITECTURE.md does not mention.
func CheckRooms(t *Tree) []string {
	var bad, seen []string
	for _, f := range t.Files {
		room := Room(f.Dir)
		if slices.Contains(free, room) {
			continue
		}
		if layer(room) < 0 {
			bad = append(bad, fmt.Sprintf("%s:1: room %q is unknown; add it to the package map of ARCHITECTURE.md and to layers in internal/arch/rooms.go", f.Path, room))
			continue
		}
		seen = append(seen, room)
		if !f.Test {
			bad = append(bad, upwardImports(t, f, room)...)
		}
	}
	slices.Sort(seen)
	if text, ok := t.texts["ARCHITECTURE.md"]; ok {
		for _, room := range slices.Compact(seen) {
			if !strings.Contains(text, "`"+room+"`") {
				bad = append(bad, fmt.Sprintf("ARCHITECTURE.md:1: does not mention the room `%s`; add it to the package map", room))
			}
		}
	}
	return bad
}

func upwardImports(t *Tree, f *File, room string) []string {
	var bad []string
	for _, spec := range f.Syntax.Imports {
		importPath, _ := strconv.Unquote(spec.Path.Value)
		dir, own := ownDir(importPath)
		if !own || Room(dir) == room {
			continue
		}
		other := Room(dir)
		switch {
		case layer(other) < 0:
			bad = append(bad, t.complain(spec.Pos(), "%s imports %s, which is in no row; only tests may", room, other))
		case layer(other) >= layer(room):
			bad = append(bad, t.complain(spec.Pos(), "%s (row %d) imports %s (row %d); imports point strictly downward", room, layer(room), other, layer(other)))
		}
	}
	return bad
}
