package pubsub_test

import (
	"context"
	"strings"
	"testing"

	"doorway/xmpp"
	"doorway/xmpp/jid"
	"doorway/xmpp/pubsub"
	"doorway/xmpp/router"
	"doorway/xmpp/routertest"
	"doorway/xmpp/stanza"
	"doorway/xmpp/xmlstream"
)

// strangers see nobody's presence.
type strangers struct{}

func (strangers) SeesPresence(_, _ jid.JID) bool { return false }
func (strangers) Groups(_, _ jid.JID) []string   { return nil }

// FuzzRequest: no request breaks the engine, every answer is well-formed, and
// what was answered is what is found after a restart, within the limits.
func FuzzRequest(f *testing.F) {
	const ns = "http://jabber.org/protocol/pubsub"
	for _, seed := range []string{
		"<publish node='a'><item id='1'><x xmlns='urn:x'/></item></publish>",
		"<publish node='a'><item><x xmlns='urn:x'>&lt;</x></item></publish><publish-options><x xmlns='jabber:x:data' type='submit'><field var='FORM_TYPE'><value>" + ns + "#publish-options</value></field><field var='pubsub#max_items'><value>max</value></field></x></publish-options>",
		"<retract node='a' notify='1'><item id='1'/></retract>",
		"<create node='b'/><configure><x xmlns='jabber:x:data' type='submit'><field var='pubsub#access_model'><value>open</value></field></x></configure>",
		"<items node='a' max_items='3'><item id='1'/></items><set xmlns='http://jabber.org/protocol/rsm'><max>1</max><before/></set>",
		"<subscribe node='a' jid='alice@office.example'/>",
		"<configure xmlns='" + ns + "#owner' node='a'><x xmlns='jabber:x:data' type='submit'><field var='pubsub#persist_items'><value>0</value></field></x></configure>",
		"<affiliations xmlns='" + ns + "#owner' node='a'><affiliation jid='bob@office.example' affiliation='member'/></affiliations>",
		"<delete xmlns='" + ns + "#owner' node='a'/>",
	} {
		f.Add(seed)
	}
	alice, bob := jid.MustParse("alice@office.example/1"), jid.MustParse("bob@office.example/1")
	f.Fuzz(func(t *testing.T, inner string) {
		limits := pubsub.Limits{Nodes: 3, Items: 4, ItemBytes: 200, Bytes: 500, People: 2}
		store := routertest.NewStore()
		open := func() *pubsub.Service {
			s := pubsub.New(pubsub.Config{Rules: strangers{}, Limits: limits, Cache: 1})
			routertest.Open(t, router.Config{Store: store}, routertest.Module(s.Open))
			return s
		}
		s := open()
		ask := func(s *pubsub.Service, from jid.JID, typ, space string) string {
			st := stanza.New(stanza.IQ, typ, "1", from, alice.Bare(), "<pubsub xmlns='"+space+"'>"+inner+"</pubsub>")
			if st.Children != 1 || st.Payload != (stanza.Name{Space: space, Local: "pubsub"}) {
				t.Skip()
			}
			answer, err := s.Handle(context.Background(), alice, &xmpp.IQ{Stanza: st, Exists: true})
			if err != nil {
				return err.Error()
			}
			if els, err := xmlstream.ParseTree(answer, "", "jabber:client"); err != nil || len(els) > 1 {
				t.Errorf("%s\nis answered with %s: %v", inner, answer, err)
			}
			return answer
		}
		for _, space := range []string{ns, ns + "#owner"} {
			for _, from := range []jid.JID{alice, bob, alice} {
				ask(s, from, "set", space)
			}
		}
		again := open()
		for _, space := range []string{ns, ns + "#owner"} {
			for _, from := range []jid.JID{alice, bob} {
				if a, b := ask(s, from, "get", space), ask(again, from, "get", space); a != b {
					t.Errorf("%s\nafter a restart %s\nbefore %s", inner, b, a)
				}
			}
		}
		size := 0
		for _, row := range store.Rows() {
			if strings.HasPrefix(row, "pubsub_items") {
				size += len(row)
			}
		}
		if size > 20*int(limits.Bytes)+4*2048*3 {
			t.Errorf("%d bytes are kept", size)
		}
	})
}
