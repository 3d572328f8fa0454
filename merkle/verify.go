package merkle

import (
	"bytes"

	"github.com/tagma-db/tagma/wire"
)

// Verify checks a proof against a trusted root, that of a tree, and returns the
// rows of the interval lo ≤ key < hi that it proves. If complete, these are all;
// if not, they are all up to the last of them, of which there is at least one:
// what is missing is the interval from its key, followed by a zero byte, to hi.
// Keys alias proof. Exactly one proof verifies for one root, interval and
// answer. Time and memory are bounded by a small multiple of the proof's
// length. The error is wire.ErrMalformed.
func Verify(root wire.Digest, lo, hi, proof []byte) (rows []Row, complete bool, err error) {
	if root == emptyRoot || !below(lo, hi) {
		if len(proof) > 0 {
			return nil, false, wire.ErrMalformed
		}
		return nil, true, nil
	}
	v := verifier{r: wire.NewReader(proof), h: newHasher(), start: true, end: true}
	level := v.r.U8()
	if level > maxLevel {
		return nil, false, wire.ErrMalformed
	}
	digest := v.node(level, true, true, true)
	if err := v.r.Done(); err != nil {
		return nil, false, err
	}
	if digest != root {
		return nil, false, wire.ErrMalformed
	}
	return v.answer(lo, hi)
}

type verifier struct {
	r          wire.Reader
	h          *hasher
	rows       []Row // that are shown, ascending
	start, end bool  // nothing is to the left, to the right of them
}

// node takes a node and returns its digest; left and right: there may be rows
// to the left, to the right of what it shows.
func (v *verifier) node(level uint8, root, left, right bool) wire.Digest {
	count := int(v.r.U8())
	s := taken{level: level, left: left, right: right, to: count}
	if left {
		s.from = int(v.r.U8())
		v.start = v.start && s.from == 0
	}
	if right {
		s.to = int(v.r.U8())
		v.end = v.end && s.to == count
	}
	least := minEntries
	if root {
		least = min(1+int(level), 2)
	}
	if count < least || count > maxEntries || s.from >= s.to || s.to > count {
		v.r.Fail()
		return wire.Digest{}
	}
	return v.h.node(level, count, v.span(&s, 0, count))
}

// taken is which entries of a node are shown.
type taken struct {
	level       uint8
	left, right bool
	from, to    int
}

// span takes the binary tree over the entries from a and up to b.
func (v *verifier) span(s *taken, a, b int) wire.Digest {
	switch {
	case v.r.Err() != nil:
		return wire.Digest{}
	case b <= s.from || a >= s.to:
		return v.r.Digest()
	case b-a > 1:
		k := a + leftOf(b-a)
		left := v.span(s, a, k)
		right := v.span(s, k, b)
		return pair(&left, &right)
	case s.level == 0:
		return v.row()
	}
	var sep []byte
	if a > 0 {
		sep = v.r.Bytes(MaxKey)
	}
	rows := v.r.U64()
	digest := v.node(s.level-1, false, s.left && a == s.from, s.right && a == s.to-1)
	return v.h.child(sep, &digest, rows)
}

func (v *verifier) row() wire.Digest {
	row := Row{Key: v.r.Bytes(MaxKey), Value: v.r.Digest(), Length: v.r.U64()}
	if n := len(v.rows); n > 0 && bytes.Compare(v.rows[n-1].Key, row.Key) >= 0 {
		v.r.Fail()
		return wire.Digest{}
	}
	v.rows = append(v.rows, row)
	return v.h.row(&row)
}

// answer takes the neighbours off the rows shown, of which there is one at
// least, and checks that none is missing and none is there in vain.
func (v *verifier) answer(lo, hi []byte) (rows []Row, complete bool, err error) {
	rows = v.rows
	first, last := rows[0].Key, rows[len(rows)-1].Key
	before, behind := bytes.Compare(first, lo) < 0, !below(last, hi)
	complete = behind || v.end || follows(last, hi)
	if before {
		rows = rows[1:]
	}
	if behind {
		rows = rows[:len(rows)-1]
	}
	if len(rows) == 0 && complete && (before || v.start) {
		return nil, true, nil
	}
	if len(rows) == 0 {
		return nil, false, wire.ErrMalformed
	}
	first, last = rows[0].Key, rows[len(rows)-1].Key
	begins := bytes.Equal(first, lo)
	missing := !before && !begins && !v.start
	vain := before && begins || behind && follows(last, hi)
	if missing || vain || bytes.Compare(first, lo) < 0 || !below(last, hi) {
		return nil, false, wire.ErrMalformed
	}
	return rows, complete, nil
}
