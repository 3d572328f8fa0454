package wire

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"strconv"
)

// Sizes and bounds of a frame, in bytes.
const (
	MaxFrame      = 4 << 20 // a whole frame
	SignatureSize = 64

	headerSize  = 4 + 1 + 32 + 8 + 8 + 2
	trailerSize = SignatureSize + 1 // signature, length of the hash path
	// Overhead of a frame around its body, without and with a signature.
	Overhead       = headerSize + 4 + 2
	SignedOverhead = Overhead + trailerSize
)

// NoAuthor is the author of frames that no replica signs: requests, whose
// client is named in the body, and batches, which their digest authenticates.
const NoAuthor = 0xffff

// magic names the project and the wire version.
var magic = [4]byte{'T', 'G', 'M', 1}

// Digest is a SHA-256 digest.
type Digest [32]byte

// String is the digest's first eight bytes in hexadecimal, for people.
func (d Digest) String() string { return hex.EncodeToString(d[:8]) }

// IsZero reports whether all bytes are zero.
func (d Digest) IsZero() bool { return d == Digest{} }

// Header is the tag with which every frame, and so every signed byte string,
// begins: what kind of message it is and where alone it is valid.
// Requests and batches of one cluster have Author NoAuthor; requests have
// Group and Epoch 0 and begin their body with the keyspace.
type Header struct {
	Kind    uint8
	Cluster Digest
	Group   uint64
	Epoch   uint64
	Author  uint16 // replica index in the group, or NoAuthor
}

// Frame is one message in its only byte form. A Frame is immutable; Body,
// Signature and Raw alias the bytes it was made from.
//
//	magic 4 | kind 1 | cluster 32 | group 8 | epoch 8 | author 2 | body 4+n | trailer 2+t
//
// The trailer is empty, or a signature and a hash path. Version 1 refuses
// paths that are not empty; the room is there so that one signature can
// cover all frames of one flush.
type Frame struct {
	Header
	Body      []byte
	Signature []byte // SignatureSize bytes, or nil
	raw       []byte
	digest    Digest
}

// Statement is the byte string that a frame's signature covers: everything
// before the trailer.
func (f *Frame) Statement() []byte { return f.raw[:headerSize+4+len(f.Body)] }

// Raw is the whole frame. It must not be changed.
func (f *Frame) Raw() []byte { return f.raw }

// Digest is the SHA-256 of the whole frame, trailer included.
func (f *Frame) Digest() Digest { return f.digest }

// Encode makes an unsigned frame.
func Encode(h Header, body []byte) *Frame {
	return seal(begin(h, body, 0), nil)
}

// EncodeSigned makes a frame signed by sign, which gets the statement and
// returns SignatureSize bytes.
func EncodeSigned(h Header, body []byte, sign func(statement []byte) []byte) *Frame {
	raw := begin(h, body, trailerSize)
	return seal(raw, sign(raw))
}

func begin(h Header, body []byte, trailer int) []byte {
	w := Writer{B: make([]byte, 0, Overhead+len(body)+trailer)}
	w.Raw(magic[:])
	w.U8(h.Kind)
	w.Raw(h.Cluster[:])
	w.U64(h.Group)
	w.U64(h.Epoch)
	w.U16(h.Author)
	w.Bytes(body)
	return w.B
}

func seal(raw []byte, signature []byte) *Frame {
	w := Writer{B: raw}
	if signature == nil {
		w.U16(0)
	} else {
		w.U16(trailerSize)
		w.Raw(signature)
		w.U8(0)
	}
	f, err := Decode(w.B)
	if err != nil {
		panic("wire: a frame of " + strconv.Itoa(len(w.B)) + " bytes does not decode: the caller broke a bound")
	}
	return f
}

// Decode reads one whole frame. The frame keeps raw, which must not be
// changed afterwards. The error is ErrMalformed.
func Decode(raw []byte) (*Frame, error) {
	if len(raw) > MaxFrame {
		return nil, ErrMalformed
	}
	r := NewReader(raw)
	f := &Frame{raw: raw}
	if !bytes.Equal(r.Raw(len(magic)), magic[:]) {
		return nil, ErrMalformed
	}
	f.Kind = r.U8()
	f.Cluster = r.Digest()
	f.Group = r.U64()
	f.Epoch = r.U64()
	f.Author = r.U16()
	f.Body = r.Bytes(MaxFrame)
	switch r.U16() {
	case 0:
	case trailerSize:
		f.Signature = r.Raw(SignatureSize)
		if r.U8() != 0 { // the hash path: none in version 1
			r.Fail()
		}
	default:
		r.Fail()
	}
	if err := r.Done(); err != nil {
		return nil, err
	}
	f.digest = sha256.Sum256(raw)
	return f, nil
}
