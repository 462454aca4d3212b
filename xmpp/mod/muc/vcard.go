package muc

import (
	"context"
	"crypto/sha1" //nolint:gosec // XEP-0153 asks for it
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"strings"

	"doorway/xmpp/jid"
	"doorway/xmpp/muc"
	"doorway/xmpp/stanza"
)

const (
	nsUpdate = "vcard-temp:x:update"
	maxCard  = 128 << 10 // bytes
)

func photoXML(hash string) string {
	if hash == "" {
		return "<x xmlns='" + nsUpdate + "'><photo/></x>"
	}
	return "<x xmlns='" + nsUpdate + "'><photo>" + hash + "</photo></x>"
}

// cardGet shows the room's vCard.
func (m *Module) cardGet(ctx context.Context, st *stanza.Stanza) error {
	r, err := m.need(st.To)
	if err != nil {
		return err
	}
	r.exit(ctx)
	var c card
	if _, err := m.table.Get(cardKey(st.To), &c); err != nil {
		return fmt.Errorf("read vCard of room: %w", err)
	}
	if c.XML == "" {
		return stanza.NewError(stanza.ItemNotFound, "This room has no vCard.")
	}
	m.host.Send(ctx, st.Reply(c.XML), nil)
	return nil
}

// cardSet is for owners, in rooms that last (XEP-0486 §3.1).
func (m *Module) cardSet(ctx context.Context, st *stanza.Stanza) error {
	el, _ := st.Child(nsVCard, "vCard")
	xml := el.XML()
	if len(xml) > maxCard {
		return unacceptable(fmt.Sprintf("A vCard may have at most %d KiB; choose a smaller picture.", maxCard>>10))
	}
	return m.change(ctx, st.To, func(r *room) (plan, error) {
		if err := r.needOwner(st.From); err != nil {
			return plan{}, err
		}
		if !r.conf.Persistent || r.locked() {
			return plan{}, stanza.NewError(stanza.NotAllowed, "Only a room that is kept can have a vCard; make it persistent first.")
		}
		hash := photoHash(&el)
		rec := r.record(r.conf)
		rec.Photo = hash
		p := plan{rows: rows{}}
		p.rows.put(tableRooms, cardKey(r.jid), card{V: 1, XML: xml})
		p.rows.put(tableRooms, r.jid.String(), rec)
		p.apply = func() {
			old := r.photo
			r.photo = hash
			r.send(st.Reply(""))
			if old != hash {
				r.sendAll(stanza.New(stanza.Presence, "", "", r.jid, jid.JID{}, photoXML(hash)), r.targets)
			}
			r.status(muc.StatusConfigChanged)
		}
		return p, nil
	})
}

// photoHash is the SHA-1 of the photo in a vCard, "" without one (XEP-0153 §3.1).
func photoHash(el *stanza.Element) string {
	p := el.Child(nsVCard, "PHOTO")
	if p == nil {
		return ""
	}
	text := strings.Map(func(r rune) rune {
		if strings.ContainsRune(" \t\r\n", r) {
			return -1
		}
		return r
	}, p.ChildText(nsVCard, "BINVAL"))
	raw, err := base64.StdEncoding.DecodeString(text)
	if err != nil || len(raw) == 0 {
		return ""
	}
	sum := sha1.Sum(raw) //nolint:gosec // XEP-0153 asks for it
	return hex.EncodeToString(sum[:])
}
