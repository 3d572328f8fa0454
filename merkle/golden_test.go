package merkle

import (
	"crypto/sha256"
	"encoding/hex"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/tagma-db/tagma/wire"
)

var rewrite = flag.Bool("rewrite", false, "rewrite testdata from what the code does now")

// smallLeaf and smallInner are nodes with every kind of field.
func smallLeaf() *node {
	return &node{rows: []Row{
		{Key: []byte{}, Value: wire.Digest{1, 2}, Length: 3},
		{Key: []byte("key"), Value: wire.Digest{31: 9}, Length: 1 << 40},
		{Key: []byte("key2")},
		{Key: []byte{255, 0}},
	}}
}

func smallInner() *node {
	return &node{level: 1, kids: []ref{
		{rows: 5, digest: wire.Digest{5}},
		{sep: []byte("k"), rows: 1 << 33, digest: wire.Digest{6}},
		{sep: []byte("kk"), rows: 7, digest: wire.Digest{31: 7}},
	}}
}

func encoded(n *node) []byte {
	var w wire.Writer
	n.encode(&w)
	return w.B
}

// goldenRoots are digests over all roots of histories that cut, join and shrink:
// they hold the shape, not only the encodings.
func goldenRoots(t *testing.T, line func(name string, bytes []byte)) {
	for _, f := range families {
		tree, step, chain := New(), 0, wire.Digest{}
		f.history(t, func(changes []Change, _ model) {
			tree = mustApply(t, tree, changes)
			root := tree.Root()
			chain = sha256.Sum256(append(chain[:], root[:]...))
			if step++; step%9 == 0 || tree.Len() == 0 {
				line(fmt.Sprintf("%s %d, %d rows", f.name, step, tree.Len()), chain[:])
			}
		})
	}
}

func TestGolden(t *testing.T) {
	var b strings.Builder
	line := func(name string, bytes []byte) { fmt.Fprintf(&b, "%s\t%s\n", name, hex.EncodeToString(bytes)) }
	digest := func(name string, d wire.Digest) { line(name, d[:]) }
	digest("empty root", New().Root())
	line("leaf", encoded(smallLeaf()))
	line("inner", encoded(smallInner()))
	tree := mustApply(t, New(), numbered(0, 60, 1))
	digest("root of 60", tree.Root())
	lo, hi := point(number(30))
	line("proof of one", mustProve(t, tree, lo, hi, 0))
	digest("empty list", List{}.Root())
	digest("list of 5", list(5).Root())
	line("proof of item 3", list(5).Prove(3))
	goldenRoots(t, line)
	path := filepath.Join("testdata", "golden.txt")
	if *rewrite {
		if err := os.WriteFile(path, []byte(b.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if string(want) != b.String() {
		t.Fatalf("encodings or shapes changed: replicas of two builds would disagree. If that is meant: go test -rewrite\n%s", &b)
	}
}
