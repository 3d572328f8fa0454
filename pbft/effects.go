package pbft

import "github.com/tagma-db/tagma/wire"

// Input is what a Replica is told. The concrete types are those below.
type Input interface{ input() }

// FromClient is the sender of what did not come over a replica's link.
const FromClient = -1

// Clock opens every round of inputs.
type Clock struct {
	Now  Ticks // monotonic; timers
	Wall int64 // milliseconds since 1970; only to propose and judge times
}

// Received is a verified message and the replica over whose link it came.
type Received struct {
	From    int // replica, or FromClient
	Message Verified
}

// Invalid is a frame that is no message: its body is malformed, or a signature
// in it is false.
type Invalid struct {
	From  int
	Frame *wire.Frame
}

// Synced says that the first Records records ever emitted are durable.
type Synced struct{ Records uint64 }

// Rooted answers Effects.Roots and an Ordered that asked for a root.
type Rooted struct{ Checkpoint }

// Installed answers Effects.Transfer: the state after slot Seq is here, and
// durable.
type Installed struct {
	Seq     Seq
	Time    int64 // agreed time at Seq
	History wire.Digest
}

// LinkUp says that a link was made, or that a queue that dropped has drained.
type LinkUp struct{ Peer int }

// DiskStall says that a sync takes longer than the primary should impose.
type DiskStall struct{}

// Flush closes a round: what arrived in it is proposed in one batch.
type Flush struct{}

// Stop asks for a clean stop: a primary abdicates.
type Stop struct{}

func (Clock) input()     {}
func (Received) input()  {}
func (Invalid) input()   {}
func (Synced) input()    {}
func (Rooted) input()    {}
func (Installed) input() {}
func (LinkUp) input()    {}
func (DiskStall) input() {}
func (Flush) input()     {}
func (Stop) input()      {}

// ToAll addresses a Send to every other replica of the group.
const ToAll = -1

// Send is a frame for one replica or all others.
type Send struct {
	To    int // replica, or ToAll
	Frame *wire.Frame
}

// Ordered is a committed batch to execute. Slots come without gap.
type Ordered struct {
	Seq      Seq
	Time     int64 // proposed time; 0 for the null batch, which leaves the agreed time
	Digest   wire.Digest
	History  wire.Digest // H(Seq)
	Requests []*Request  // in order; none for the null batch
	Interval bool        // Seq is a multiple of K: a root is due
}

// Refusal is a request that is not held here, for the host to answer.
type Refusal struct {
	Request *Request
	Status  ReplyStatus
}

// Effects is what the host must do after a Step, in the order persist, send,
// execute. The caller owns and reuses it.
type Effects struct {
	Eager   []Send    // may leave at once (docs/protocol.md D3)
	Records [][]byte  // append to the log
	Sync    bool      // sync the log: something waits for it
	Sends   []Send    // leave only once all Records so far are durable
	Execute []Ordered // execute in order
	Roots   []Seq     // root wanted of the state after this slot, which is the last executed
	Refused []Refusal
	Accused []*Evidence // not verified yet; any number for one misdeed
	Reads   []DueRead   // answer, after Execute
	Stable  *Stable     // newest stable certificate, if it changed
	// Transfer is a state that would help this replica, signed by f+1 at least:
	// fetch it, install it and say so. One of an earlier Step may do instead.
	Transfer *Stable
	Events   []Event
	Wake     bool   // a Clock is wanted at the next tick; false: silence
	Halt     Reason // the replica has stopped for good: end the process
}

// Reset empties e for reuse.
func (e *Effects) Reset() {
	clear(e.Eager)
	clear(e.Records)
	clear(e.Sends)
	clear(e.Execute)
	clear(e.Refused)
	clear(e.Accused)
	clear(e.Reads)
	*e = Effects{Eager: e.Eager[:0], Records: e.Records[:0], Sends: e.Sends[:0],
		Execute: e.Execute[:0], Roots: e.Roots[:0], Refused: e.Refused[:0], Reads: e.Reads[:0], Accused: e.Accused[:0], Events: e.Events[:0]}
}

// Admission is what the executed state says of a request.
type Admission uint8

// Admissions.
const (
	Admissible Admission = iota // may execute next
	Executed                    // its number has executed, or can never execute
	NotNow                      // outside its window, or its session cannot open yet
)

// Judge tells from the executed state whether a request can execute. now is
// the time that the next batch would have. Package host implements it.
type Judge interface {
	Judge(q *Request, now int64) Admission
}
