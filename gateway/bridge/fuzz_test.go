package bridge

import (
	"testing"

	"doorway/transports"
	"doorway/xmpp"
	"doorway/xmpp/jid"
	"doorway/xmpp/routertest"
	"doorway/xmpp/stanza"
)

// FuzzHandle gives the gateway any stanza a client may send to it; what it answers must parse.
func FuzzHandle(f *testing.F) {
	f.Add("<message type='chat' id='1' from='a@b/c' to='015550101@sms.office.localhost'><body>x</body></message>")
	f.Add("<presence type='subscribe' from='a@b/c' to='+49@sms.office.localhost'/>")
	f.Add("<iq type='set' id='1' from='a@b/c' to='sms.office.localhost'><query xmlns='jabber:iq:gateway'><prompt>0155</prompt></query></iq>")
	f.Add("<iq type='get' id='1' from='a@b/c' to='0155@sms.office.localhost'><query xmlns='http://jabber.org/protocol/disco#info' node='x'/></iq>")
	f.Fuzz(func(t *testing.T, xml string) {
		st, err := stanza.Parse(xml)
		if err != nil || st.From.IsZero() {
			return
		}
		if to, err := jid.New(st.To.Local(), domain, st.To.Resource()); err == nil {
			st = st.WithTo(to)
		}
		host := &server{refuses: map[jid.JID]error{}}
		b, err := New(Config{Network: &network{}, Domain: domain, Host: host, Table: routertest.NewStore().Table("bridge")})
		if err != nil {
			t.Fatal(err)
		}
		b.setStatus(transports.StatusEvent{Online: true, Text: "<&>"})
		if _, err := b.Handle(t.Context(), &xmpp.Delivery{Stanza: st}); err != nil {
			host.Send(t.Context(), stanza.New(st.Kind, "error", "", b.self, st.From, refusal(err).XML()), nil)
		}
		for _, out := range host.sent {
			if _, err := stanza.Parse(out.String()); err != nil {
				t.Fatalf("%s: %v", out, err)
			}
		}
	})
}
