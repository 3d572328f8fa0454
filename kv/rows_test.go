package kv_test

import (
	"bytes"
	"slices"
	"sort"
)

// memRows is machine.Rows in memory: a sorted slice. It hands out slices that
// it destroys at the next write, as the contract allows, so that whoever keeps
// one is found out.
type memRows struct {
	rows   []memRow
	lent   [][]byte
	writes int
}

type memRow struct{ key, value []byte }

func (m *memRows) find(key []byte) (int, bool) {
	i := sort.Search(len(m.rows), func(i int) bool { return bytes.Compare(m.rows[i].key, key) >= 0 })
	return i, i < len(m.rows) && bytes.Equal(m.rows[i].key, key)
}

func (m *memRows) lend(b []byte) []byte {
	b = bytes.Clone(b)
	m.lent = append(m.lent, b)
	return b
}

func spoil(b []byte) {
	for i := range b {
		b[i] = 0xdd
	}
}

func (m *memRows) writing() {
	m.writes++
	for _, b := range m.lent {
		spoil(b)
	}
	m.lent = m.lent[:0]
}

func (m *memRows) Get(key []byte) ([]byte, bool) {
	i, ok := m.find(key)
	if !ok {
		return nil, false
	}
	return m.lend(m.rows[i].value), true
}

func (m *memRows) Set(key, value []byte) {
	m.writing()
	row := memRow{bytes.Clone(key), bytes.Clone(value)}
	i, ok := m.find(key)
	if ok {
		m.rows[i] = row
	} else {
		m.rows = slices.Insert(m.rows, i, row)
	}
}

func (m *memRows) Delete(key []byte) {
	m.writing()
	if i, ok := m.find(key); ok {
		m.rows = slices.Delete(m.rows, i, i+1)
	}
}

func (m *memRows) between(lo, hi []byte) []memRow {
	i, _ := m.find(lo)
	j := len(m.rows)
	if hi != nil {
		j, _ = m.find(hi)
	}
	return m.rows[i:max(i, j)]
}

func (m *memRows) Scan(lo, hi []byte, yield func(key, value []byte) bool) {
	m.each(slices.Values(m.between(lo, hi)), yield)
}

func (m *memRows) ScanBack(lo, hi []byte, yield func(key, value []byte) bool) {
	rows := slices.Clone(m.between(lo, hi))
	slices.Reverse(rows)
	m.each(slices.Values(rows), yield)
}

// each spoils key and value after the yield, within which alone they are valid.
func (m *memRows) each(rows func(func(memRow) bool), yield func(key, value []byte) bool) {
	for row := range rows {
		before := m.writes
		key, value := bytes.Clone(row.key), bytes.Clone(row.value)
		more := yield(key, value)
		if m.writes != before {
			panic("rows written from within yield")
		}
		spoil(key)
		spoil(value)
		if !more {
			return
		}
	}
}

// dump is all of the rows, for comparing two stores.
func (m *memRows) dump() []byte {
	var b []byte
	for _, row := range m.rows {
		b = append(b, byte(len(row.key)>>8), byte(len(row.key)))
		b = append(append(b, row.key...), byte(len(row.value)>>16), byte(len(row.value)>>8), byte(len(row.value)))
		b = append(b, row.value...)
	}
	return b
}
