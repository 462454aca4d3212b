package offline

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"doorway/xmpp/jid"
	"doorway/xmpp/stanza"
)

// batch is how many rows one change of the table erases.
const batch = 100

var (
	errGone       = errors.New("row is gone")
	errUnreadable = errors.New("row is unreadable")
)

// value is a row of the table.
type value struct {
	V   int       `json:"v"`   // 1
	At  time.Time `json:"at"`  // when it was stored
	XML string    `json:"xml"` // the stanza, its content namespace jabber:client implied
}

// key is the owner, a zero byte and the big-endian number, so that rows sort
// by account and then in order of storing.
func key(owner jid.JID, seq uint64) string {
	b := append([]byte(owner.String()), 0)
	return string(binary.BigEndian.AppendUint64(b, seq))
}

func decode(raw []byte) (value, error) {
	var v value
	if err := json.Unmarshal(raw, &v); err != nil {
		return v, fmt.Errorf("%w: %w", errUnreadable, err)
	}
	return v, v.check()
}

func (v *value) check() error {
	if v.V != 1 {
		return fmt.Errorf("%w: version %d", errUnreadable, v.V)
	}
	return nil
}

// read lists the rows of an account.
func (m *Module) read(owner jid.JID) (rows []*row, err error) {
	err = m.table.Range(owner.String()+"\x00", owner.String()+"\x01", false, func(k string, raw []byte) bool {
		size := len(raw)
		if v, err := decode(raw); err == nil {
			size = len(v.XML)
		}
		rows = append(rows, &row{key: strings.Clone(k), size: size})
		return true
	})
	if err != nil {
		return nil, fmt.Errorf("read offline messages of %s: %w", owner, err)
	}
	return rows, nil
}

// load reads one row as the stanza to send, with the time it was stored
// (XEP-0203) unless the server has stamped it before.
func (m *Module) load(key string) (*stanza.Stanza, error) {
	var v value
	ok, err := m.table.Get(key, &v)
	if err != nil {
		return nil, fmt.Errorf("read offline message: %w", err)
	}
	if !ok {
		return nil, errGone
	}
	if err := v.check(); err != nil {
		return nil, err
	}
	st, err := stanza.Parse(v.XML)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errUnreadable, err)
	}
	return m.stamp(st, v.At), nil
}

// stamp says in a message when it came, unless the server has done so before.
func (m *Module) stamp(st *stanza.Stanza, at time.Time) *stanza.Stanza {
	if m.stamped(st) {
		return st
	}
	return st.WithAppended("<delay xmlns='" + delaySpace + "' from='" + m.host.Domainpart() + "' stamp='" +
		at.UTC().Format(time.RFC3339) + "'/>")
}

// stamped reports a delay stamp of the server's own; those that clients claim
// were stripped by the router.
func (m *Module) stamped(st *stanza.Stanza) bool {
	if !strings.Contains(st.Inner(), delaySpace) {
		return false
	}
	for _, e := range st.Elements() {
		if e.Name.Space == delaySpace && e.Name.Local == "delay" && e.Attr("from") == m.host.Domainpart() {
			return true
		}
	}
	return false
}

// erased hears of the commit of an erasure. When it failed the rows stand and
// will be replayed once more, which is the lesser evil.
func (m *Module) erased(err error) {
	if err != nil {
		m.host.Log().Error("offline messages were not erased", "comp", "offline", "err", err)
	}
}

// Purge erases what is kept for an account that was removed; it returns after
// the change is on disk.
func (m *Module) Purge(account jid.JID) error {
	b, err := m.box(account.Bare())
	if err != nil {
		return err
	}
	b.mu.Lock()
	rows := b.rows
	b.rows, b.bytes, b.dead = nil, 0, true
	b.mu.Unlock()
	m.remove(b)
	for len(rows) > 0 {
		n := min(batch, len(rows))
		changes := make(map[string]any, n)
		for _, r := range rows[:n] {
			changes[r.key] = nil
		}
		if err := m.table.Write(changes); err != nil {
			return fmt.Errorf("erase offline messages of %s: %w", account.Bare(), err)
		}
		rows = rows[n:]
	}
	return nil
}
