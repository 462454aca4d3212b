package sasl

import (
	"context"
	"strings"
	"testing"
)

func BenchmarkScram(b *testing.B) {
	s := testServer()
	s.c.Credentials = cheap{}
	b.ReportAllocs()
	for b.Loop() {
		s.throttle = throttle{}
		x, _ := s.Start("SCRAM-SHA-256", exporter, "a")
		c := client{hash: SHA256, gs2: "n,,", user: "alice"}
		out, _, err := x.Next(b.Context(), c.first())
		if err != nil {
			b.Fatal(err)
		}
		x.Next(b.Context(), append(append([]byte("c=biws,"), out[:strings.IndexByte(string(out), ',')]...), ",p=AAAA"...))
	}
}

func BenchmarkPlain(b *testing.B) {
	s := NewServer(Config{Credentials: fixed(must(Derive("wonderland", []byte("0123456789abcdef"), DefaultIterations, SHA256))), Domain: "x"})
	b.ReportAllocs()
	for b.Loop() {
		x, _ := s.Start("PLAIN", Binding{TLS: true}, "a")
		if _, _, err := x.Next(b.Context(), []byte("\x00alice\x00wonderland")); err != nil {
			b.Fatal(err)
		}
	}
}

type fixed Keys

func (fixed) FakeSeed() []byte                                  { return nil }
func (f fixed) Keys(context.Context, string, Hash) (Keys, bool) { return Keys(f), true }
func must(k Keys, err error) Keys {
	if err != nil {
		panic(err)
	}
	return k
}
