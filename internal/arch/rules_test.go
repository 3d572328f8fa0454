package arch

import (
	"fmt"
	"strings"
	"testing"
	"testing/fstest"
)

// tree makes a Tree of files given as path, text, path, text…
func tree(t *testing.T, files ...string) *Tree {
	t.Helper()
	root := fstest.MapFS{}
	for i := 0; i < len(files); i += 2 {
		root[files[i]] = &fstest.MapFile{Data: []byte(files[i+1])}
	}
	tr, err := Load(root)
	if err != nil {
		t.Fatal(err)
	}
	return tr
}

// want holds complaints against fragments, one complaint a fragment, in order.
func want(t *testing.T, bad []string, fragments ...string) {
	t.Helper()
	if len(bad) != len(fragments) {
		t.Fatalf("%d complaints, want %d:\n%s", len(bad), len(fragments), strings.Join(bad, "\n"))
	}
	for i, fragment := range fragments {
		if !strings.Contains(bad[i], fragment) {
			t.Errorf("complaint %q lacks %q", bad[i], fragment)
		}
	}
}

func TestRooms(t *testing.T) {
	tr := tree(t,
		"ARCHITECTURE.md", "`pbft` `kv` `wire` `sim` `cmd`",
		"attic/a.go", "package attic\n",
		"cmd/tagma/main.go", "package main\nimport _ \""+Module+"/storage\"\n",
		"host/host.go", "package host\n",
		"internal/attic/a.go", "package attic\n",
		"internal/arch/a.go", "package arch\nimport _ \""+Module+"/pbft\"\n",
		"kv/kv.go", "package kv\nimport _ \""+Module+"/pbft\"\n",
		"kv/kv_test.go", "package kv\nimport _ \""+Module+"/sim\"\n",
		"kv/sub/a.go", "package sub\nimport _ \""+Module+"/kv\"\n",
		"pbft/pbft.go", "package pbft\nimport _ \""+Module+"/wire\"\n",
		"sim/sim.go", "package sim\nimport _ \""+Module+"/internal/arch\"\n",
		"wire/wire.go", "package wire\nimport _ \""+Module+"/pbft\"\n",
	)
	want(t, CheckRooms(tr),
		`attic/a.go:1: room "attic" is unknown`,
		`internal/attic/a.go:1: room "internal/attic" is unknown`,
		"kv/kv.go:2: kv (row 3) imports pbft (row 3)",
		"sim/sim.go:2: sim imports internal/arch, which is in no row",
		"wire/wire.go:2: wire (row 0) imports pbft (row 3)",
		"ARCHITECTURE.md:1: does not mention the room `host`",
	)
}

func TestLoadSkipsWhatIsNotOurs(t *testing.T) {
	tr := tree(t,
		"go.mod", "module x\n",
		".cache/a.go", "package a\n",
		"bench/go.mod", "module y\n",
		"bench/a.go", "package a\n",
		"bin/a.go", "package a\n",
		"kv/testdata/a.go", "package a\n",
		"kv/half.go", "package kv\nfunc (",
	)
	if len(tr.Files) != 0 {
		t.Fatalf("loaded %v", tr.Files[0].Path)
	}
	want(t, tr.Broken, "kv/half.go:2:7: ")
}

func TestPure(t *testing.T) {
	tr := tree(t,
		"host/host.go", "package host\nimport _ \""+Module+"/storage\"\nimport _ \""+Module+"/pbft\"\n",
		"node/node.go", "package node\nimport \"time\"\nfunc f() { go time.Now() }\n",
		"pbft/pbft.go", `package pbft
import (
	"bytes"
	"math/rand/v2"
	"time"
	"unsafe"
	"example.org/m"
)
var c chan int
func f(x int) float64 {
	go f(1)
	select {}
	c <- 1
	return float64(<-c)
}
`,
		"pbft/pbft_test.go", "package pbft\nimport \"time\"\nvar c2 chan float64\n",
		"sim/sim.go", "package sim\nimport \"math/rand/v2\"\nimport _ \""+Module+"/storage\"\n",
	)
	want(t, CheckPure(tr),
		`host/host.go:2: host is pure and may not import "`+Module+`/storage"`,
		`pbft/pbft.go:4: pbft is pure and may not import "math/rand/v2"`,
		`pbft/pbft.go:5: pbft is pure and may not import "time"`,
		`pbft/pbft.go:6: pbft is pure and may not import "unsafe"`,
		`pbft/pbft.go:7: pbft is pure and may not import "example.org/m"`,
		"pbft/pbft.go:9: pbft is pure and may not use channels",
		"pbft/pbft.go:10: pbft is pure and may not use float64",
		"pbft/pbft.go:11: pbft is pure and may not use a go statement",
		"pbft/pbft.go:12: pbft is pure and may not use select",
		"pbft/pbft.go:13: pbft is pure and may not use a channel send",
		"pbft/pbft.go:14: pbft is pure and may not use float64",
		"pbft/pbft.go:14: pbft is pure and may not use a channel receive",
	)
}

func TestMaps(t *testing.T) {
	tr := tree(t,
		"wire/wire.go", "package wire\ntype Set map[int]bool\nfunc Make() (s struct{ In Set }) { return }\n",
		"node/node.go", "package node\nfunc f() { for range map[int]int{} {} }\n",
		"pbft/pbft.go", `package pbft
import (
	"example.org/unknown"
	m "maps"
	"slices"
	"github.com/tagma-db/tagma/wire"
)
type Replica struct { some map[string][]map[int]int; ring []int }
func (r *Replica) step() {
	for range r.some { }
	for _, x := range r.some["a"] { for range x { } }
	for range r.ring { }
	local := make(map[int]int)
	for range local { }
	for range m.Clone(local) { }
	for range wire.Make().In { }
	for range unknown.Thing() { }
	//order-free: sums commute
	for range local { }
	for range local { } //order-free: sums commute
	for range local { } //order-free:
	for range slices.Sorted(m.Keys(local)) { }
	for range slices.SortedFunc(m.Values(local), nil) { }
	for range m.Keys(local) { }
	//order-free: nothing here
	for range 3 { }
}
func generic[M ~map[K]V, K comparable, V any](x M) { for range x { } }
`)
	bad, marks := CheckMaps(tr)
	var where []string
	for _, line := range bad {
		where = append(where, strings.Join(strings.Fields(line)[:2], " "))
	}
	want(t, where,
		"pbft/pbft.go:10: iteration", "pbft/pbft.go:11: iteration", "pbft/pbft.go:14: iteration",
		"pbft/pbft.go:15: iteration", "pbft/pbft.go:16: iteration", "pbft/pbft.go:21: iteration",
		"pbft/pbft.go:24: iteration", "pbft/pbft.go:28: iteration", "pbft/pbft.go:25: order-free",
	)
	if len(marks) != 1 || marks[0].Key != "order-free pbft" || marks[0].Value != 3 {
		t.Errorf("marks %v, want 3 in pbft", marks)
	}
}

func TestMeasures(t *testing.T) {
	lines := func(n int) string { return strings.Repeat("\t_ = 1\n", n) }
	table := "\tx := []any{\n" + strings.Repeat("\t\t1,\n", 100) + "\t\tfunc() {\n" + lines(3) + "\t\t},\n\t}\n\t_ = x\n"
	tr := tree(t,
		"kv/a.go", "package kv\nfunc (r *R[T]) long() {\n"+lines(69)+"}\nfunc short() {\n"+table+"}\n",
		"kv/b.go", "package kv\nvar f = func() {\n"+lines(500)+"}\n",
		"kv/c.go", "// Code generated by x. DO NOT EDIT.\npackage kv\nfunc g() {\n"+lines(500)+"}\n",
		"kv/d.go", "package kv\nfunc init() {\n}\nfunc init() {\n"+lines(80)+"}\n",
	)
	got := map[string]int{}
	for _, m := range Measures(tr) {
		got[m.Key] = max(got[m.Key], m.Value)
	}
	for key, value := range map[string]int{
		"file kv/a.go": 1 + 71 + 2 + 3 + 5, "func kv/a.go:R.long": 71, "func kv/a.go:short": 2 + 3 + 5,
		"file kv/b.go": 503, "func kv/b.go:f": 502, "func kv/d.go:init": 82, "file kv/c.go": 0,
	} {
		if got[key] != value {
			t.Errorf("%s measures %d, want %d", key, got[key], value)
		}
	}
	want(t, Compare("", Measures(tr)),
		"file kv/b.go: 503 lines, 500 allowed",
		"func kv/a.go:R.long: 71 lines, 70 allowed; make it smaller, or put in this line with the reason in the commit: func kv/a.go:R.long 71",
		"func kv/b.go:f 502", "func kv/d.go:init 82")
}

func TestCompare(t *testing.T) {
	measures := func(value int) []Measure { return []Measure{{"file a b.go", value, 10, "lines"}} }
	for _, test := range []struct {
		ratchet string
		value   int
		want    []string
	}{
		{"", 10, nil},
		{"# only a comment\n\n", 11, []string{"put in this line with the reason in the commit: file a b.go 11"}},
		{"file a b.go 12", 12, nil},
		{"file a b.go 12 # why", 13, []string{"grew to 13 lines, the ratchet holds it at 12"}},
		{"file a b.go 12", 11, []string{"lower its line to: file a b.go 11"}},
		{"file a b.go 12", 10, []string{"needs no exception; delete its line"}},
		{"file gone.go 12", 10, []string{"file gone.go: is gone; delete its line"}},
		{"file a b.go\nx", 10, []string{`ratchet.txt:1: "file a b.go" is not KEY NUMBER`, `ratchet.txt:2: "x" is not KEY NUMBER`}},
		{"file a b.go 12\nfile a b.go 12", 12, []string{`ratchet.txt:2: "file a b.go" is listed twice`}},
	} {
		t.Run(fmt.Sprintf("%q at %d", test.ratchet, test.value), func(t *testing.T) {
			want(t, Compare(test.ratchet, measures(test.value)), test.want...)
		})
	}
}

func TestMainIsShort(t *testing.T) {
	text := func(n int) string { return "package main\n" + strings.Repeat("\n", n-1) }
	tr := tree(t, "cmd/a/main.go", text(49), "cmd/b/main.go", text(50))
	want(t, CheckMain(tr), "cmd/b/main.go:1: has 50 lines; keep it under 50")
}
