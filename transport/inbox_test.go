package transport

import (
	"math/rand/v2"
	"testing"
	"testing/synctest"
)

func (in *Inbox) feedFor(key byte) *feed {
	f := &feed{inbox: in}
	f.begin(Key{key})
	return f
}

// T4: every source gets its turn, whatever the others have waiting, and turns
// go on from one Drain to the next.
func TestDrainTakesTurns(t *testing.T) {
	in := NewInbox(0)
	for key, n := range []int{5, 1, 3} {
		f := in.feedFor(byte(key))
		for i := range n {
			f.put(Received{Frame: []byte{byte(key), byte(i)}})
		}
	}
	var got []Received
	for _, max := range []int{0, 2, 1, 4, 100} {
		before := len(got)
		got = in.Drain(got, max)
		if len(got)-before > max {
			t.Fatalf("Drain took %d, allowed were %d", len(got)-before, max)
		}
	}
	want := [][2]byte{{0, 0}, {1, 0}, {2, 0}, {0, 1}, {2, 1}, {0, 2}, {2, 2}, {0, 3}, {0, 4}}
	if len(got) != len(want) {
		t.Fatalf("%d frames, want %d", len(got), len(want))
	}
	for i, r := range got {
		if [2]byte(r.Frame) != want[i] {
			t.Fatalf("frame %d is %v, want %v", i, r.Frame, want[i])
		}
	}
}

func ready(in *Inbox) bool {
	select {
	case <-in.Ready():
		return true
	default:
		return false
	}
}

func TestReady(t *testing.T) {
	in := NewInbox(0)
	if ready(in) {
		t.Fatal("ready when new")
	}
	f := in.feedFor(1)
	f.put(Received{Frame: []byte{1}})
	f.put(Received{Frame: []byte{2}})
	if !ready(in) || ready(in) {
		t.Fatal("not ready exactly once")
	}
	if in.Drain(nil, 1); !ready(in) {
		t.Fatal("not ready with a frame left behind")
	}
	if in.Drain(nil, 1); ready(in) {
		t.Fatal("ready when empty")
	}
	if f.put(Received{Frame: []byte{3}}); !ready(in) {
		t.Fatal("not ready again")
	}
}

// T3, T4: a key that floods, on two connections, is held up at its bound; a
// quiet one is not, and neither is forgotten while it has a connection.
func TestFullSourceBlocksOnlyItself(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const frames = 10
		in := NewInbox(frames * frameCost(make([]byte, 100)))
		for range 2 {
			flood := in.feedFor(1)
			go func() {
				for flood.put(Received{Frame: make([]byte, 100)}) {
				}
			}()
		}
		quiet := in.feedFor(2)
		synctest.Wait()
		if n := in.sources[Key{1}].frames.n; n != frames {
			t.Fatalf("%d frames wait, want %d", n, frames)
		}
		for range 5 {
			quiet.put(Received{Frame: []byte("q")})
			got := in.Drain(nil, 2)
			if len(got[0].Frame) == len(got[1].Frame) {
				t.Fatal("the quiet source missed its turn")
			}
			if in.sources[Key{2}] != quiet.source {
				t.Fatal("a source with a connection is forgotten")
			}
			synctest.Wait()
		}
		if n := in.sources[Key{1}].frames.n; n != frames {
			t.Fatalf("%d frames wait, want %d", n, frames)
		}
		in.Close()
		if quiet.put(Received{Frame: []byte("late")}) {
			t.Fatal("a closed inbox took a frame")
		}
		if got := in.Drain(nil, 100); len(got) != frames {
			t.Fatalf("%d frames left, want %d", len(got), frames)
		}
	})
}

func TestEmptySourceTakesAnyFrame(t *testing.T) {
	in := NewInbox(1)
	if !in.feedFor(1).put(Received{Frame: make([]byte, MaxFrame)}) {
		t.Fatal("refused")
	}
}

func TestEndedFeedStopsAndIsForgotten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		in := NewInbox(1)
		f := in.feedFor(1)
		f.put(Received{Frame: []byte("first")})
		blocked := make(chan bool)
		go func() { blocked <- f.put(Received{Frame: []byte("second")}) }()
		synctest.Wait()
		f.end()
		if <-blocked {
			t.Fatal("an ended feed put a frame")
		}
		f.leave()
		if got := in.Drain(nil, 10); len(got) != 1 || string(got[0].Frame) != "first" {
			t.Fatalf("drained %v", got)
		}
		if len(in.sources) != 0 {
			t.Fatal("a source without connection or frame is kept")
		}
		early := &feed{inbox: in}
		early.end()
		early.begin(Key{1})
		if early.put(Received{Frame: []byte("x")}) {
			t.Fatal("a feed that ended before it began put a frame")
		}
	})
}

// The fifo against a slice.
func TestFIFO(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	var f fifo[int]
	var model []int
	for i := range 100_000 {
		burst := i/5000%2 == 0 // phases of growth and of shrinking
		if random.IntN(10) < 3 != burst {
			f.push(i)
			model = append(model, i)
		} else if len(model) > 0 {
			if got := f.pop(); got != model[0] {
				t.Fatalf("popped %d, want %d", got, model[0])
			}
			model = model[1:]
		}
		if f.n != len(model) {
			t.Fatalf("%d in it, want %d", f.n, len(model))
		}
	}
	for f.n > 0 {
		f.pop()
	}
	f.push(1)
	f.pop()
	for _, v := range f.ring {
		if v != 0 {
			t.Fatal("an empty fifo keeps what was popped")
		}
	}
	if len(f.ring) > keptRing {
		t.Fatal("an empty fifo keeps a large ring")
	}
}

// Over real links: while one client floods, another's frames come through.
func TestFloodDoesNotStarve(t *testing.T) {
	flooder, quiet, b := newParty(t, 1), newParty(t, 3), newParty(t, 2)
	b.inbox = NewInbox(1 << 20)
	server := b.serve(flooder, quiet)
	flood := flooder.dial(server, b)
	next(t, flooder.up)
	for flood.Send(make([]byte, 1000)) {
	}
	link := quiet.dial(server, b)
	next(t, quiet.up)
	for range 10 {
		link.Send([]byte("quiet"))
		taken := 0
		for heard := false; !heard; taken++ {
			heard = string(b.receive(1)[0].Frame) == "quiet"
		}
		if taken > 32<<20/1000/2 {
			t.Fatalf("heard after %d frames", taken)
		}
	}
}
