package transport

import "testing"

// One way, 128 B frames, as fast as one sender and one receiver go. A sender
// that finds the queue full waits until it has drained.
func BenchmarkOneWay128(b *testing.B) {
	from, to, link, _ := connected(b)
	frame := make([]byte, 128)
	sent, received := make(chan int, 1), make(chan struct{})
	go func() {
		defer close(received)
		var got []Received
		for seen, want := 0, -1; seen != want; {
			select {
			case <-to.inbox.Ready():
				got = to.inbox.Drain(got[:0], 1024)
				seen += len(got)
			case want = <-sent:
			}
		}
	}()
	b.SetBytes(int64(len(frame)))
	b.ReportAllocs()
	n := 0
	for b.Loop() {
		for !link.Send(frame) {
			next(b, from.up)
			<-from.events
		}
		n++
	}
	sent <- n
	<-received
}

// There and back, one 128 B frame at a time.
func BenchmarkPingPong128(b *testing.B) {
	from, to, link, back := connected(b)
	done := make(chan struct{})
	defer close(done)
	go func() {
		var got []Received
		for {
			select {
			case <-to.inbox.Ready():
				got = to.inbox.Drain(got[:0], 1)
				back.Send(got[0].Frame)
			case <-done:
				return
			}
		}
	}()
	frame := make([]byte, 128)
	var got []Received
	b.ReportAllocs()
	for b.Loop() {
		link.Send(frame)
		for got = got[:0]; len(got) == 0; got = from.inbox.Drain(got, 1) {
			<-from.inbox.Ready()
		}
	}
}
