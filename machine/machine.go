package machine

// Call is one operation to execute, with all that it may depend on beside
// the rows.
type Call struct {
	Keyspace  []byte   // the keyspace that the request names
	Principal [32]byte // public key of the client that signed the request
	Seq       uint64   // sequence number of the batch
	Time      int64    // agreed time of the batch, milliseconds since 1970
	Op        []byte   // the operation, as the client encoded it: hostile input
}

// Machine is a deterministic replicated service.
type Machine interface {
	// Execute runs one operation on the rows of its keyspace and returns its
	// result. Operations that are malformed or not allowed return a result
	// that says so and write nothing; Execute never panics on any Op. The
	// result must not alias rows; it may alias nothing of call.Op.
	Execute(rows Rows, call Call) (result []byte)
}

// Reader is a Machine with operations that write nothing and that each replica
// may therefore answer from the state it stands at, without the order.
type Reader interface {
	Machine
	// Read runs such an operation and does not write. Its result follows from
	// the rows of the keyspace and call.Op alone, and so does version, a number
	// that only grows as the keyspace changes; call.Seq and call.Time are 0.
	// The result must not contain the version: replicas stand at different
	// ones, and their results must be equal wherever what was asked for is. ok
	// is false if the operation might write; whether it is follows from call.Op
	// alone. Read never panics on any Op; the result must not alias rows.
	Read(rows Rows, call Call) (result []byte, version uint64, ok bool)
}

// Rows is an ordered map of byte strings: the durable state of one keyspace
// of a Machine. Reads see earlier writes. Slices that it returns are valid
// until the next write and must not be changed; slices given to it may be
// reused after the call. Disk errors do not surface here: the replica stops.
type Rows interface {
	// Get returns the value of key, and whether it is there.
	Get(key []byte) (value []byte, ok bool)
	// Set writes one row. A key has at most 60 KiB; a longer one stops every
	// replica.
	Set(key, value []byte)
	// Delete removes one row; it need not exist.
	Delete(key []byte)
	// Scan calls yield for the rows lo ≤ key < hi in ascending order until it
	// returns false. A nil hi means no upper bound. The rows must not be
	// written from within yield; key and value are valid only during it.
	Scan(lo, hi []byte, yield func(key, value []byte) bool)
	// ScanBack is Scan in descending order.
	ScanBack(lo, hi []byte, yield func(key, value []byte) bool)
}

// Snapshot is a fixed state of Rows. Its reads are those of Rows, but slices
// stay valid until Close. It may be used by one goroutine at a time, another
// than that of the Rows.
type Snapshot interface {
	Get(key []byte) (value []byte, ok bool)
	Scan(lo, hi []byte, yield func(key, value []byte) bool)
	ScanBack(lo, hi []byte, yield func(key, value []byte) bool)
	Close() error
}
