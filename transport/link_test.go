package transport

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
)

// T2: both directions at once, all sizes, in order.
func TestFramesArriveInOrder(t *testing.T) {
	a, b, dialed, accepted := connected(t)
	if dialed.Key() != b.id.Key() || accepted.Key() != a.id.Key() {
		t.Fatal("a link names the wrong key")
	}
	if !dialed.Connected() || !accepted.Connected() {
		t.Fatal("a link that is up is not connected")
	}
	sizes := []int{1, 3, 4, 5, 1000, readBuffer, chunkBytes - 5, chunkBytes - 4, chunkBytes, chunkBytes + 1, 1 << 20, MaxFrame}
	random := rand.NewChaCha8([32]byte{})
	var frames [][]byte
	for range 2 {
		for _, size := range sizes {
			frame := make([]byte, size)
			random.Read(frame)
			frames = append(frames, frame)
		}
	}
	for _, frame := range frames {
		if !dialed.Send(frame) || !accepted.Send(frame, []byte("after it")) {
			t.Fatal("Send refused a frame for which there is room")
		}
	}
	for i, r := range b.receive(len(frames)) {
		if r.From != accepted || !bytes.Equal(r.Frame, frames[i]) {
			t.Fatalf("frame %d differs", i)
		}
	}
	for i, r := range a.receive(2 * len(frames)) {
		want := frames[i/2]
		if i%2 == 1 {
			want = []byte("after it")
		}
		if r.From != dialed || !bytes.Equal(r.Frame, want) {
			t.Fatalf("frame %d back differs", i)
		}
	}
}

// A peer that reads nothing never holds up who sends, not even on its own
// goroutine; once it reads, all that was taken arrives, in order.
func TestSendNeverWaits(t *testing.T) {
	for _, size := range []int{100, chunkBytes - 100, chunkBytes + 1} {
		b, a := newParty(t, 2), newParty(t, 1)
		b.inbox = NewInbox(1) // one frame is enough to stop reading
		link := a.dial(b.serve(a), b)
		next(t, a.up)
		var batch Batch
		sent := 0
		for n := uint32(0); ; n++ {
			frame := binary.BigEndian.AppendUint32(make([]byte, 0, size), n)
			if !batch.Send(link, frame[:size]) {
				break
			}
			sent++
			if n%3 == 0 {
				batch.Flush()
			}
		}
		batch.Flush()
		if sent*size < maxQueue/2 {
			t.Fatalf("only %d frames of %d bytes were taken", sent, size)
		}
		for i, r := range b.receive(sent) {
			if n := binary.BigEndian.Uint32(r.Frame); len(r.Frame) != size || n != uint32(i) {
				t.Fatalf("frame %d has %d bytes and number %d", i, len(r.Frame), n)
			}
		}
		link.Close()
	}
}

func TestConcurrentSendKeepsGroupsTogether(t *testing.T) {
	_, b, dialed, _ := connected(t)
	const senders, groups, perGroup = 8, 300, 3
	var sending sync.WaitGroup
	for s := range senders {
		sending.Go(func() {
			for g := range groups {
				var frames [][]byte
				for k := range perGroup {
					frames = append(frames, binary.BigEndian.AppendUint32(nil, uint32(s<<24|g<<8|k)))
				}
				if !dialed.Send(frames...) {
					t.Error("refused")
				}
			}
		})
	}
	var next [senders]int
	got := b.receive(senders * groups * perGroup)
	for i := 0; i < len(got); i += perGroup {
		first := binary.BigEndian.Uint32(got[i].Frame)
		sender := first >> 24
		for k := range perGroup {
			want := sender<<24 | uint32(next[sender])<<8 | uint32(k)
			if v := binary.BigEndian.Uint32(got[i+k].Frame); v != want {
				t.Fatalf("frame %d is %x, want %x", i+k, v, want)
			}
		}
		next[sender]++
	}
	sending.Wait()
}

func TestReconnectAfterServerRestart(t *testing.T) {
	a, b := newParty(t, 1), newParty(t, 2)
	server := b.serve(a)
	link := a.dial(server, b)
	for round := range 3 {
		next(t, a.up)
		accepted := next(t, b.up)
		if !link.Send([]byte{byte(round)}) || !accepted.Send([]byte{byte(round)}) {
			t.Fatal("Send refused on a link that is up")
		}
		if got := b.receive(1)[0]; got.Frame[0] != byte(round) || got.From != accepted {
			t.Fatal("a frame of an earlier connection came")
		}
		a.receive(1)
		server.Close()
		if next(t, a.down); link.Connected() || link.Send([]byte("lost")) {
			t.Fatal("a link that is down is connected")
		}
		if next(t, b.down); accepted.Connected() || accepted.Send([]byte("lost")) {
			t.Fatal("a closed accepted link is connected")
		}
		options := b.serverOptions(a)
		options.Listen = server.Addr().String()
		restarted, err := Serve(options)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { restarted.Close() })
		server = restarted
	}
	// Each outage dropped one frame and said so, once it was over.
	next(t, a.up)
	for range 3 {
		e := next(t, a.events)
		for e.Kind != DroppedFrames { // attempts may have fallen into the restart
			e = next(t, a.events)
		}
		if e.Count != 1 {
			t.Fatalf("event %+v, want one dropped frame", e)
		}
	}
}

func TestClosedLinkRefuses(t *testing.T) {
	a, b, dialed, accepted := connected(t)
	dialed.Close()
	dialed.Close()
	if dialed.Send([]byte("x")) || dialed.Connected() {
		t.Fatal("a closed link takes frames")
	}
	next(t, a.down) // T6: Close has waited for it
	next(t, b.down)
	if accepted.Send([]byte("x")) {
		t.Fatal("a lost link takes frames")
	}
	accepted.Close()
}

func TestCloseOfAcceptedLinkFromItsCallback(t *testing.T) {
	a, b := newParty(t, 1), newParty(t, 2)
	options := b.serverOptions(a)
	options.Opened = (*Link).Close
	s, err := Serve(options)
	if err != nil {
		t.Fatal(err)
	}
	a.dial(s, b)
	next(t, a.up)
	next(t, b.down)
	next(t, a.down)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestServeOnUsedPort(t *testing.T) {
	p := newParty(t, 1)
	options := p.serverOptions()
	options.Listen = p.serve().Addr().String()
	_, err := Serve(options)
	if err == nil || !strings.Contains(err.Error(), "in use") || !strings.HasPrefix(err.Error(), "transport: ") {
		t.Fatalf("error %v", err)
	}
}

func TestSendPanicsOnImpossibleFrame(t *testing.T) {
	_, _, link, _ := connected(t)
	for _, size := range []int{0, MaxFrame + 1} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("a frame of %d bytes was taken", size)
				}
			}()
			link.Send(make([]byte, size))
		}()
	}
}

func TestNewIdentityRefusesBadKeys(t *testing.T) {
	mixed := append(privateKey(1)[:32:32], privateKey(2)[32:]...)
	for name, key := range map[string][]byte{"short": make([]byte, 32), "mixed halves": mixed} {
		if _, err := NewIdentity(key); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

func TestKindNames(t *testing.T) {
	seen := map[string]bool{}
	for k := RefusedKey; k <= AcceptFailed; k++ {
		if name := k.String(); seen[name] || strings.HasPrefix(name, "kind-") {
			t.Errorf("kind %d has the name %q", k, name)
		} else {
			seen[name] = true
		}
	}
	if got := fmt.Sprint(Kind(0), Kind(200)); got != "kind-0 kind-200" {
		t.Error(got)
	}
}
