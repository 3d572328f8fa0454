package node

import (
	"sync"
	"sync/atomic"
)

// worker runs what the host wants done beside it, one thing after the other.
// How much may wait is bounded by the host.
type worker struct {
	mu    sync.Mutex
	queue []func()
	some  sync.Cond
	over  bool
	ended chan struct{}
	ran   atomic.Int64 // things done that the host has not heard of
	wake  func()
}

func newWorker(wake func()) *worker {
	w := &worker{ended: make(chan struct{}), wake: wake}
	w.some.L = &w.mu
	go w.run()
	return w
}

// do queues work.
func (w *worker) do(work func()) {
	w.mu.Lock()
	w.queue = append(w.queue, work)
	w.mu.Unlock()
	w.some.Signal()
}

func (w *worker) run() {
	defer close(w.ended)
	for {
		w.mu.Lock()
		for len(w.queue) == 0 && !w.over {
			w.some.Wait()
		}
		if w.over {
			w.mu.Unlock()
			return
		}
		work := w.queue[0]
		w.queue = w.queue[1:]
		w.mu.Unlock()
		work()
		w.ran.Add(1)
		w.wake()
	}
}

// close waits for the work under way and drops the rest.
func (w *worker) close() {
	w.mu.Lock()
	w.over = true
	w.mu.Unlock()
	w.some.Signal()
	<-w.ended
}
