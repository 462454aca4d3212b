package main

import (
	"context"
	"strings"
	"testing"
	"time"

	"doorway/xmpp/stanza"
)

// request sends an IQ and returns what is in the answer.
func (m *member) request(typ, to, payload string) string {
	m.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 60*time.Second)
	defer cancel()
	m.say("<iq type='" + typ + "' id='ask'" + to + ">" + payload + "</iq>")
	st, err := m.Expect(ctx, func(st *stanza.Stanza) bool {
		return st.Kind == stanza.IQ && st.ID == "ask" && (st.Type == "result" || st.Type == "error")
	})
	if err != nil {
		m.t.Fatal(err)
	}
	return st.Inner()
}

// TestGroupOpensPersonalNodes: who sees somebody through a group reads their
// nodes and gets the last items, and no longer when the group has changed.
func TestGroupOpensPersonalNodes(t *testing.T) {
	const node = "urn:example:node"
	o := openGroups(t, "anna", "ben")
	a, b := o.online("anna"), o.online("ben")
	pubsub := func(inner string) string {
		return "<pubsub xmlns='http://jabber.org/protocol/pubsub'>" + inner + "</pubsub>"
	}
	a.request("set", "", pubsub("<publish node='"+node+"'><item id='i'><x xmlns='urn:example:x'/></item></publish>"))
	items := func() string {
		return b.request("get", " to='anna@office.localhost'", pubsub("<items node='"+node+"'/>"))
	}
	if got := items(); !strings.Contains(got, "presence-subscription-required") {
		t.Errorf("a stranger: %s", got)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 60*time.Second)
	defer cancel()
	b.say("<presence><c xmlns='http://jabber.org/protocol/caps' hash='sha-1' node='urn:test' ver='groups'/></presence>")
	q, err := b.Expect(ctx, func(st *stanza.Stanza) bool { return st.Kind == stanza.IQ && st.Type == "get" })
	if err != nil {
		t.Fatal(err)
	}
	b.say("<iq type='result' id='" + q.ID + "' to='office.localhost'><query xmlns='http://jabber.org/protocol/disco#info'><feature var='" + node + "+notify'/></query></iq>")
	b.lines()
	o.group("sales", "Sales", "members", "anna", "ben")
	if _, err := b.Expect(ctx, func(st *stanza.Stanza) bool {
		return st.Kind == stanza.Message && st.Type == "headline" && st.From.Local() == "anna" && strings.Contains(st.Inner(), "<item id='i'>")
	}); err != nil {
		t.Errorf("the last item does not come: %v", err)
	}
	if got := items(); !strings.Contains(got, "<item id='i'>") {
		t.Errorf("in the group: %s", got)
	}
	o.group("sales", "Sales", "members", "anna")
	b.lines()
	if got := items(); !strings.Contains(got, "presence-subscription-required") {
		t.Errorf("out of the group: %s", got)
	}
	a.request("set", "", pubsub("<publish node='"+node+"'><item id='j'><x xmlns='urn:example:x'/></item></publish>"))
	if got := b.lines(); len(got) != 0 {
		t.Errorf("told out of the group: %q", got)
	}
}
