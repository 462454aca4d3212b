package jid

import "sync"

// cached keeps prepared addresses that were not canonical ASCII as written.
var cached cache

// cache has two generations: a full young one becomes the old one, which is
// dropped. It holds at most 2*cacheEntries addresses of cacheLongest bytes.
type cache struct {
	mu         sync.Mutex // guards both maps
	young, old map[string]JID
}

const (
	cacheEntries = 512
	cacheLongest = 256
)

func (c *cache) get(s string) (JID, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if j, ok := c.young[s]; ok {
		return j, true
	}
	j, ok := c.old[s]
	return j, ok
}

// put clones s, which may belong to a larger buffer. j never refers to s:
// New has built it anew.
func (c *cache) put(s string, j JID) {
	if len(s) > cacheLongest {
		return
	}
	key := string([]byte(s))
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.young == nil || len(c.young) >= cacheEntries {
		c.old, c.young = c.young, make(map[string]JID, 16)
	}
	c.young[key] = j
}
