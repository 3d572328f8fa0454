package client

import (
	"errors"
	"fmt"

	"github.com/tagma-db/tagma/kv"
	"github.com/tagma-db/tagma/pbft"
)

// Error says how an operation that has no result ended: why, whether it may
// have taken effect all the same, and what to do next. Refusals of a folder's
// files are Errors too.
type Error struct {
	Outcome pbft.Outcome // OutcomeNotDone or OutcomeUnknown
	Cause   string
	Next    string
	Err     error // what the machine answered, a kv.Code, or what was wrong with a file; may be nil
}

// Error is cause and next step in one line.
func (e *Error) Error() string {
	if e.Next == "" {
		return e.Cause
	}
	return e.Cause + "; " + e.Next
}

// Unwrap is Err.
func (e *Error) Unwrap() error { return e.Err }

// Unknown reports whether err leaves open if the operation took effect.
func Unknown(err error) bool {
	var e *Error
	return errors.As(err, &e) && e.Outcome == pbft.OutcomeUnknown
}

func notDone(cause, next string) *Error {
	return &Error{Outcome: pbft.OutcomeNotDone, Cause: cause, Next: next}
}

// Refuse is an Error of outcome not done, about a file or a setting. cause is a
// format that may wrap an error with %w.
func Refuse(next, cause string, args ...any) error {
	err := fmt.Errorf(cause, args...)
	return &Error{Outcome: pbft.OutcomeNotDone, Cause: err.Error(), Next: next, Err: errors.Unwrap(err)}
}

var errClosed = notDone("the client is closed", "open another")

// codeNext is what to do about an operation that the store refused.
var codeNext = map[kv.Code]string{
	kv.CodeEmptyKey:       "give a key of 1 to 8192 bytes",
	kv.CodeKeyTooLarge:    "shorten the key to 8192 bytes",
	kv.CodeTooLarge:       "split the value into parts below 1.5 MiB",
	kv.CodeTooManyOps:     "split the transaction",
	kv.CodeDuplicateKey:   "change each key once in a branch",
	kv.CodeCompacted:      "read at a newer revision",
	kv.CodeFutureRevision: "read at a revision that exists",
	kv.CodeAnswerTooLarge: "delete in smaller ranges, or do not ask for the previous pairs",
	kv.CodeTooManyKeys:    "delete in smaller ranges",
}

func refusedBy(code kv.Code) *Error {
	return &Error{Outcome: pbft.OutcomeNotDone, Cause: code.Error(), Next: codeNext[code], Err: code}
}
