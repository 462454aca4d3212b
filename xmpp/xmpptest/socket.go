package xmpptest

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"time"

	"doorway/xmpp/xmlstream"
)

// Opcodes of WebSocket (RFC 6455 §5.2).
const (
	OpText   = 1
	OpBinary = 2
	OpClose  = 8
	OpPing   = 9
	OpPong   = 10
)

// Socket is a bare WebSocket client (RFC 6455): frames go out as they are
// given. It belongs to one goroutine, but that several may send.
type Socket struct {
	conn net.Conn
	got  []byte // read and not yet returned
}

// DialSocket asks for a WebSocket with the subprotocol xmpp; with a
// configuration it does a TLS handshake first. header is added to the request;
// a value of "" removes a field.
func DialSocket(ctx context.Context, addr, path string, cfg *tls.Config, header map[string]string) (*Socket, error) {
	r, err := DialRaw(ctx, addr, cfg)
	if err != nil {
		return nil, err
	}
	s := &Socket{conn: r.conn}
	fields := map[string]string{
		"Host": addr, "Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13",
		"Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==", "Sec-WebSocket-Protocol": "xmpp",
	}
	for k, v := range header {
		fields[k] = v
	}
	req := "GET " + path + " HTTP/1.1\r\n"
	for k, v := range fields {
		if v != "" {
			req += k + ": " + v + "\r\n"
		}
	}
	if err := r.Write(req + "\r\n"); err != nil {
		return nil, errors.Join(err, r.Close())
	}
	head, err := r.Until(ctx, "\r\n\r\n")
	if err != nil {
		return nil, errors.Join(err, r.Close())
	}
	s.got = r.got
	// The accept value belongs to the key above: the example of RFC 6455 §1.3.
	if !strings.HasPrefix(head, "HTTP/1.1 101 ") || !strings.Contains(head, "\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n") ||
		!strings.Contains(head, "\r\nSec-WebSocket-Protocol: xmpp\r\n") {
		status, _, _ := strings.Cut(strings.TrimPrefix(head, "HTTP/1.1 "), "\r\n")
		return nil, errors.Join(&Refusal{status, head}, r.Close())
	}
	return s, nil
}

// Refusal is an answer to a handshake that did not take it up.
type Refusal struct{ Status, Head string }

func (r *Refusal) Error() string {
	return "the WebSocket was refused: " + r.Status + " (wanted " + http.StatusText(http.StatusSwitchingProtocols) + ")"
}

// Conn is the connection.
func (s *Socket) Conn() net.Conn { return s.conn }

// Frame makes a client's frame: masked, final unless op has the bit 0x80,
// which stands for "more follows".
func Frame(op byte, payload string) []byte {
	first := op ^ 0x80
	var b []byte
	switch n := len(payload); {
	case n < 126:
		b = []byte{first, 0x80 | byte(n)}
	case n < 1<<16:
		b = []byte{first, 0x80 | 126, byte(n >> 8), byte(n)}
	default:
		b = []byte{first, 0x80 | 127, 0, 0, 0, 0, byte(n >> 24), byte(n >> 16), byte(n >> 8), byte(n)}
	}
	var mask [4]byte
	rand.Read(mask[:]) // never fails
	b = append(b, mask[:]...)
	for i := range len(payload) {
		b = append(b, payload[i]^mask[i%4])
	}
	return b
}

// Send writes a text message.
func (s *Socket) Send(text string) error { return s.Write(Frame(OpText, text)) }

// Write sends bytes as they are.
func (s *Socket) Write(b []byte) error {
	if err := s.conn.SetWriteDeadline(time.Now().Add(writeTimeout)); err != nil {
		return err
	}
	_, err := s.conn.Write(b)
	return err
}

// Next returns the next frame of any kind. The server's frames have to be
// whole, unmasked and as short as they can be.
func (s *Socket) Next(ctx context.Context) (op byte, payload string, err error) {
	stop := under(ctx, s.conn)
	defer stop()
	op, payload, err = s.next()
	if err != nil {
		err = cause(ctx, err)
	}
	return op, payload, err
}

func (s *Socket) next() (op byte, payload string, err error) {
	for {
		n, size, err := s.cut()
		if err != nil {
			return 0, "", err
		}
		if n > 0 {
			op, payload = s.got[0]&0x0f, string(s.got[n-size:n])
			s.got = s.got[n:]
			return op, payload, nil
		}
		b := make([]byte, 16<<10)
		k, err := s.conn.Read(b)
		s.got = append(s.got, b[:k]...)
		if k == 0 {
			return 0, "", err
		}
	}
}

// cut measures the frame at the front of got: its length and its payload's; 0
// when it is not whole.
func (s *Socket) cut() (n, size int, err error) {
	b := s.got
	if len(b) < 2 {
		return 0, 0, nil
	}
	if b[0]&0xf0 != 0x80 || b[1]&0x80 != 0 {
		return 0, 0, fmt.Errorf("a frame begins with %x", b[:2])
	}
	head, least := 2, 0
	size = int(b[1])
	switch {
	case size == 126 && len(b) >= 4:
		head, least, size = 4, 126, int(b[2])<<8|int(b[3])
	case size == 127 && len(b) >= 10:
		head, least, size = 10, 1<<16, 0
		for _, x := range b[2:10] {
			size = size<<8 | int(x)
		}
	case size >= 126:
		return 0, 0, nil
	}
	if size < least {
		return 0, 0, fmt.Errorf("the length %d is written in %d bytes", size, head-2)
	}
	if len(b) < head+size {
		return 0, 0, nil
	}
	return head + size, size, nil
}

// Stream makes of a Socket what a Client takes: a stream as on TCP. Pings are
// answered. What is written at once has to be whole elements.
func (s *Socket) Stream() net.Conn { return &socketStream{Conn: s.conn, s: s} }

// socketStream translates between the two framings (RFC 7395 §3.3).
type socketStream struct {
	net.Conn
	s     *Socket
	ready []byte // translated and not yet read
}

const framing = "urn:ietf:params:xml:ns:xmpp-framing"

// Write implements net.Conn.
func (c *socketStream) Write(p []byte) (int, error) {
	text := string(p)
	if i := strings.Index(text, "<stream:stream "); i >= 0 {
		head := strings.Replace(text[i:], "<stream:stream xmlns='jabber:client' xmlns:stream='"+streamSpace+"'", "<open xmlns='"+framing+"'", 1)
		return len(p), c.s.Send(strings.TrimSuffix(head, ">") + "/>")
	}
	rest, closing := strings.CutSuffix(text, "</stream:stream>")
	r := xmlstream.NewReader(strings.NewReader("<stream:stream xmlns='jabber:client' xmlns:stream='"+streamSpace+"'>"+rest), limits)
	for {
		t, err := r.Next()
		switch {
		case err == io.EOF && closing:
			return len(p), c.s.Send("<close xmlns='" + framing + "'/>")
		case err == io.EOF:
			return len(p), nil
		case err != nil: // a play wants it
			return len(p), c.s.Send(alone(text))
		case t.Kind == xmlstream.StreamOpen:
			continue
		}
		if err := c.s.Send(alone(string(t.Raw))); err != nil {
			return 0, err
		}
	}
}

// alone gives an element its namespace, as it would have it in a stream.
func alone(text string) string {
	tag, end := strings.IndexAny(text, " />"), strings.IndexByte(text, '>')
	if tag < 0 || end < 0 || strings.Contains(text[:end], "xmlns=") || strings.Contains(text[:tag], ":") {
		return text
	}
	return text[:tag] + " xmlns='jabber:client'" + text[tag:]
}

// Read implements net.Conn.
func (c *socketStream) Read(p []byte) (int, error) {
	for len(c.ready) == 0 {
		op, text, err := c.s.next()
		switch {
		case err != nil:
			return 0, err
		case op == OpPing:
			err = c.s.Write(Frame(OpPong, text))
		case op == OpClose:
			_ = c.s.Write(Frame(OpClose, text)) // ignored: the server may have gone
			return 0, io.EOF
		case op != OpText:
			err = fmt.Errorf("a frame of kind %d", op)
		case strings.HasPrefix(text, "<open xmlns='"+framing+"'"):
			text = "<stream:stream xmlns='jabber:client' xmlns:stream='" + streamSpace + "'" + strings.TrimPrefix(text, "<open xmlns='"+framing+"'")
			c.ready = []byte(strings.TrimSuffix(text, "/>") + ">")
		case text == "<close xmlns='"+framing+"'/>":
			c.ready = []byte("</stream:stream>")
		default:
			c.ready, err = whole(text)
		}
		if err != nil {
			return 0, err
		}
	}
	n := copy(p, c.ready)
	c.ready = c.ready[n:]
	return n, nil
}

// whole checks that a message is one element with all its namespaces.
func whole(text string) ([]byte, error) {
	t, err := xmlstream.Parse([]byte(text), "", limits)
	if err == nil && (t.Name.Space == "" || text[0] != '<') {
		err = errors.New("an element without a namespace")
	}
	if err != nil {
		return nil, fmt.Errorf("the message %.200q: %w", text, err)
	}
	return []byte(text), nil
}
