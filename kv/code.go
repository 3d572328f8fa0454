package kv

// Code says how an operation ended. Replicated results carry codes and no
// texts, so that wording may change without replicas differing. A Code other
// than CodeOK is also a Go error.
type Code uint8

// The codes. Their numbers are part of the result encoding.
const (
	CodeOK             Code = 0
	CodeMalformed      Code = 1 // not the canonical encoding of a known operation
	CodeEmptyKey       Code = 2
	CodeKeyTooLarge    Code = 3 // a key above MaxKey
	CodeTooLarge       Code = 4 // an operation above MaxOp
	CodeTooManyOps     Code = 5 // a list of a transaction above MaxTxnOps
	CodeDuplicateKey   Code = 6 // a branch that changes one key twice
	CodeCompacted      Code = 7 // a revision below Result.Compacted
	CodeFutureRevision Code = 8
	CodeAnswerTooLarge Code = 9  // previous pairs above MaxPayload
	CodeTooManyKeys    Code = 10 // deletes above maxDeletes

	codes = 11
)

// texts are for people; gateways that imitate etcd have texts of their own.
var texts = [codes]string{
	CodeOK:             "done",
	CodeMalformed:      "kv: malformed operation",
	CodeEmptyKey:       "kv: key is empty",
	CodeKeyTooLarge:    "kv: key is longer than 8 KiB",
	CodeTooLarge:       "kv: operation is larger than 1.5 MiB",
	CodeTooManyOps:     "kv: more than 128 operations in a transaction",
	CodeDuplicateKey:   "kv: a transaction changes one key twice",
	CodeCompacted:      "kv: the revision has been compacted",
	CodeFutureRevision: "kv: the revision lies in the future",
	CodeAnswerTooLarge: "kv: the previous pairs asked for are larger than 2 MiB",
	CodeTooManyKeys:    "kv: more than 65,536 keys to delete in one operation",
}

// Error is the code's text in English.
func (c Code) Error() string {
	if c >= codes {
		return "kv: unknown code"
	}
	return texts[c]
}
