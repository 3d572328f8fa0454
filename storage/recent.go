package storage

// recentBytes bounds what recent holds, in each of its two generations.
const recentBytes = 1 << 20

// recent keeps rows that were read not long ago, as they are now: the records
// of sessions and the heads of keyspaces are read several times a request.
// Rows that are only written do not enter. When one generation is full it
// becomes the old one, and what it held that is read again moves on.
type recent struct {
	young, old map[string][]byte
	bytes      int // keys and values of young
}

func (c *recent) get(key []byte) (value []byte, ok bool) {
	if value, ok = c.young[string(key)]; ok {
		return value, true
	}
	if value, ok = c.old[string(key)]; ok {
		c.add(key, value)
	}
	return value, ok
}

// add takes the row in. The value must not change any more.
func (c *recent) add(key, value []byte) {
	size := len(key) + len(value)
	if size > recentBytes/16 {
		return
	}
	if c.young == nil || c.bytes+size > recentBytes {
		c.old, c.young, c.bytes = c.young, map[string][]byte{}, 0
	}
	c.young[string(key)] = value
	c.bytes += size
}

// set changes a row that is kept.
func (c *recent) set(key, value []byte) {
	_, kept := c.young[string(key)]
	if !kept {
		_, kept = c.old[string(key)]
	}
	if kept {
		c.drop(key)
		c.add(key, append([]byte(nil), value...))
	}
}

// drop forgets a row.
func (c *recent) drop(key []byte) {
	if value, ok := c.young[string(key)]; ok {
		c.bytes -= len(key) + len(value)
		delete(c.young, string(key))
	}
	delete(c.old, string(key))
}
