package transport

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

const (
	// MaxFrame is the most bytes a frame may have: a protocol frame of 4 MiB
	// and 4 KiB for what its sender puts around it.
	MaxFrame = 4<<20 + 4<<10

	headerBytes = 4
	chunkBytes  = 64 << 10
	// frameOverhead is what a queued frame is charged beyond its bytes, so that
	// a flood of tiny frames is bounded too.
	frameOverhead = 64
)

var errFrameLength = errors.New("frame length out of bounds")

// frameCost is what a queue charges for a frame.
func frameCost(frame []byte) int { return len(frame) + frameOverhead }

// readFrame reads one frame from r; header is scratch space of headerBytes.
// A frame up to 64 KiB is one allocation. A longer one is gathered in chunks
// and joined when its last byte is here: a length is only a claim, and a peer
// must send a megabyte to make us hold a megabyte (T3).
// The error is errFrameLength for a length of 0 or beyond MaxFrame, else r's,
// and io.ErrUnexpectedEOF for a frame cut short.
func readFrame(r io.Reader, header []byte) ([]byte, error) {
	if _, err := io.ReadFull(r, header[:headerBytes]); err != nil {
		return nil, err
	}
	length := int64(binary.BigEndian.Uint32(header)) // int64: it may not fit an int of 32 bits
	if length == 0 || length > MaxFrame {
		return nil, fmt.Errorf("%w: %d bytes, allowed are 1 to %d", errFrameLength, length, MaxFrame)
	}
	if length <= chunkBytes {
		return readChunk(r, int(length))
	}
	var chunks [][]byte
	for left := int(length); left > 0; {
		chunk, err := readChunk(r, min(left, chunkBytes))
		if err != nil {
			return nil, err
		}
		chunks = append(chunks, chunk)
		left -= len(chunk)
	}
	frame := make([]byte, 0, length)
	for _, chunk := range chunks {
		frame = append(frame, chunk...)
	}
	return frame, nil
}

func readChunk(r io.Reader, length int) ([]byte, error) {
	chunk := make([]byte, length)
	_, err := io.ReadFull(r, chunk)
	if err == io.EOF { // the header promised more
		err = io.ErrUnexpectedEOF
	}
	if err != nil {
		return nil, err
	}
	return chunk, nil
}
