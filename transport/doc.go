// Package transport carries opaque frames between processes that know each
// other's Ed25519 keys. A frame is a []byte of 1 to MaxFrame bytes; on the
// connection it is a 4-byte big-endian length and its bytes, inside TLS 1.3.
//
// It is not a protocol: it never looks into a frame, resends nothing,
// acknowledges nothing and sends nothing of its own after the greeting. A link
// keeps the order of the frames of one connection and loses frames only when
// the connection breaks or a queue is full; whoever needs more says it again.
//
// The node and the client call it. A program makes one Identity and one Inbox,
// calls Serve for what comes to it and Dial for each link it wants, and drains
// the Inbox from one loop, woken by Inbox.Ready, or on the goroutine of the link
// that brings a frame, called by Inbox.OnArrival.
//
// The one rule: what the other end does, or fails to do, costs bounded memory
// and holds up nobody but itself. Junk from others is an Event, never an error.
//
// # Trust
//
// The certificate is made in memory and proves only that its holder has the
// private key; the key is the identity. A dialer accepts exactly the key it
// wants, a server asks Allow. In TLS 1.3 a client finishes its handshake before
// the server has judged the client's key, so an accepting server writes one
// greeting byte, and only that byte makes a dialed link connected.
//
// # Invariants
//
//   - T1 Known: no frame reaches the Inbox, and no callback but Event is
//     called, before the other end has proven a key that was wanted or allowed.
//   - T2 Ordered: frames of one connection arrive in the order they were sent,
//     whole, each at most once.
//   - T3 Bounded: a queue refuses what would take it beyond its bound, except
//     that an empty queue takes anything; bytes that have not arrived are not
//     allocated for, beyond one chunk of 64 KiB.
//   - T4 Fair: a key that floods the Inbox delays the frames of another key by
//     at most one frame of every key that has some waiting.
//   - T5 Quiet: an idle link sends nothing and holds no timer.
//   - T6 Clean: when Server.Close and the Close of every dialed link have
//     returned, no goroutine of this package is left and no callback will run.
//
// # Cost of a connection
//
// Two goroutines, a 64 KiB write buffer and a 16 KiB read buffer. Few and small
// frames leave on the goroutine that sends them; the link's writer takes over
// once the system does not take all at once. A frame sent is not copied before
// the write buffer and allocates nothing; a frame received
// is one allocation (two of its size above 64 KiB, see readFrame).
package transport
