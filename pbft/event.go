package pbft

import "github.com/tagma-db/tagma/wire"

// EventKind says what happened.
type EventKind uint8

// What a replica tells of itself. Events are data: logs, metrics, golden
// tests and evidence are made from them.
const (
	EventIgnored   EventKind = iota // a message was dropped; Reason says why
	EventLeft                       // the view was left; View is the new one, Reason why
	EventEntered                    // View is active here
	EventPrepared                   // Seq
	EventCommitted                  // Seq
	EventStable                     // Seq
	EventEvidence                   // Peer is shown to be faulty; Reason how
	EventJoined                     // the status round after a start is over
	EventBehind                     // Seq is stable elsewhere and can no longer be replayed here
	EventHalted                     // the replica stopped; Reason why
	EventRelayed                    // a pending request was sent to all at half its time
	EventReplayed                   // Seq was executed on f+1 equal claims
	EventInstalled                  // the state after Seq was fetched from others
	eventEnd
)

var eventNames = [eventEnd]string{"ignored", "left", "entered", "prepared", "committed", "stable",
	"evidence", "joined", "behind", "halted", "relayed", "replayed", "installed"}

// String is the event's name.
func (k EventKind) String() string { return eventNames[k] }

// Reason says why a message was ignored, a view left, or a replica accused.
type Reason uint8

// Reasons.
const (
	ReasonNone         Reason = iota
	ReasonOldView             // of a view that was left
	ReasonWindow              // outside the watermarks
	ReasonDuplicate           // nothing new
	ReasonRelayed             // of a kind that only its author may send
	ReasonUnwanted            // nobody asked for it
	ReasonNull                // the null batch outside a NewView
	ReasonFarView             // more than 2³² views ahead
	ReasonJoining             // this replica has not heard q statuses since its start
	ReasonRate                // more questions than are answered
	ReasonTimeout             // a request was not executed in time
	ReasonNewView             // the new view did not come in time
	ReasonJoin                // f+1 replicas are in higher views
	ReasonAbdication          // the primary left its own view
	ReasonRestart             // the primary restarted and does not know all its votes
	ReasonStop                // clean stop of the primary
	ReasonDisk                // the primary's disk stalls
	ReasonEquivocation        // two different votes for one slot and view
	ReasonBadBatch            // the primary proposed a batch that is provably invalid
	ReasonBadNewView          // a NewView that does not follow from its view-changes
	ReasonDiverged            // a checkpoint that differs from a stable certificate
	ReasonReply               // a reply that differs from f+1 others
	ReasonSignature           // a frame whose signature does not verify
	ReasonAmnesia             // own votes exist that the log here does not know
	ReasonFaults              // more than f replicas are faulty
	ReasonTime                // a batch's time is too far from this replica's clock
	ReasonUnreadable          // this replica's state is not to be read: it joins, stops or repairs
	ReasonUnproven            // an accusation that does not hold
	reasonEnd
)

var reasonNames = [reasonEnd]string{"", "old view", "outside the window", "duplicate", "relayed",
	"unwanted", "null batch", "view too far ahead", "joining", "too many questions",
	"request timed out", "new view timed out", "f+1 replicas are in higher views", "primary abdicated",
	"primary restarted", "clean stop", "disk stalls", "equivocation", "invalid batch",
	"invalid new-view", "checkpoint differs from the stable one",
	"reply differs from f+1 others", "invalid signature", "amnesia", "more than f faults", "time too far from this clock",
	"state not readable", "accusation not proven"}

// String is the reason in words.
func (r Reason) String() string {
	if r >= reasonEnd {
		return "unknown"
	}
	return reasonNames[r]
}

// Event is one thing that happened. Fields that do not apply are zero; Peer
// is −1 where no replica is meant.
type Event struct {
	Kind   EventKind
	Reason Reason
	Peer   int
	View   View
	Seq    Seq
	Digest wire.Digest
	Of     Kind // kind of the message ignored
}
