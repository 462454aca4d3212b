package bridge

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"doorway/transports"
	"doorway/xmpp/jid"
)

// see lets alice see an address, and forgets what that caused.
func (r *rig) see(to string) {
	r.t.Helper()
	if _, err := r.do("<presence xmlns='jabber:client' type='subscribe' from='" + alice + "' to='" + to + "'/>"); err != nil {
		r.t.Fatal(err)
	}
	r.host.take()
}

func TestGatewayPresenceIsBounded(t *testing.T) {
	play(t, "a modem that comes and goes", nil, func(t *testing.T, r *rig) {
		r.see(domain)
		<-time.After(2 * statusTime)
		told := 0
		for i := range 100 { // for 100 seconds
			e := transports.StatusEvent{Online: true, Text: fmt.Sprintf("Testnet, number %d", i)}
			if i%2 == 1 {
				e = transports.StatusEvent{Online: true, Show: "xa", Text: "There is no modem."}
			}
			r.event(e)
			told += len(r.host.take())
			<-time.After(time.Second)
		}
		if told > 2*statusMost {
			t.Errorf("%d changes were told in 100 s", told)
		}
		// The last one is told in the end, and who asks needs not wait.
		r.event(transports.StatusEvent{Online: true, Text: "the end"})
		r.host.take()
		r.do("<presence xmlns='jabber:client' type='probe' from='" + alice + "' to='" + domain + "'/>")
		r.one("<status>the end</status>")
		<-time.After(2 * statusTime)
		r.one("<status>the end</status>")
		<-time.After(2 * statusTime)
		r.none()
	})
	play(t, "there and back is no news", nil, func(t *testing.T, r *rig) {
		r.see(domain)
		<-time.After(2 * statusTime)
		for i := range statusMost {
			r.event(transports.StatusEvent{Online: true, Text: fmt.Sprint(i)})
			r.host.take()
		}
		r.event(transports.StatusEvent{Online: true, Show: "xa"})
		r.event(transports.StatusEvent{Online: true, Text: fmt.Sprint(statusMost - 1)})
		<-time.After(2 * statusTime)
		r.none()
	})
}

// A contact's photo is named in its presence, and another one at once (XEP-0153).
func TestPhotosOfContacts(t *testing.T) {
	photo := "da39a3ee5e6b4b0d3255bfef95601890afd80709"
	house := func(c *Config) {
		c.Photo = func(person, who jid.JID) (string, bool) {
			return photo, who.String() == contact && person.String() == alice
		}
	}
	play(t, "in presence", house, func(t *testing.T, r *rig) {
		const other = "+4915550199@" + domain
		probe := func(from, to string) {
			r.do("<presence xmlns='jabber:client' type='probe' from='" + from + "' to='" + to + "'/>")
		}
		probe(alice, contact)
		r.one("from='"+contact+"'", "<x xmlns='vcard-temp:x:update'><photo>"+photo+"</photo></x>")
		probe("bob@office.localhost", contact)
		if got := r.host.take(); len(got) != 1 || contains(got, "vcard-temp") {
			t.Errorf("bob, who may not see the photo, got %q", got)
		}
		probe(alice, other)
		r.one("from='" + other + "'")
		photo = ""
		r.b.Refresh(t.Context(), jid.MustParse(contact))
		got := r.host.take()
		if len(got) != 2 || !contains(got, "<photo/>") {
			t.Errorf("told are %q", got)
		}
	})
}

// Who may see a contact no longer hears nothing of it, whatever they asked for once.
func TestPresenceIsForWhoSeesTheContact(t *testing.T) {
	may := true
	play(t, "a group that changed while nobody was online", func(c *Config) {
		c.Sees = func(person, who jid.JID) bool { return may && person.String() == alice && who.String() == contact }
	}, func(t *testing.T, r *rig) {
		r.see(contact)
		r.event(transports.StatusEvent{Online: true, Show: "xa", Text: "There is no modem."})
		r.one("from='"+contact+"'", "<show>xa</show>")
		may = false
		<-time.After(2 * statusTime)
		r.event(transports.StatusEvent{Online: true})
		r.none()
	})
}

func TestPresenceOfNumbers(t *testing.T) {
	reach := func(c *Config) { c.Reach = true }
	receipt := func(r *rig, s transports.State, err *transports.Error) {
		r.t.Helper()
		if e := r.event(transports.Receipt{Ref: "sms-1", To: number, State: s, Err: err, At: time.Now()}); e != nil {
			r.t.Fatal(e)
		}
	}
	play(t, "follows delivery reports", reach, func(t *testing.T, r *rig) {
		r.see(contact)
		r.see("015550101@" + domain)
		both := func(parts ...string) {
			t.Helper()
			got := r.host.take()
			if len(got) != 2 || !contains(got, "from='"+contact+"'") || !contains(got, "from='015550101@"+domain+"'") {
				t.Fatal(got)
			}
			for _, xml := range got {
				has(t, xml, append(parts, "to='"+alice+"'")...)
			}
		}
		receipt(r, transports.Accepted, nil)
		r.none()
		<-time.After(reachPatience + time.Second)
		both("<show>away</show>", "A text has been waiting for this phone since ")
		receipt(r, transports.Delivered, nil)
		both("<status>Reached ")
		// One text after the other is no news.
		for range 5 {
			receipt(r, transports.Accepted, nil)
			<-time.After(time.Second)
			receipt(r, transports.Delivered, nil)
		}
		r.none()
		<-time.After(reachNews)
		receipt(r, transports.Accepted, nil)
		receipt(r, transports.Delivered, nil)
		both("<status>Reached ")
		receipt(r, transports.Failed, &transports.Error{Kind: transports.Down, Text: "The phone was off for too long."})
		both("<show>xa</show>", "did not reach this phone.")
		// What is said of our own modem says nothing of the phone.
		receipt(r, transports.Failed, &transports.Error{Kind: transports.Down, Temporary: true, Text: "The network is out of order."})
		receipt(r, transports.Expired, &transports.Error{Kind: transports.Down, Temporary: true, Text: "No modem."})
		r.none()
		// A phone that texts is on.
		if err := r.arrives("in-1", "here I am"); err != nil {
			t.Fatal(err)
		}
		if got := r.host.take(); len(got) != 3 || !contains(got, "here I am") || !contains(got, "<status>Reached ") {
			t.Fatal(got)
		}

		// It is known after a restart, also that a text waits.
		receipt(r, transports.Accepted, nil)
		r.stop()
		r.host.take()
		<-time.After(reachPatience)
		r.run(r.b.c)
		r.host.take()
		r.do("<presence xmlns='jabber:client' type='probe' from='" + alice + "' to='" + contact + "'/>")
		r.one("<show>away</show>")
		// Without a modem that counts more.
		r.event(transports.StatusEvent{Online: true, Show: "xa", Text: "No SIM."})
		both("<show>xa</show>", "No SIM.")
	})
	play(t, "is kept of those who are seen", reach, func(t *testing.T, r *rig) {
		receipt(r, transports.Delivered, nil)
		if len(r.b.reach) != 0 {
			t.Error("kept although nobody sees it")
		}
		r.see(contact)
		receipt(r, transports.Delivered, nil)
		r.host.take()
		r.do("<presence xmlns='jabber:client' type='unsubscribe' from='" + alice + "' to='" + contact + "'/>")
		r.host.take()
		var x reachRecord
		if ok, err := r.b.c.Table.Get("reach/"+number, &x); ok || err != nil || len(r.b.reach) != 0 || len(r.b.spelt) != 0 {
			t.Error("kept although nobody sees it any more", err)
		}
	})
	play(t, "is known of contacts of a shared roster", reach, func(t *testing.T, r *rig) {
		const probe = "<presence xmlns='jabber:client' type='probe' from='" + alice + "' to='" + contact + "'/>"
		r.do(probe)
		r.host.take()
		receipt(r, transports.Delivered, nil)
		r.one("<status>Reached ")
		r.stop()
		r.host.take()
		r.run(r.b.c)
		r.none()
		r.do(probe)
		r.one("<status>Reached ")
	})
	play(t, "is constant otherwise", nil, func(t *testing.T, r *rig) {
		r.see(contact)
		receipt(r, transports.Accepted, nil)
		<-time.After(time.Hour)
		receipt(r, transports.Delivered, nil)
		receipt(r, transports.Failed, &transports.Error{Kind: transports.NotFound, Text: "No such number."})
		r.none()
	})
}

func TestTextsOfCommands(t *testing.T) {
	play(t, "the answer and bad news find the sender", nil, func(t *testing.T, r *rig) {
		c, ref, err := r.b.Text(t.Context(), r.host.online[0], "0155 50101", "hello", true)
		if err != nil || c != number || ref == "" {
			t.Fatal(c, ref, err)
		}
		m := r.net.last(t)
		if m.Body != "hello" || m.Sender != alice || !m.Urgent {
			t.Fatalf("%+v", m)
		}
		if err := r.arrives("in-1", "hello yourself"); err != nil {
			t.Fatal(err)
		}
		r.one("hello yourself", "to='"+alice+"'", "from='"+contact+"'")
		sent := func(s transports.State, err *transports.Error) {
			r.event(transports.Receipt{Ref: ref, To: number, Sender: m.Sender, Origin: m.Origin, State: s, Err: err})
		}
		sent(transports.Delivered, nil)
		r.none() // nobody has asked for a receipt
		sent(transports.Failed, &transports.Error{Kind: transports.NotFound, Text: "The number does not exist."})
		r.one("type='chat'", "<body>The number does not exist.</body>", "to='"+alice+"'")
		if _, _, err := r.b.Text(t.Context(), r.host.online[0], "bob", "hello", false); err == nil || !strings.Contains(err.Error(), "not a phone number") {
			t.Fatal(err)
		}
		r.stop()
		if _, _, err := r.b.Text(t.Context(), r.host.online[0], number, "hello", false); err == nil || !strings.Contains(err.Error(), "Try again in a moment.") {
			t.Fatal(err)
		}
	})
}
