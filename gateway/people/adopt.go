package people

import (
	"context"
	"fmt"

	"doorway/xmpp/sasl"
)

// Adoption is an account that comes from another server: with a password, with
// keys, or with neither, so that nobody can log in yet.
type Adoption struct {
	Local, Name, Password string
	Disabled              bool
	Keys                  map[sasl.Hash]sasl.Keys
}

// Check returns the *Error that Adopt would return for the account by itself.
func (a *Adoption) Check() error {
	_, _, err := a.prepare()
	return err
}

func (a *Adoption) prepare() (local string, all map[sasl.Hash]keys, err error) {
	if local, err = Prepare(a.Local); err != nil {
		return "", nil, err
	}
	if a.Name, err = line("person's name", a.Name, maxName); err != nil {
		return "", nil, &Error{Text: err.Error(), Err: ErrName}
	}
	if a.Password != "" {
		all, err = derive(a.Password)
		return local, all, err
	}
	all = make(map[sasl.Hash]keys, len(a.Keys))
	for h, k := range a.Keys {
		all[h] = keys(k)
	}
	return local, all, nil
}

// Adopt creates an account with its person, as Add does, and commits rows of
// other tables with it. ErrExists, or an *Error.
func (p *People) Adopt(a Adoption, rows map[string]map[string]any) error {
	local, k, err := a.prepare()
	if err != nil {
		return err
	}
	p.change.Lock()
	defer p.change.Unlock()
	e := p.begin()
	if err := e.addAccount(local, a.Name, k); err != nil {
		return err
	}
	e.accounts[local].Disabled = a.Disabled
	next, faults := e.result()
	if len(faults) > 0 {
		return faults[0].error()
	}
	changes := e.changes(next)
	for table, r := range rows {
		if _, taken := changes[table]; taken {
			return fmt.Errorf("adopt %s: rows of %s are not its own", local, table)
		}
		changes[table] = r
	}
	if err := p.store.WriteAll(changes, false); err != nil {
		return fmt.Errorf("save account %s: %w", local, err)
	}
	p.publish(context.Background(), e, next)
	return nil
}

// KeysOf returns all SCRAM keys of a canonical localpart.
func (p *People) KeysOf(local string) map[sasl.Hash]sasl.Keys {
	p.mu.RLock()
	defer p.mu.RUnlock()
	all := make(map[sasl.Hash]sasl.Keys)
	if r := p.accounts[local]; r != nil {
		for h, k := range r.Keys {
			all[h] = sasl.Keys(k)
		}
	}
	return all
}
