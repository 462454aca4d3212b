package modem

import (
	"context"
	"time"
)

// maxBurst is how many parts may hold up the reading of messages.
const maxBurst = 10

// Burst announces n parts that follow one another at once: the radio link is
// kept open between them (+CMMS, TS 27.005 §3.5.6) and nothing else is asked of
// the modem meanwhile. end, which may be called more than once, ends that
// early; a burst whose parts do not come ends by itself.
func (d *Driver) Burst(ctx context.Context, n int) (end func()) {
	if n < 2 || d.Status().State != Ready {
		return func() {}
	}
	d.mu.Lock()
	d.bursts++
	id := d.bursts
	d.mu.Unlock()
	err := d.submit(ctx, func(ctx context.Context, s *session) error {
		if !s.isReady() || s.burst > 0 {
			return nil
		}
		s.burst, s.burstID, s.burstUntil = min(n, maxBurst), id, time.Now().Add(s.t.Listen)
		if !s.cmms {
			return nil
		}
		ok, err := s.set(ctx, "AT+CMMS=1", 0)
		s.cmms = ok
		return err
	})
	if err != nil {
		return func() {} // the sends will say why
	}
	return func() {
		d.ended.Store(id)
		select {
		case d.wake <- struct{}{}:
		default:
		}
	}
}

// inBurst tells whether parts are still to come.
func (s *session) inBurst() bool {
	return s.burst > 0 && s.d.ended.Load() < s.burstID && time.Now().Before(s.burstUntil)
}

// partDone counts a part of the burst.
func (s *session) partDone() {
	s.burst--
	s.burstUntil = time.Now().Add(s.t.Listen)
}
