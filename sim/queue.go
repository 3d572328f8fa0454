package sim

// micros is virtual time.
type micros = int64

const (
	millisecond micros = 1000
	second      micros = 1_000_000
	tick               = 10 * millisecond
)

// eventKind says what happens at an event.
type eventKind uint8

const (
	evArrive eventKind = iota // a frame reaches a node from another
	evAsked                   // a frame reaches a node from a client
	evReply                   // a frame reaches a client
	evRound                   // a node works off its inbox
	evTick                    // a node's clock ticks
	evSynced                  // a node's sync is over
	evClient                  // a client's clock ticks, or it starts anew
	evCall                    // anything rare
)

// event is one thing that will happen. tie decides between events of one
// moment: chosen bits above a running number.
type event struct {
	at   micros
	tie  uint64
	kind eventKind
	to   int32 // node or client
	from int32
	gen  uint32 // of the connection, process or sync that it belongs to
	raw  []byte
	call func()
}

// queue is a binary heap of events.
type queue struct {
	heap  []event
	count uint64
}

func (q *queue) before(i, j int) bool {
	a, b := &q.heap[i], &q.heap[j]
	return a.at < b.at || a.at == b.at && a.tie < b.tie
}

// push adds e; order are the chosen bits of its tie.
func (q *queue) push(e event, order int) {
	q.count++
	e.tie = uint64(order)<<48 | q.count
	q.heap = append(q.heap, e)
	for i := len(q.heap) - 1; i > 0; {
		up := (i - 1) / 2
		if !q.before(i, up) {
			break
		}
		q.heap[i], q.heap[up] = q.heap[up], q.heap[i]
		i = up
	}
}

// pop takes the next event; the queue is not empty.
func (q *queue) pop() event {
	top, last := q.heap[0], len(q.heap)-1
	q.heap[0] = q.heap[last]
	q.heap[last] = event{}
	q.heap = q.heap[:last]
	for i := 0; ; {
		down := 2*i + 1
		if down >= last {
			return top
		}
		if down+1 < last && q.before(down+1, down) {
			down++
		}
		if !q.before(down, i) {
			return top
		}
		q.heap[i], q.heap[down] = q.heap[down], q.heap[i]
		i = down
	}
}
