package xmpptest

import (
	"strings"
	"testing"

	"doorway/xmpp/xmlstream"
)

func TestParsePlay(t *testing.T) {
	const head = "# A title\n# in two lines.\nsection: RFC 6121 §3\nservers: both\n"
	p, err := ParsePlay("p", head+"friends: alice bob\nabsent: ghost\n\n# why\nalice/a online -5\ncarol/x > <message to='{dave/y}'>\n  <body>{ghost}</body></message>\n")
	if err != nil {
		t.Fatal(err)
	}
	if p.Title != "A title in two lines." || p.Section != "RFC 6121 §3" || !p.Both || strings.Join(p.people, " ") != "alice bob carol dave" {
		t.Errorf("%+v", p)
	}
	if len(p.steps) != 2 || p.steps[0] != (step{9, "alice/a", "online", "-5", false}) || p.steps[1].arg != "<message to='{dave/y}'><body>{ghost}</body></message>" {
		t.Errorf("%+v", p.steps)
	}
	p, err = ParsePlay("p", "# t\nsection: s\nservers: doorway; because\n\nalice/a connects\n")
	if err != nil || p.Both || p.Reason != "because" {
		t.Errorf("%+v %v", p, err)
	}
	for _, c := range []struct{ text, want string }{
		{"", "p:1: a play begins"},
		{"# t\nservers: both\n\nalice/a connects\n", "p:1: a play begins"},
		{"# t\nsection: s\nservers: doorway\n\nalice/a connects\n", "p:1: a play begins"},
		{"# t\nsection: s\nservers: all\n", "p:3: servers"},
		{head + "people: alice\n", "p:5: unknown header line people"},
		{head + "friends: alice\n", "p:5: friends"},
		{head + "\n", "no steps"},
		{head + "\n  more\n", "p:6: there is no line"},
		{head + "\nalice connects\n", "p:6: no step"},
		{head + "\nalice/a sings\n", "p:6: no step"},
		{head + "\nalice/a <\n", "p:6: <"},
		{head + "\nalice/a hears nothing at all\n", "p:6: hears nothing"},
		{head + "\nalice/a < <message>\n", "p:6:"},
		{head + "\nalice/a < <message/><message/>\n", "p:6: a pattern is one element"},
	} {
		if _, err := ParsePlay("p", c.text); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%q: %v, want %s", c.text, err, c.want)
		}
	}
}

func TestMatches(t *testing.T) {
	const got = "<message type='chat' id='m1' from='a@b/c' xml:lang='en'><body>hi there</body><x xmlns='urn:x' a='1'><y/></x><x xmlns='urn:x' a='2'/></message>"
	tree, err := xmlstream.ParseTree(got, "", "jabber:client")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		pattern string
		want    bool
	}{
		{"<message/>", true},
		{"<presence/>", false},
		{"<message xmlns='jabber:server'/>", false},
		{"<message id='m1' type='*' xml:lang='en'/>", true},
		{"<message id='m*' from='*@*/c'/>", true},
		{"<message id='*2'/>", false},
		{"<message id=''/>", false},
		{"<message to='*'/>", false},
		{"<message to='-'/>", true},
		{"<message id='-'/>", false},
		{"<message><body/></message>", true},
		{"<message><body>hi there</body></message>", true},
		{"<message><body>hi*</body></message>", true},
		{"<message><body>hi</body></message>", false},
		{"<message><x/></message>", false},
		{"<message><x xmlns='urn:x' a='2'/><x xmlns='urn:x' a='1'><y/></x></message>", true},
		{"<message><x xmlns='urn:x'/><x xmlns='urn:x'/><x xmlns='urn:x'/></message>", false},
		{"<message><x xmlns='urn:x' a='1' play='only'/></message>", false},
		{"<message><x xmlns='urn:x' a='2' play='only'/></message>", true},
		{"<message play='only'><body/></message>", false},
		{"<message play='only'><body/><x xmlns='urn:x'/><x xmlns='urn:x'/></message>", true},
		{"<message><subject play='absent'/></message>", true},
		{"<message><body play='absent'/></message>", false},
		{"<message><x xmlns='urn:x' a='3' play='absent'/></message>", true},
	} {
		p, err := parsePattern(c.pattern)
		if err != nil {
			t.Fatal(err)
		}
		if matches(&tree[0], p) != c.want {
			t.Errorf("%s matches: %t", c.pattern, !c.want)
		}
	}
	if glob("a*a", "a") || !glob("a*b*c", "abc") || glob("a*c*b", "acxbd") {
		t.Error("glob")
	}
}
