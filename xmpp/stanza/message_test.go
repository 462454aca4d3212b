package stanza

import (
	"errors"
	"strings"
	"testing"

	"doorway/xmpp/jid"
	"doorway/xmpp/xmlstream"
)

// cut reads one element of a stream with that root.
func cut(t *testing.T, root, xml string) (*Stanza, error) {
	t.Helper()
	r := xmlstream.NewReader(strings.NewReader(root+xml), xmlstream.Limits{})
	if _, err := r.Next(); err != nil {
		t.Fatal(err)
	}
	tok, err := r.Next()
	if err != nil {
		t.Fatal(err)
	}
	s, err := FromToken(&tok)
	// The token's memory may be used for something else.
	for i := range tok.Raw {
		tok.Raw[i] = '#'
	}
	return s, err
}

func TestFromTokenCopies(t *testing.T) {
	const root = "<stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams' xmlns:r='urn:r'>"
	s, err := cut(t, root, "<message to='a@b/c' id='1' type='chat' xml:lang='de' xmlns:p='urn:p'><r:x/><p:y>z</p:y></message>")
	if err != nil {
		t.Fatal(err)
	}
	want := "<message type='chat' id='1' to='a@b/c' xml:lang='de' xmlns:p='urn:p' xmlns:r='urn:r'><r:x/><p:y>z</p:y></message>"
	if s.String() != want || s.Payload != (Name{Space: "urn:r", Local: "x"}) {
		t.Fatalf("got  %s\nwant %s", s, want)
	}
	if e, ok := s.Child("urn:p", "y"); !ok || e.Text != "z" || !s.HasChild("urn:r", "x") || s.HasChild("urn:r", "y") {
		t.Fatalf("%+v", e)
	}
	again, err := Parse(s.String())
	if err != nil || again.String() != want {
		t.Fatal(again, err)
	}
}

// A stanza of one stream is the same in a stream of another kind.
func TestContentNamespaces(t *testing.T) {
	for _, ns := range []string{"jabber:client", "jabber:server", "jabber:component:accept"} {
		root := "<stream:stream xmlns='" + ns + "' xmlns:stream='http://etherx.jabber.org/streams'>"
		for _, own := range []string{"", " xmlns='" + ns + "'"} {
			s, err := cut(t, root, "<message"+own+"><body>hi</body><x xmlns='urn:x'/></message>")
			if err != nil {
				t.Fatal(err)
			}
			if s.Payload != (Name{Space: "jabber:client", Local: "body"}) || s.Body() != "hi" || !s.HasChild("", "body") || s.String() != "<message><body>hi</body><x xmlns='urn:x'/></message>" {
				t.Fatalf("%s: %v %s", ns, s.Payload, s)
			}
			frame := string(s.AppendXML(nil, "jabber:server"))
			tok, err := xmlstream.Parse([]byte(frame), "", xmlstream.Limits{})
			if err != nil || tok.Payload != (Name{Space: "jabber:server", Local: "body"}) {
				t.Fatal(frame, tok.Payload, err)
			}
		}
		if _, err := cut(t, root, "<message xmlns='jabber:other'/>"); err == nil {
			t.Fatalf("%s: another namespace was taken", ns)
		}
	}
	// RFC 6120 §4.8.2: a root without default namespace; each stanza has its own.
	s, err := cut(t, "<s:stream xmlns:s='http://etherx.jabber.org/streams'>", "<message xmlns='jabber:client'><body>hi</body></message>")
	if err != nil || s.Body() != "hi" || s.String() != "<message><body>hi</body></message>" {
		t.Fatal(s, err)
	}
	s, err = cut(t, "<s:stream xmlns:s='http://etherx.jabber.org/streams' xmlns:c='jabber:client'>", "<c:message><c:body>hi</c:body></c:message>")
	if err != nil || s.Body() != "hi" || s.Payload != (Name{Space: "jabber:client", Local: "body"}) {
		t.Fatal(s, err)
	}
	if again, err := Parse(s.String()); err != nil || again.Body() != "hi" {
		t.Fatal(s, err)
	}
}

func TestWith(t *testing.T) {
	s := New(Message, "chat", "1", jid.MustParse("a@b/c"), jid.MustParse("d@e"), "<body>hi</body>")
	before := s.String()
	for want, got := range map[string]*Stanza{
		"<message type='chat' id='1' from='x@y' to='d@e'><body>hi</body></message>":                                  s.WithFrom(jid.MustParse("x@y")),
		"<message type='chat' id='1' from='a@b/c' to='d@e/f'><body>hi</body></message>":                              s.WithTo(jid.MustParse("d@e/f")),
		"<message id='1' from='a@b/c' to='d@e'><body>hi</body></message>":                                            s.WithType(""),
		"<message type='chat' id='&lt;' from='a@b/c' to='d@e'><body>hi</body></message>":                             s.WithID("<"),
		"<message type='chat' id='1' from='a@b/c' to='d@e' xml:lang='de'><body>hi</body></message>":                  s.WithLang("de"),
		"<message type='chat' id='1' from='a@b/c' to='d@e'><x xmlns='urn:x'/></message>":                             s.WithInner("<x xmlns='urn:x'/>"),
		"<message type='chat' id='1' from='a@b/c' to='d@e'><body>hi</body><delay xmlns='urn:xmpp:delay'/></message>": s.WithAppended("<delay xmlns='urn:xmpp:delay'/>"),
		"<message type='chat' id='1' from='a@b/c' to='d@e'/>":                                                        s.WithInner(""),
		"<message type='chat' id='1' from='a@b/c' to='d@e'><y xmlns='urn:y'/></message>":                             s.WithInner("").WithAppended("<y xmlns='urn:y'/>"),
		"<message type='chat' id='1' from='a@b/&lt;' to='d@e'><body>hi</body></message>":                             s.WithFrom(jid.MustParse("a@b/<")),
	} {
		if got.String() != want {
			t.Errorf("got  %s\nwant %s", got, want)
		}
		if n := got.Size() - len(got.String()); n > 8 || n < -8 {
			t.Errorf("%s: Size is %d off", got, n)
		}
	}
	if s.String() != before {
		t.Fatalf("the original became %s", s)
	}
	a := s.WithAppended("<x xmlns='urn:x'/><y xmlns='urn:y'/>")
	if a.Children != 3 || a.Payload != s.Payload || len(a.Elements()) != 3 {
		t.Fatalf("%+v", a)
	}
	if i := s.WithInner("").WithAppended("<y xmlns='urn:y'/>"); i.Payload != (Name{Space: "urn:y", Local: "y"}) || i.Children != 1 {
		t.Fatalf("%+v", i)
	}
	// Prefixes of the replaced inner XML are gone, those of the appended stay.
	p, err := Parse("<message xmlns:p='urn:p'><p:x/></message>")
	if err != nil || p.WithInner("<z xmlns='urn:z'/>").Decls() != "" || p.WithAppended("<z xmlns='urn:z'/>").String() != "<message xmlns:p='urn:p'><p:x/><z xmlns='urn:z'/></message>" {
		t.Fatal(p, err)
	}
}

func TestChildren(t *testing.T) {
	s := New(Message, "", "", jid.JID{}, jid.JID{}, "<subject>body</subject><x xmlns='urn:x'>1</x><body>one</body><body>two</body>")
	if s.Body() != "one" || !s.HasChild("urn:x", "x") || s.HasChild("urn:y", "x") || s.HasChild("", "thread") {
		t.Fatal("children")
	}
	if _, ok := s.Child("urn:x", "body"); ok {
		t.Fatal("a child of another namespace")
	}
	// A name that only occurs in the text is no child.
	one := New(Message, "", "", jid.JID{}, jid.JID{}, "<body>thread</body>")
	two := New(Message, "", "", jid.JID{}, jid.JID{}, "<body>thread</body><x xmlns='urn:x'/>")
	if one.HasChild("", "thread") || two.HasChild("", "thread") || one.Body() != "thread" {
		t.Fatal("text taken for an element")
	}
	empty := New(Presence, "", "", jid.JID{}, jid.JID{}, "")
	if empty.Body() != "" || empty.Elements() != nil || empty.HasChild("", "body") || empty.String() != "<presence/>" {
		t.Fatal("an empty stanza has children")
	}
}

func TestReplies(t *testing.T) {
	iq, err := Parse("<iq type='get' id='7' from='a@b/c' to='d'><ping xmlns='urn:xmpp:ping'/></iq>")
	if err != nil {
		t.Fatal(err)
	}
	if got := iq.Reply("").String(); got != "<iq type='result' id='7' from='d' to='a@b/c'/>" {
		t.Fatal(got)
	}
	e := NewError(ServiceUnavailable, "That's not here; try <elsewhere>.")
	want := "<iq type='error' id='7' from='d' to='a@b/c'><error type='cancel'><service-unavailable xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/><text xmlns='urn:ietf:params:xml:ns:xmpp-stanzas' xml:lang='en'>That&apos;s not here; try &lt;elsewhere&gt;.</text></error></iq>"
	reply := iq.ErrorReply(e)
	if reply.String() != want {
		t.Fatalf("got  %s\nwant %s", reply, want)
	}
	// Neither errors nor results are answered with an error (RFC 6120 §8.3.1).
	if reply.ErrorReply(e) != nil || iq.Reply("").ErrorReply(e) != nil || iq.WithType("error").ErrorReply(e) != nil {
		t.Fatal("an error about an answer")
	}
	if m := New(Message, "result", "1", jid.JID{}, jid.JID{}, ""); m.ErrorReply(e) == nil {
		t.Fatal("a message of type result is an ordinary message")
	}
}

func TestErrors(t *testing.T) {
	types := map[ErrorType]string{
		Auth:   "forbidden not-authorized registration-required subscription-required",
		Modify: "bad-request jid-malformed not-acceptable policy-violation redirect",
		Wait:   "recipient-unavailable remote-server-timeout resource-constraint unexpected-request",
		Cancel: "conflict feature-not-implemented gone internal-server-error item-not-found not-allowed remote-server-not-found service-unavailable undefined-condition",
	}
	n := 0
	for typ, list := range types {
		for c := range strings.FieldsSeq(list) {
			n++
			if e := NewError(Condition(c), ""); e.Type != typ {
				t.Errorf("%s is %s, want %s", c, e.Type, typ)
			}
			s := New(Message, TypeError, "", jid.JID{}, jid.JID{}, (&Error{Condition: Condition(c)}).XML())
			if got, ok := ErrorOf(s); !ok || got.Type != typ || got.Condition != Condition(c) {
				t.Errorf("%s came back as %v", c, got)
			}
		}
	}
	if n != 22 {
		t.Errorf("%d conditions", n)
	}
	cause := errors.New("disk full")
	full := &Error{Type: Wait, Condition: Conflict, Text: "a < b", App: "<app xmlns='urn:app'>x</app>", By: jid.MustParse("office.example"), Err: cause}
	s := New(IQ, TypeError, "1", jid.JID{}, jid.JID{}, "<ping xmlns='urn:xmpp:ping'/>"+full.XML())
	got, ok := ErrorOf(s)
	if !ok || got.Type != Wait || got.Condition != Conflict || got.Text != "a < b" || got.App != full.App || got.By != full.By {
		t.Fatalf("%+v", got)
	}
	if strings.Contains(full.XML(), "disk") || !errors.Is(full, cause) || !strings.Contains(full.Error(), "disk full") {
		t.Fatal("the cause belongs into the log and only there")
	}
	if e, ok := ErrorOf(New(Message, TypeError, "", jid.JID{}, jid.JID{}, "<error type='odd'><unheard-of xmlns='urn:u'/></error>")); !ok || e.Condition != UndefinedCondition || e.Type != Cancel {
		t.Fatalf("%+v", e)
	}
	if _, ok := ErrorOf(New(Message, TypeError, "", jid.JID{}, jid.JID{}, "<body/>")); ok {
		t.Fatal("an error without one")
	}
	if _, ok := ErrorOf(New(Message, "chat", "", jid.JID{}, jid.JID{}, full.XML())); ok {
		t.Fatal("an error in a chat message")
	}
	if (&Error{}).XML() != "<error type='cancel'><undefined-condition xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error>" {
		t.Fatal((&Error{}).XML())
	}
}

func TestStreamErrors(t *testing.T) {
	e := &StreamError{Condition: "policy-violation", Text: "Too much.", App: "<x xmlns='urn:x'><y/></x>"}
	want := "<stream:error><policy-violation xmlns='urn:ietf:params:xml:ns:xmpp-streams'/><text xmlns='urn:ietf:params:xml:ns:xmpp-streams' xml:lang='en'>Too much.</text><x xmlns='urn:x'><y/></x></stream:error>"
	if e.XML() != want {
		t.Fatal(e.XML())
	}
	r := xmlstream.NewReader(strings.NewReader(header+want+(&StreamError{}).XML()+"<message/>"), xmlstream.Limits{})
	r.Next()
	for _, want := range []*StreamError{e, {Condition: "undefined-condition"}} {
		tok, err := r.Next()
		got, ok := StreamErrorOf(&tok)
		if err != nil || !ok || *got != *want {
			t.Fatalf("%+v %v", got, err)
		}
	}
	tok, _ := r.Next()
	if _, ok := StreamErrorOf(&tok); ok {
		t.Fatal("a message is no stream error")
	}
}

func TestKinds(t *testing.T) {
	for k, want := range map[Kind]string{Message: "message", Presence: "presence", IQ: "iq", 0: ""} {
		if k.String() != want {
			t.Errorf("%d: %s", k, k)
		}
	}
}

// What is read once is read again in the same way, and no payload changes.
func FuzzParse(f *testing.F) {
	f.Add(chat)
	f.Add("<iq type='get' id='&#10;' to='A@B'><q xmlns='urn:q' xmlns:p='u' p:a='1'/></iq>")
	f.Add("<p:message xmlns:p='jabber:client'><p:body>x</p:body></p:message>")
	f.Add("<presence xmlns='jabber:server'><show>away</show></presence>")
	f.Fuzz(func(t *testing.T, in string) {
		s, err := Parse(in)
		if err != nil {
			return
		}
		out := s.String()
		again, err := Parse(out)
		if err != nil {
			t.Fatalf("%q became %q: %v", in, out, err)
		}
		if *again != *s && (again.Kind != s.Kind || again.Type != s.Type || again.ID != s.ID || again.Lang != s.Lang || again.From != s.From || again.To != s.To ||
			again.Payload != s.Payload || again.Children != s.Children || again.Inner() != s.Inner()) {
			t.Fatalf("%q:\n%#v\n%#v", in, s, again)
		}
		if again.String() != out {
			t.Fatalf("%q then %q", out, again)
		}
		if len(s.Elements()) != s.Children {
			t.Fatalf("%q: %d children, %d elements", in, s.Children, len(s.Elements()))
		}
		s.Body()
		ErrorOf(s)
	})
}
