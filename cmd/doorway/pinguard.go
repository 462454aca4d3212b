package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"doorway/gateway/store"
	"doorway/modem"
)

// pinGuard keeps the journal of PIN attempts, so that a wrong PIN costs one
// attempt in the life of the box and not one for each restart.
type pinGuard struct{ table *store.Table }

var _ modem.PINGuard = pinGuard{}

type pinAttempt struct {
	V       int       `json:"v"`
	At      time.Time `json:"at"`
	Success bool      `json:"success"`
	Refused bool      `json:"refused,omitempty"`
	Left    int       `json:"left,omitempty"`  // attempts that the SIM forgave before this one; 0 or -1 unknown
	Tries   int       `json:"tries,omitempty"` // since the last success
}

const (
	mostUnsure  = 2 // a PIN that gets no answer is sent so often at most
	mostRefused = 2 // a third wrong PIN blocks a SIM
)

var errPINTried = errors.New("this PIN was already tried on this SIM and not accepted")

func (g pinGuard) key(sim, hash string) string { return sim + "\x00" + hash }

// Attempt writes the attempt down before the PIN is sent. A PIN that was sent
// without an answer, because the power failed then, is sent once more where
// the SIM says that it has as many attempts left as before: a wrong one would
// have cost one.
func (g pinGuard) Attempt(sim, hash string, left int) error {
	var a pinAttempt
	found, err := g.table.Get(g.key(sim, hash), &a)
	if err != nil {
		return fmt.Errorf("look up PIN attempts: %w", err)
	}
	switch {
	case !found, a.Success:
		a = pinAttempt{}
	case a.Refused, a.Left < 2, left < a.Left, a.Tries >= mostUnsure:
		return errPINTried
	}
	if left < 0 { // the SIM does not tell
		n, err := g.wrong(sim)
		if err != nil {
			return err
		}
		if n >= mostRefused {
			return modem.ErrPINLast
		}
	}
	return g.table.Write(map[string]any{g.key(sim, hash): pinAttempt{V: 1, At: time.Now(), Left: left, Tries: a.Tries + 1}})
}

// wrong counts the PINs that this SIM has not taken since it took one.
func (g pinGuard) wrong(sim string) (int, error) {
	var taken time.Time
	var others []pinAttempt
	err := g.table.Range(sim+"\x00", sim+"\x01", false, func(_ string, raw []byte) bool {
		var a pinAttempt
		switch err := json.Unmarshal(raw, &a); {
		case err == nil && !a.Success, err != nil: // what cannot be read is not taken for a success
			others = append(others, a)
		case a.At.After(taken):
			taken = a.At
		}
		return true
	})
	n := 0
	for _, a := range others {
		if a.At.IsZero() || a.At.After(taken) {
			n++
		}
	}
	return n, err
}

// Success says that the PIN was right, so that it may be used again.
func (g pinGuard) Success(sim, hash string) error {
	return g.table.Write(map[string]any{g.key(sim, hash): pinAttempt{V: 1, At: time.Now(), Success: true}})
}

// Refused says that the PIN was wrong: it is never sent again.
func (g pinGuard) Refused(sim, hash string) error {
	var a pinAttempt
	if _, err := g.table.Get(g.key(sim, hash), &a); err != nil {
		return fmt.Errorf("look up PIN attempts: %w", err)
	}
	a.V, a.Refused, a.Success = 1, true, false
	return g.table.Write(map[string]any{g.key(sim, hash): a})
}
