package wire

import (
	"encoding/binary"
	"errors"
)

// ErrMalformed says that bytes are not the canonical encoding of a value.
var ErrMalformed = errors.New("malformed encoding")

// Writer appends canonical encodings to B. The zero value is ready to use.
type Writer struct{ B []byte }

// U8 appends one byte.
func (w *Writer) U8(v uint8) { w.B = append(w.B, v) }

// U16 appends two bytes, big-endian.
func (w *Writer) U16(v uint16) { w.B = binary.BigEndian.AppendUint16(w.B, v) }

// U32 appends four bytes, big-endian.
func (w *Writer) U32(v uint32) { w.B = binary.BigEndian.AppendUint32(w.B, v) }

// U64 appends eight bytes, big-endian.
func (w *Writer) U64(v uint64) { w.B = binary.BigEndian.AppendUint64(w.B, v) }

// I64 appends a signed integer as its two's complement, big-endian.
func (w *Writer) I64(v int64) { w.U64(uint64(v)) }

// Bool appends 0 or 1.
func (w *Writer) Bool(v bool) {
	if v {
		w.U8(1)
	} else {
		w.U8(0)
	}
}

// Raw appends b as it is: for fields of fixed size.
func (w *Writer) Raw(b []byte) { w.B = append(w.B, b...) }

// Bytes appends a four-byte length and b.
func (w *Writer) Bytes(b []byte) {
	w.U32(uint32(len(b)))
	w.B = append(w.B, b...)
}

// Reader decodes canonical encodings. After the first violation every call
// returns zero values and Err reports ErrMalformed. Slices alias the input.
type Reader struct {
	b   []byte
	bad bool
}

// NewReader reads from b, which must not change while results are in use.
func NewReader(b []byte) Reader { return Reader{b: b} }

// Raw takes exactly n bytes.
func (r *Reader) Raw(n int) []byte {
	if r.bad || n < 0 || n > len(r.b) {
		r.bad = true
		return nil
	}
	out := r.b[:n:n]
	r.b = r.b[n:]
	return out
}

// U8 takes one byte.
func (r *Reader) U8() uint8 {
	if b := r.Raw(1); b != nil {
		return b[0]
	}
	return 0
}

// U16 takes two bytes.
func (r *Reader) U16() uint16 {
	if b := r.Raw(2); b != nil {
		return binary.BigEndian.Uint16(b)
	}
	return 0
}

// U32 takes four bytes.
func (r *Reader) U32() uint32 {
	if b := r.Raw(4); b != nil {
		return binary.BigEndian.Uint32(b)
	}
	return 0
}

// U64 takes eight bytes.
func (r *Reader) U64() uint64 {
	if b := r.Raw(8); b != nil {
		return binary.BigEndian.Uint64(b)
	}
	return 0
}

// I64 takes a signed integer.
func (r *Reader) I64() int64 { return int64(r.U64()) }

// Bool takes a byte that must be 0 or 1.
func (r *Reader) Bool() bool {
	v := r.U8()
	if v > 1 {
		r.bad = true
	}
	return v == 1
}

// Digest takes 32 bytes.
func (r *Reader) Digest() (d Digest) {
	copy(d[:], r.Raw(len(d)))
	return d
}

// Bytes takes a length prefix of at most max and that many bytes.
func (r *Reader) Bytes(max int) []byte {
	n := r.U32()
	if r.bad || uint64(n) > uint64(max) {
		r.bad = true
		return nil
	}
	return r.Raw(int(n))
}

// Count takes a two-byte count of at most max elements of at least minSize
// bytes each, and checks it against the bytes left, so that the caller may
// allocate count elements.
func (r *Reader) Count(max, minSize int) int {
	n := int(r.U16())
	if r.bad || n > max || n*minSize > len(r.b) {
		r.bad = true
		return 0
	}
	return n
}

// Fail marks the input as malformed: for rules that the caller checks.
func (r *Reader) Fail() { r.bad = true }

// Left is the number of bytes not yet taken.
func (r *Reader) Left() int { return len(r.b) }

// Err is ErrMalformed after a violation, else nil.
func (r *Reader) Err() error {
	if r.bad {
		return ErrMalformed
	}
	return nil
}

// Done is Err, and ErrMalformed also if bytes are left over.
func (r *Reader) Done() error {
	if len(r.b) != 0 {
		r.bad = true
	}
	return r.Err()
}
