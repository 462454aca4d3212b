package bridge

import (
	"context"
	"strings"

	"doorway/transports"
	"doorway/xmpp"
	"doorway/xmpp/stanza"
	"doorway/xmpp/xmlstream"
)

// iq answers requests to the gateway and its contacts. What the gateway does not know itself (disco, ping, version)
// is left to the host's handlers for any domain.
func (b *Bridge) iq(ctx context.Context, st *stanza.Stanza) (xmpp.Verdict, error) {
	var w xmlstream.Writer
	var err error
	get := st.Type == string(stanza.Get)
	if st.To.Local() == "" {
		switch {
		case st.To.Resource() != "":
			return xmpp.Pass, nil
		case st.Payload == stanza.Name{Space: nsGateway, Local: "query"}:
			err = b.prompt(&w, st)
		case st.Payload == stanza.Name{Space: nsVCard, Local: "vCard"} && get:
			w.Start(nsVCard, "vCard").Leaf("", "FN", b.info.Name).Leaf("", "DESC", b.info.Desc).End()
		default:
			return xmpp.Pass, nil
		}
	} else {
		var contact transports.ContactID
		if contact, err = b.contactOf(st.To); err == nil {
			err = b.ask(&w, st, contact)
		} else {
			err = refusal(err)
		}
	}
	if err != nil {
		return xmpp.Done, err
	}
	b.c.Host.Send(ctx, st.Reply(w.String()), nil)
	return xmpp.Done, nil
}

// prompt turns what a person typed into a JID (XEP-0100 §6.3).
func (b *Bridge) prompt(w *xmlstream.Writer, st *stanza.Stanza) error {
	w.Start(nsGateway, "query")
	defer w.End()
	if st.Type == string(stanza.Get) {
		w.Leaf("", "desc", b.info.Desc).Leaf("", "prompt", b.info.Prompt)
		return nil
	}
	q, _ := st.Child(nsGateway, "query")
	p := q.Child("", "prompt")
	if p == nil {
		return stanza.NewError(stanza.BadRequest, "The request holds no prompt.")
	}
	contact, err := b.c.Network.ContactID(strings.TrimSpace(p.Text))
	if err != nil {
		e := refusal(err)
		e.Condition, e.Type = stanza.NotAcceptable, stanza.Modify
		return e
	}
	j, err := b.address(contact)
	if err != nil {
		return stanza.NewError(stanza.JIDMalformed, "That cannot be an address. "+b.info.Desc)
	}
	w.Leaf("", "jid", j.String())
	return nil
}

// ask answers what clients want to know of a contact.
func (b *Bridge) ask(w *xmlstream.Writer, st *stanza.Stanza, contact transports.ContactID) error {
	if st.Type == string(stanza.Get) {
		switch st.Payload {
		case stanza.Name{Space: nsDiscoInfo, Local: "query"}:
			q, _ := st.Child(nsDiscoInfo, "query")
			if q.Attr("node") != "" {
				return stanza.NewError(stanza.ItemNotFound, "")
			}
			w.Start(nsDiscoInfo, "query")
			w.Leaf("", "identity", "", "category", "client", "type", b.info.Type, "name", string(contact))
			for _, f := range []string{nsDiscoInfo, nsReceipts, nsVCard, nsVersion, nsPing} {
				w.Leaf("", "feature", "", "var", f)
			}
			w.End()
			return nil
		case stanza.Name{Space: nsDiscoItems, Local: "query"}:
			w.Leaf(nsDiscoItems, "query", "")
			return nil
		case stanza.Name{Space: nsPing, Local: "ping"}:
			return nil
		case stanza.Name{Space: nsVersion, Local: "query"}:
			w.Start(nsVersion, "query").Leaf("", "name", "doorway "+b.info.Name)
			if b.c.Version != "" {
				w.Leaf("", "version", b.c.Version)
			}
			w.End()
			return nil
		case stanza.Name{Space: nsVCard, Local: "vCard"}:
			if b.c.Card != nil {
				if xml := b.c.Card(st.From.Bare(), st.To.Bare()); xml != "" {
					w.Raw(xml)
					return nil
				}
			}
			w.Start(nsVCard, "vCard").Leaf("", "FN", string(contact))
			if b.info.Type == "sms" {
				w.Start("", "TEL").Leaf("", "CELL", "").Leaf("", "NUMBER", string(contact)).End()
			}
			w.End()
			return nil
		}
	}
	return stanza.NewError(stanza.ServiceUnavailable, "")
}
