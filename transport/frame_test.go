package transport

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"runtime"
	"testing"
)

// claims is a reader that notes the largest buffer it was asked to fill, which
// is what readFrame allocated before it had the bytes.
type claims struct {
	io.Reader
	largest int
}

func (c *claims) Read(b []byte) (int, error) {
	c.largest = max(c.largest, len(b))
	return c.Reader.Read(b)
}

// Laws of readFrame, for any bytes: it returns the first frame and consumes
// exactly that, or names what is wrong with it; and (T3) it allocates at most
// one chunk of 64 KiB beyond the bytes that have come, until all have come.
func checkReadFrame(t *testing.T, input []byte) {
	t.Helper()
	r := bytes.NewReader(input)
	counted := &claims{Reader: r}
	header := make([]byte, headerBytes)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	frame, err := readFrame(counted, header)
	runtime.ReadMemStats(&after)

	// The second len(input) is the joined frame; 16 KiB are the runtime's own
	// and the list of chunks.
	allocated, bound := after.TotalAlloc-before.TotalAlloc, uint64(2*len(input)+chunkBytes+16<<10)
	if allocated > bound || counted.largest > chunkBytes {
		t.Fatalf("%d bytes made it allocate %d, allowed are %d", len(input), allocated, bound)
	}
	switch {
	case len(input) == 0:
		if err != io.EOF {
			t.Fatalf("error %v, want EOF", err)
		}
	case len(input) < headerBytes:
		if err != io.ErrUnexpectedEOF {
			t.Fatalf("error %v, want unexpected EOF", err)
		}
	default:
		length := uint64(binary.BigEndian.Uint32(input))
		rest := input[headerBytes:]
		switch {
		case length == 0 || length > MaxFrame:
			if !errors.Is(err, errFrameLength) {
				t.Fatalf("error %v for the length %d", err, length)
			}
		case length > uint64(len(rest)):
			if err != io.ErrUnexpectedEOF {
				t.Fatalf("error %v for %d of %d bytes", err, len(rest), length)
			}
		default:
			if err != nil || !bytes.Equal(frame, rest[:length]) || r.Len() != len(rest)-int(length) {
				t.Fatalf("not the frame of %d bytes (error %v)", length, err)
			}
		}
	}
}

func frameSeeds() (seeds [][]byte) {
	for _, length := range []uint32{0, 1, 5, chunkBytes, chunkBytes + 1, 3*chunkBytes - 1, MaxFrame, MaxFrame + 1, 1<<32 - 1} {
		header := binary.BigEndian.AppendUint32(nil, length)
		for _, have := range []uint32{0, 1, length - 1, length, length + 1} {
			if have <= MaxFrame+1 {
				seeds = append(seeds, append(header[:headerBytes:headerBytes], make([]byte, have)...))
			}
		}
	}
	return append(seeds, nil, []byte{0}, []byte{0, 0, 0})
}

func TestReadFrame(t *testing.T) {
	for _, input := range frameSeeds() {
		checkReadFrame(t, input)
	}
}

func FuzzReadFrame(f *testing.F) {
	for _, input := range frameSeeds() {
		if len(input) <= 4*chunkBytes { // large seeds only slow the fuzzer down
			f.Add(input)
		}
	}
	f.Fuzz(checkReadFrame)
}

// A frame of a chunk or less is one allocation, and none is copied on its way out.
func TestAllocationsOfAFrame(t *testing.T) {
	input := append([]byte{0, 0, 1, 0}, make([]byte, 256)...)
	r, header := bytes.NewReader(nil), make([]byte, headerBytes)
	if n := testing.AllocsPerRun(100, func() {
		r.Reset(input)
		readFrame(r, header)
	}); n != 1 {
		t.Errorf("reading a frame allocates %v times", n)
	}

	var q queue
	q.init()
	frame, batch := make([]byte, 256), make([][]byte, 0, batchFrames)
	q.push([][]byte{frame})
	if n := testing.AllocsPerRun(100, func() {
		for range 50 {
			q.push([][]byte{frame, frame})
		}
		for len(q.take(batch)) > 0 {
		}
	}); n != 0 {
		t.Errorf("queueing frames allocates %v times", n)
	}
}
