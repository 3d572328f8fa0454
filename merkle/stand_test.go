package merkle

import (
	"encoding/binary"
	"testing"

	"github.com/tagma-db/tagma/wire"
)

// TestStands fetches a whole tree by where its nodes stand, and then one that
// differs.
func TestStands(t *testing.T) {
	changes := make([]Change, 20_000)
	for i := range changes {
		changes[i].Key = binary.BigEndian.AppendUint32([]byte("key "), uint32(i*3))
	}
	first, err := New().Apply(changes)
	if err != nil {
		t.Fatal(err)
	}
	second, err := first.Apply([]Change{{Row: Row{Key: []byte("key 1"), Length: 9}}})
	if err != nil {
		t.Fatal(err)
	}
	store, local := mapStore{}, New()
	for _, source := range []*Tree{first, second, New()} {
		transfer := NewTransfer(source.Root(), local, store, 16)
		for len(transfer.Wanted()) > 0 {
			wanted, stands := transfer.Wanted(), transfer.Stands()
			for i, s := range stands {
				raw, err := source.Encoding(s)
				if err != nil {
					t.Fatal(err)
				}
				digest, err := transfer.Take(raw)
				if err != nil || digest != wanted[i] {
					t.Fatalf("node %d at level %d, key %q: %v", i, s.Level, s.Lo, err)
				}
				store[digest] = raw
			}
		}
		if local, err = transfer.Tree(); err != nil || local.Root() != source.Root() {
			t.Fatalf("fetched another tree: %v", err)
		}
	}
	if raw, err := New().Encoding(Stand{Level: 3}); raw != nil || err != nil {
		t.Fatalf("the empty tree has a node: %v", err)
	}
}

type mapStore map[wire.Digest][]byte

func (m mapStore) Load(d wire.Digest) ([]byte, bool) {
	raw, ok := m[d]
	return raw, ok
}
