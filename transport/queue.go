package transport

import "sync"

const (
	// maxQueue bounds the frames that wait to be written, in frameCost.
	maxQueue = 32 << 20
	// A writer takes frames in batches, so that it locks the queue once for
	// many; a batch is small, so that room is made as soon as bytes are written.
	batchFrames = 128
	batchBytes  = chunkBytes
)

// queue holds the frames that one connection has still to write. It is made
// open; the zero value is not usable.
type queue struct {
	mu      sync.Mutex
	more    sync.Cond
	frames  fifo[[]byte]
	cost    int  // of the frames waiting and of the batch being written
	batch   int  // the part of cost that is being written
	dropped int  // frames refused since the last report
	woken   bool // the writer is to look, whatever waits
	closed  bool
}

func (q *queue) init() { q.more.L = &q.mu }

// push appends all frames, or none if the queue is closed or they do not fit.
// It never blocks, and does not wake the writer.
func (q *queue) push(frames [][]byte) bool {
	cost := 0
	for _, frame := range frames {
		cost += frameCost(frame)
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed {
		return false
	}
	if q.cost > 0 && q.cost+cost > maxQueue { // T3
		q.dropped += len(frames)
		return false
	}
	for _, frame := range frames {
		q.frames.push(frame)
	}
	q.cost += cost
	return true
}

// wake wakes the writer if anything waits for it, or always.
func (q *queue) wake(always bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if always || q.frames.n > 0 || q.dropped > 0 {
		q.woken = true
		q.more.Signal()
	}
}

// take appends the next batch to into, oldest frame first, and gives back the
// room of the batch before. It returns into as it is if nothing waits. Only who
// holds conn.writing takes (T2).
func (q *queue) take(into [][]byte) [][]byte {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.pop(into, batchBytes)
}

// takeFew takes all that waits if it is no more than a chunk, else nothing.
func (q *queue) takeFew(into [][]byte) [][]byte {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.cost > chunkBytes {
		return into
	}
	return q.pop(into, chunkBytes)
}

func (q *queue) pop(into [][]byte, enough int) [][]byte {
	q.cost -= q.batch
	q.batch = 0
	for n := 0; n < batchFrames && q.batch < enough && q.frames.n > 0; n++ {
		frame := q.frames.pop()
		q.batch += frameCost(frame)
		into = append(into, frame)
	}
	return into
}

// written gives back the room of the batch that was taken.
func (q *queue) written() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.cost -= q.batch
	q.batch = 0
}

// wait is for the writer that has found the queue empty and written all it
// took. It blocks until a frame waits or, if frames have been refused and the
// queue is indeed empty, returns at once how many. open is false once the queue
// is closed.
func (q *queue) wait() (dropped int, open bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for q.frames.n == 0 && q.dropped == 0 && !q.woken && !q.closed {
		q.more.Wait()
	}
	q.woken = false
	if q.frames.n == 0 {
		dropped, q.dropped = q.dropped, 0
	}
	return dropped, !q.closed
}

// close drops what waits: a link may be kept long after its connection.
func (q *queue) close() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.closed = true
	q.frames = fifo[[]byte]{}
	q.more.Broadcast()
}
