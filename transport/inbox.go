package transport

import "sync"

// defaultInboxBytes is the bound of one source's queue if none is given.
const defaultInboxBytes = 8 << 20

// Received is a frame and the link it came on. The receiver owns Frame, whose
// length is 1 to MaxFrame.
type Received struct {
	From  *Link
	Frame []byte
}

// Inbox is where the frames of all links arrive. Every key has one bounded
// queue, however many connections it has, and the queues are drained in turn,
// so that a key that floods delays nobody but itself (T4).
//
// A queue that is full blocks the connections that feed it, and so, by way of
// TCP, their sender. All methods may be called at any time by any goroutine.
type Inbox struct {
	bound  int
	ready  chan struct{}
	arrive func() // nil: none

	mu      sync.Mutex
	closed  bool
	sources map[Key]*source // those with a connection or a frame: at most one a key
	turns   fifo[*source]   // those with a frame, each once, in order of their turn
}

// source is the queue of one key. It is guarded by its inbox's mutex.
type source struct {
	key    Key
	frames fifo[Received] // oldest first; bounded by Inbox.bound in frameCost
	cost   int
	feeds  int       // connections that feed it
	room   sync.Cond // woken when frames are taken, a feed ends or the inbox closes
}

// NewInbox makes an inbox whose queues hold at most bytesPerSource bytes each,
// where a frame counts for its length and 64; 0 means 8 MiB. An empty queue
// takes any frame, so no bound is too small.
func NewInbox(bytesPerSource int) *Inbox {
	if bytesPerSource <= 0 {
		bytesPerSource = defaultInboxBytes
	}
	return &Inbox{bound: bytesPerSource, ready: make(chan struct{}, 1), sources: map[Key]*source{}}
}

// OnArrival takes the place of Ready: every frame that finds its key's queue
// empty calls f, on the goroutine of its connection, which reads no further
// until f returns. It must be called before the inbox is given to anybody.
func (in *Inbox) OnArrival(f func()) { in.arrive = f }

// Waiting tells whether Drain would find a frame.
func (in *Inbox) Waiting() bool {
	in.mu.Lock()
	defer in.mu.Unlock()
	return in.turns.n > 0
}

// Ready returns a channel of capacity 1 that holds a value whenever frames are
// waiting that no Drain has been told of. It is never closed.
func (in *Inbox) Ready() <-chan struct{} { return in.ready }

// Drain appends at most max waiting frames to into and returns it. It takes one
// frame of each key in turn, and goes on with the next key in the next call.
// It never blocks. If it leaves frames behind, Ready is signalled again.
func (in *Inbox) Drain(into []Received, max int) []Received {
	in.mu.Lock()
	defer in.mu.Unlock()
	for ; max > 0 && in.turns.n > 0; max-- {
		s := in.turns.pop()
		r := s.frames.pop()
		s.cost -= frameCost(r.Frame)
		s.room.Broadcast()
		if s.frames.n > 0 {
			in.turns.push(s)
		} else {
			in.forget(s)
		}
		into = append(into, r)
	}
	if in.turns.n > 0 && in.arrive == nil {
		in.signal()
	}
	return into
}

// Close makes the inbox take no more frames: connections that deliver to it are
// closed. What is in it can still be drained. It is for the end, after the
// server and the dialed links: a dialed link would go on reconnecting.
func (in *Inbox) Close() {
	in.mu.Lock()
	defer in.mu.Unlock()
	in.closed = true
	for _, s := range in.sources {
		s.room.Broadcast()
	}
}

func (in *Inbox) signal() {
	select {
	case in.ready <- struct{}{}:
	default:
	}
}

// forget drops a source that nobody needs any more.
func (in *Inbox) forget(s *source) {
	if s.feeds == 0 && s.frames.n == 0 {
		delete(in.sources, s.key)
	}
}

// feed is one connection's way into an inbox. Its fields but inbox are guarded
// by the inbox's mutex.
type feed struct {
	inbox  *Inbox
	source *source // nil until begin
	ended  bool
}

// begin names the key whose queue the feed fills. Every begin needs a leave.
func (f *feed) begin(key Key) {
	in := f.inbox
	in.mu.Lock()
	defer in.mu.Unlock()
	s := in.sources[key]
	if s == nil {
		s = &source{key: key}
		s.room.L = &in.mu
		in.sources[key] = s
	}
	s.feeds++
	f.source = s
}

// put appends a frame to the queue and blocks while that is full. It returns
// false, and drops the frame, once the feed has ended or the inbox is closed.
func (f *feed) put(r Received) bool {
	ok, first := f.append(r)
	if first && f.inbox.arrive != nil {
		f.inbox.arrive()
	}
	return ok
}

// append is put; first tells that the queue was empty.
func (f *feed) append(r Received) (ok, first bool) {
	in, s, cost := f.inbox, f.source, frameCost(r.Frame)
	in.mu.Lock()
	defer in.mu.Unlock()
	for s.frames.n > 0 && s.cost+cost > in.bound && !f.ended && !in.closed { // T3
		s.room.Wait()
	}
	if f.ended || in.closed {
		return false, false
	}
	s.frames.push(r)
	s.cost += cost
	if first = s.frames.n == 1; first {
		in.turns.push(s)
		if in.arrive == nil {
			in.signal()
		}
	}
	return true, first
}

// end wakes a put that waits and makes it and all later ones fail. It may be
// called at any time, by anyone.
func (f *feed) end() {
	f.inbox.mu.Lock()
	defer f.inbox.mu.Unlock()
	f.ended = true
	if f.source != nil {
		f.source.room.Broadcast()
	}
}

func (f *feed) hasEnded() bool {
	f.inbox.mu.Lock()
	defer f.inbox.mu.Unlock()
	return f.ended
}

// leave undoes begin; frames already in the queue stay.
func (f *feed) leave() {
	f.inbox.mu.Lock()
	defer f.inbox.mu.Unlock()
	f.source.feeds--
	f.inbox.forget(f.source)
}
