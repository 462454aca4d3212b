package stanza

import (
	"errors"
	"strings"
	"testing"

	"doorway/xmpp/jid"
	"doorway/xmpp/xmlstream"
)

const header = "<stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams' version='1.0'>"

// chat is a chat message of 300 bytes as today's clients send it: with a chat
// state and a receipt request.
var chat = func() string {
	const open = "<message to='bob@office.example/phone' type='chat' id='5f1b7e0a-9d0c-4f2c-8a1e-77aa0d1c9f10'><body>"
	const end = "</body><active xmlns='http://jabber.org/protocol/chatstates'/><request xmlns='urn:xmpp:receipts'/></message>"
	return open + strings.Repeat("Shall we meet at noon? ", 20)[:300-len(open)-len(end)] + end
}()

// repeat gives the same bytes for ever, in pieces of one stanza.
type repeat struct {
	head string
	body string
	rest string
}

func (r *repeat) Read(p []byte) (int, error) {
	if r.rest == "" {
		r.rest = r.body
	}
	if r.head != "" {
		r.rest, r.head = r.head, ""
	}
	n := copy(p, r.rest)
	r.rest = r.rest[n:]
	return n, nil
}

// One chat stanza's way through the server, I/O apart: cut from the stream,
// header parsed, from stamped, written for the recipient.
func BenchmarkCutParseSplice(b *testing.B) {
	if len(chat) != 300 {
		b.Fatalf("the stanza has %d bytes", len(chat))
	}
	cutParseSplice(b, chat)
}

// What clients send all day: a message of 500 bytes with what they add to it,
// the same with a language, and a presence with capabilities and an avatar.
func BenchmarkCutParseSpliceMix(b *testing.B) {
	const open = "to='bob@office.example' type='chat' id='5f1b7e0a-9d0c-4f2c-8a1e-77aa0d1c9f10'><body>"
	const end = "</body><active xmlns='http://jabber.org/protocol/chatstates'/><request xmlns='urn:xmpp:receipts'/>" +
		"<origin-id xmlns='urn:xmpp:sid:0' id='5f1b7e0a-9d0c-4f2c-8a1e-77aa0d1c9f10'/></message>"
	message := func(start string) string {
		return start + open + strings.Repeat("Shall we meet at noon? ", 20)[:500-len(start)-len(open)-len(end)] + end
	}
	const presence = "<presence><show>away</show><priority>5</priority>" +
		"<c xmlns='http://jabber.org/protocol/caps' hash='sha-1' node='https://client.example' ver='yTKSsf1oXY3mYRJ+8CjqsQ0tmW8='/>" +
		"<x xmlns='vcard-temp:x:update'><photo>0beec7b5ea3f0fdbc95d0dd47f3c5bc275da8a33</photo></x></presence>"
	for _, c := range []struct{ name, xml string }{
		{"message", message("<message ")}, {"language", message("<message xml:lang='en' ")}, {"presence", presence},
	} {
		b.Run(c.name, func(b *testing.B) { cutParseSplice(b, c.xml) })
	}
}

func cutParseSplice(b *testing.B, xml string) {
	r := xmlstream.NewReader(&repeat{head: header, body: xml}, xmlstream.DefaultLimits)
	if _, err := r.Next(); err != nil {
		b.Fatal(err)
	}
	from := jid.MustParse("alice@office.example/desk")
	buf := make([]byte, 0, 1024)
	b.ReportAllocs()
	b.SetBytes(int64(len(xml)))
	for b.Loop() {
		t, err := r.Next()
		if err != nil {
			b.Fatal(err)
		}
		s, err := FromToken(&t)
		if err != nil {
			b.Fatal(err)
		}
		buf = s.WithFrom(from).AppendXML(buf[:0], "")
	}
	if !strings.Contains(string(buf), "from='alice@office.example/desk'") {
		b.Fatalf("%s", buf)
	}
}

func BenchmarkParse(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Parse(chat); err != nil {
			b.Fatal(err)
		}
	}
}

func TestParseAndWrite(t *testing.T) {
	s, err := Parse(`<message to='Bob@Office.Example/x' from="a@b" id='i&amp;1' type='chat' xml:lang='de' other='x'><body>hi &amp; bye</body><x xmlns='urn:x'/></message>`)
	if err != nil {
		t.Fatal(err)
	}
	if s.Kind != Message || s.Type != "chat" || s.ID != "i&1" || s.Lang != "de" || s.To != jid.MustParse("bob@office.example/x") || s.From != jid.MustParse("a@b") {
		t.Fatalf("header: %+v", s)
	}
	if s.Payload != (Name{Space: "jabber:client", Local: "body"}) || s.Children != 2 || s.Body() != "hi & bye" {
		t.Fatalf("payload: %+v %q", s, s.Body())
	}
	want := `<message type='chat' id='i&amp;1' from='a@b' to='bob@office.example/x' xml:lang='de'><body>hi &amp; bye</body><x xmlns='urn:x'/></message>`
	if s.String() != want {
		t.Fatalf("got  %s\nwant %s", s, want)
	}
	if got := string(s.AppendXML(nil, "jabber:client")); got != strings.Replace(want, "<message", "<message xmlns='jabber:client'", 1) {
		t.Fatalf("with xmlns: %s", got)
	}
	if again, err := Parse(s.String()); err != nil || again.String() != want {
		t.Fatalf("read again: %v %v", again, err)
	}
}

func TestFromTokenRefuses(t *testing.T) {
	for _, c := range []struct{ xml, stream string }{
		{"<foo/>", "unsupported-stanza-type"},
		{"<foo xmlns='urn:x'/>", "unsupported-stanza-type"},
		{"<message xmlns='urn:x'/>", "invalid-namespace"},
		{"<iq xmlns='jabber:server'/>", "invalid-namespace"},
		{"<presence xmlns=''/>", "invalid-namespace"},
	} {
		_, err := Parse(c.xml)
		var se *StreamError
		if !errors.As(err, &se) || se.Condition != c.stream {
			t.Errorf("%s: %v, want %s", c.xml, err, c.stream)
		}
	}
	for _, x := range []string{"<iq to='@' type='get' id='1'><a xmlns='urn:a'/></iq>", "<iq from='a b@c' to='x@y' type='get' id='1'><a xmlns='urn:a'/></iq>"} {
		s, err := Parse(x)
		var e *Error
		if !errors.As(err, &e) || e.Condition != JIDMalformed || e.Type != Modify || s == nil || s.ID != "1" {
			t.Fatalf("%s: %v, %v", x, s, err)
		}
		if r := s.ErrorReply(e); r == nil || r.ID != "1" || !strings.Contains(r.Inner(), "<jid-malformed") {
			t.Fatalf("reply: %v", r)
		}
	}
}
