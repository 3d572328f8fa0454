package pbft

import (
	"crypto/sha256"

	"github.com/tagma-db/tagma/auth"
	"github.com/tagma-db/tagma/wire"
)

// Kind is the kind of a message; it stands in the frame's tag.
type Kind uint8

// The messages of docs/protocol.md section 2. Probe and Report are how an
// operator's tool asks one replica what it sees; nobody believes a Report alone.
const (
	KindRequest Kind = iota + 1
	KindBatch
	KindPrePrepare
	KindPrepare
	KindCommit
	KindReply
	KindCheckpoint
	KindViewChange
	KindNewView
	KindStatus
	KindFetch
	KindProbe
	KindReport
	KindStateFetch
	KindStateBlob
	KindRead
	KindReadAnswer
	kindEnd
)

var kindNames = [kindEnd]string{"", "request", "batch", "pre-prepare", "prepare", "commit", "reply",
	"checkpoint", "view-change", "new-view", "status", "fetch", "probe", "report", "state fetch", "state blob",
	"read", "read answer"}

// String is the kind's name as docs/protocol.md spells it.
func (k Kind) String() string {
	if k >= kindEnd || k == 0 {
		return "unknown"
	}
	return kindNames[k]
}

// Message is a decoded frame whose signatures nobody has checked yet.
type Message struct {
	Frame *wire.Frame
	body  any // *Request, *Batch, *Vote, *Reply, *Checkpoint, *ViewChange, *NewView, *Status, *Fetch, *Probe, *Report, *StateFetch, *StateBlob, *Read or *ReadAnswer
}

// Kind is the message's kind.
func (m *Message) Kind() Kind { return Kind(m.Frame.Kind) }

// Author is the replica that the frame names as its author; meaningless for
// requests and batches.
func (m *Message) Author() int { return int(m.Frame.Author) }

// SessionID names a session of one client in one keyspace. Its first eight
// bytes are the client's time at opening, milliseconds, big-endian.
type SessionID [16]byte

// Opened is the client's time at the session's opening, in milliseconds.
func (s SessionID) Opened() int64 {
	r := wire.NewReader(s[:8])
	return r.I64()
}

// Request is what a client asks: operations on one keyspace.
type Request struct {
	Keyspace []byte
	Client   auth.PublicKey
	Session  SessionID
	Number   uint64 // from 1, each at most once
	Acked    uint64 // the client has the results of all numbers up to this
	Count    int    // operations, 1 to MaxOperations
	ops      []byte
	frame    *wire.Frame
}

// Frame is the request's frame.
func (q *Request) Frame() *wire.Frame { return q.frame }

// Each calls yield for every operation in order; op aliases the frame.
func (q *Request) Each(yield func(op []byte)) {
	r := wire.NewReader(q.ops)
	for range q.Count {
		yield(r.Bytes(MaxOperation))
	}
}

func (q *Request) encode() []byte {
	var w wire.Writer
	w.Bytes(q.Keyspace)
	w.Raw(q.Client[:])
	w.Raw(q.Session[:])
	w.U64(q.Number)
	w.U64(q.Acked)
	w.U16(uint16(q.Count))
	w.Raw(q.ops)
	return w.B
}

func decodeRequest(r *wire.Reader, frame *wire.Frame) *Request {
	q := &Request{frame: frame}
	q.Keyspace = r.Bytes(MaxKeyspace)
	copy(q.Client[:], r.Raw(len(q.Client)))
	copy(q.Session[:], r.Raw(len(q.Session)))
	q.Number = r.U64()
	q.Acked = r.U64()
	q.Count = r.Count(MaxOperations, 4)
	if len(q.Keyspace) == 0 || q.Number == 0 || q.Acked >= q.Number || q.Count == 0 || r.Left() > MaxRequest {
		r.Fail()
		return q
	}
	q.ops = r.Raw(r.Left())
	ops := wire.NewReader(q.ops)
	for range q.Count {
		ops.Bytes(MaxOperation)
	}
	if ops.Done() != nil {
		r.Fail()
	}
	return q
}

// NewRequest signs a request with the given operations.
func NewRequest(c *Config, s auth.Signer, q Request, ops [][]byte) *Request {
	var w wire.Writer
	for _, op := range ops {
		w.Bytes(op)
	}
	q.Client, q.Count, q.ops = s.Public(), len(ops), w.B
	q.frame = wire.EncodeSigned(c.header(KindRequest, wire.NoAuthor), q.encode(), s.Sign)
	return &q
}

// Batch is the requests ordered under one sequence number. It is addressed
// by the digest of its frame.
type Batch struct {
	Time     int64 // proposed time, milliseconds
	Requests []wire.Digest
}

func (b *Batch) encode() []byte {
	var w wire.Writer
	w.I64(b.Time)
	w.U16(uint16(len(b.Requests)))
	for _, d := range b.Requests {
		w.Raw(d[:])
	}
	return w.B
}

func decodeBatch(c *Config, r *wire.Reader) *Batch {
	b := &Batch{Time: r.I64()}
	if b.Time < 0 {
		r.Fail()
	}
	b.Requests = decodeDigests(r, min(c.Params.BatchCount, MaxBatch))
	return b
}

func decodeDigests(r *wire.Reader, max int) []wire.Digest {
	n := r.Count(max, 32)
	if n == 0 {
		return nil
	}
	out := make([]wire.Digest, n)
	for i := range out {
		out[i] = r.Digest()
	}
	return out
}

// Vote is the body of a pre-prepare, a prepare and a commit.
type Vote struct {
	View   View
	Seq    Seq
	Digest wire.Digest // of the batch; zero is the null batch
}

func (v Vote) encode() []byte {
	w := wire.Writer{B: make([]byte, 0, 48)}
	w.U64(uint64(v.View))
	w.U64(uint64(v.Seq))
	w.Raw(v.Digest[:])
	return w.B
}

func decodeVote(r *wire.Reader) *Vote {
	v := &Vote{View: View(r.U64()), Seq: Seq(r.U64()), Digest: r.Digest()}
	if v.Seq == 0 || v.Seq > maxSeq || v.View > maxView {
		r.Fail()
	}
	return v
}

// Status of a Reply.
type ReplyStatus uint8

// What a reply says of a request. Only Done and the definite errors are
// outcomes: Busy and Refused say that nothing is held here.
const (
	Done    ReplyStatus = iota // executed; the result follows or is known by its digest
	Busy                       // not held here: queue full
	Refused                    // not admissible now: retry
	Expired                    // definite for a number never sent before: the session has expired or cannot be opened
	TooOld                     // definite: done earlier, the result is no longer kept
	Reused                     // definite: the number was used for another request
	Denied                     // definite: this key may not use this keyspace
	replyEnd
)

// Definite reports whether the status is an outcome that f+1 replicas can vouch for.
func (s ReplyStatus) Definite() bool { return s != Busy && s != Refused }

// Reply answers one request.
type Reply struct {
	Session SessionID
	Number  uint64
	Seq     Seq  // slot that executed it; 0 if Busy or Refused
	View    View // a hint
	Status  ReplyStatus
	Digest  wire.Digest // SHA-256 of the result
	Full    bool        // the result follows
	Result  []byte
}

// ResultDigest is the digest of a result in a reply.
func ResultDigest(result []byte) wire.Digest { return sha256.Sum256(result) }

// Frame encodes the reply as replica author.
func (p *Reply) Frame(c *Config, author int) *wire.Frame {
	var w wire.Writer
	w.Raw(p.Session[:])
	w.U64(p.Number)
	w.U64(uint64(p.Seq))
	w.U64(uint64(p.View))
	w.U8(uint8(p.Status))
	w.Raw(p.Digest[:])
	w.Bool(p.Full)
	w.Bytes(p.Result)
	return wire.Encode(c.header(KindReply, author), w.B)
}

func decodeReply(r *wire.Reader) *Reply {
	p := &Reply{}
	copy(p.Session[:], r.Raw(len(p.Session)))
	p.Number = r.U64()
	p.Seq = Seq(r.U64())
	p.View = View(r.U64())
	p.Status = ReplyStatus(r.U8())
	p.Digest = r.Digest()
	p.Full = r.Bool()
	p.Result = r.Bytes(MaxResult)
	if p.Status >= replyEnd || !p.Full && len(p.Result) != 0 {
		r.Fail()
	}
	return p
}

// EncodeResults joins the results of a request's operations into its result.
func EncodeResults(w *wire.Writer, result []byte) { w.Bytes(result) }

// DecodeResults splits a request's result into those of its operations.
func DecodeResults(result []byte, count int) ([][]byte, error) {
	if count < 0 || count > MaxOperations {
		return nil, wire.ErrMalformed
	}
	r := wire.NewReader(result)
	out := make([][]byte, count)
	for i := range out {
		out[i] = r.Bytes(MaxResult)
	}
	return out, r.Done()
}

// Checkpoint is a vote for the state after a slot.
type Checkpoint struct {
	Seq  Seq
	Time int64 // agreed time at Seq
	Root wire.Digest
	Mark wire.Digest // set by the machine, else zero
}

func (k Checkpoint) encode() []byte {
	w := wire.Writer{B: make([]byte, 0, 80)}
	w.U64(uint64(k.Seq))
	w.I64(k.Time)
	w.Raw(k.Root[:])
	w.Raw(k.Mark[:])
	return w.B
}

func decodeCheckpoint(r *wire.Reader) *Checkpoint {
	k := &Checkpoint{Seq: Seq(r.U64()), Time: r.I64(), Root: r.Digest(), Mark: r.Digest()}
	if k.Seq == 0 || k.Seq > maxSeq {
		r.Fail()
	}
	return k
}

// Stable is a stable certificate: q matching checkpoints of distinct
// replicas, sorted by author. Nil stands for the genesis state, slot 0.
type Stable struct {
	Checkpoint
	frames []*wire.Frame
}

// seq is the slot, 0 for nil.
func (s *Stable) seq() Seq {
	if s == nil {
		return 0
	}
	return s.Seq
}

// Frames are the q signed checkpoints.
func (s *Stable) Frames() []*wire.Frame { return s.frames }

func encodeFrames(w *wire.Writer, frames []*wire.Frame) {
	w.U16(uint16(len(frames)))
	for _, f := range frames {
		w.Bytes(f.Raw())
	}
}

// Prepared is a prepared certificate: the pre-prepare and q−1 prepares of
// distinct backups for one (view, seq, digest), sorted by author.
type Prepared struct {
	Vote
	proposal *wire.Frame
	prepares []*wire.Frame
}

func (p *Prepared) encode(w *wire.Writer) {
	w.Bytes(p.proposal.Raw())
	encodeFrames(w, p.prepares)
}

// Request returns the message's body if it is a request.
func (m *Message) Request() (*Request, bool) {
	q, ok := m.body.(*Request)
	return q, ok
}

// Probe returns the message's body if it is a probe.
func (m *Message) Probe() (*Probe, bool) {
	p, ok := m.body.(*Probe)
	return p, ok
}

// Reply returns the message's body if it is a reply.
func (m *Message) Reply() (*Reply, bool) {
	p, ok := m.body.(*Reply)
	return p, ok
}

// Report returns the message's body if it is a report.
func (m *Message) Report() (*Report, bool) {
	p, ok := m.body.(*Report)
	return p, ok
}

// Vote returns the message's body if it is a pre-prepare, prepare or commit.
func (m *Message) Vote() (Vote, bool) {
	v, ok := m.body.(*Vote)
	if !ok {
		return Vote{}, false
	}
	return *v, true
}

// Checkpoint returns the message's body if it is a checkpoint.
func (m *Message) Checkpoint() (Checkpoint, bool) {
	k, ok := m.body.(*Checkpoint)
	if !ok {
		return Checkpoint{}, false
	}
	return *k, true
}

// Batch returns the message's body if it is a batch.
func (m *Message) Batch() (*Batch, bool) {
	b, ok := m.body.(*Batch)
	return b, ok
}
