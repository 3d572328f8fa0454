package kv_test

import (
	"bytes"
	"encoding/hex"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/tagma-db/tagma/kv"
)

var rewrite = flag.Bool("rewrite", false, "rewrite testdata from what the code does now")

// vector is one line of a golden file: a name, and bytes in hexadecimal.
type vector struct {
	name  string
	bytes []byte
}

func compareGolden(t *testing.T, file string, vectors []vector) {
	t.Helper()
	var b strings.Builder
	for _, v := range vectors {
		fmt.Fprintf(&b, "%s\t%s\n", v.name, hex.EncodeToString(v.bytes))
	}
	path := filepath.Join("testdata", file)
	if *rewrite {
		if err := os.WriteFile(path, []byte(b.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if b.String() != string(want) {
		t.Errorf("%s: encodings changed; replicas of two builds would disagree. If that is meant: go test -rewrite\ngot\n%s", path, &b)
	}
}

type namedOp struct {
	name string
	op   kv.Op
}

var goldenOps = []namedOp{
	{"put", kv.Put{Key: []byte("k"), Value: []byte("value")}},
	{"put empty value, prev", kv.Put{Key: []byte{0, 255}, PrevKV: true}},
	{"range one key", kv.Range{Interval: kv.Interval{Key: []byte("k")}}},
	{"range all options", kv.Range{
		Interval: kv.Prefix([]byte("ab")), Revision: 7, Limit: 500, SortBy: kv.TargetValue, Descending: true,
		KeysOnly: true, CountOnly: true, MinMod: 1, MaxMod: 2, MinCreate: 3, MaxCreate: -4,
	}},
	{"delete one key", kv.DeleteRange{Interval: kv.Interval{Key: []byte("k")}}},
	{"delete from key on, prev", kv.DeleteRange{Interval: kv.Interval{Key: []byte("k"), End: []byte{0}}, PrevKV: true}},
	{"txn empty", kv.Txn{}},
	{"txn", kv.Txn{
		Compares: []kv.Compare{
			{Interval: kv.Interval{Key: []byte("k")}, Target: kv.TargetMod, Relation: kv.Equal, Number: 9},
			{Interval: kv.Prefix([]byte("k")), Target: kv.TargetVersion, Relation: kv.Greater},
			{Interval: kv.Interval{Key: []byte("k")}, Target: kv.TargetCreate, Relation: kv.Less, Number: -1},
			{Interval: kv.Interval{Key: []byte("k")}, Target: kv.TargetValue, Relation: kv.NotEqual, Value: []byte("v")},
		},
		Then: []kv.Op{kv.Put{Key: []byte("k"), Value: []byte("v")}, kv.DeleteRange{Interval: kv.Interval{Key: []byte("l")}}},
		Else: []kv.Op{kv.Range{Interval: kv.Interval{Key: []byte("k")}}},
	}},
	{"compact", kv.Compact{Revision: 12}},
}

var pair = kv.KV{Key: []byte("k"), Value: []byte("v"), Create: 2, Mod: 3, Version: 4}

type namedResult struct {
	name   string
	result kv.Result
}

var goldenResults = []namedResult{
	{"put", kv.Result{Revision: 2, Reply: kv.PutReply{}}},
	{"put prev", kv.Result{Revision: 2, Reply: kv.PutReply{Prev: &pair}}},
	{"range", kv.Result{Revision: 9, Reply: kv.RangeReply{KVs: []kv.KV{pair, pair}, Count: 2}}},
	{"range more", kv.Result{Revision: 9, Reply: kv.RangeReply{KVs: []kv.KV{pair}, Count: 7, More: true, Next: []byte("l")}}},
	{"delete", kv.Result{Revision: 3, Reply: kv.DeleteReply{Deleted: 5}}},
	{"delete prev", kv.Result{Revision: 3, Reply: kv.DeleteReply{Deleted: 1, Prev: []kv.KV{pair}}}},
	{"txn", kv.Result{Revision: 3, Reply: kv.TxnReply{Succeeded: true, Replies: []kv.Reply{
		kv.PutReply{}, kv.RangeReply{}, kv.DeleteReply{},
	}}}},
	{"txn empty", kv.Result{Revision: 1, Reply: kv.TxnReply{}}},
	{"compact", kv.Result{Revision: 3, Reply: kv.CompactReply{}}},
	{"malformed", kv.Result{Code: kv.CodeMalformed, Revision: 1}},
	{"empty key", kv.Result{Code: kv.CodeEmptyKey, Revision: 1}},
	{"key too large", kv.Result{Code: kv.CodeKeyTooLarge, Revision: 1}},
	{"too large", kv.Result{Code: kv.CodeTooLarge, Revision: 1}},
	{"too many operations", kv.Result{Code: kv.CodeTooManyOps, Revision: 1}},
	{"duplicate key", kv.Result{Code: kv.CodeDuplicateKey, Revision: 1}},
	{"compacted", kv.Result{Code: kv.CodeCompacted, Revision: 9, Compacted: 8}},
	{"future revision", kv.Result{Code: kv.CodeFutureRevision, Revision: 9}},
	{"answer too large", kv.Result{Code: kv.CodeAnswerTooLarge, Revision: 9}},
	{"too many keys", kv.Result{Code: kv.CodeTooManyKeys, Revision: 9}},
}

func TestGoldenOps(t *testing.T) {
	var vectors []vector
	for _, g := range goldenOps {
		raw := g.op.Encode()
		vectors = append(vectors, vector{g.name, raw})
		if op, err := kv.DecodeOp(raw); err != nil || !bytes.Equal(op.Encode(), raw) {
			t.Errorf("%s does not come back: %+v, %v", g.name, op, err)
		}
	}
	compareGolden(t, "ops.txt", vectors)
}

func TestGoldenResults(t *testing.T) {
	var vectors []vector
	for _, g := range goldenResults {
		raw := g.result.Encode()
		vectors = append(vectors, vector{g.name, raw})
		if result, err := kv.DecodeResult(raw); err != nil || !reflect.DeepEqual(result, g.result) {
			t.Errorf("%s does not come back: %+v, %v", g.name, result, err)
		}
	}
	compareGolden(t, "results.txt", vectors)
}

// TestGoldenRows freezes the row layout: one of each kind of row.
func TestGoldenRows(t *testing.T) {
	store := &memRows{}
	for _, op := range []kv.Op{
		kv.Put{Key: []byte{0}, Value: []byte("near")},
		kv.Txn{Then: []kv.Op{
			kv.Put{Key: []byte("far"), Value: bytes.Repeat([]byte("v"), 513)},
			kv.Put{Key: []byte("b"), Value: bytes.Repeat([]byte("v"), 512)},
		}},
		kv.Put{Key: []byte("b"), Value: nil},
		kv.DeleteRange{Interval: kv.Interval{Key: []byte{0}}},
		kv.Compact{Revision: 4},
	} {
		if r := execute(t, store, op.Encode()); r.Code != kv.CodeOK {
			t.Fatalf("%+v: %v", op, r.Code)
		}
	}
	var vectors []vector
	for _, row := range store.rows {
		vectors = append(vectors, vector{hex.EncodeToString(row.key), row.value})
	}
	compareGolden(t, "rows.txt", vectors)
}
