package people

import "fmt"

// Disabled reports an account that may not log in (sasl.Barrier).
func (p *People) Disabled(local string) bool {
	p.mu.RLock()
	defer p.mu.RUnlock()
	r := p.accounts[local]
	return r != nil && r.Disabled
}

// SetDisabled takes the right to log in away from an account, or gives it
// back; ErrUnknown. Watchers are told of a disabled one after the commit.
func (p *People) SetDisabled(local string, disabled bool) error {
	canonical, err := Prepare(local)
	if err != nil {
		return err
	}
	p.change.Lock()
	defer p.change.Unlock()
	p.mu.RLock()
	old, barred := p.accounts[canonical], p.barred
	p.mu.RUnlock()
	switch {
	case old == nil:
		return fmt.Errorf("disable or enable %s: %w", canonical, ErrUnknown)
	case old.Disabled != disabled:
		r := *old
		r.Disabled = disabled
		if err := p.save(&r); err != nil {
			return err
		}
	}
	if disabled {
		for _, f := range barred {
			f(canonical)
		}
	}
	return nil
}

// OnDisable registers f, called with the localpart of each disabled account,
// from the goroutine that called SetDisabled; f must not change accounts
// itself. Before the first SetDisabled only.
func (p *People) OnDisable(f func(local string)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.barred = append(p.barred, f)
}
