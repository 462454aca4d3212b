package roster

import "sync"

// counter counts goroutines. Unlike a sync.WaitGroup it may rise from zero
// while somebody waits.
type counter struct {
	mu   sync.Mutex // guards n and idle
	n    int
	idle chan struct{} // closed when n falls to zero; nil when nobody waits
}

func (c *counter) add(d int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.n += d; c.n == 0 && c.idle != nil {
		close(c.idle)
		c.idle = nil
	}
}

// wait returns when nothing runs.
func (c *counter) wait() {
	c.mu.Lock()
	if c.n == 0 {
		c.mu.Unlock()
		return
	}
	if c.idle == nil {
		c.idle = make(chan struct{})
	}
	idle := c.idle
	c.mu.Unlock()
	<-idle
}
