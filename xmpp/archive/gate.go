package archive

import "sync"

// gate keeps a commit's outcome back until the archive is unlocked: what
// follows a failure may come back to it.
type gate struct {
	mu      sync.Mutex // guards what follows
	opened  bool
	settled bool
	err     error
	done    func(error)
}

func (g *gate) settle(err error) {
	g.mu.Lock()
	g.settled, g.err = true, err
	pass := g.opened
	g.mu.Unlock()
	if pass {
		g.done(err)
	}
}

func (g *gate) open() {
	g.mu.Lock()
	g.opened = true
	pass, err := g.settled, g.err
	g.mu.Unlock()
	if pass {
		g.done(err)
	}
}
