package main

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"unicode/utf8"

	"github.com/tagma-db/tagma/kv"
)

// A line of load and dump is one JSON object: {"key":"…","value":"…"} where
// both are UTF-8, and with "key64" or "value64" in base64 for what is not.
// One pair has one line: dumps of equal stores are equal bytes.

const hexDigits = "0123456789abcdef"

// appendLine appends the line of a pair, newline included.
func appendLine(b, key, value []byte) []byte {
	b = appendField(append(b, '{'), "key", key)
	b = appendField(append(b, ','), "value", value)
	return append(b, '}', '\n')
}

func appendField(b []byte, name string, value []byte) []byte {
	b = append(append(b, '"'), name...)
	if !utf8.Valid(value) {
		b = append(b, `64":"`...)
		b = base64.StdEncoding.AppendEncode(b, value)
		return append(b, '"')
	}
	b = append(b, `":"`...)
	for _, c := range value {
		switch {
		case c == '"' || c == '\\':
			b = append(b, '\\', c)
		case c == '\n':
			b = append(b, `\n`...)
		case c == '\r':
			b = append(b, `\r`...)
		case c == '\t':
			b = append(b, `\t`...)
		case c < 0x20:
			b = append(b, '\\', 'u', '0', '0', hexDigits[c>>4], hexDigits[c&15])
		default:
			b = append(b, c)
		}
	}
	return append(b, '"')
}

// parseLine reads a line. The error says what is wrong with it.
func parseLine(line []byte) (op kv.Put, err error) {
	if !utf8.Valid(line) {
		return op, errors.New(`not UTF-8: write bytes in base64, as "key64" or "value64"`)
	}
	if err := checkEscapes(line); err != nil {
		return op, err
	}
	d := json.NewDecoder(bytes.NewReader(line))
	token, err := d.Token()
	if err != nil || token != json.Delim('{') {
		return op, errors.New("not a JSON object")
	}
	var key, value []byte
	for d.More() {
		name, err := d.Token()
		if err != nil {
			return op, plain(err)
		}
		content, err := d.Token()
		if err != nil {
			return op, plain(err)
		}
		text, ok := content.(string)
		if !ok {
			return op, fmt.Errorf("%q is not a string", name)
		}
		field, raw := &key, []byte(text)
		switch name {
		case "key":
		case "value":
			field = &value
		case "key64", "value64":
			if name == "value64" {
				field = &value
			}
			if raw, err = base64.StdEncoding.Strict().DecodeString(text); err != nil {
				return op, fmt.Errorf("%q is not base64", name)
			}
		default:
			return op, fmt.Errorf("unknown field %q", name)
		}
		if *field != nil {
			return op, fmt.Errorf("%q is given twice", name)
		}
		if *field = raw; raw == nil {
			*field = []byte{}
		}
	}
	if _, err := d.Token(); err != nil {
		return op, plain(err)
	}
	if _, err := d.Token(); err != io.EOF {
		return op, errors.New("something follows the object")
	}
	if key == nil || value == nil {
		return op, errors.New(`"key" or "value" is missing`)
	}
	op = kv.Put{Key: key, Value: value}
	if _, err := kv.DecodeOp(op.Encode()); err != nil {
		return op, err
	}
	return op, nil
}

func plain(err error) error {
	if err == io.EOF || errors.Is(err, io.ErrUnexpectedEOF) {
		return errors.New("the JSON object is cut off")
	}
	return err
}

// checkEscapes refuses escapes that name half a character: the JSON reader
// would silently replace them.
func checkEscapes(line []byte) error {
	for i := 0; i < len(line); i++ {
		if line[i] != '\\' {
			continue
		}
		i++
		code, ok := escape(line, i)
		if !ok || code < 0xd800 || code > 0xdfff {
			continue
		}
		low, ok := escape(line, i+6)
		if code >= 0xdc00 || !ok || line[i+5] != '\\' || low < 0xdc00 || low > 0xdfff {
			return errors.New(`an escape \u of half a character`)
		}
		i += 10
	}
	return nil
}

// escape reads uXXXX at i.
func escape(line []byte, i int) (uint64, bool) {
	if i+5 > len(line) || line[i] != 'u' {
		return 0, false
	}
	code, err := strconv.ParseUint(string(line[i+1:i+5]), 16, 16)
	return code, err == nil
}
