package kv_test

import (
	"bytes"
	"encoding/binary"
	"slices"
	"testing"

	"github.com/tagma-db/tagma/kv"
	"github.com/tagma-db/tagma/storage"
)

var everything = kv.Interval{Key: []byte{0}, End: []byte{0}}

func TestCodes(t *testing.T) {
	long := bytes.Repeat([]byte{0}, kv.MaxKey+1) // the worst key to escape
	put := func(key []byte) kv.Op { return kv.Put{Key: key} }
	del := func(key, end []byte) kv.Op { return kv.DeleteRange{Interval: kv.Interval{Key: key, End: end}} }
	a, b := []byte("a"), []byte("b")
	many := slices.Repeat([]kv.Op{kv.Range{Interval: everything}}, kv.MaxTxnOps+1)
	for _, c := range []struct {
		name string
		op   kv.Op
		want kv.Code
	}{
		{"largest key", put(long[1:]), kv.CodeOK},
		{"key too large", put(long), kv.CodeKeyTooLarge},
		{"successor of the largest key", kv.Range{Interval: kv.Interval{Key: long, End: []byte{0}}}, kv.CodeOK},
		{"key too large to read", kv.Range{Interval: kv.Interval{Key: append(long, 0)}}, kv.CodeKeyTooLarge},
		{"end too large", kv.Range{Interval: kv.Interval{Key: a, End: append(long, 0)}}, kv.CodeKeyTooLarge},
		{"empty key", put(nil), kv.CodeEmptyKey},
		{"empty key in a txn", kv.Txn{Else: []kv.Op{del(nil, a)}}, kv.CodeEmptyKey},
		{"largest operation", kv.Put{Key: a, Value: make([]byte, kv.MaxOp-11)}, kv.CodeOK},
		{"operation too large", kv.Put{Key: a, Value: make([]byte, kv.MaxOp-10)}, kv.CodeTooLarge},
		{"most operations", kv.Txn{Then: many[1:], Else: many[1:]}, kv.CodeOK},
		{"too many operations", kv.Txn{Else: many}, kv.CodeTooManyOps},
		{"too many compares", kv.Txn{Compares: slices.Repeat([]kv.Compare{{Interval: everything, Target: kv.TargetMod}}, kv.MaxTxnOps+1)}, kv.CodeTooManyOps},
		{"two puts", kv.Txn{Then: []kv.Op{put(a), put(b), put(a)}}, kv.CodeDuplicateKey},
		{"put and delete", kv.Txn{Else: []kv.Op{put(b), del(a, []byte("c"))}}, kv.CodeDuplicateKey},
		{"put and delete from on", kv.Txn{Else: []kv.Op{del(a, []byte{0}), put(b)}}, kv.CodeDuplicateKey},
		{"put beside delete", kv.Txn{Then: []kv.Op{put(b), del(a, b), del(a, b)}}, kv.CodeOK},
		{"one key in both branches", kv.Txn{Then: []kv.Op{put(a)}, Else: []kv.Op{put(a)}}, kv.CodeOK},
		{"nested txn", kv.Txn{Then: []kv.Op{kv.Txn{}}}, kv.CodeMalformed},
		{"compact in a txn", kv.Txn{Then: []kv.Op{kv.Compact{}}}, kv.CodeMalformed},
		{"compare of the key", kv.Txn{Compares: []kv.Compare{{Interval: everything}}}, kv.CodeMalformed},
		{"future", kv.Range{Interval: everything, Revision: 99}, kv.CodeFutureRevision},
		{"future in a txn", kv.Txn{Then: []kv.Op{put(a), kv.Range{Interval: everything, Revision: 3}}}, kv.CodeFutureRevision},
		{"future compact", kv.Compact{Revision: 3}, kv.CodeFutureRevision},
	} {
		store := &memRows{}
		execute(t, store, kv.Put{Key: []byte("x")}.Encode())
		writes := store.writes
		r := execute(t, store, c.op.Encode())
		if r.Code != c.want {
			t.Errorf("%s: %v, want %v", c.name, r.Code, c.want)
		}
		if r.Code != kv.CodeOK && (store.writes != writes || r.Revision != 2) {
			t.Errorf("%s: fails but writes", c.name)
		}
	}
	for _, b := range [][]byte{nil, {0}, {6}, {255}} {
		if _, err := kv.DecodeOp(b); err != kv.CodeMalformed {
			t.Errorf("%x: %v", b, err)
		}
	}
}

func TestCompactedCarriesRevision(t *testing.T) {
	store := &memRows{}
	for range 5 {
		execute(t, store, kv.Put{Key: []byte("k")}.Encode())
	}
	execute(t, store, kv.Compact{Revision: 4}.Encode())
	for _, op := range []kv.Op{
		kv.Range{Interval: everything, Revision: 3}, kv.Compact{Revision: 4},
		kv.Txn{Then: []kv.Op{kv.Put{Key: []byte("k")}, kv.Range{Interval: everything, Revision: 3}}},
	} {
		if r := execute(t, store, op.Encode()); r.Code != kv.CodeCompacted || r.Compacted != 4 || r.Revision != 6 {
			t.Errorf("%+v: %+v", op, r)
		}
	}
}

func numbered(i int) []byte { return binary.BigEndian.AppendUint32([]byte("n"), uint32(i)) }

// TestCut reads 10 MB in pages, in both directions: every key once, each page
// at most MaxPayload, the count exact on each.
func TestCut(t *testing.T) {
	const n, size = 100, 100 << 10
	store := &memRows{}
	for i := range n {
		execute(t, store, kv.Put{Key: numbered(i), Value: make([]byte, size)}.Encode())
	}
	for _, descending := range []bool{false, true} {
		op := kv.Range{Interval: everything, Descending: descending}
		var got []kv.KV
		for pages := 1; ; pages++ {
			r := execute(t, store, op.Encode()).Reply.(kv.RangeReply)
			if left := n - len(got); int(r.Count) != left || r.More != (len(r.KVs) < left) || len(r.KVs) > 20 {
				t.Fatalf("page %d: %d pairs, count %d, more %v", pages, len(r.KVs), r.Count, r.More)
			}
			if got = append(got, r.KVs...); !r.More {
				break
			}
			if op.Key = r.Next; descending {
				op.Interval = kv.Interval{Key: everything.Key, End: append(r.Next, 0)}
			}
		}
		for i := range got {
			want := i
			if descending {
				want = n - 1 - i
			}
			if !bytes.Equal(got[i].Key, numbered(want)) {
				t.Fatalf("pair %d is %x", i, got[i].Key)
			}
		}
	}
	r := execute(t, store, kv.Range{Interval: everything, KeysOnly: true}.Encode()).Reply.(kv.RangeReply)
	if r.More || len(r.KVs) != n {
		t.Fatalf("%d keys, more %v: keys alone fit", len(r.KVs), r.More)
	}
	all := kv.DeleteRange{Interval: everything, PrevKV: true}
	if r := execute(t, store, all.Encode()); r.Code != kv.CodeAnswerTooLarge {
		t.Fatalf("previous pairs of 10 MB: %v", r.Code)
	}
	txn := kv.Txn{Then: []kv.Op{kv.Range{Interval: everything}, kv.Range{Interval: everything}}}
	replies := execute(t, store, txn.Encode()).Reply.(kv.TxnReply).Replies
	if second := replies[1].(kv.RangeReply); len(second.KVs) != 0 || !second.More || second.Count != n {
		t.Fatalf("the second range of a full answer: %+v", second)
	}
}

// TestDeleteMany deletes more keys than one step of the deletion takes.
func TestDeleteMany(t *testing.T) {
	const n = 1000
	store := &memRows{}
	for i := range n {
		execute(t, store, kv.Put{Key: numbered(i)}.Encode())
	}
	r := execute(t, store, kv.DeleteRange{Interval: everything, PrevKV: true}.Encode())
	reply := r.Reply.(kv.DeleteReply)
	if r.Revision != n+2 || reply.Deleted != n || len(reply.Prev) != n {
		t.Fatalf("revision %d, %d deleted, %d pairs", r.Revision, reply.Deleted, len(reply.Prev))
	}
	if r := execute(t, store, kv.Range{Interval: everything}.Encode()).Reply.(kv.RangeReply); r.Count != 0 {
		t.Fatalf("%d left", r.Count)
	}
}

// TestDeleteTooMany: what one operation deletes is held in memory, so it has a
// bound, over all deletes of a branch; nothing of it is done.
func TestDeleteTooMany(t *testing.T) {
	const most = 1 << 16
	store, err := storage.OpenPebble(storage.Disk(), t.TempDir(), storage.PebbleOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	for i := range most + 1 {
		execute(t, store, kv.Put{Key: numbered(i)}.Encode())
		if i%100 == 0 {
			store.Commit(uint64(i + 1))
		}
	}
	store.Commit(most + 2)
	before := execute(t, store, kv.Range{Interval: everything, CountOnly: true}.Encode())
	half := numbered(most / 2)
	first, second := kv.DeleteRange{Interval: kv.Interval{Key: []byte{0}, End: half}}, kv.DeleteRange{Interval: kv.Interval{Key: half, End: []byte{0}}}
	for _, op := range []kv.Op{kv.DeleteRange{Interval: everything}, kv.Txn{Then: []kv.Op{first, second}}} {
		if r := execute(t, store, op.Encode()); r.Code != kv.CodeTooManyKeys || r.Revision != before.Revision {
			t.Fatalf("%+v: %+v", op, r)
		}
	}
	for _, op := range []kv.DeleteRange{first, second} {
		if r := execute(t, store, op.Encode()); r.Code != kv.CodeOK {
			t.Fatalf("%+v", r)
		}
	}
}
