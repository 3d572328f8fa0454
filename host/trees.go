package host

import (
	"crypto/sha256"
	"encoding/binary"
	"maps"
	"slices"
	"sort"

	"github.com/tagma-db/tagma/merkle"
	"github.com/tagma-db/tagma/wire"
)

// The state root at slot s (docs/adr/0008) is the root of a merkle.List of
//
//	"group"     SHA-256 of the group's own record at s
//	"changes"   root of the tree of the rows changed since boundary b ≤ s
//	partition 2 root of the partition's tree at b, for each that has rows
//
// A boundary is a slot at which the order asks for a checkpoint: a multiple of
// K, or enough bytes. Only there do changes enter the partitions' trees, in
// one step each: so their shapes follow from the order alone, whatever other
// checkpoints (of a quiet tip) a replica took. At a boundary the tree of
// changes is empty.

// partitionBits is how many bits of SHA-256(keyspace) name its partition.
const partitionBits = 12

// rowStart and rowEnd enclose the rows under the root.
var rowStart, rowEnd = []byte{spacePartition}, []byte{spacePartition + 1}

// partitionOf is the partition of a row's key.
func partitionOf(key []byte) uint16 {
	return binary.BigEndian.Uint16(key[1:]) >> (16 - partitionBits)
}

// written is what became of a row: the digest and length of its new value, or
// that it is gone.
type written struct {
	value   wire.Digest
	length  uint64
	deleted bool
}

// changes are the rows written since some slot, by key.
type changes map[string]written

// sorted is the changes in the order of keys.
func (c changes) sorted() []merkle.Change {
	out := make([]merkle.Change, 0, len(c))
	for _, key := range slices.Sorted(maps.Keys(c)) {
		w := c[key]
		out = append(out, merkle.Change{Row: merkle.Row{Key: []byte(key), Value: w.value, Length: w.length}, Delete: w.deleted})
	}
	return out
}

// gone is the length that says in a tree of changes that a row was deleted.
const gone = 1<<64 - 1

// changeTree is the tree of changes.
func changeTree(sorted []merkle.Change) *merkle.Tree {
	rows := make([]merkle.Change, len(sorted))
	for i, c := range sorted {
		rows[i] = merkle.Change{Row: c.Row}
		if c.Delete {
			rows[i].Value, rows[i].Length = wire.Digest{}, gone
		}
	}
	t, err := merkle.New().Apply(rows)
	if err != nil {
		panic("host: a tree without a store lost a node")
	}
	t.Root()
	return t
}

// forest is the trees of the partitions, ascending, none of them empty.
type forest []plot

type plot struct {
	partition uint16
	tree      *merkle.Tree
}

// at is the tree of a partition, nil if it has no rows.
func (f forest) at(partition uint16) *merkle.Tree {
	i := sort.Search(len(f), func(i int) bool { return f[i].partition >= partition })
	if i < len(f) && f[i].partition == partition {
		return f[i].tree
	}
	return nil
}

// apply is the forest after changes in the order of keys, with new nodes
// hashed. The error is a *merkle.LostError; f stays.
func (f forest) apply(changes []merkle.Change, nodes merkle.Store) (forest, error) {
	out := make(forest, 0, len(f)+1)
	for len(changes) > 0 {
		p := partitionOf(changes[0].Key)
		for len(f) > 0 && f[0].partition < p {
			out, f = append(out, f[0]), f[1:]
		}
		n := sort.Search(len(changes), func(i int) bool { return partitionOf(changes[i].Key) > p })
		tree, err := merkle.Open(merkle.New().Root(), nodes)
		if len(f) > 0 && f[0].partition == p {
			tree, f = f[0].tree, f[1:]
		}
		if err == nil {
			tree, err = tree.Apply(changes[:n])
		}
		if err != nil {
			return nil, err
		}
		if changes = changes[n:]; tree.Len() > 0 {
			tree.Root()
			out = append(out, plot{p, tree})
		}
	}
	return append(out, f...), nil
}

// ascend calls yield for the rows from lo on, in ascending order.
func (f forest) ascend(lo []byte, yield func(merkle.Row) bool) error {
	more := true
	for i := 0; i < len(f) && more; i++ {
		if len(lo) >= 3 && f[i].partition < partitionOf(lo) {
			continue
		}
		if err := f[i].tree.Ascend(lo, nil, func(row merkle.Row) bool { more = yield(row); return more }); err != nil {
			return err
		}
	}
	return nil
}

// delta tells which nodes f has and old has not, and the other way round.
func (f forest) delta(old forest, fresh func(wire.Digest, []byte), stale func(wire.Digest)) error {
	none := merkle.New()
	for len(f) > 0 || len(old) > 0 {
		was, is := none, none
		switch {
		case len(f) == 0 || len(old) > 0 && old[0].partition < f[0].partition:
			was, old = old[0].tree, old[1:]
		case len(old) == 0 || f[0].partition < old[0].partition:
			is, f = f[0].tree, f[1:]
		default:
			was, is, old, f = old[0].tree, f[0].tree, old[1:], f[1:]
		}
		if was.Root() == is.Root() {
			continue
		}
		if err := merkle.Delta(was, is, fresh, stale); err != nil {
			return err
		}
	}
	return nil
}

// head is what a state root is made of.
type head struct {
	record  []byte // the group's own
	changes wire.Digest
	roots   []plotRoot // ascending by partition
}

type plotRoot struct {
	partition uint16
	root      wire.Digest
}

func (f forest) roots() []plotRoot {
	out := make([]plotRoot, len(f))
	for i, p := range f {
		out[i] = plotRoot{p.partition, p.tree.Root()}
	}
	return out
}

// maxRecord bounds the group's own record.
const maxRecord = 256

// root is the state root.
func (h *head) root() wire.Digest {
	list := merkle.List{{Name: []byte("group"), Digest: sha256.Sum256(h.record)}, {Name: []byte("changes"), Digest: h.changes}}
	for _, p := range h.roots {
		list = append(list, merkle.Item{Name: binary.BigEndian.AppendUint16(nil, p.partition), Digest: p.root})
	}
	return list.Root()
}

func (h *head) encode() []byte {
	var w wire.Writer
	w.Bytes(h.record)
	w.Raw(h.changes[:])
	encodeRoots(&w, h.roots)
	return w.B
}

func decodeHead(b []byte) (*head, error) {
	r := wire.NewReader(b)
	h := &head{record: r.Bytes(maxRecord), changes: r.Digest(), roots: decodeRoots(&r)}
	return h, r.Done()
}

func encodeRoots(w *wire.Writer, roots []plotRoot) {
	w.U16(uint16(len(roots)))
	for _, p := range roots {
		w.U16(p.partition)
		w.Raw(p.root[:])
	}
}

func decodeRoots(r *wire.Reader) []plotRoot {
	roots := make([]plotRoot, r.Count(1<<partitionBits, 34))
	for i := range roots {
		roots[i] = plotRoot{r.U16(), r.Digest()}
		if i > 0 && roots[i-1].partition >= roots[i].partition || roots[i].partition >= 1<<partitionBits {
			r.Fail()
		}
	}
	return roots
}

// openForest opens the trees with the given roots over nodes.
func openForest(roots []plotRoot, nodes merkle.Store) (forest, error) {
	f := make(forest, len(roots))
	for i, p := range roots {
		tree, err := merkle.Open(p.root, nodes)
		if err != nil {
			return nil, err
		}
		f[i] = plot{p.partition, tree}
	}
	return f, nil
}

// encodeJournal is what one slot changed, for a start to repeat in the trees.
func encodeJournal(boundary bool, sorted []merkle.Change) []byte {
	var w wire.Writer
	w.Bool(boundary)
	w.U32(uint32(len(sorted)))
	var last []byte
	for _, c := range sorted {
		n := 0
		for n < len(last) && n < len(c.Key) && last[n] == c.Key[n] {
			n++
		}
		w.U16(uint16(n)) // shared with the key before
		w.Bytes(c.Key[n:])
		w.Bool(c.Delete)
		if !c.Delete {
			w.Raw(c.Value[:])
			w.U64(c.Length)
		}
		last = c.Key
	}
	return w.B
}

// decodeJournal adds what a slot changed to into.
func decodeJournal(b []byte, into changes) (boundary bool, err error) {
	r := wire.NewReader(b)
	boundary = r.Bool()
	var last []byte
	for n := r.U32(); n > 0 && r.Err() == nil; n-- {
		shared := int(r.U16())
		if shared > len(last) {
			r.Fail()
			break
		}
		key := slices.Concat(last[:shared], r.Bytes(merkle.MaxKey))
		c := written{deleted: r.Bool()}
		if !c.deleted {
			c.value, c.length = r.Digest(), r.U64()
		}
		into[string(key)], last = c, key
	}
	return boundary, r.Done()
}
