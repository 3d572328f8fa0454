package transport

import "fmt"

// Kind says what an Event reports. The zero Kind is never reported.
type Kind uint8

// The kinds of events. All but DroppedFrames and AcceptFailed are the other
// end's doing, or the network's.
const (
	// RefusedKey: the other end has another key than wanted, one that Allow
	// refused, or none of type Ed25519.
	RefusedKey Kind = iota + 1
	// BadALPN: the other end does not speak this version of the wire.
	BadALPN
	// BadHandshake: what came was no TLS 1.3 handshake, or it broke off.
	BadHandshake
	// HandshakeTimeout: the handshake and greeting took longer than 5 s.
	HandshakeTimeout
	// Unwelcome: the dialed server proved its key but closed the connection
	// instead of greeting: most likely it does not allow our key.
	Unwelcome
	// Unreachable: no TCP connection could be made to the dialed address.
	Unreachable
	// TooManyConnections: a server had 256 unproven connections and closed the
	// new one, or 64 connections of one key and closed the oldest.
	TooManyConnections
	// BadFrame: the other end announced a frame of 0 or more than MaxFrame bytes.
	BadFrame
	// Stalled: the other end took nothing for 10 s while frames were waiting.
	Stalled
	// DroppedFrames: Send refused Count frames. It is reported once for each
	// run of refusals, when the queue has drained or the link is made or lost.
	DroppedFrames
	// AcceptFailed: the operating system gave no connection to the server,
	// usually for want of file descriptors; the server goes on trying.
	AcceptFailed
)

var kindNames = [...]string{
	RefusedKey:         "refused-key",
	BadALPN:            "bad-alpn",
	BadHandshake:       "bad-handshake",
	HandshakeTimeout:   "handshake-timeout",
	Unwelcome:          "unwelcome",
	Unreachable:        "unreachable",
	TooManyConnections: "too-many-connections",
	BadFrame:           "bad-frame",
	Stalled:            "stalled",
	DroppedFrames:      "dropped-frames",
	AcceptFailed:       "accept-failed",
}

// String returns the kind's name: lower case, words joined by hyphens, fit for
// a metric's label.
func (k Kind) String() string {
	if int(k) < len(kindNames) && kindNames[k] != "" {
		return kindNames[k]
	}
	return fmt.Sprintf("kind-%d", uint8(k))
}

// Event reports something that an operator may want to know or count.
// It holds no secret. Event functions are called from many goroutines at once
// and must return quickly and never call Close.
type Event struct {
	Kind   Kind
	Key    Key    // the key the other end has proven, or the one a dialer wants; zero if unknown
	Addr   string // the other end: the dialed address as given, or the remote "host:port"
	Reason string // for people; at most 200 bytes, and may quote what the other end sent
	Count  int    // DroppedFrames: how many frames; else 1
}

// maxReason bounds Event.Reason, because crypto/tls quotes the other end.
const maxReason = 200

func newEvent(kind Kind, key Key, addr, reason string) Event {
	return Event{Kind: kind, Key: key, Addr: addr, Reason: reason[:min(len(reason), maxReason)], Count: 1}
}
