// Package auth is keys, signatures and who may be believed for what. It
// knows no X.509 and no protocol message.
//
// The one rule: one verification predicate for ever, the standard library's
// Ed25519 Verify, and keys of small order or in non-canonical form refused
// when they are registered. A faster routine must accept exactly the same
// set; hence no batch verification.
//
// Source: docs/protocol.md section 1 (signatures for MACs).
package auth
