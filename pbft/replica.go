package pbft

import (
	"github.com/tagma-db/tagma/auth"
	"github.com/tagma-db/tagma/quorum"
	"github.com/tagma-db/tagma/wire"
)

// Replica is one member of a group in one epoch. It is single-threaded and
// changes only in Step.
type Replica struct {
	cfg   *Config
	p     Params
	n     quorum.Size
	self  int
	sign  auth.Signer
	judge Judge
	eff   *Effects // of the Step under way

	now  Ticks
	wall int64

	// Where it stands.
	view    View
	active  bool // in view 0, or NewView(view) is accepted
	stopped bool // halted, or stopping cleanly: no vote any more
	halted  bool
	behind  bool // below the stable checkpoint and past replay: needs state transfer
	low     Seq  // h, the low watermark
	stable  *Stable
	ordered Seq   // executed: handed to the host, in order
	agreed  int64 // agreed time at ordered
	history wire.Digest

	kept Seq // executed slots that the archive keeps at most

	slots []slot // ring of L, by Seq mod L; (low, low+L] are in use
	fixed Seq    // slots up to this one were chosen by the NewView of view

	// Unordered reads.
	prepared Seq // highest slot of which a prepared certificate was ever held
	reads    reads

	// Durability.
	appended  uint64  // records emitted
	synced    uint64  // of which durable
	mark      Seq     // D: highest slot that the synced log speaks of
	awaits    []await // ascending by record; bounded by the votes in two windows
	votable   uint64  // no vote in view before this record is synced
	abstain   Seq     // no vote in abstainIn up to this slot, but those found in the log
	abstainIn View

	// Requests and content.
	pending   pending
	store     store
	arrived   bool // content that was wanted came since the last look
	discarded int  // bytes of bodies that left pending and not the store
	offClock  Seq  // slot that is not voted for because of its time, 0: none

	// Primary.
	next Seq // next slot to propose

	// Liveness.
	start      Ticks // ages count from here: NewView, or end of a catch-up
	progress   Ticks // last execution
	timeout    Ticks // of this view
	slowest    Ticks // slowest slot since the last stable checkpoint
	stalled    bool  // abdicated for the disk since the last stable checkpoint
	newViewAt  Ticks // when it started, 0: not running
	resendAt   Ticks // next resend of the view-change, 0: none
	resendWait Ticks

	// View change.
	change     *change   // own view-change of view, nil in view 0 or after a jump
	changes    []*change // by author, the newest
	wantedNew  *Message  // NewView whose view-changes are being fetched
	fetched    []*change // view-changes fetched for wantedNew, at most q
	newView    *Message  // accepted NewView of view
	newChanges []*change // the q view-changes that it names
	peers      []peer    // by replica

	// Checkpoints.
	votes    [][]*Message // by author, newest first, at most L/K+2
	rootedAt Seq          // highest slot whose root was asked for or is known

	// Status.
	joining   bool // the status round after the start is not over
	answers   quorum.Set
	counter   uint64
	statusAt  Ticks // next status, 0: none
	statusGap Ticks
}

// peer is what is known of another replica. None of it is trusted alone.
type peer struct {
	view     View
	executed Seq
	base     Seq           // claims[i] is said to be executed at base+1+i
	claims   []wire.Digest // at most MaxClaims
	asked    Ticks         // when it last asked
	opened   Ticks         // when its last NewView was opened, plus 1
	answers  int           // questions of its that were answered in that tick
	exposed  View          // relayed its conflicting vote of a view below this
}

// slot is what is known of one sequence number above the low watermark.
type slot struct {
	seq       Seq
	proposal  *Message // accepted pre-prepare of the present view
	future    *Message // newest pre-prepare of a higher view
	arrived   Ticks
	ripe      Ticks      // when it came within reach of execution: in the window, bodies held
	prepares  []*Message // by author, the newest view
	spares    []*Message // by author: beyond a quorum, kept with its signature unchecked
	commits   []commit   // by author, the newest view
	cert      *Prepared  // of the highest view, held with its bodies
	voted     bool       // own vote in the present view is out
	own       *Message   // own vote: pre-prepare or prepare, of view own.View
	certain   bool       // cert is of the present view and its Commit is on its way
	committed bool
	digest    wire.Digest // if committed
}

type commit struct {
	vote Vote
	ok   bool
}

// await is what becomes true once a record is durable.
type await struct {
	record uint64
	seq    Seq   // D rises to it
	commit *Vote // own commit counts
}

// Options of a new Replica.
type Options struct {
	Config  *Config
	Self    int
	Signer  auth.Signer
	Judge   Judge
	Counter uint64 // differs at every start, never 0: the log's boot number
	Archive Seq    // executed slots kept at most for replicas that lag; 0: 16 L
}

// newReplica makes a replica in the state of its genesis record.
func newReplica(o Options) *Replica {
	r := &Replica{cfg: o.Config, p: o.Config.Params, n: o.Config.Size(), self: o.Self, sign: o.Signer, judge: o.Judge,
		active: true, joining: true, counter: o.Counter, next: 1, timeout: o.Config.Params.ViewTimeout,
		statusGap: o.Config.Params.StatusMin, kept: o.Archive}
	if r.kept == 0 {
		r.kept = 16 * r.p.Log
	}
	if !r.n.Valid() || r.self < 0 || r.self >= int(r.n) || r.p.Log < 2*r.p.Interval || r.p.Window > r.p.Log {
		panic("pbft: impossible configuration")
	}
	r.slots = make([]slot, r.p.Log)
	r.changes = make([]*change, r.n)
	r.peers = make([]peer, r.n)
	r.votes = make([][]*Message, r.n)
	r.pending = newPending(&r.p)
	r.store = newStore()
	r.reads.each = map[auth.PublicKey]share{}
	r.answers.Add(r.self)
	return r
}

// Step applies one input and appends what follows to out.
func (r *Replica) Step(in Input, out *Effects) {
	if r.halted {
		out.Halt = ReasonFaults
		return
	}
	r.eff = out
	switch in := in.(type) {
	case Clock:
		r.clock(in)
	case Received:
		r.receive(in.From, in.Message)
	case Invalid:
		r.invalid(in)
	case Synced:
		r.onSynced(in.Records)
	case Rooted:
		r.onRooted(in.Checkpoint)
	case Installed:
		r.onInstalled(in)
	case LinkUp:
		r.ask(in.Peer)
	case Reading:
		r.onRead(in)
	case DiskStall:
		if !r.stalled && r.isPrimary() && r.canVote() {
			r.stalled = true
			r.abdicate(ReasonDisk)
		}
	case Flush:
		r.catchUp()
		r.propose()
	case Stop:
		if r.isPrimary() && r.canVote() && r.n > 1 {
			r.abdicate(ReasonStop)
		}
		r.stopped = true
	}
	r.serveReads()
	out.Wake = r.armed()
	r.eff = nil
}

// receive dispatches one verified message.
func (r *Replica) receive(from int, m Verified) {
	author := m.Author()
	if !m.Kind().authorless() && author == r.self {
		r.onOwn(m)
		return
	}
	if !m.Kind().signed() && !m.Kind().authorless() && author != from {
		r.ignore(m.Message, ReasonRelayed)
		return
	}
	switch b := m.body.(type) {
	case *Request:
		r.onRequest(from, b)
	case *Batch:
		r.onBatch(from, m.Message, b)
	case *Vote:
		r.onVote(m.Message, b)
	case *Checkpoint:
		r.onCheckpoint(m.Message, b)
	case *ViewChange:
		r.onViewChange(m.Message, b)
	case *NewView:
		r.onNewView(m.Message, b)
	case *Status:
		r.onStatus(from, b)
	case *Fetch:
		r.onFetch(from, b)
	case *Read:
		r.event(Event{Kind: EventIgnored, Reason: ReasonRelayed, Peer: from, Of: KindRead})
	}
}

func (r *Replica) onVote(m *Message, v *Vote) {
	if v.View > r.view && v.View-r.view > maxViewJump {
		r.ignore(m, ReasonFarView)
		return
	}
	if v.Seq <= r.low || v.Seq > r.low+r.p.Log || v.Seq <= r.ordered && m.Kind() == KindCommit {
		r.ignore(m, ReasonWindow)
		return
	}
	switch m.Kind() {
	case KindPrePrepare:
		r.onPrePrepare(m, v)
	case KindPrepare:
		r.onPrepare(m, v)
	default:
		r.onCommit(m, v)
	}
}

// Wants is asked before the signatures of m are paid for. After a false answer
// the caller forgets m; a true one promises nothing.
func (r *Replica) Wants(from int, m *Message) bool {
	switch b := m.body.(type) {
	case *Vote:
		if m.Author() == r.self {
			return true
		}
		if b.Seq <= r.low || b.Seq > r.low+r.p.Log || m.Kind() != KindCommit && b.View < r.view {
			return false
		}
		s := r.peek(b.Seq)
		if s == nil {
			return true
		}
		return s.wants(from, m, b)
	case *Checkpoint:
		return m.Author() == r.self || b.Seq >= r.low
	case *ViewChange:
		c := r.changes[m.Author()]
		return m.Author() == r.self || c == nil || b.View > c.View || b.View == c.View && m.Frame.Digest() != c.frame.Digest() ||
			r.wantsChange(m.Frame.Digest())
	case *NewView:
		return r.wantsNewView(m, b)
	}
	return true
}

// wants reports whether a vote would be news. A prepare that agrees with a
// certificate held already is not: it is kept unchecked, for the day on which
// its author, from whose own link it came, is heard to say something else.
func (s *slot) wants(from int, m *Message, v *Vote) bool {
	switch m.Kind() {
	case KindPrePrepare:
		for _, have := range []*Message{s.proposal, s.future} {
			if have != nil && *have.body.(*Vote) == *v {
				return false
			}
		}
	case KindPrepare:
		have := s.prepares[m.Author()]
		if have != nil && *have.body.(*Vote) == *v {
			return false
		}
		if have == nil && s.certain && s.cert.Vote == *v && from == m.Author() {
			s.spares[from] = m
			return false
		}
	}
	return true
}

// slot returns the cell of seq, which must lie in (low, low+L], and empties
// it if it still holds an older slot.
func (r *Replica) slot(seq Seq) *slot {
	s := &r.slots[seq%r.p.Log]
	if s.seq != seq {
		*s = slot{seq: seq, prepares: make([]*Message, r.n), spares: make([]*Message, r.n), commits: make([]commit, r.n)}
	}
	return s
}

// peek returns the cell of seq if it holds that slot.
func (r *Replica) peek(seq Seq) *slot {
	if s := &r.slots[seq%r.p.Log]; s.seq == seq && seq != 0 {
		return s
	}
	return nil
}

func (r *Replica) isPrimary() bool { return r.cfg.Primary(r.view) == r.self }

// canVote reports whether this replica takes part in the present view.
func (r *Replica) canVote() bool {
	return r.active && !r.stopped && !r.joining && r.synced >= r.votable
}

func (r *Replica) event(e Event) { r.eff.Events = append(r.eff.Events, e) }

func (r *Replica) ignore(m *Message, why Reason) {
	r.event(Event{Kind: EventIgnored, Reason: why, Peer: m.Author(), Of: m.Kind()})
}

func (r *Replica) eager(to int, f *wire.Frame) {
	r.eff.Eager = append(r.eff.Eager, Send{to, f})
}

func (r *Replica) send(to int, f *wire.Frame) { r.eff.Sends = append(r.eff.Sends, Send{to, f}) }

func (r *Replica) halt(why Reason, peer int, seq Seq) {
	r.halted, r.stopped, r.eff.Halt = true, true, why
	r.event(Event{Kind: EventHalted, Reason: why, Peer: peer, View: r.view, Seq: seq})
}

// signed makes a frame by this replica.
func (r *Replica) signed(kind Kind, body []byte) *wire.Frame {
	return wire.EncodeSigned(r.cfg.header(kind, r.self), body, r.sign.Sign)
}

// Report says where the replica stands. nonce is the probe's.
func (r *Replica) Report(nonce uint64) *Report {
	p := &Report{Nonce: nonce, View: r.view, Active: r.active, Stable: r.stable.seq(), Executed: r.ordered}
	switch {
	case r.behind:
		p.State = "repairing: fetches the state from others"
	case r.joining:
		p.State = "joining: waits for the status of a quorum"
	case r.offClock != 0:
		p.State = "does not vote: its clock is not within the bound of the primary's"
	}
	return p
}

// View is the present view.
func (r *Replica) View() View { return r.view }
