package bridge

import (
	"context"
	"maps"
	"slices"
	"strings"
	"time"

	"doorway/xmpp"
	"doorway/xmpp/jid"
	"doorway/xmpp/stanza"
	"doorway/xmpp/xmlstream"
)

// subRecord is the record "sub/"+local+NUL+bare JID: a person who subscribed to a contact, or to the gateway ("").
type subRecord struct {
	V  int       `json:"v"`
	At time.Time `json:"at"`
}

func subKey(local string, person jid.JID) string { return "sub/" + local + "\x00" + person.String() }

func (b *Bridge) loadWatchers() error {
	return b.c.Table.Range("sub/", "sub0", false, func(key string, _ []byte) bool {
		local, who, ok := strings.Cut(strings.TrimPrefix(key, "sub/"), "\x00")
		if j, err := jid.Parse(who); ok && err == nil {
			b.watch(local, j, true)
		}
		return true
	})
}

// watch adds or removes somebody who sees a contact's presence.
func (b *Bridge) watch(local string, person jid.JID, yes bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	m := b.watchers[local]
	switch {
	case yes && m == nil:
		b.watchers[local] = map[jid.JID]bool{person: true}
		b.spell(local, true)
	case yes:
		m[person] = true
	default:
		delete(m, person)
		if _, seen := b.watchers[local]; seen && len(m) == 0 {
			delete(b.watchers, local)
			b.spell(local, false)
		}
	}
}

// presence takes a presence stanza to the gateway or a contact (RFC 6121 §3 and §4.3, XEP-0100 §4).
func (b *Bridge) presence(ctx context.Context, st *stanza.Stanza) (xmpp.Verdict, error) {
	who, person, local := st.To.Bare().Clone(), st.From.Bare().Clone(), strings.Clone(st.To.Local())
	if local != "" {
		switch st.Type {
		case "subscribe", "probe":
			if _, err := b.contactOf(who); err != nil {
				return xmpp.Done, refusal(err)
			}
		}
	}
	switch st.Type {
	case "subscribe":
		b.watch(local, person, true)
		b.c.Table.Later(map[string]any{subKey(local, person): subRecord{V: 1, At: b.c.Now()}}, func(err error) {
			if err != nil {
				b.log.Error("subscription not stored", "user", person.String(), "err", err)
				return // the person's server asks again
			}
			b.later(func(ctx context.Context) {
				b.c.Host.Send(ctx, stanza.New(stanza.Presence, "subscribed", "", who, person, ""), nil)
				b.c.Host.Send(ctx, b.show(who, person), nil)
			})
		})
	case "unsubscribe":
		b.watch(local, person, false)
		b.c.Table.Later(map[string]any{subKey(local, person): nil}, nil)
		b.c.Host.Send(ctx, stanza.New(stanza.Presence, "unavailable", "", who, person, ""), nil)
	case "unavailable":
		if st.From.IsBare() { // not one resource: the person's server takes the contact away
			b.watch(local, person, false)
			b.c.Table.Later(map[string]any{subKey(local, person): nil}, nil)
		}
	case "probe":
		b.watch(local, person, true)
		b.c.Host.Send(ctx, b.show(who, st.From), nil)
	case "":
		if local == "" { // directed presence logs in at other gateways; here it is answered
			b.c.Host.Send(ctx, b.show(who, st.From), nil)
		}
	}
	return xmpp.Done, nil
}

// renew sends the presence of the gateway or a contact as it is now to somebody who has asked for it once.
func (b *Bridge) renew(ctx context.Context, who, person jid.JID) {
	if who.Local() == "" || b.c.Sees == nil || b.c.Sees(person, who) {
		b.c.Host.Send(ctx, b.show(who, person), nil)
	}
}

// Refresh sends a contact's presence to those who see it, since what the house has of it has changed.
func (b *Bridge) Refresh(ctx context.Context, contact jid.JID) {
	b.mu.Lock()
	seen := slices.Collect(maps.Keys(b.watchers[contact.Local()]))
	b.mu.Unlock()
	for _, person := range seen {
		b.renew(ctx, contact, person)
	}
}

// later has f called by a goroutine of Run: what is called back by the store must not route, since a hook on the way may
// wait for the disk.
func (b *Bridge) later(f func(context.Context)) {
	select {
	case b.answers <- f:
	default:
		b.log.Warn("too many subscriptions at once, one is not answered")
	}
}

// answer calls what was put off, until ctx ends.
func (b *Bridge) answer(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case f := <-b.answers:
			f(ctx)
		}
	}
}

// show is the presence of the gateway or a contact at this moment.
func (b *Bridge) show(who, to jid.JID) *stanza.Stanza {
	contact, _ := b.contactOf(who) // ignored: the gateway itself, or something that nobody can see
	b.mu.Lock()
	s := b.status
	if who.Local() != "" && s.Online && s.Show == "" {
		s.Text = ""
		if x := b.reach[contact]; x != nil {
			s.Show, s.Text = x.show(b.c.Now())
		}
	}
	b.mu.Unlock()
	if !s.Online {
		var w xmlstream.Writer
		if s.Text != "" {
			w.Leaf("", "status", s.Text)
		}
		return stanza.New(stanza.Presence, "unavailable", "", who, to, w.String())
	}
	text := s.Text
	if text == "" && who.Local() != "" {
		text = b.info.Name
	}
	var w xmlstream.Writer
	if s.Show != "" {
		w.Leaf("", "show", s.Show)
	}
	if text != "" {
		w.Leaf("", "status", text)
	}
	if who.Local() != "" && b.c.Photo != nil {
		if sha1, listed := b.c.Photo(to.Bare(), who); listed {
			w.Start("vcard-temp:x:update", "x").Leaf("", "photo", sha1).End()
		}
	}
	return stanza.New(stanza.Presence, "", "", who, to, w.String())
}
