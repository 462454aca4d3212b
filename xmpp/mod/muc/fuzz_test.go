package muc_test

import (
	"testing"

	"doorway/xmpp/stanza"
)

// FuzzRequest: whatever an owner asks of a room is answered once, and the room
// goes on.
func FuzzRequest(f *testing.F) {
	for _, s := range []string{
		moderate("0000000000000001", "why"),
		"<apply-to xmlns='urn:xmpp:fasten:0' id='1'><moderate xmlns='urn:xmpp:message-moderate:0'><retract xmlns='urn:xmpp:message-retract:0'/></moderate></apply-to>",
		"<query xmlns='urn:xmpp:mam:2' queryid='q'><flip-page/><set xmlns='http://jabber.org/protocol/rsm'><max>2</max><before/></set></query>",
		"<query xmlns='urn:xmpp:mam:2'>" + with(hall+"/alice") + "</query>",
		"<metadata xmlns='urn:xmpp:mam:2'/>",
		submit("membersonly=1", "whois=anyone", "muc#roomconfig_enablearchiving=0"),
		admin("nick=bob role=none", "jid=bob@office.example affiliation=outcast"),
		register("ally"),
		"<vCard xmlns='vcard-temp'><PHOTO><BINVAL>AAAA</BINVAL></PHOTO></vCard>",
		"<query xmlns='http://jabber.org/protocol/muc#owner'><destroy jid='x@y'/></query>",
	} {
		f.Add(s, true)
		f.Add(s, false)
	}
	f.Fuzz(func(t *testing.T, payload string, set bool) {
		typ := "get"
		if set {
			typ = "set"
		}
		xml := "<iq type='" + typ + "' id='ask' to='" + hall + "'>" + payload + "</iq>"
		if st, err := stanza.Parse(xml); err != nil || st.Kind != stanza.IQ || st.Children != 1 {
			return
		}
		k := openKept(t, nil)
		a := k.found("persistentroom=1")
		say(a, "hello")
		a.Take()
		a.Say(xml)
		if n := len(a.Pick(func(st *stanza.Stanza) bool {
			return st.Kind == stanza.IQ && st.ID == "ask" && (st.Type == "result" || st.Type == "error")
		})); n != 1 {
			t.Fatalf("%d answers to %s", n, xml)
		}
		b := k.person("bob")
		b.Say("<presence to='" + hall + "/bob'>" + join + "</presence>")
		if len(b.Take()) == 0 {
			t.Fatalf("the room is silent after %s", xml)
		}
	})
}
