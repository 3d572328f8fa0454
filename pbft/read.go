package pbft

import (
	"github.com/tagma-db/tagma/auth"
	"github.com/tagma-db/tagma/wire"
)

// Read asks one replica what operations that write nothing see in the state
// executed there (docs/protocol.md section 10). A client sends it to each
// replica over that replica's own link; nobody relays it.
type Read struct {
	Nonce    uint64   // the answer carries it
	Full     int      // replica that sends long results; the others send their digests. FullFromAll: all send them
	Keyspace []byte   // 1 to MaxKeyspace bytes
	Ops      [][]byte // 1 to MaxReads, each at most MaxOperation bytes, together MaxRequest
}

const (
	// FullFromAll in Read.Full asks every replica for the results.
	FullFromAll = 1<<16 - 1
	// MaxReads bounds the operations of one Read.
	MaxReads = 64
	// ShortResult is the size in bytes up to which a result is never replaced
	// by its digest.
	ShortResult = 512
)

// Frame encodes the read.
func (q *Read) Frame(c *Config) *wire.Frame {
	var w wire.Writer
	w.U64(q.Nonce)
	w.U16(uint16(q.Full))
	w.Bytes(q.Keyspace)
	w.U16(uint16(len(q.Ops)))
	for _, op := range q.Ops {
		w.Bytes(op)
	}
	return wire.Encode(c.header(KindRead, wire.NoAuthor), w.B)
}

func decodeRead(r *wire.Reader) *Read {
	q := &Read{Nonce: r.U64(), Full: int(r.U16()), Keyspace: r.Bytes(MaxKeyspace)}
	n := r.Count(MaxReads, 4)
	if len(q.Keyspace) == 0 || n == 0 || r.Left() > MaxRequest+4*n {
		r.Fail()
		return q
	}
	q.Ops = make([][]byte, n)
	for i := range q.Ops {
		q.Ops[i] = r.Bytes(MaxOperation)
	}
	return q
}

// ReadKind is what a replica says of one operation of a Read.
type ReadKind uint8

// Kinds of answers.
const (
	ReadRows    ReadKind = iota // the result follows or is known by its digest
	ReadRetry                   // not now
	ReadRefused                 // never without the order: it would write, or costs too much
	readEnd
)

// ReadAnswer answers one Read. Each of its items is a vote: a client believes
// q equal ones.
type ReadAnswer struct {
	Nonce uint64
	Seq   Seq        // slot up to which the state read was executed
	Items []ReadItem // one for each operation, in order; none: not now, for any
}

// ReadItem answers one operation of a Read.
type ReadItem struct {
	Kind    ReadKind
	Version uint64      // the machine's own count of the state read (machine.Reader)
	Digest  wire.Digest // SHA-256 of the result, which does not contain the version
	Full    bool        // the result follows
	Result  []byte      // at most MaxResult bytes, all of an answer together too
	seq     Seq         // of its answer, once received
}

const minReadItem = 1 + 8 + 32 + 1 + 4

// Frame encodes the answer as replica author.
func (a *ReadAnswer) Frame(c *Config, author int) *wire.Frame {
	size := 8 + 8 + 2
	for i := range a.Items {
		size += minReadItem + len(a.Items[i].Result)
	}
	w := wire.Writer{B: make([]byte, 0, size)}
	w.U64(a.Nonce)
	w.U64(uint64(a.Seq))
	w.U16(uint16(len(a.Items)))
	for i := range a.Items {
		x := &a.Items[i]
		w.U8(uint8(x.Kind))
		w.U64(x.Version)
		w.Raw(x.Digest[:])
		w.Bool(x.Full)
		w.Bytes(x.Result)
	}
	return wire.Encode(c.header(KindReadAnswer, author), w.B)
}

func decodeReadAnswer(r *wire.Reader) *ReadAnswer {
	a := &ReadAnswer{Nonce: r.U64(), Seq: Seq(r.U64())}
	n := r.Count(MaxReads, minReadItem)
	if n == 0 {
		return a
	}
	a.Items = make([]ReadItem, n)
	for i := range a.Items {
		x := &a.Items[i]
		*x = ReadItem{Kind: ReadKind(r.U8()), Version: r.U64(), Digest: r.Digest(), Full: r.Bool(), Result: r.Bytes(MaxResult)}
		if x.Kind >= readEnd || x.Kind != ReadRows && x.Full || !x.Full && len(x.Result) != 0 {
			r.Fail()
			return a
		}
	}
	return a
}

// Read returns the message's body if it is a read.
func (m *Message) Read() (*Read, bool) {
	q, ok := m.body.(*Read)
	return q, ok
}

// ReadAnswer returns the message's body if it is the answer to a read.
func (m *Message) ReadAnswer() (*ReadAnswer, bool) {
	a, ok := m.body.(*ReadAnswer)
	return a, ok
}

// Reading is the input that a client, known by its link, sent a Read.
type Reading struct {
	Client auth.PublicKey
	Read   *Read
}

func (Reading) input() {}

// DueRead is a read to answer now: from the state that the Executes of these
// Effects lead to, or, if Late, with the word that it is to come again.
type DueRead struct {
	Reading
	Late bool
}

// reads are those that wait for execution to reach their barrier, by arrival,
// so that barriers ascend: at most Params.PendingCount and PendingSize in all,
// ClientCount and ClientSize of one client.
type reads struct {
	waiting []waitingRead
	size    int
	each    map[auth.PublicKey]share
}

type waitingRead struct {
	Reading
	barrier Seq
	arrived Ticks
}

// cost is the bytes that a waiting read counts for.
func (q *Read) cost() int {
	n := 128 + len(q.Keyspace)
	for _, op := range q.Ops {
		n += len(op) + 32
	}
	return n
}

// barrier is the slot up to which a read that arrives now must see the state:
// the highest for which this replica ever held a prepared certificate, in any
// view and any life, and the low watermark, below which certificates are
// dropped. A write that a client knows to be done was prepared, in memory and
// on disk, at q−f correct replicas at least; one of them is among any q that
// answer, and answers with that write or not at all.
func (r *Replica) barrier() Seq { return max(r.low, r.prepared) }

// readable reports whether the state here may be shown: not before the status
// round after a start is over (D6), nor while a state transfer is awaited.
func (r *Replica) readable() bool { return !r.joining && !r.stopped && !r.behind }

// onRead answers a read at once, lets it wait, or refuses it. Nothing is
// logged, asked for or sent to other replicas for its sake.
func (r *Replica) onRead(in Reading) {
	if !r.readable() {
		r.event(Event{Kind: EventIgnored, Reason: ReasonUnreadable, Peer: FromClient, Of: KindRead})
		return
	}
	barrier := r.barrier()
	if r.ordered >= barrier {
		r.eff.Reads = append(r.eff.Reads, DueRead{in, false})
		return
	}
	q, size, of := &r.reads, in.Read.cost(), r.reads.each[in.Client]
	if len(q.waiting) >= r.p.PendingCount || q.size+size > r.p.PendingSize ||
		of.count >= r.p.ClientCount || of.size+size > r.p.ClientSize {
		r.eff.Reads = append(r.eff.Reads, DueRead{in, true})
		return
	}
	q.size += size
	q.each[in.Client] = share{of.count + 1, of.size + size}
	q.waiting = append(q.waiting, waitingRead{in, barrier, r.now})
}

// serveReads ends the waiting of reads whose barrier is reached, or that have
// waited for a base time-out.
func (r *Replica) serveReads() {
	q := &r.reads
	if len(q.waiting) > 0 && !r.readable() {
		*q = reads{each: map[auth.PublicKey]share{}}
	}
	n := 0
	for ; n < len(q.waiting); n++ {
		x := &q.waiting[n]
		late := r.ordered < x.barrier
		if late && r.now-x.arrived < r.p.ViewTimeout {
			break
		}
		r.eff.Reads = append(r.eff.Reads, DueRead{x.Reading, late})
		size, of := x.Read.cost(), q.each[x.Client]
		q.size -= size
		if of.count == 1 {
			delete(q.each, x.Client)
		} else {
			q.each[x.Client] = share{of.count - 1, of.size - size}
		}
		*x = waitingRead{}
	}
	q.waiting = q.waiting[n:]
}
