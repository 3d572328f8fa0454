package main

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
)

func TestLines(t *testing.T) {
	for _, c := range []struct{ key, value, want string }{
		{"k", "v", `{"key":"k","value":"v"}`},
		{"k", "", `{"key":"k","value":""}`},
		{"<a>&\u2028é", "\"\\/\n\r\t\x00\x1f\x7f", "{\"key\":\"<a>&\u2028é\",\"value\":\"\\\"\\\\/\\n\\r\\t\\u0000\\u001f\x7f\"}"},
		{"\xff", "v", `{"key64":"/w==","value":"v"}`},
		{"k", "\xc3", `{"key":"k","value64":"ww=="}`},
		{"\ufffd", "😀", `{"key":"` + "\ufffd" + `","value":"😀"}`},
	} {
		line := appendLine(nil, []byte(c.key), []byte(c.value))
		if string(line) != c.want+"\n" {
			t.Errorf("got %s, want %s", line, c.want)
		}
		op, err := parseLine(line)
		if err != nil || string(op.Key) != c.key || string(op.Value) != c.value {
			t.Errorf("%s: read as %q, %q, %v", line, op.Key, op.Value, err)
		}
	}
}

// TestLinesOfOthers: what load reads beside what dump writes.
func TestLinesOfOthers(t *testing.T) {
	for text, want := range map[string][2]string{
		` { "value" : "v" , "key" : "k" } `:         {"k", "v"},
		`{"key":"\u0061\ud83d\ude00","value":"\/"}`: {"a😀", "/"},
		`{"key64":"aw==","value64":""}`:             {"k", ""},
		`{"key":"\\ud800","value":"\\\\u"}`:         {`\ud800`, `\\u`},
	} {
		op, err := parseLine([]byte(text))
		if err != nil || string(op.Key) != want[0] || string(op.Value) != want[1] {
			t.Errorf("%s: %q, %q, %v", text, op.Key, op.Value, err)
		}
	}
}

func TestInvalidLines(t *testing.T) {
	for text, want := range map[string]string{
		`x`:                                   "not a JSON object",
		`[]`:                                  "not a JSON object",
		`{"key":"k"`:                          "cut off",
		`{"key":"k"}`:                         "missing",
		`{"value":"v"}`:                       "missing",
		`{"key":"k","value":1}`:               `"value" is not a string`,
		`{"key":"k","value":null}`:            `"value" is not a string`,
		`{"key":"k","value":{}}`:              `"value" is not a string`,
		`{"key":"k","value":"v","x":"y"}`:     `unknown field "x"`,
		`{"Key":"k","value":"v"}`:             `unknown field "Key"`,
		`{"key":"k","key":"k","value":"v"}`:   "given twice",
		`{"key":"k","key64":"","value":"v"}`:  "given twice",
		`{"key64":"a","value":"v"}`:           "not base64",
		`{"key64":"ax==","value":"v"}`:        "not base64",
		`{"key":"k","value":"v"} {}`:          "something follows",
		`{"key":"","value":"v"}`:              "key is empty",
		`{"key":"k","value":"\ud800"}`:        "half a character",
		`{"key":"k","value":"\udc00x"}`:       "half a character",
		`{"key":"k","value":"\ud800\u0041"}`:  "half a character",
		"{\"key\":\"k\",\"value\":\"\xff\"}":  "not UTF-8",
		"{\"key\":\"k\",\"value\":\"a\x01\"}": "invalid character",
		`{"key":"` + strings.Repeat("k", 8193) + `","value":""}`:   "longer than 8 KiB",
		`{"key":"k","value":"` + strings.Repeat("v", 3<<19) + `"}`: "larger than 1.5 MiB",
	} {
		if _, err := parseLine([]byte(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.60s: %v, want %q", text, err, want)
		}
	}
}

// FuzzLine: every pair that can be stored has a line, which is JSON and reads
// back as the pair.
func FuzzLine(f *testing.F) {
	f.Add([]byte("k"), []byte("v"))
	f.Add([]byte{0xff, 0}, []byte("\"\\\u2028<\x7f"))
	f.Fuzz(func(t *testing.T, key, value []byte) {
		if len(key) == 0 || len(key) > 8192 || len(value) > 1<<20 {
			return
		}
		line := appendLine(nil, key, value)
		if !json.Valid(line) || bytes.Count(line, []byte("\n")) != 1 {
			t.Fatalf("%q is no JSON line", line)
		}
		op, err := parseLine(line)
		if err != nil || !bytes.Equal(op.Key, key) || !bytes.Equal(op.Value, value) {
			t.Fatalf("%q reads as %q, %q, %v", line, op.Key, op.Value, err)
		}
	})
}

// FuzzParseLine: what is accepted is written again as one line that reads the
// same.
func FuzzParseLine(f *testing.F) {
	f.Add([]byte(`{"key":"a","value64":"/w=="}`))
	f.Add([]byte(`{"key":"\ud83d\ude00","value":"\u0000"}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		op, err := parseLine(text)
		if err != nil {
			return
		}
		again, err := parseLine(appendLine(nil, op.Key, op.Value))
		if err != nil || !bytes.Equal(again.Key, op.Key) || !bytes.Equal(again.Value, op.Value) {
			t.Fatalf("%q: %v", text, err)
		}
	})
}
