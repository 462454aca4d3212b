package websocket

import (
	"bytes"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"doorway/xmpp/c2s"
	"doorway/xmpp/jid"
	"doorway/xmpp/stanza"
	"doorway/xmpp/xmlstream"
	"doorway/xmpp/xmpptest"
)

// tape is a connection that plays bytes back, some at a time.
type tape struct {
	net.Conn // nil: nothing else is asked of it
	rest     []byte
	piece    int
}

func (t *tape) Read(p []byte) (int, error) {
	if len(t.rest) == 0 {
		return 0, io.EOF
	}
	n := copy(p, t.rest[:min(t.piece, len(t.rest))])
	t.rest = t.rest[n:]
	return n, nil
}

func (t *tape) SetWriteDeadline(time.Time) error { return nil }
func (t *tape) Write(p []byte) (int, error)      { return len(p), nil }

// record reads a tape to its end through a link.
func record(t testing.TB, input []byte, piece int) (tokens []xmlstream.Token, err error) {
	t.Helper()
	l := newLink(c2s.New(c2s.Config{Domain: home}).NewCarrier(&tape{rest: bytes.Clone(input), piece: piece}, "", true), nil)
	l.Restart(xmlstream.Limits{Bytes: 5000})
	for {
		token, err := l.Next()
		if err != nil {
			return tokens, err
		}
		token.Raw = bytes.Clone(token.Raw)
		tokens = append(tokens, token)
	}
}

// FuzzLink: whatever a client sends, the link gives elements, the end, or a
// fault that a stream can be ended with.
func FuzzLink(f *testing.F) {
	f.Add(xmpptest.Frame(opText, opening), 7)
	f.Add(bytes.Join([][]byte{xmpptest.Frame(opText, opening), xmpptest.Frame(opPing, "x"), xmpptest.Frame(opText, "<a xmlns='b'/>"), xmpptest.Frame(opClose, "")}, nil), 1)
	f.Add(xmpptest.Frame(opText|0x80, "<a xmlns='b'>"), 100)
	f.Add(xmpptest.Frame(opText, closing), 3)
	f.Fuzz(func(t *testing.T, input []byte, piece int) {
		tokens, err := record(t, input, max(1, piece%6000))
		var fault *stanza.StreamError
		var syntax *xmlstream.SyntaxError
		if err != io.EOF && err != io.ErrUnexpectedEOF && !errors.As(err, &fault) && !errors.As(err, &syntax) {
			t.Fatalf("the end is %v", err)
		}
		for _, token := range tokens {
			if len(token.Raw) == 0 || len(token.Raw) > 5000 || token.Raw[0] != '<' {
				t.Fatalf("an element of %d bytes: %.100q", len(token.Raw), token.Raw)
			}
		}
	})
}

// TestTokens: what becomes of messages for c2s.
func TestTokens(t *testing.T) {
	messages := []string{opening, "<iq xmlns='jabber:client' id='1'><x xmlns='y'/></iq>", opening, "<p:close xmlns:p='" + nsFraming + "'/>"}
	var input []byte
	for _, m := range messages {
		input = append(input, xmpptest.Frame(opText, m)...)
	}
	tokens, err := record(t, input, 10)
	if err != io.EOF || len(tokens) != len(messages) {
		t.Fatalf("%d tokens, %v", len(tokens), err)
	}
	for i, want := range []struct {
		kind xmlstream.Kind
		name xmlstream.Name
	}{
		{xmlstream.StreamOpen, xmlstream.Name{Space: nsStream, Local: "stream"}},
		{xmlstream.Element, xmlstream.Name{Space: nsClient, Local: "iq"}},
		{xmlstream.Element, xmlstream.Name{Space: nsFraming, Local: "open"}}, // only after a restart
		{xmlstream.StreamClose, xmlstream.Name{Space: nsFraming, Local: "close"}},
	} {
		if tokens[i].Kind != want.kind || tokens[i].Name != want.name {
			t.Errorf("%s is %d %v", messages[i], tokens[i].Kind, tokens[i].Name)
		}
	}
}

// TestAppend: what c2s says, as messages that stand alone.
func TestAppend(t *testing.T) {
	l := newLink(c2s.New(c2s.Config{Domain: home}).NewCarrier(&tape{}, "", true), nil)
	st := stanza.New(stanza.Message, "chat", "1", jid.MustParse("a@"+home), jid.JID{}, "<body>&lt;</body>")
	for _, c := range []struct {
		frame []byte
		want  string
	}{
		{l.AppendOpen(nil, c2s.Header{ID: "x", From: home, To: "a'b", Lang: "en"}),
			"<open xmlns='" + nsFraming + "' id='x' from='" + home + "' to='a&apos;b' version='1.0' xml:lang='en'/>"},
		{l.AppendStanza(nil, st), "<message xmlns='jabber:client' type='chat' id='1' from='a@" + home + "'><body>&lt;</body></message>"},
		{l.AppendXML(nil, "<a xmlns='b'/>"), "<a xmlns='b'/>"},
		{l.AppendXML(nil, "<stream:features/>"), "<stream:features xmlns:stream='" + nsStream + "'/>"},
		{l.AppendXML(nil, "<stream:error><x/></stream:error>"), "<stream:error xmlns:stream='" + nsStream + "'><x/></stream:error>"},
		{l.AppendClose(nil), closing},
	} {
		if got := string(c.frame[len(c.frame)-len(c.want):]); got != c.want || !strings.HasPrefix(string(c.frame), "\x81") {
			t.Errorf("%s, want %s", c.frame, c.want)
		}
	}
	if got := string(l.AppendXML(nil, " ")); got != "\x89\x00" {
		t.Errorf("a keep-alive is %x", got)
	}
}
