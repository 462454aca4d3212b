package main

import (
	"fmt"
	"strings"
	"testing"
)

// TestConverse: Converse.js in a browser shows the shared groups, each edit of
// them while it happens, and chats (issue 5; RFC 7395).
func TestConverse(t *testing.T) {
	b := newBrowser(t)
	box := startBox(t, "[http]\nlisten = [\"127.0.0.1:0\"]\nlisten_tls = [\"127.0.0.1:0\"]\n[sms]\ncountry = \"49\"\n")
	run := func(stdin string, args ...string) {
		t.Helper()
		if out, code := box.run(t, stdin, args...); code != exitOK {
			t.Fatalf("%v: %s", args, out)
		}
	}
	for _, name := range []string{"anna", "ben", "carl"} {
		run("correct horse\n", "user", "add", name, "--name", strings.ToUpper(name[:1])+name[1:])
	}
	run("", "people", "add", "fred", "--name", "Fred Field", "--phone", "+4915550101")
	run("", "group", "add", "sales", "anna", "ben", "fred", "--label", "Sales")

	plain := "ws://" + box.addr(t, "HTTP") + "/xmpp-websocket"
	anna := b.converse("anna", plain, "anna@office.localhost", "correct horse")
	anna.roster("Sales: Ben/offline, Fred Field/xa")

	ca := box.dir + "/ca/ca.pem"
	ben := dialClient(t, box.addr(t, "XMPP"), ca, "office.localhost", "ben", "correct horse")
	ben.present(t)
	anna.roster("Sales: Ben/online, Fred Field/xa")
	// The same over TLS, in a second client of hers and one of his.
	secure := "wss://" + box.addr(t, "HTTPS") + "/xmpp-websocket"
	carl := b.converse("carl", secure, "carl@office.localhost", "correct horse")
	carl.roster()

	for _, edit := range []struct {
		command []string
		anna    []string
		carl    []string
	}{
		{[]string{"group", "member", "add", "sales", "carl"},
			[]string{"Sales: Ben/online, Carl/online, Fred Field/xa"},
			[]string{"Sales: Anna/online, Ben/online, Fred Field/xa"}},
		{[]string{"group", "add", "night", "anna", "ben", "--label", "Night shift", "--visible", "everybody"},
			[]string{"Night shift: Ben/online", "Sales: Ben/online, Carl/online, Fred Field/xa"},
			[]string{"Night shift: Anna/online, Ben/online", "Sales: Anna/online, Ben/online, Fred Field/xa"}},
		{[]string{"group", "edit", "night", "--label", "On duty"},
			[]string{"On duty: Ben/online", "Sales: Ben/online, Carl/online, Fred Field/xa"},
			[]string{"On duty: Anna/online, Ben/online", "Sales: Anna/online, Ben/online, Fred Field/xa"}},
		{[]string{"people", "edit", "fred", "--name", "Fred Fields"},
			[]string{"On duty: Ben/online", "Sales: Ben/online, Carl/online, Fred Fields/xa"},
			[]string{"On duty: Anna/online, Ben/online", "Sales: Anna/online, Ben/online, Fred Fields/xa"}},
		{[]string{"group", "member", "remove", "sales", "carl"},
			[]string{"On duty: Ben/online", "Sales: Ben/online, Fred Fields/xa"},
			[]string{"On duty: Anna/online, Ben/online"}},
		{[]string{"group", "remove", "sales"},
			[]string{"On duty: Ben/online"},
			[]string{"On duty: Anna/online, Ben/online"}},
		{[]string{"group", "remove", "night"}, nil, nil},
		{[]string{"group", "add", "all", "everybody", "--label", "Everybody"},
			[]string{"Everybody: Ben/online, Carl/online, Fred Fields/xa"},
			[]string{"Everybody: Anna/online, Ben/online, Fred Fields/xa"}},
	} {
		run("", edit.command...)
		anna.roster(edit.anna...)
		carl.roster(edit.carl...)
	}

	// A message in both directions, from a keyboard and to a screen.
	anna.click("a.open-chat[data-jid='ben@office.localhost']")
	anna.step(map[string]any{"page": "anna", "type": "textarea.chat-textarea", "text": "Is the lift <fixed> & done?"})
	anna.step(map[string]any{"page": "anna", "press": "Enter"})
	s := ben.sees(t, "a message from the browser", func(s string) bool { return strings.Contains(s, "<body>") })
	if s.Body() != "Is the lift <fixed> & done?" || s.From.Bare().String() != "anna@office.localhost" {
		t.Fatalf("ben got %s", s)
	}
	if err := ben.Send("<message type='chat' to='" + s.From.String() + "'><body>Not &lt;yet&gt; ☔</body></message>"); err != nil {
		t.Fatal(err)
	}
	anna.shows("the answer", func() (bool, string) {
		text := fmt.Sprint(anna.eval(`[...document.querySelectorAll(".chat-msg__text")].map((e) => e.innerText).join("\n")`))
		return strings.Contains(text, "Not <yet> ☔"), text
	})

	// Presence goes when a contact goes, and a removed account with its list.
	if err := ben.Close(); err != nil {
		t.Fatal(err)
	}
	anna.roster("Everybody: Ben/offline, Carl/online, Fred Fields/xa")
	run("", "user", "remove", "ben")
	anna.roster("Everybody: Carl/online, Fred Fields/xa")
	carl.roster("Everybody: Anna/online, Fred Fields/xa")
	t.Logf("peer: converse.js 14.0.0 in chromium %s", b.version)
}
