package websocket

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	"doorway/xmpp/stanza"
	"doorway/xmpp/xmpptest"
)

// decode feeds bytes in pieces of that size and tells what came of them.
func decode(t testing.TB, input []byte, piece, most int) string {
	t.Helper()
	d := decoder{max: most}
	var said strings.Builder
	for len(input) > 0 {
		n := copy(d.room(), input[:min(piece, len(input))])
		d.to += n
		input = input[n:]
		for {
			c, err := d.next()
			if len(d.buf) > 2*(most+inBuffer) {
				t.Fatalf("a buffer of %d bytes for messages of %d", len(d.buf), most)
			}
			if err == errIncomplete {
				d.rest()
				break
			}
			var f *fatal
			var told *stanza.StreamError
			switch {
			case err == io.EOF:
				return said.String() + "end"
			case errors.As(err, &f) && errors.As(err, &told):
				return said.String() + fmt.Sprintf("%d %s", f.code, told.Condition)
			case err != nil:
				t.Fatalf("an error that nobody can be told: %v", err)
			case c.op != 0:
				fmt.Fprintf(&said, "%d(%s) ", c.op, c.payload)
			default:
				fmt.Fprintf(&said, "%q ", d.message())
				d.drop()
			}
		}
	}
	if !d.partial() && d.buf != nil {
		t.Fatal("a buffer is held for nothing")
	}
	if d.partial() {
		said.WriteString("…")
	}
	return strings.TrimSuffix(said.String(), " ")
}

func TestDecoder(t *testing.T) {
	text := func(s string) string { return string(xmpptest.Frame(opText, s)) }
	frame := func(op byte, s string) string { return string(xmpptest.Frame(op, s)) }
	const more = 0x80
	long := strings.Repeat("x", 300)
	for _, c := range []struct{ name, in, want string }{
		{"one", text("<a/>"), `"<a/>"`},
		{"empty", text(""), `""`},
		{"two", text("<a/>") + text("<b/>"), `"<a/>" "<b/>"`},
		{"a longer one", text(long), fmt.Sprintf("%q", long)},
		{"fragments", frame(opText|more, "<a") + frame(opContinuation|more, "") + frame(opContinuation, "/>"), `"<a/>"`},
		{"a ping in between", frame(opText|more, "<a") + frame(opPing, "hi") + frame(opContinuation, "/>"), `9(hi) "<a/>"`},
		{"pongs", frame(opPong, "") + text("<a/>"), `10() "<a/>"`},
		{"closed", text("<a/>") + frame(opClose, "\x03\xe8") + text("<b/>"), "\"<a/>\" 8(\x03\xe8) end"},
		{"half a frame", text("<a/>")[:7], "…"},
		{"half a message", frame(opText|more, "<a"), "…"},
		{"binary", text("<a/>") + frame(opBinary, "<b/>"), `"<a/>" 1003 policy-violation`},
		{"no mask", "\x81\x04<a/>", "1002 bad-format"},
		{"an extension", "\xc1" + text("<a/>")[1:], "1002 bad-format"},
		{"an unknown kind", frame(3, "<a/>"), "1002 bad-format"},
		{"an unknown control", frame(11, ""), "1002 bad-format"},
		{"a ping in fragments", frame(opPing|more, ""), "1002 bad-format"},
		{"a long ping", frame(opPing, long), "1002 bad-format"},
		{"half a close code", frame(opClose, "\x03"), "1002 bad-format"},
		{"a message inside another", frame(opText|more, "<a") + text("<b/>"), "1002 bad-format"},
		{"a fragment of nothing", frame(opContinuation, "/>"), "1002 bad-format"},
		{"a wordy length", "\x81\xfe\x00\x04", "1002 bad-format"},
		{"a wordier length", "\x81\xff\x00\x00\x00\x00\x00\x00\x01\x00", "1002 bad-format"},
		{"too large", text(strings.Repeat("x", 1001)), "1009 policy-violation"},
		{"too large in fragments", frame(opText|more, strings.Repeat("x", 600)) + frame(opContinuation, strings.Repeat("x", 401)), "1009 policy-violation"},
		{"enormous", "\x81\xff\x7f\xff\xff\xff\xff\xff\xff\xff\x00\x00\x00\x00", "1009 policy-violation"},
		{"negative", "\x81\xff\xff\xff\xff\xff\xff\xff\xff\xff", "1009 policy-violation"},
	} {
		for _, piece := range []int{1, 2, 3, 5, 1 << 20} {
			if got := decode(t, []byte(c.in), piece, 1000); got != c.want {
				t.Errorf("%s, %d bytes at a time: %s, want %s", c.name, piece, got, c.want)
			}
		}
	}
}

// TestSeal: what the server writes is what the test client, which is strict
// too, reads.
func TestSeal(t *testing.T) {
	for _, n := range []int{0, 1, 125, 126, 127, 65535, 65536, 200_000} {
		payload := strings.Repeat("é<", n/3+1)[:n]
		b := begin([]byte("before"))
		b = seal(append(b, payload...), len("before"))
		head := 2
		switch {
		case n >= 1<<16:
			head = 10
		case n >= 126:
			head = 4
		}
		if len(b) != len("before")+head+n || string(b[:6]) != "before" || string(b[6+head:]) != payload || b[6] != 0x81 {
			t.Errorf("%d bytes became %d, beginning with %x", n, len(b), b[:min(len(b), 20)])
		}
		masked := xmpptest.Frame(opText, payload)
		if string(b[7:6+head]) != string(append([]byte{masked[1] &^ 0x80}, masked[2:head]...)) {
			t.Errorf("the length of %d bytes is %x", n, b[7:6+head])
		}
	}
}

// FuzzDecoder: what comes of input does not depend on how it is cut, and no
// input makes the buffer grow beyond the limit.
func FuzzDecoder(f *testing.F) {
	f.Add(xmpptest.Frame(opText, "<a/>"), 3)
	f.Add(append(xmpptest.Frame(opText|0x80, "<a"), xmpptest.Frame(opContinuation, "/>")...), 1)
	f.Add(append(xmpptest.Frame(opPing, "x"), xmpptest.Frame(opClose, "\x03\xe8")...), 5)
	f.Add(xmpptest.Frame(opText, strings.Repeat("x", 70_000)), 1000)
	f.Fuzz(func(t *testing.T, input []byte, piece int) {
		const most = 20_000
		piece = max(1, piece%5000)
		if whole, cut := decode(t, input, len(input)+1, most), decode(t, input, piece, most); whole != cut {
			t.Fatalf("whole: %.500s\n%d at a time: %.500s", whole, piece, cut)
		}
	})
}
