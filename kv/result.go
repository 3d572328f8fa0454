package kv

import "github.com/tagma-db/tagma/wire"

// MaxResult bounds an encoded result, in bytes: the pairs, and for each
// operation of a transaction a key to go on with and a few numbers.
const MaxResult = MaxPayload + MaxTxnOps*(MaxKey+64)

// KV is a key with its value and its history in numbers.
type KV struct {
	Key, Value []byte
	Create     int64 // revision of the put that made the key
	Mod        int64 // revision of the newest put
	Version    int64 // puts since it was made
	Lease      int64 // 0: none
}

const minKV = 4 + 4 + 4*8 // bytes of an encoded KV around key and value

// size is what a pair takes in a result.
func (kv *KV) size() int { return minKV + len(kv.Key) + len(kv.Value) }

// Result is the answer to an operation.
type Result struct {
	Code      Code
	Revision  int64 // of the store, after the operation
	Compacted int64 // with CodeCompacted: the lowest revision that can be read, else 0
	Reply     Reply // with CodeOK, else nil
}

// Reply is what an operation that is done has to say: PutReply, RangeReply,
// DeleteReply, TxnReply or CompactReply.
type Reply interface{ encode(w *wire.Writer) }

// PutReply answers Put.
type PutReply struct {
	Prev *KV // nil if there was none, or it was not asked for
}

// RangeReply answers Range. KVs are in the order asked for. Count is the number
// of keys in the interval, whatever filters, limit and cut leave out. More says
// that the limit, or the cut at MaxPayload bytes of all pairs of the result,
// left out pairs that pass the filters, and Next is the first of them in the
// order of the answer. In key order it is where to go on: with Key = Next if
// ascending, with End = Next and a zero byte if descending. An answer in
// another order that was cut (More, though KVs are fewer than the limit) has to
// be read in key order instead. Only within a Txn can a cut leave no pair.
type RangeReply struct {
	KVs   []KV
	More  bool
	Count int64
	Next  []byte // empty if not More
}

// DeleteReply answers DeleteRange. Prev, if asked for, is in key order.
type DeleteReply struct {
	Deleted int64
	Prev    []KV
}

// TxnReply answers Txn, with one reply for each operation of the branch that
// ran, at most MaxTxnOps. If the transaction changed anything, replies before
// its first change stand at the revision before Result.Revision.
type TxnReply struct {
	Succeeded bool // Then ran
	Replies   []Reply
}

// CompactReply answers Compact.
type CompactReply struct{}

// Encode is the result's canonical encoding.
func (r Result) Encode() []byte {
	var w wire.Writer
	w.U8(uint8(r.Code))
	w.I64(r.Revision)
	switch r.Code {
	case CodeOK:
		r.Reply.encode(&w)
	case CodeCompacted:
		w.I64(r.Compacted)
	}
	return w.B
}

func (r PutReply) encode(w *wire.Writer) {
	w.U8(opPut)
	w.Bool(r.Prev != nil)
	if r.Prev != nil {
		r.Prev.encode(w)
	}
}

func (r RangeReply) encode(w *wire.Writer) {
	w.U8(opRange)
	encodeKVs(w, r.KVs)
	w.I64(r.Count)
	w.Bool(r.More)
	if r.More {
		w.Bytes(r.Next)
	}
}

func (r DeleteReply) encode(w *wire.Writer) {
	w.U8(opDeleteRange)
	w.I64(r.Deleted)
	encodeKVs(w, r.Prev)
}

func (r TxnReply) encode(w *wire.Writer) {
	w.U8(opTxn)
	w.Bool(r.Succeeded)
	w.U16(uint16(len(r.Replies)))
	for _, reply := range r.Replies {
		reply.encode(w)
	}
}

func (CompactReply) encode(w *wire.Writer) { w.U8(opCompact) }

// encodeKVs relies on MaxPayload: pairs of at least minKV+1 bytes are fewer
// than a two-byte count can say.
func encodeKVs(w *wire.Writer, kvs []KV) {
	w.U16(uint16(len(kvs)))
	for i := range kvs {
		kvs[i].encode(w)
	}
}

func (kv *KV) encode(w *wire.Writer) {
	w.Bytes(kv.Key)
	w.Bytes(kv.Value)
	w.I64(kv.Create)
	w.I64(kv.Mod)
	w.I64(kv.Version)
	w.I64(kv.Lease)
}

// DecodeResult reads one result. Its byte slices alias b. The error is
// wire.ErrMalformed: a replica that answers so is faulty.
func DecodeResult(b []byte) (Result, error) {
	if len(b) > MaxResult {
		return Result{}, wire.ErrMalformed
	}
	d := decoder{Reader: wire.NewReader(b)}
	res := Result{Code: Code(d.enum(codes - 1)), Revision: d.I64()}
	switch res.Code {
	case CodeOK:
		res.Reply = d.reply()
	case CodeCompacted:
		res.Compacted = d.I64()
	}
	if err := d.Done(); err != nil {
		return Result{}, err
	}
	return res, nil
}

func (d *decoder) reply() Reply {
	switch code := d.U8(); code {
	case opTxn:
		return d.txnReply()
	case opCompact:
		return CompactReply{}
	default:
		return d.simpleReply(code)
	}
}

func (d *decoder) txnReply() Reply {
	reply := TxnReply{Succeeded: d.Bool()}
	n := d.count(2)
	if n > 0 {
		reply.Replies = make([]Reply, n)
	}
	for i := range reply.Replies {
		reply.Replies[i] = d.simpleReply(d.U8())
	}
	return reply
}

func (d *decoder) simpleReply(code uint8) Reply {
	switch code {
	case opPut:
		var reply PutReply
		if d.Bool() {
			kv := d.kv()
			reply.Prev = &kv
		}
		return reply
	case opRange:
		reply := RangeReply{KVs: d.kvs(), Count: d.I64(), More: d.Bool()}
		if reply.More {
			reply.Next = d.key(MaxKey)
		}
		return reply
	case opDeleteRange:
		return DeleteReply{Deleted: d.I64(), Prev: d.kvs()}
	}
	d.Fail()
	return nil
}

func (d *decoder) kvs() []KV {
	n := d.Count(maxCount, minKV+1)
	if n == 0 {
		return nil
	}
	kvs := make([]KV, n)
	for i := range kvs {
		kvs[i] = d.kv()
	}
	return kvs
}

func (d *decoder) kv() KV {
	return KV{
		Key: d.key(MaxKey), Value: d.Bytes(MaxOp),
		Create: d.I64(), Mod: d.I64(), Version: d.I64(), Lease: d.I64(),
	}
}
