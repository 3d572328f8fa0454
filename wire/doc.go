// Package wire is Tagma's one byte form: a strict canonical encoding and the
// Frame that is signed, hashed, sent, logged and put into certificates.
//
// It is not a protocol: it knows no message. Everything above it encodes with
// Writer and decodes with Reader. The one rule: a value has exactly one
// encoding, and decoding refuses every other byte string (big-endian fixed
// integers, bounded length prefixes, nothing optional, no trailing bytes).
// Decoded byte slices alias the input; received bytes are kept and never
// re-encoded. Nothing is allocated because a length prefix says so.
//
// Sources: docs/protocol.md sections 1 and 2; docs/adr/0003-frame.md.
package wire
