package c2s

import (
	"bytes"
	"io"
	"net"
	"testing"
)

// script is a connection whose Read returns the input in pieces.
type script struct {
	net.Conn
	in    []byte
	piece int
}

func (s *script) Read(p []byte) (int, error) {
	if len(s.in) == 0 {
		return 0, io.EOF
	}
	n := copy(p, s.in[:min(len(s.in), s.piece)])
	s.in = s.in[n:]
	return n, nil
}

// FuzzSock: whatever comes, in whatever pieces, Read hands on the same bytes,
// and never bytes of two records at once.
func FuzzSock(f *testing.F) {
	f.Add([]byte("\x16\x03\x01\x00\x02ab\x17\x03\x03\x00\x00\x17\x03\x03\x00\x01c"), 3, 64)
	f.Add([]byte("\x16\x03\x01\xff\xff"), 1, 1)
	f.Add([]byte("GET / HTTP/1.1\r\n\r\n"), 100, 7)
	f.Fuzz(func(t *testing.T, in []byte, piece, space int) {
		piece, space = max(piece, 1), min(max(space, 1), 1<<16)
		s := &sock{Conn: &script{in: in, piece: piece}, records: true}
		var out []byte
		var ends []int // where records end, by a second opinion
		for at := 0; at+5 <= len(in); {
			at += 5 + int(in[at+3])<<8 + int(in[at+4])
			ends = append(ends, at)
		}
		for p := make([]byte, space); ; {
			n, err := s.Read(p)
			for _, end := range ends {
				if len(out) < end && end < len(out)+n {
					t.Fatalf("a Read from %d to %d goes across %d", len(out), len(out)+n, end)
				}
			}
			out = append(out, p[:n]...)
			if err != nil {
				break
			}
		}
		if !bytes.Equal(out, in) {
			t.Fatalf("%q became %q", in, out)
		}
	})
}
