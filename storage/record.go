package storage

import (
	"encoding/binary"
	"hash/crc32"
)

// Sizes of the node log, in bytes.
const (
	// BlockSize is what each sync fills up: no synced block is written again.
	BlockSize = 4096
	// MaxRecord bounds one record.
	MaxRecord = 16 << 20

	headerSize = 4 + 4 + 4 + 1 + 8 + 8 + 8
)

// kind says whose a record is.
type kind uint8

const (
	kindRecord kind = iota + 1 // the caller's
	kindBoot                   // empty: a start; voids a closed record before it
	kindClosed                 // empty: a clean stop, everything before it is synced
)

// header is the fixed part of a record, followed by its body. Big-endian:
//
//	head CRC 4 | body CRC 4 | length 4 | kind 1 | position 8 | boot 8 | durable 8 | body
//
// The head CRC covers the log's salt and the rest of the header, and so, by
// the body CRC in it, all of the record. It is apart from the body's so that
// looking for headers costs nothing per body byte, whatever clients put there.
type header struct {
	length   int
	kind     kind
	position uint64
	boot     uint64 // number of the start that wrote the record
	durable  uint64 // everything up to it was synced when this was written
	bodyCRC  uint32
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// appendRecord appends one record to buf. salt is secret to the log, so that
// no client can put a valid header into a body.
func appendRecord(buf []byte, salt uint64, h header, body []byte) []byte {
	at := len(buf)
	buf = append(buf, make([]byte, headerSize)...)
	b := buf[at:]
	binary.BigEndian.PutUint32(b[4:], crc32.Checksum(body, castagnoli))
	binary.BigEndian.PutUint32(b[8:], uint32(len(body)))
	b[12] = byte(h.kind)
	binary.BigEndian.PutUint64(b[13:], h.position)
	binary.BigEndian.PutUint64(b[21:], h.boot)
	binary.BigEndian.PutUint64(b[29:], h.durable)
	binary.BigEndian.PutUint32(b, headCRC(salt, b))
	return append(buf, body...)
}

func headCRC(salt uint64, b []byte) uint32 {
	var seed [8]byte
	binary.BigEndian.PutUint64(seed[:], salt)
	return crc32.Update(crc32.Checksum(seed[:], castagnoli), castagnoli, b[4:headerSize])
}

// readHeader reads the header at the start of b. ok says that it is one of
// this log; the body behind it may still be bad or missing.
func readHeader(b []byte, salt uint64) (h header, ok bool) {
	if len(b) < headerSize || binary.BigEndian.Uint32(b) != headCRC(salt, b) {
		return header{}, false
	}
	length := binary.BigEndian.Uint32(b[8:])
	h = header{
		length:   int(length),
		kind:     kind(b[12]),
		position: binary.BigEndian.Uint64(b[13:]),
		boot:     binary.BigEndian.Uint64(b[21:]),
		durable:  binary.BigEndian.Uint64(b[29:]),
		bodyCRC:  binary.BigEndian.Uint32(b[4:]),
	}
	sane := length <= MaxRecord && h.kind >= kindRecord && h.kind <= kindClosed && h.durable < h.position
	return h, sane
}

// readBody returns the body of the record with header h at the start of b.
func readBody(b []byte, h header) (body []byte, ok bool) {
	if len(b)-headerSize < h.length {
		return nil, false
	}
	body = b[headerSize : headerSize+h.length : headerSize+h.length]
	return body, crc32.Checksum(body, castagnoli) == h.bodyCRC
}

// walk visits the records of segment s, whose file holds buf, in order of
// position up to limit (exclusive) or the first bad one: not of this log, not
// of the position or boot that its place demands, or torn. It returns the
// position it expected next and the offset where it did. A body aliases buf.
func walk(buf []byte, salt uint64, s segment, limit uint64, visit func(h header, body []byte) error) (next uint64, end int, err error) {
	next = s.first
	for off := 0; next < limit && off < len(buf); {
		h, ok := readHeader(buf[off:], salt)
		var body []byte
		if ok = ok && h.position == next && h.boot == s.boot; ok {
			body, ok = readBody(buf[off:], h)
		}
		if !ok {
			if off%BlockSize == 0 {
				break
			}
			off = align(off) // perhaps the padding of a sync: the next begins a block
			continue
		}
		if err := visit(h, body); err != nil {
			return next, off, err
		}
		next++
		off += headerSize + h.length
		end = off
	}
	return next, end, nil
}

// witness returns the highest durable position that a header in buf at or
// behind off names. Each such name was true when it was written, so headers
// left from an earlier use of the file, or torn bodies, do no harm. Records
// after a sync begin a block, the others follow by length.
func witness(buf []byte, off int, salt uint64) (durable uint64) {
	for start := off; start < len(buf); start = align(start + 1) {
		for at := start; at < len(buf); {
			h, ok := readHeader(buf[at:], salt)
			if !ok {
				break
			}
			durable = max(durable, h.durable)
			if at += headerSize + h.length; at%BlockSize == 0 {
				break // the outer loop comes here anyway
			}
		}
	}
	return durable
}

// align rounds n up to a whole block.
func align(n int) int { return (n + BlockSize - 1) / BlockSize * BlockSize }

// pad fills buf up to a whole block with zeros.
func pad(buf []byte) []byte { return append(buf, make([]byte, align(len(buf))-len(buf))...) }
