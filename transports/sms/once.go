package sms

import (
	"context"

	"doorway/transports"
)

// once returns the Ref of the text that was stored with the key before, else it stores one by put. What stands in the way
// of a text now, a cap or a STOP, is nothing to one that was taken already. Calls with the same key follow one another, so
// that the second finds the first one's text, and nothing is counted twice. An empty key is that of no other text.
func (s *Session) once(ctx context.Context, key string, put func() (transports.Ref, error)) (transports.Ref, error) {
	if key == "" {
		return put()
	}
	if err := s.claim(ctx, key); err != nil {
		return "", notStored(err)
	}
	defer s.unclaim(key)
	switch id, found, err := s.env.Outbox.Find(key); {
	case err != nil:
		return "", notStored(err)
	case found:
		return refOf(id), nil
	}
	return put()
}

func notStored(err error) *transports.Error {
	return down("The text could not be stored, so nothing was sent. Try again in a moment.", err)
}

// claim waits until no other call has the key.
func (s *Session) claim(ctx context.Context, key string) error {
	for {
		s.mu.Lock()
		busy := s.sending[key]
		if busy == nil {
			s.sending[key] = make(chan struct{})
			s.mu.Unlock()
			return nil
		}
		s.mu.Unlock()
		select {
		case <-busy:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (s *Session) unclaim(key string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	close(s.sending[key])
	delete(s.sending, key)
}
