package xmlstream

import (
	"math/rand/v2"
	"strings"
	"testing"
)

// Eight bytes at a time find the same byte as one at a time, whatever stands
// before and behind it. The bytes are the ones looked for and their
// neighbours, where a borrow or a carry would show.
func TestWordsFindWhatBytesFind(t *testing.T) {
	var near []byte
	for _, c := range "\x00\t\n\r !\"#$%&'(;<=>?@Z[`az{\x7f\x80\xbc\xff" {
		near = append(near, byte(c))
	}
	near = append(near, strings.Repeat("aeinrst", 12)...) // or hardly any word would be plain
	naive := func(b []byte, p int, flag byte, also string) int {
		for p < len(b) && class[b[p]]&flag != 0 && strings.IndexByte(also, b[p]) < 0 {
			p++
		}
		return p
	}
	rnd := rand.New(rand.NewPCG(1, 2))
	for range 200_000 {
		b := make([]byte, rnd.IntN(48))
		for i := range b {
			b[i] = near[rnd.IntN(len(near))]
		}
		p := rnd.IntN(len(b) + 1)
		if got, want := skipText(b, uint(p)), naive(b, p, plainText, ""); int(got) != want {
			t.Fatalf("text %q from %d: %d, want %d", b, p, got, want)
		}
		if got, want := skipOutput(string(b), p), naive(b, p, plainOutput, ""); got < want && class[b[got]]&whiteSpace == 0 || got > want {
			t.Fatalf("output %q from %d: %d, want %d", b, p, got, want)
		}
		for _, quote := range []byte(`'"`) {
			got := int(skipValue(b, uint(p), quote))
			for want := p; want <= got; want++ { // the other quote may stop it
				if special := want == len(b) || class[b[want]]&plainValue == 0; special && want < got && b[want]^quote != '\''^'"' {
					t.Fatalf("value %q from %d: %d, want %d", b, p, got, want)
				} else if want == got && !special {
					t.Fatalf("value %q from %d: %d for nothing", b, p, got)
				}
			}
		}
		s := string(b)
		if got, want := AppendValue(make([]byte, 0, 64), s), appendEscaped(nil, s, true); string(got) != string(want) {
			t.Fatalf("%q became %q, want %q", s, got, want)
		}
	}
}

// A plain tag is read as a careful one: the same bytes in two pieces are never
// plain.
func TestPlainTagsReadAsOthers(t *testing.T) {
	for _, tag := range []string{
		"<a>", "<a/>", "<a >", "<a />", "<a  b=''/>", "<a\tb=''>", "<a b ='c'/>", "<a b= 'c'/>", "<a b='c'd='e'/>", "<a b=c/>", "<a b/>", "<a/ >", "<a b='c'/ >",
		"<message to='a@b' id=\"it's\" type='chat'>", "<a b='>' c=\">\"/>", "<a b='<'/>", "<a b='&amp;'/>", "<a b='ü'/>", "<ä b='c'/>", "<a1-_.b c1-_.d='e'/>", "<1a/>", "<-/>", "<a 1b='c'/>", "<a -='c'/>",
		"<a b='1' b='2'/>", "<a bc='1' cb='2' bd='3' bc='4'/>", "<a abcdefghijkl='1' abcdefghijkl='2'/>", "<presencepresence abcdefghijkl='1' abcdefghijkm='2'/>",
		"<a xmlns='urn:a' xmlns='urn:b'/>", "<a xmlns=''/>", "<a xmlnsx='urn:a'/>", "<a xmlns='" + xmlSpace + "'/>", "<a xmlns='" + xmlnsSpace + "'/>", "<a xmlns:b='urn:b'/>", "<a xml:lang='de'/>", "<a xml:lang='de' xml:lang='en'/>", "<a xml:lange='de' xml:lang1='a' b='c'/>", "<a xml:lang:x='de'/>", "<a xml:lang ='de' lang='en' xmlns='urn:a'/>", "<a xml:lan='d'/>", "<a xmlns:l='" + xmlSpace + "' xml:lang='de' l:lang='de'/>", "<b:a/>", "<a b:c='d'/>",
		"<a b='\x01'/>", "<a b='\n'/>", "<a b='\xff'/>", "<a", "<a b='c", "<a b='c'", "<a b=", "<>", "< a>", "</>", "<a><b xmlns='urn:b'><c/></b><d/></a>", "<a><b></a></b>", "<ab></ac>", "<presence></presenca>",
		"<" + strings.Repeat("a", 300) + "/>", "<a " + strings.Repeat("b", 300) + "='c'/>", "<a" + attributes(32) + "/>", "<a" + attributes(33) + "/>",
	} {
		for _, in := range []string{tag, tag + "</a>", tag + "some text as long as two words or three</message>", "<message>" + tag + "</message>", "<message>" + tag + "text</a></message>",
			"<message><x/>" + tag + "</message>", "<message><x/>" + tag + "<p:y/></a><y/></message>", "<message><x xmlns='urn:x'>" + tag + "</a></x></message>", "<m xmlns='urn:m'><x/>" + tag + "</m>"} {
			whole := record(NewReader(&chunks{parts: []string{header, in + strings.Repeat(" ", 16)}}, Limits{}))
			if got := record(NewReader(&stutters{s: header + in + strings.Repeat(" ", 16)}, Limits{})); got != whole {
				t.Errorf("%q byte by byte:\n%s\nwhole:\n%s", in, got, whole)
			}
		}
	}
}
