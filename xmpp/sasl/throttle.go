package sasl

import (
	"context"
	"hash/maphash"
	"sync"
	"time"
)

// throttle slows down guesses. It counts the failures of each pair of
// address and account; the next guess of that pair waits 0.5 s after the
// first failure, twice as long after each further one, at most 15 s. A failure
// is forgotten every 30 s, all of them with a success. Guesses of one pair at
// the same time queue up behind each other; beyond a few they are turned away
// unseen, with a condition that asks to try again.
type throttle struct {
	mu    sync.Mutex // guards pairs
	seed  maphash.Seed
	pairs map[uint64]*pair
}

type pair struct {
	key      uint64 // its place in pairs
	failures int
	running  int       // attempts that have begun and not ended
	last     time.Time // of the last failure
	next     time.Time // when the next attempt may run
}

const (
	firstDelay   = 500 * time.Millisecond
	longestDelay = 15 * time.Second
	forgetEvery  = 30 * time.Second
	maxPairs     = 8192
	maxRunning   = 16 // of one pair; the design allows an account that many streams
)

// delay is the wait after n failures.
func delay(n int) time.Duration {
	switch {
	case n <= 0:
		return 0
	case n > 5:
		return longestDelay
	}
	return min(firstDelay<<(n-1), longestDelay)
}

// attempt runs check when the pair's turn has come. Its false is a wrong
// guess; an error, or ctx ending before, is no guess at all.
func (s *Server) attempt(ctx context.Context, addr, local string, check func() (bool, error)) error {
	p, wait := s.throttle.begin(addr, local, s.now())
	if p == nil {
		return fail("temporary-auth-failure", "Too many sign-ins to this account at the same time. Wait a few seconds and try again.")
	}
	result := abandoned
	defer func() { s.throttle.end(p, result, s.now()) }()
	if wait > 0 {
		t := time.NewTimer(wait)
		defer t.Stop()
		select {
		case <-t.C:
		case <-ctx.Done():
			return interrupted(ctx.Err())
		}
	}
	ok, err := check()
	switch {
	case err != nil:
		return interrupted(err)
	case !ok:
		result = wrong
		return refused()
	}
	result = right
	return nil
}

// outcome is how an attempt ended.
type outcome uint8

const (
	abandoned outcome = iota
	wrong
	right
)

// begin counts an attempt and says how long it must wait; nil when too many wait already.
func (t *throttle) begin(addr, local string, now time.Time) (*pair, time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.pairs == nil {
		t.pairs, t.seed = make(map[uint64]*pair), maphash.MakeSeed()
	}
	key := maphash.String(t.seed, addr+"\x00"+local)
	p := t.pairs[key]
	if p == nil {
		if len(t.pairs) >= maxPairs {
			t.evict(now)
		}
		p = &pair{key: key}
		t.pairs[key] = p
	}
	if p.running >= maxRunning {
		return nil, 0
	}
	p.decay(now)
	wait := min(max(p.next.Sub(now), 0), longestDelay) // however many are queued: nobody is locked out
	p.running++
	p.next = now.Add(wait + delay(p.failures+p.running-1))
	return p, wait
}

// end counts the outcome.
func (t *throttle) end(p *pair, result outcome, now time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	p.running--
	switch result {
	case right:
		p.failures, p.next = 0, time.Time{}
	case wrong:
		p.failures++
		p.last = now
		if next := now.Add(delay(p.failures)); next.After(p.next) {
			p.next = next
		}
	}
	if p.failures == 0 && p.running == 0 && t.pairs[p.key] == p {
		delete(t.pairs, p.key) // nothing is held against it
	}
}

func (p *pair) decay(now time.Time) {
	if n := int(now.Sub(p.last) / forgetEvery); n > 0 && p.failures > 0 {
		p.failures = max(0, p.failures-n)
		p.last = now
	}
}

// evict makes room: first what is forgotten, then whatever comes.
func (t *throttle) evict(now time.Time) {
	for k, p := range t.pairs {
		if p.decay(now); p.failures == 0 && p.running == 0 {
			delete(t.pairs, k)
		}
	}
	for k, p := range t.pairs {
		if len(t.pairs) < maxPairs*7/8 {
			return
		}
		if p.running == 0 {
			delete(t.pairs, k)
		}
	}
}
