package bridge

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"doorway/transports"
	"doorway/xmpp"
	"doorway/xmpp/jid"
	"doorway/xmpp/stanza"
)

func play(t *testing.T, name string, tweak func(*Config), f func(t *testing.T, r *rig)) {
	t.Helper()
	t.Run(name, func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			r := start(t, tweak)
			defer func() { r.stop() }()
			f(t, r)
		})
	})
}

func TestTextsOut(t *testing.T) {
	play(t, "the acknowledgement waits for the outbox", nil, func(t *testing.T, r *rig) {
		r.net.block = make(chan struct{})
		if err := r.message(contact, "a1", "<body>hi</body>"); err != nil {
			t.Fatal(err)
		}
		if r.hold.waiting() != 1 {
			t.Fatal("acknowledged before the text is on disk")
		}
		close(r.net.block)
		if r.hold.waiting() != 0 {
			t.Fatal("not acknowledged")
		}
		if m := r.net.last(t); m.Body != "hi" || m.To != number || m.Sender != alice || m.Key != "" {
			t.Fatalf("%+v", m)
		}
		r.none()
	})
	play(t, "other spellings of a number", nil, func(t *testing.T, r *rig) {
		for _, to := range []string{`0155\2050101`, `015550101`, `+49155-50101`, number} {
			if err := r.message(to+"@"+domain, "a", "<body>hi</body>"); err != nil {
				t.Fatal(err)
			}
			if m := r.net.last(t); m.To != number {
				t.Fatalf("%s went to %s", to, m.To)
			}
		}
	})
	play(t, "a word is no number", nil, func(t *testing.T, r *rig) {
		if err := r.message("bob@"+domain, "a1", "<body>hi</body>"); err != nil {
			t.Fatal(err)
		}
		r.one("type='error'", "id='a1'", "from='bob@"+domain+"'", "to='"+phone+"'", "item-not-found", "“bob” is not a phone number.")
		if r.hold.waiting() != 0 {
			t.Fatal("the refusal is never acknowledged")
		}
	})
	play(t, "refusals of the network", nil, func(t *testing.T, r *rig) {
		for _, c := range []struct {
			kind      transports.ErrorKind
			temporary bool
			condition string
			class     string
		}{
			{transports.Refused, false, "not-allowed", "cancel"},
			{transports.TooLong, false, "not-acceptable", "modify"},
			{transports.Busy, true, "resource-constraint", "wait"},
			{transports.Down, true, "remote-server-timeout", "wait"},
			{transports.Down, false, "service-unavailable", "cancel"},
		} {
			r.net.err = &transports.Error{Kind: c.kind, Temporary: c.temporary, Text: "A sentence.", Err: errors.New("secret")}
			if err := r.message(contact, "a1", "<body>hi</body>"); err != nil {
				t.Fatal(err)
			}
			r.one(c.condition, "type='"+c.class+"'", "A sentence.")
		}
		r.net.err = errors.New("bbolt: secret")
		r.message(contact, "a1", "<body>hi</body>")
		got := r.host.take()
		if len(got) != 1 || !strings.Contains(got[0], "internal-server-error") || strings.Contains(got[0], "secret") {
			t.Fatal(got)
		}
	})
	play(t, "what is no text is quiet or refused", nil, func(t *testing.T, r *rig) {
		for _, inner := range []string{
			"<composing xmlns='http://jabber.org/protocol/chatstates'/>",
			"<received xmlns='urn:xmpp:receipts' id='x'/>",
			"<displayed xmlns='urn:xmpp:chat-markers:0' id='x'/>",
		} {
			if err := r.message(contact, "a1", inner); err != nil {
				t.Fatal(err)
			}
		}
		if err := r.message(contact, "a1", "<encrypted xmlns='eu.siacs.conversations.axolotl'/><body>I sent you an OMEMO encrypted message</body>"); err == nil || err.Condition != stanza.NotAcceptable || !strings.Contains(err.Text, "encrypted") {
			t.Fatal(err)
		}
		for inner, want := range map[string]string{
			"<retract xmlns='urn:xmpp:message-retract:1' id='x'/><body>This message was taken back.</body>":                     "cannot be taken back",
			"<apply-to xmlns='urn:xmpp:fasten:0' id='x'><retract xmlns='urn:xmpp:message-retract:0'/></apply-to><body>x</body>": "cannot be taken back",
			"<reactions xmlns='urn:xmpp:reactions:0' id='x'><reaction>👍</reaction></reactions>":                                 "reaction",
			"<x xmlns='jabber:x:conference' jid='room@conference.office.localhost'/>":                                           "come into a room",
			"<propose xmlns='urn:xmpp:jingle-message:0' id='x'/>":                                                               "cannot be called",
		} {
			if err := r.message(contact, "a1", inner); err == nil || err.Condition != stanza.NotAcceptable || !strings.Contains(err.Text, want) || !strings.HasSuffix(err.Text, ".") {
				t.Fatal(inner, err)
			}
		}
		if _, err := r.do("<message xmlns='jabber:client' type='groupchat' from='" + phone + "' to='" + contact + "'><body>x</body></message>"); err == nil {
			t.Fatal("a room")
		}
		if _, err := r.do("<message xmlns='jabber:client' type='error' from='" + phone + "' to='" + contact + "'><body>x</body></message>"); err != nil {
			t.Fatal(err)
		}
		r.none()
		if len(r.net.texts) != 0 {
			t.Fatal("sent")
		}
		if err := r.message(domain, "a1", "<body>hello?</body>"); err != nil {
			t.Fatal(err)
		}
		r.one("from='"+domain+"'", "NUMBER@"+domain, "signal -71 dBm")
		r.message(domain, "a2", "<body>I am a robot and answer everything.</body>")
		r.none()
	})
	play(t, "a flood is told to wait", nil, func(t *testing.T, r *rig) {
		r.net.block = make(chan struct{})
		var refused *stanza.Error
		for range mailboxSize + 2 {
			if err := r.message(contact, "a", "<body>x</body>"); err != nil {
				refused = err
			}
		}
		if refused == nil || refused.Condition != stanza.ResourceConstraint {
			t.Fatal(refused)
		}
		close(r.net.block)
		if r.hold.waiting() != 0 {
			t.Fatal("acknowledgements are missing")
		}
	})
	play(t, "a stop answers what is in the mailbox", nil, func(t *testing.T, r *rig) {
		r.net.block = make(chan struct{})
		r.message(contact, "a1", "<body>one</body>")
		r.message(contact, "a2", "<body>two</body>")
		go close(r.net.block)
		r.stop()
		synctest.Wait()
		got := r.host.take()
		if r.hold.waiting() != 0 || len(r.net.texts)+len(got) < 2 {
			t.Fatalf("%d sent, answers %v", len(r.net.texts), got)
		}
		if err := r.message(contact, "a3", "<body>three</body>"); err == nil || err.Type != stanza.Wait {
			t.Fatal(err)
		}
	})
	play(t, "subject and origin id", nil, func(t *testing.T, r *rig) {
		r.message(contact, "1", "<subject>Lift</subject><body>stuck</body><origin-id xmlns='urn:xmpp:sid:0' id='u-u-i-d'/>")
		if m := r.net.last(t); m.Body != "Lift\nstuck" || !strings.Contains(m.Key, "u-u-i-d") || !strings.Contains(m.Key, alice) {
			t.Fatalf("%+v", m)
		}
	})
	play(t, "who may not use it", func(c *Config) {
		c.Allow = func(j jid.JID) bool { return j.Domain() == "office.localhost" }
	}, func(t *testing.T, r *rig) {
		_, err := r.do("<message xmlns='jabber:client' from='eve@elsewhere.example/x' to='" + contact + "'><body>x</body></message>")
		if err == nil || err.Condition != stanza.Forbidden {
			t.Fatal(err)
		}
	})
}

// sent writes a text and returns what the network would give back in its receipt.
func (r *rig) sent(to, inner string) transports.Receipt {
	r.t.Helper()
	if err := r.message(to, "m1", "<body>hi</body>"+inner); err != nil {
		r.t.Fatal(err)
	}
	m := r.net.last(r.t)
	return transports.Receipt{Ref: "sms-1", To: m.To, Sender: m.Sender, Origin: m.Origin}
}

func TestReceipts(t *testing.T) {
	const request = "<request xmlns='urn:xmpp:receipts'/>"
	play(t, "delivered", nil, func(t *testing.T, r *rig) {
		rc := r.sent("015550101@"+domain, request)
		rc.State = transports.Accepted
		if err := r.event(rc); err != nil {
			t.Fatal(err)
		}
		r.none()
		rc.State = transports.Delivered
		if err := r.event(rc); err != nil {
			t.Fatal(err)
		}
		r.one("from='015550101@"+domain+"'", "to='"+phone+"'", "<received xmlns='urn:xmpp:receipts' id='m1'/>", "<store xmlns='urn:xmpp:hints'/>")
	})
	play(t, "nobody asked", nil, func(t *testing.T, r *rig) {
		rc := r.sent(contact, "")
		rc.State = transports.Delivered
		if err := r.event(rc); err != nil {
			t.Fatal(err)
		}
		r.none()
	})
	play(t, "failed", nil, func(t *testing.T, r *rig) {
		rc := r.sent(contact, request)
		rc.State, rc.Err = transports.Failed, &transports.Error{Kind: transports.NotFound, Text: "The number does not exist."}
		if err := r.event(rc); err != nil {
			t.Fatal(err)
		}
		r.one("type='error'", "id='m1'", "from='"+contact+"'", "to='"+phone+"'", "item-not-found", "The number does not exist.")
	})
	play(t, "failed when the client has gone", nil, func(t *testing.T, r *rig) {
		rc := r.sent(contact, request)
		r.host.online = nil
		rc.State, rc.Err = transports.Expired, &transports.Error{Kind: transports.Down, Temporary: true, Text: "It was given up."}
		if err := r.event(rc); err != nil {
			t.Fatal(err)
		}
		r.one("type='chat'", "to='"+alice+"'", "It was given up.", "id='m1'")
	})
	play(t, "possibly sent", nil, func(t *testing.T, r *rig) {
		rc := r.sent(contact, "")
		rc.State, rc.Err = transports.PossiblySent, &transports.Error{Text: "the modem gave no clear answer."}
		if err := r.event(rc); err != nil {
			t.Fatal(err)
		}
		r.one("type='chat'", "from='"+contact+"'", "to='"+alice+"'", "It is not certain that this text reached "+number+": the modem gave no clear answer.")
	})
	play(t, "kept until the server has it", nil, func(t *testing.T, r *rig) {
		rc := r.sent(contact, request)
		rc.State = transports.Delivered
		r.host.refuses[jid.MustParse(alice)] = errors.New("disk full")
		if err := r.event(rc); err == nil {
			t.Fatal("taken although it was lost")
		}
		r.host.refuses[jid.MustParse(alice)] = stanza.NewError(stanza.ServiceUnavailable, "")
		if err := r.event(rc); err != nil {
			t.Fatal("offered for ever", err)
		}
		rc.Origin = "garbage"
		if err := r.event(rc); err != nil {
			t.Fatal(err)
		}
	})
}

func TestTextsIn(t *testing.T) {
	play(t, "an answer goes where the question came from", nil, func(t *testing.T, r *rig) {
		r.sent(`0155\2050101@`+domain, "")
		if err := r.arrives("in-1", "Komme <gleich> 👍"); err != nil {
			t.Fatal(err)
		}
		r.one(`from='0155\2050101@`+domain+"'", "to='"+alice+"'", "type='chat'", "id='in-1'", "<body>Komme &lt;gleich&gt; 👍</body>")
		if err := r.arrives("in-1", "Komme"); err != nil {
			t.Fatal(err)
		}
		r.none() // seen
		<-time.After(answerWithin + time.Hour)
		if err := r.arrives("in-2", "spät"); err != nil {
			t.Fatal(err)
		}
		r.one("from='"+contact+"'", "to='carol@office.localhost'")
	})
	play(t, "after a restart", nil, func(t *testing.T, r *rig) {
		r.sent(contact, "")
		if err := r.arrives("in-1", "one"); err != nil {
			t.Fatal(err)
		}
		r.stop()
		r.host.take()
		r.run(r.b.c)
		if err := r.arrives("in-1", "one"); err != nil {
			t.Fatal(err)
		}
		r.none()
		if err := r.arrives("in-2", "two"); err != nil {
			t.Fatal(err)
		}
		r.one("to='" + alice + "'")
	})
	play(t, "to the default recipients", func(c *Config) {
		c.DefaultRecipients = func() []jid.JID { return []jid.JID{jid.MustParse(alice), jid.MustParse("gone@office.localhost")} }
	}, func(t *testing.T, r *rig) {
		r.host.refuses[jid.MustParse("gone@office.localhost")] = stanza.NewError(stanza.ServiceUnavailable, "")
		if err := r.arrives("in-1", "hello"); err != nil {
			t.Fatal(err)
		}
		r.one("to='"+alice+"'", "from='"+contact+"'")
	})
	play(t, "the last correspondent has left", nil, func(t *testing.T, r *rig) {
		r.sent(contact, "")
		r.host.refuses[jid.MustParse(alice)] = stanza.NewError(stanza.ServiceUnavailable, "")
		if err := r.arrives("in-1", "hello"); err != nil {
			t.Fatal(err)
		}
		r.one("to='carol@office.localhost'")
	})
	play(t, "nobody takes it", func(c *Config) { c.DefaultRecipients = nil }, func(t *testing.T, r *rig) {
		if err := r.arrives("in-1", "hello"); err == nil {
			t.Fatal("lost")
		}
		r.sent(contact, "")
		r.host.refuses[jid.MustParse(alice)] = errors.New("disk full")
		if err := r.arrives("in-1", "hello"); err == nil {
			t.Fatal("lost")
		}
		delete(r.host.refuses, jid.MustParse(alice))
		if err := r.arrives("in-1", "hello"); err != nil {
			t.Fatal(err)
		}
		r.one("to='"+alice+"'", "hello")
	})
	play(t, "delay, correction and names", nil, func(t *testing.T, r *rig) {
		at := time.Date(2026, 3, 1, 12, 0, 0, 0, time.FixedZone("", 3600))
		m := transports.Message{From: "Vodafone Info", Body: "x", Ref: "in-1-1", Replace: "in-1", At: at, Delayed: true}
		if err := r.event(transports.Incoming{Message: m}); err != nil {
			t.Fatal(err)
		}
		r.one(`from='vodafone\20info@`+domain+"'", "<delay xmlns='urn:xmpp:delay' from='"+domain+"' stamp='2026-03-01T11:00:00Z'/>", "<replace xmlns='urn:xmpp:message-correct:0' id='in-1'/>")
	})
	var order []string
	intercept := func(name string, taken bool, err error) Interceptor {
		return func(_ context.Context, m transports.Message) (bool, error) {
			order = append(order, name+m.Body)
			return taken && m.Body == "STOP", err
		}
	}
	play(t, "interceptors", func(c *Config) {
		c.Interceptors = []Interceptor{intercept("a", false, nil), intercept("b", true, nil), intercept("c", false, nil)}
	}, func(t *testing.T, r *rig) {
		for _, body := range []string{"STOP", "hi"} {
			if err := r.arrives("in-"+body, body); err != nil {
				t.Fatal(err)
			}
		}
		r.one("<body>hi</body>")
		if got := fmt.Sprint(order); got != "[aSTOP bSTOP ahi bhi chi]" {
			t.Fatal(got)
		}
	})
}

func TestPresence(t *testing.T) {
	ask := func(typ, from, to string) string {
		if typ != "" {
			typ = " type='" + typ + "'"
		}
		return "<presence xmlns='jabber:client'" + typ + " from='" + from + "' to='" + to + "'/>"
	}
	play(t, "subscribe, change, unsubscribe", nil, func(t *testing.T, r *rig) {
		if _, err := r.do(ask("subscribe", alice, contact)); err != nil {
			t.Fatal(err)
		}
		got := r.host.take()
		if len(got) != 2 || !contains(got[:1], "type='subscribed'", "from='"+contact+"'", "to='"+alice+"'") || !contains(got[1:], "<status>SMS</status>") {
			t.Fatal(got)
		}
		if _, err := r.do(ask("subscribe", alice, domain)); err != nil {
			t.Fatal(err)
		}
		if got = r.host.take(); !contains(got, "<status>Testnet, signal -71 dBm</status>") {
			t.Fatal(got)
		}
		r.stop()
		r.host.take()
		r.run(r.b.c) // who has subscribed is known after a restart
		if got = r.host.take(); len(got) != 2 || !contains(got, "from='"+contact+"'") || !contains(got, "from='"+domain+"'") {
			t.Fatal(got)
		}
		r.event(transports.StatusEvent{Online: true, Text: "Testnet, signal -90 dBm"})
		r.one("from='"+domain+"'", "-90 dBm") // contacts look as before
		r.event(transports.StatusEvent{Online: true, Show: "xa", Text: "No SIM. Queued SMS wait."})
		if got = r.host.take(); len(got) != 2 || !contains(got, "from='"+contact+"'", "<show>xa</show>", "Queued SMS wait.") {
			t.Fatal(got)
		}
		if _, err := r.do(ask("unsubscribe", alice, contact)); err != nil {
			t.Fatal(err)
		}
		r.one("type='unavailable'", "from='"+contact+"'")
		r.event(transports.StatusEvent{Online: true})
		r.one("from='" + domain + "'")
	})
	play(t, "probes and directed presence", nil, func(t *testing.T, r *rig) {
		r.do(ask("probe", alice, contact))
		r.one("from='"+contact+"'", "to='"+alice+"'", "<status>SMS</status>")
		r.do(ask("", phone, domain))
		r.one("from='"+domain+"'", "to='"+phone+"'")
		r.do(ask("", phone, contact))
		r.do(ask("unavailable", phone, domain))
		r.do(ask("subscribed", phone, contact))
		r.none()
	})
	card := func(c *Config) {
		c.Card = func(person, contact jid.JID) string {
			if contact.Local() != number {
				return ""
			}
			return "<vCard xmlns='vcard-temp'><FN>Driver for " + person.String() + "</FN></vCard>"
		}
	}
	play(t, "the house knows whose phone it is", card, func(t *testing.T, r *rig) {
		get := func(to string) string {
			return "<iq type='get' id='1' from='" + phone + "' to='" + to + "'><vCard xmlns='vcard-temp'/></iq>"
		}
		r.do(get(contact))
		r.one("<FN>Driver for " + alice + "</FN>")
		r.do(get("+4915550199@" + domain))
		r.one("<NUMBER>+4915550199</NUMBER>")
	})
	play(t, "a server that takes the contact away", nil, func(t *testing.T, r *rig) {
		const bob = "bob@office.localhost"
		r.do(ask("subscribe", alice, contact))
		r.do(ask("probe", bob, contact))
		r.host.take()
		r.do(ask("unavailable", alice, contact))
		r.do(ask("unavailable", bob+"/desk", contact)) // one resource, which says nothing of others
		r.event(transports.StatusEvent{Online: true, Show: "xa"})
		r.one("from='"+contact+"'", "to='"+bob+"'")
		r.stop()
		r.host.take()
		r.run(r.b.c)
		r.none()
	})
	play(t, "no contact", nil, func(t *testing.T, r *rig) {
		if _, err := r.do(ask("subscribe", alice, "bob@"+domain)); err == nil || !strings.Contains(err.Text, "not a phone number") {
			t.Fatal(err)
		}
		r.none()
	})
	play(t, "the stop is seen", nil, func(t *testing.T, r *rig) {
		r.do(ask("subscribe", alice, contact))
		r.host.take()
		r.stop()
		r.one("type='unavailable'", "from='"+contact+"'", "<status>The gateway is stopped.</status>")
	})
	play(t, "a session that breaks is run again", nil, func(t *testing.T, r *rig) {
		r.do(ask("subscribe", alice, domain))
		r.host.take()
		r.net.ends <- &transports.Error{Kind: transports.Down, Temporary: true, Text: "The outbox cannot be read."}
		r.one("type='unavailable'", "The outbox cannot be read.")
		if err := r.message(contact, "a1", "<body>waits</body>"); err != nil {
			t.Fatal(err)
		}
		if r.hold.waiting() != 1 {
			t.Fatal("acknowledged without a session")
		}
		<-time.After(2 * time.Second)
		r.one("signal -71 dBm")
		if r.hold.waiting() != 0 || r.net.last(t).Body != "waits" || r.net.dials != 2 {
			t.Fatal("not sent after the session came back")
		}
	})
}

func TestQueries(t *testing.T) {
	iq := func(typ, to, inner string) string {
		return "<iq xmlns='jabber:client' id='q1' type='" + typ + "' from='" + phone + "' to='" + to + "'>" + inner + "</iq>"
	}
	play(t, "gateway", nil, func(t *testing.T, r *rig) {
		d := r.host.domain
		if d.Name != domain || len(d.Identities) != 1 || d.Identities[0] != (xmpp.Identity{Category: "gateway", Type: "sms", Name: "SMS"}) || !contains(d.Features, "jabber:iq:gateway") {
			t.Fatalf("%+v", d)
		}
		r.do(iq("get", domain, "<query xmlns='jabber:iq:gateway'/>"))
		r.one("type='result'", "id='q1'", "to='"+phone+"'", "<desc>Enter the number.</desc><prompt>Phone number</prompt>")
		r.do(iq("set", domain, "<query xmlns='jabber:iq:gateway'><prompt> 0155 501-01 </prompt></query>"))
		r.one("<query xmlns='jabber:iq:gateway'><jid>" + contact + "</jid></query>")
		_, err := r.do(iq("set", domain, "<query xmlns='jabber:iq:gateway'><prompt>bob</prompt></query>"))
		if err == nil || err.Condition != stanza.NotAcceptable || !strings.Contains(err.Text, "not a phone number") {
			t.Fatal(err)
		}
		if _, err = r.do(iq("set", domain, "<query xmlns='jabber:iq:gateway'/>")); err == nil || err.Condition != stanza.BadRequest {
			t.Fatal(err)
		}
		r.do(iq("get", domain, "<vCard xmlns='vcard-temp'/>"))
		r.one("<FN>SMS</FN>")
		for _, other := range []string{"<query xmlns='http://jabber.org/protocol/disco#info'/>", "<ping xmlns='urn:xmpp:ping'/>"} {
			if v, err := r.do(iq("get", domain, other)); v != xmpp.Pass || err != nil {
				t.Fatal(v, err)
			}
		}
		r.none()
	})
	play(t, "contact", nil, func(t *testing.T, r *rig) {
		for inner, wants := range map[string]string{
			"<query xmlns='http://jabber.org/protocol/disco#info'/>":  "<identity category='client' type='sms' name='" + number + "'/>",
			"<query xmlns='http://jabber.org/protocol/disco#items'/>": "<query xmlns='http://jabber.org/protocol/disco#items'/>",
			"<vCard xmlns='vcard-temp'/>":                             "<NUMBER>" + number + "</NUMBER>",
			"<query xmlns='jabber:iq:version'/>":                      "<name>doorway SMS</name>",
			"<ping xmlns='urn:xmpp:ping'/>":                           "type='result'",
		} {
			if _, err := r.do(iq("get", "015550101@"+domain, inner)); err != nil {
				t.Fatal(inner, err)
			}
			r.one("from='015550101@"+domain+"'", wants)
		}
		for _, c := range []string{iq("get", contact, "<query xmlns='jabber:iq:last'/>"), iq("set", contact, "<vCard xmlns='vcard-temp'/>"), iq("get", "bob@"+domain, "<ping xmlns='urn:xmpp:ping'/>")} {
			if _, err := r.do(c); err == nil {
				t.Fatal(c)
			}
		}
		if _, err := r.do(iq("result", contact, "")); err != nil {
			t.Fatal(err)
		}
		r.none()
	})
}
