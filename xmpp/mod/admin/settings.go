package admin

import (
	"fmt"
	"time"

	"doorway/xmpp/jid"
)

// The keys of the table "service".
const (
	keyAdmins    = "admins"
	keyBlacklist = "blacklist"
	keyMOTD      = "motd"
	keyWelcome   = "welcome"
)

// writeEvery is how often times of login are written.
const writeEvery = 5 * time.Minute

// settings are what administrators have set.
type settings struct {
	Admins    []jid.JID
	Blacklist []jid.JID // also in Module.black
	MOTD      text
	Welcome   text
}

// addresses and text are records of the table "service".
type addresses struct {
	V    int      `json:"v"`
	JIDs []string `json:"jids"`
}

type text struct {
	V    int    `json:"v"`
	ID   uint64 `json:"id,omitempty"` // rises with each new message, not with an edit
	Text string `json:"text"`
}

// login is the record of an account in the table "logins".
type login struct {
	V        int       `json:"v"`
	At       time.Time `json:"at,omitzero"`        // of the last login
	MOTD     uint64    `json:"motd,omitempty"`     // the last message of the day it got
	Welcomed bool      `json:"welcomed,omitempty"` // its first login is over
}

// read fills the settings from the table.
func (m *Module) read() error {
	get := func(key string, v any) error {
		if _, err := m.table.Get(key, v); err != nil {
			return fmt.Errorf("read %s of the service: %w", key, err)
		}
		return nil
	}
	for key, to := range map[string]*[]jid.JID{keyAdmins: &m.set.Admins, keyBlacklist: &m.set.Blacklist} {
		var a addresses
		if err := get(key, &a); err != nil {
			return err
		}
		for _, s := range a.JIDs {
			j, err := jid.Parse(s)
			if err != nil {
				return fmt.Errorf("read %s of the service: %w", key, err)
			}
			*to = append(*to, j)
		}
	}
	if err := get(keyMOTD, &m.set.MOTD); err != nil {
		return err
	}
	m.black.Store(&m.set.Blacklist)
	return get(keyWelcome, &m.set.Welcome)
}

// save writes one setting, then shows it. change is held.
func (m *Module) save(key string, record any, show func(*settings)) error {
	if err := m.table.Write(map[string]any{key: record}); err != nil {
		return fmt.Errorf("save %s of the service: %w", key, err)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	show(&m.set)
	m.black.Store(&m.set.Blacklist)
	return nil
}

// saveList is save for a list of addresses.
func (m *Module) saveList(key string, list []jid.JID, show func(*settings)) error {
	a := addresses{V: 1, JIDs: []string{}}
	for _, j := range list {
		a.JIDs = append(a.JIDs, j.String())
	}
	return m.save(key, a, show)
}

func (m *Module) settings() settings {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.set
}

// login returns what is known of an account's logins.
func (m *Module) login(account jid.JID) (l login, known bool, err error) {
	m.mu.Lock()
	l, known = m.dirty[account]
	m.mu.Unlock()
	if known {
		return l, true, nil
	}
	if known, err = m.logins.Get(account.String(), &l); err != nil {
		return l, false, fmt.Errorf("read logins of %s: %w", account, err)
	}
	return l, known, nil
}

// update changes an account's record as f says, unless f returns false. The
// change is seen at once, and on disk at the next write.
func (m *Module) update(account jid.JID, f func(*login) bool) error {
	for {
		m.mu.Lock()
		noted := m.noted
		m.mu.Unlock()
		l, _, err := m.login(account)
		if err != nil {
			return err
		}
		m.mu.Lock()
		now, fresh := m.dirty[account]
		switch {
		case fresh:
			l = now
		case m.noted != noted: // somebody else's may have been written since it was read
			m.mu.Unlock()
			continue
		}
		if l.V = 1; f(&l) {
			m.noted++
			m.dirty[account.Clone()] = l
		}
		m.mu.Unlock()
		return nil
	}
}

// write queues for the disk what update has kept.
func (m *Module) write() {
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.dirty) == 0 {
		return
	}
	changes := make(map[string]any, len(m.dirty))
	for j, l := range m.dirty {
		changes[j.String()] = l
	}
	clear(m.dirty)
	// Under the lock: who looks afterwards finds the change queued.
	m.logins.Later(changes, func(err error) {
		if err != nil {
			m.host.Log().Warn("logins not written", "comp", "admin", "err", err)
		}
	})
}

// Purge forgets a removed account.
func (m *Module) Purge(account jid.JID) error {
	account = account.Bare()
	m.mu.Lock()
	m.noted++
	delete(m.dirty, account)
	m.mu.Unlock()
	if err := m.logins.Write(map[string]any{account.String(): nil}); err != nil {
		return fmt.Errorf("purge logins of %s: %w", account, err)
	}
	m.change.Lock()
	defer m.change.Unlock()
	old := m.settings().Admins
	var left []jid.JID
	for _, j := range old {
		if j != account {
			left = append(left, j)
		}
	}
	if len(left) == len(old) {
		return nil
	}
	return m.saveList(keyAdmins, left, func(s *settings) { s.Admins = left })
}
