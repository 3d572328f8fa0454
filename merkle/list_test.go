package merkle

import (
	"errors"
	"slices"
	"testing"

	"github.com/tagma-db/tagma/wire"
)

func list(n int) List {
	l := List{}
	for i := range n {
		l = append(l, Item{Name: number(uint64(i))[7-i%3:], Digest: wire.Digest{byte(i), 1}})
	}
	return l
}

// TestList proves every item of lists of many lengths, and nothing else.
func TestList(t *testing.T) {
	roots := map[wire.Digest]bool{}
	for n := range 70 {
		l := list(n)
		root := l.Root()
		if roots[root] {
			t.Fatal("two lists have one root")
		}
		roots[root] = true
		for i, item := range l {
			proof := l.Prove(i)
			if at, err := VerifyItem(root, item, proof); err != nil || at != i {
				t.Fatalf("item %d of %d: %d %v", i, n, at, err)
			}
			if _, err := VerifyItem(root, l[(i+1)%n], proof); err == nil && n > 1 {
				t.Fatal("a proof is one of another item")
			}
			if _, err := VerifyItem(list(n+1).Root(), item, proof); err == nil {
				t.Fatal("a proof verifies under another root")
			}
		}
	}
}

func TestListBytes(t *testing.T) {
	l := list(21)
	refused := func(proof []byte) {
		t.Helper()
		if _, err := VerifyItem(l.Root(), l[18], proof); !errors.Is(err, wire.ErrMalformed) {
			t.Fatalf("%x is accepted: %v", proof, err)
		}
	}
	proof := l.Prove(18)
	for i := range proof {
		for bit := range 8 {
			damaged := slices.Clone(proof)
			damaged[i] ^= 1 << bit
			refused(damaged)
		}
		refused(proof[:i])
	}
	refused(append(proof, 0))
	l[18].Name = make([]byte, MaxName+1)
	if _, err := VerifyItem(wire.Digest{}, l[18], proof); err == nil {
		t.Fatal("a name beyond the bound is accepted")
	}
}

// TestListPlaces: no place beyond the end has the path of one within.
func TestListPlaces(t *testing.T) {
	for n := range 40 {
		l := list(n)
		if n == 0 {
			l = list(1) // and claim that there is none
		}
		item := l[len(l)-1]
		for at := n; at < n+3; at++ {
			var w wire.Writer
			w.U32(uint32(at))
			w.U32(uint32(n))
			w.Raw(l.Prove(len(l) - 1)[8:])
			if _, err := VerifyItem(l.Root(), item, w.B); err == nil {
				t.Fatalf("item %d of %d", at, n)
			}
		}
	}
}

func TestListBounds(t *testing.T) {
	for name, l := range map[string]List{
		"name":   {{Name: make([]byte, MaxName+1)}},
		"length": make(List, MaxList+1),
	} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s: no panic", name)
				}
			}()
			l.Root()
		}()
	}
}
