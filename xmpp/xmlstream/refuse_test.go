package xmlstream

import (
	"errors"
	"io"
	"os"
	"runtime"
	"strings"
	"testing"
)

// Inputs after a good header, and the stream error each deserves.
var refused = []struct{ name, in, condition string }{
	{"document type", "<!DOCTYPE x>", "restricted-xml"},
	{"comment", "<!-- c -->", "restricted-xml"},
	{"comment inside", "<message><!-- c --></message>", "restricted-xml"},
	{"processing instruction", "<?php x?>", "restricted-xml"},
	{"processing instruction inside", "<message><?x?></message>", "restricted-xml"},
	{"second declaration", "<?xml version='1.0'?>", "restricted-xml"},
	{"entity", "<message>&foo;</message>", "restricted-xml"},
	{"entity in value", "<message a='&nbsp;'/>", "restricted-xml"},
	{"internal subset", "<!ENTITY a 'b'>", "restricted-xml"},
	{"bare ampersand", "<message>a & b</message>", "not-well-formed"},
	{"ampersand at the end", "<message>&</message>", "not-well-formed"},
	{"empty reference", "<message>&;</message>", "not-well-formed"},
	{"numbered entity", "<message>&1;</message>", "not-well-formed"},
	{"reference without digits", "<message>&#;</message>", "not-well-formed"},
	{"hex reference without digits", "<message>&#x;</message>", "not-well-formed"},
	{"reference to null", "<message>&#0;</message>", "not-well-formed"},
	{"reference to a control", "<message>&#x1f;</message>", "not-well-formed"},
	{"reference to a surrogate", "<message>&#xD800;</message>", "not-well-formed"},
	{"reference to FFFE", "<message a='&#xFFFE;'/>", "not-well-formed"},
	{"reference beyond Unicode", "<message>&#x110000;</message>", "not-well-formed"},
	{"huge reference", "<message>&#99999999999999;</message>", "not-well-formed"},
	{"upper-case X", "<message>&#X41;</message>", "not-well-formed"},
	{"endless reference", "<message>&" + strings.Repeat("a", 100), "not-well-formed"},
	{"null", "<message>\x00</message>", "not-well-formed"},
	{"control", "<message>\x0b</message>", "not-well-formed"},
	{"control in value", "<message a='\x01'/>", "not-well-formed"},
	{"control in name", "<mess\x01age/>", "not-well-formed"},
	{"control in CDATA", "<message><![CDATA[\x01]]></message>", "not-well-formed"},
	{"U+FFFE", "<message>\uFFFE</message>", "not-well-formed"},
	{"U+FFFF in value", "<message a='\uFFFF'/>", "not-well-formed"},
	{"U+FFFF in CDATA", "<message><![CDATA[\uFFFF]]></message>", "not-well-formed"},
	{"bad UTF-8", "<message>\xff</message>", "unsupported-encoding"},
	{"bad UTF-8 in value", "<message a='\xc3('/>", "unsupported-encoding"},
	{"bad UTF-8 in name", "<m\xc3(/>", "unsupported-encoding"},
	{"bad UTF-8 in CDATA", "<message><![CDATA[\xe2\x28\xa1]]></message>", "unsupported-encoding"},
	{"surrogate", "<message>\xed\xa0\x80</message>", "unsupported-encoding"},
	{"overlong", "<message>\xc0\xaf</message>", "unsupported-encoding"},
	{"beyond Unicode", "<message>\xf4\x90\x80\x80</message>", "unsupported-encoding"},
	{"half a character before a tag", "<message>\xe2\x82</message>", "unsupported-encoding"},
	{"mismatched end", "<message></iq>", "not-well-formed"},
	{"end with a longer name", "<message></messages>", "not-well-formed"},
	{"end with a shorter name", "<message></mess>", "not-well-formed"},
	{"crossed", "<a><b></a></b>", "not-well-formed"},
	{"end with attribute", "<message></message a='1'>", "not-well-formed"},
	{"other prefix at the end", "<message xmlns:a='u' xmlns:b='u'><a:x></b:x></message>", "not-well-formed"},
	{"unquoted", "<message a=b/>", "not-well-formed"},
	{"no value", "<message a/>", "not-well-formed"},
	{"less-than in value", "<message a='<'/>", "not-well-formed"},
	{"no space between attributes", "<message a='1'b='2'/>", "not-well-formed"},
	{"slash inside", "<message / a='1'>", "not-well-formed"},
	{"blank after slash", "<message / >", "not-well-formed"},
	{"blank before the name", "< message/>", "not-well-formed"},
	{"name with a digit first", "<1a/>", "not-well-formed"},
	{"name with a hyphen first", "<-a/>", "not-well-formed"},
	{"empty tag", "<>", "not-well-formed"},
	{"bad name character", "<me\u00d7ssage/>", "not-well-formed"},
	{"combining character first", "<\u0301a/>", "not-well-formed"},
	{"two colons", "<message xmlns:a='u'><a:b:c/></message>", "not-well-formed"},
	{"colon first", "<:a/>", "not-well-formed"},
	{"colon last", "<message xmlns:a='u'><a:/></message>", "not-well-formed"},
	{"digit after colon", "<message xmlns:a='u'><a:1/></message>", "not-well-formed"},
	{"attribute twice", "<message a='1' b='2' a='1'/>", "not-well-formed"},
	{"attribute twice inside", "<message><x a='1' a='2'/></message>", "not-well-formed"},
	{"attribute twice by namespace", "<message xmlns:a='u' xmlns:b='u' a:x='1' b:x='2'/>", "not-well-formed"},
	{"default namespace twice", "<message xmlns='jabber:client' xmlns='jabber:client'/>", "not-well-formed"},
	{"prefix bound twice", "<message xmlns:a='u' xmlns:a='v'/>", "not-well-formed"},
	{"unbound prefix", "<message><a:b/></message>", "not-well-formed"},
	{"unbound attribute prefix", "<message><b a:x='1'/></message>", "not-well-formed"},
	{"prefix out of scope", "<message><a xmlns:p='u'/><p:b/></message>", "not-well-formed"},
	{"prefix unbound", "<message xmlns:a=''/>", "not-well-formed"},
	{"xml bound anew", "<message xmlns:xml='urn:x'/>", "not-well-formed"},
	{"xml namespace under another name", "<message xmlns:a='http://www.w3.org/XML/1998/namespace'/>", "not-well-formed"},
	{"xml namespace as default", "<message xmlns='http://www.w3.org/XML/1998/namespace'/>", "not-well-formed"},
	{"xmlns bound", "<message xmlns:xmlns='http://www.w3.org/2000/xmlns/'/>", "not-well-formed"},
	{"xmlns namespace bound", "<message xmlns:a='http://www.w3.org/2000/xmlns/'/>", "not-well-formed"},
	{"xmlns as prefix", "<xmlns:a/>", "not-well-formed"},
	{"]]> in text", "<message>a]]>b</message>", "not-well-formed"},
	{"CDATA misspelt", "<message><![cdata[x]]></message>", "not-well-formed"},
	{"CDATA between stanzas", "<![CDATA[x]]>", "invalid-xml"},
	{"text between stanzas", "hello", "invalid-xml"},
	{"text after a stanza", "<presence/> x", "invalid-xml"},
	{"stream inside the stream", "<stream:stream xmlns:stream='http://etherx.jabber.org/streams'>", "invalid-xml"},
	{"stray end", "</message>", "not-well-formed"},
	{"second root", "</stream:stream><stream:stream>", "not-well-formed"},
	{"text after the end", "</stream:stream>x", "not-well-formed"},
	{"too deep", strings.Repeat("<a>", 65), "policy-violation"},
	{"10,000 deep", strings.Repeat("<a>", 10000), "policy-violation"},
	{"too many attributes", "<message" + attributes(33) + "/>", "policy-violation"},
	{"name too long", "<" + strings.Repeat("a", 257) + "/>", "policy-violation"},
	{"attribute name too long", "<a " + strings.Repeat("a", 257) + "=''/>", "policy-violation"},
	{"endless name", "<" + strings.Repeat("a", 300), "policy-violation"},
	{"stanza too large", "<message>" + strings.Repeat("x", 256<<10) + "</message>", "policy-violation"},
	{"endless text", "<message>" + strings.Repeat("x", 300<<10), "policy-violation"},
	{"endless value", "<message a='" + strings.Repeat("x", 300<<10), "policy-violation"},
	{"endless white space in a tag", "<message" + strings.Repeat(" ", 300<<10), "policy-violation"},
}

func attributes(n int) string {
	var b strings.Builder
	for i := range n {
		b.WriteString(" a" + strings.Repeat("x", i) + "='1'")
	}
	return b.String()
}

// Inputs without a header.
var refusedHeaders = []struct{ name, in, condition string }{
	{"text", "GET / HTTP/1.1\r\n", "not-well-formed"},
	{"TLS to a plain port", "\x16\x03\x01\x02\x00", "not-well-formed"},
	{"UTF-16", "\xff\xfe<\x00", "not-well-formed"},
	{"byte order mark", "\ufeff<stream/>", "not-well-formed"},
	{"document type", "<!DOCTYPE stream><stream/>", "restricted-xml"},
	{"comment", "<!-- --><stream/>", "restricted-xml"},
	{"instruction", "<?xsl x?><stream/>", "restricted-xml"},
	{"instruction named like the declaration", "<?xml-stylesheet x?><stream/>", "restricted-xml"},
	{"declaration after white space", " <?xml version='1.0'?><stream/>", "restricted-xml"},
	{"two declarations", "<?xml version='1.0'?><?xml version='1.0'?><stream/>", "restricted-xml"},
	{"Latin-1", "<?xml version='1.0' encoding='ISO-8859-1'?><stream/>", "unsupported-encoding"},
	{"UTF-16 declared", "<?xml version='1.0' encoding=\"UTF-16\"?><stream/>", "unsupported-encoding"},
	{"no version", "<?xml encoding='UTF-8'?><stream/>", "not-well-formed"},
	{"version 1.1", "<?xml version='1.1'?><stream/>", "not-well-formed"},
	{"standalone maybe", "<?xml version='1.0' standalone='maybe'?><stream/>", "not-well-formed"},
	{"wrong order", "<?xml encoding='UTF-8' version='1.0'?><stream/>", "not-well-formed"},
	{"something more", "<?xml version='1.0' x='y'?><stream/>", "not-well-formed"},
	{"no blank between", "<?xml version='1.0'encoding='UTF-8'?><stream/>", "not-well-formed"},
	{"mixed quotes", "<?xml version='1.0\"?><stream/>", "not-well-formed"},
	{"endless declaration", "<?xml version='1.0'" + strings.Repeat(" ", 300), "not-well-formed"},
	{"unbound root", "<stream:stream>", "not-well-formed"},
	{"end first", "</stream:stream>", "not-well-formed"},
	{"CDATA first", "<![CDATA[x]]>", "not-well-formed"},
	{"endless header", "<stream a='" + strings.Repeat("x", 300<<10), "policy-violation"},
}

func TestRefuses(t *testing.T) {
	for _, c := range refused {
		check(t, c.name, header+c.in, c.condition)
	}
	for _, c := range refusedHeaders {
		check(t, c.name, c.in, c.condition)
	}
}

// check reads in whole and in small pieces, and wants the fault both times.
func check(t *testing.T, name, in, condition string) {
	t.Helper()
	var single []string
	if len(in) < 2000 {
		for i := range len(in) {
			single = append(single, in[i:i+1])
		}
	} else {
		for i := 0; i < len(in); i += 777 {
			single = append(single, in[i:min(i+777, len(in))])
		}
	}
	for _, src := range []io.Reader{strings.NewReader(in), &chunks{parts: single}} {
		r := NewReader(src, Limits{})
		var err error
		for err == nil {
			_, err = r.Next()
		}
		var se *SyntaxError
		if !errors.As(err, &se) || se.Condition != condition {
			t.Errorf("%s: %v, want %s", name, err, condition)
			continue
		}
		if se.Offset > int64(len(in)) || se.Detail == "" {
			t.Errorf("%s: offset %d of %d, detail %q", name, se.Offset, len(in), se.Detail)
		}
		if _, again := r.Next(); again != err {
			t.Errorf("%s: the reader went on after the fault: %v", name, again)
		}
		if len(r.buf) > smallBuffer || r.scan != nil {
			t.Errorf("%s: the reader keeps %d bytes after the fault", name, len(r.buf))
		}
	}
}

// What the limits just allow.
func TestLimitsAreReached(t *testing.T) {
	for name, in := range map[string]string{
		"depth":      strings.Repeat("<a>", 64) + strings.Repeat("</a>", 64),
		"attributes": "<message" + attributes(32) + "/>",
		"name":       "<" + strings.Repeat("a", 256) + "/>",
		"size":       "<message>" + strings.Repeat("x", 256<<10-19) + "</message>",
	} {
		r := NewReader(strings.NewReader(header+in+"<presence/>"), Limits{})
		for i := range 3 {
			if _, err := r.Next(); err != nil {
				t.Errorf("%s: token %d: %v", name, i, err)
				break
			}
		}
	}
}

// PreAuthLimits take a stanza of 10,000 bytes (RFC 6120 §13.12).
func TestPreAuthLimit(t *testing.T) {
	body := strings.Repeat("x", 10000-len("<message></message>"))
	r := NewReader(strings.NewReader(header+"<message>"+body+"</message>"+"<message>"+body+body), PreAuthLimits)
	r.Next()
	if tok, err := r.Next(); err != nil || len(tok.Raw) != 10000 {
		t.Fatal(err)
	}
	if _, err := r.Next(); err == nil || !strings.Contains(err.Error(), "policy-violation") {
		t.Fatal(err)
	}
}

// endless gives the same text for ever and counts it.
type endless struct {
	head, text string
	given      int
}

func (e *endless) Read(p []byte) (int, error) {
	if e.head != "" {
		n := copy(p, e.head)
		e.head = e.head[n:]
		return n, nil
	}
	n := 0
	for n < len(p) {
		m := copy(p[n:], e.text[e.given%len(e.text):])
		n += m
		e.given += m
	}
	return n, nil
}

// The limit holds during the read: an endless stanza is stopped before the
// reader has taken much more than the limit, and memory stays bounded.
func TestEndlessInputIsBounded(t *testing.T) {
	for _, text := range []string{"x", "<a/>", "<a>b</a>", "&amp;", "ü"} {
		e := &endless{head: header + "<message>", text: text}
		r := NewReader(e, Limits{Bytes: 64 << 10})
		var err error
		for err == nil {
			_, err = r.Next()
		}
		if !strings.Contains(err.Error(), "policy-violation") || e.given > 128<<10 {
			t.Errorf("%q: %v after %d bytes", text, err, e.given)
		}
	}
	// White space between stanzas never adds up.
	e := &endless{head: header, text: " \n"}
	r := NewReader(&limited{e, 8 << 20}, PreAuthLimits)
	r.Next()
	if _, err := r.Next(); err != io.EOF || len(r.buf) != smallBuffer {
		t.Errorf("white space: %v, %d bytes held", err, len(r.buf))
	}
}

type limited struct {
	r io.Reader
	n int
}

func (l *limited) Read(p []byte) (int, error) {
	if l.n <= 0 {
		return 0, io.EOF
	}
	n, err := l.r.Read(p[:min(len(p), l.n)])
	l.n -= n
	return n, err
}

// An idle reader holds its small buffer and nothing borrowed, whatever it has
// read before.
func TestIdleReaderIsSmall(t *testing.T) {
	in := &chunks{parts: []string{header, "<message>" + strings.Repeat("x", 100<<10) + "</message>", " "}, err: os.ErrDeadlineExceeded}
	r := NewReader(in, Limits{})
	for range 2 {
		if _, err := r.Next(); err != nil {
			t.Fatal(err)
		}
	}
	if len(r.buf) < 100<<10 {
		t.Fatalf("the token lies in %d bytes", len(r.buf))
	}
	if _, err := r.Next(); err != os.ErrDeadlineExceeded {
		t.Fatal(err)
	}
	if len(r.buf) != smallBuffer || r.loan != nil || r.scan != nil {
		t.Fatalf("idle with %d bytes", len(r.buf))
	}
	var before, after runtime.MemStats
	const n = 1000
	readers := make([]*Reader, n)
	runtime.GC()
	runtime.ReadMemStats(&before)
	for i := range readers {
		readers[i] = NewReader(&chunks{parts: []string{header}, err: os.ErrDeadlineExceeded}, Limits{})
		readers[i].Next()
		readers[i].Next()
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	if per := (int64(after.HeapAlloc) - int64(before.HeapAlloc)) / n; per > 1400 {
		t.Errorf("an idle reader takes %d bytes", per)
	}
	runtime.KeepAlive(readers)
}

func TestInputErrors(t *testing.T) {
	for _, c := range []struct {
		in   string
		want error
	}{
		{"", io.EOF}, {" ", io.EOF}, {"<?xml version='1.0'?>", io.EOF}, {"<?xm", io.ErrUnexpectedEOF}, {"<str", io.ErrUnexpectedEOF},
		{header, io.EOF}, {header + "<presence/>\n", io.EOF}, {header + "<presence", io.ErrUnexpectedEOF},
		{header + "<message>\xe2\x82", io.ErrUnexpectedEOF}, {header + "</stream:stream>", io.EOF}, {header + "</stream:str", io.ErrUnexpectedEOF},
	} {
		r := NewReader(strings.NewReader(c.in), Limits{})
		var err error
		for err == nil {
			_, err = r.Next()
		}
		if err != c.want {
			t.Errorf("%q: %v, want %v", c.in, err, c.want)
		}
	}
	r := NewReader(&chunks{parts: []string{""}}, Limits{}) // Read gives 0, nil for ever
	r.in = zero{}
	if _, err := r.Next(); err != io.ErrNoProgress {
		t.Errorf("no progress: %v", err)
	}
}

type zero struct{}

func (zero) Read([]byte) (int, error) { return 0, nil }

// stutter times out before every byte.
type stutter struct {
	s    string
	late bool
}

func (s *stutter) Read(p []byte) (int, error) {
	if s.late = !s.late; s.late {
		return 0, os.ErrDeadlineExceeded
	}
	if s.s == "" {
		return 0, io.EOF
	}
	p[0] = s.s[0]
	s.s = s.s[1:]
	return 1, nil
}

// A deadline is no fault: reading goes on where it stopped.
func TestDeadlinesAreResumable(t *testing.T) {
	for _, s := range samples {
		want := record(NewReader(strings.NewReader(s), Limits{}))
		r := NewReader(&stutter{s: s}, Limits{})
		var got strings.Builder
		for {
			tok, err := r.Next()
			if err == os.ErrDeadlineExceeded {
				continue
			}
			if err != nil {
				got.WriteString("end " + err.Error())
				break
			}
			got.WriteString(describe(tok))
		}
		if got.String() != want {
			t.Errorf("%q:\n%s\nwant\n%s", s, got.String(), want)
		}
	}
}

// The last bytes come together with the error of the input.
func TestDataWithError(t *testing.T) {
	r := NewReader(&together{header + "<presence/>"}, Limits{})
	for _, want := range []Kind{StreamOpen, Element} {
		if tok, err := r.Next(); err != nil || tok.Kind != want {
			t.Fatal(tok.Kind, err)
		}
	}
	if _, err := r.Next(); err != io.EOF {
		t.Fatal(err)
	}
}

type together struct{ s string }

func (d *together) Read(p []byte) (int, error) {
	n := copy(p, d.s)
	d.s = d.s[n:]
	if d.s == "" {
		return n, io.EOF
	}
	return n, nil
}

func TestReadyAndRestart(t *testing.T) {
	in := &chunks{parts: []string{header + "<presence/><iq/> <mess", "age/><a><b></a>", "<x/>"}}
	r := NewReader(in, Limits{})
	if r.Ready() {
		t.Fatal("ready before anything was read")
	}
	want := []struct {
		local string
		ready bool // afterwards
	}{{"stream", true}, {"presence", true}, {"iq", false}, {"message", true}}
	for _, w := range want {
		tok, err := r.Next()
		if err != nil || tok.Name.Local != w.local {
			t.Fatal(tok, err)
		}
		if got := r.Ready(); got != w.ready || r.Ready() != got {
			t.Fatalf("after %s: ready %v", w.local, got)
		}
	}
	if _, err := r.Next(); err == nil { // the fault was ready
		t.Fatal("no fault")
	}
	// What was buffered before the restart is forgotten.
	r.Restart(&chunks{parts: []string{header + "<presence/>", "<leftover"}}, PreAuthLimits)
	r.Next()
	r.Next()
	r.Restart(&chunks{parts: []string{header, "<iq/>"}}, Limits{})
	for _, want := range []string{"stream", "iq"} {
		if tok, err := r.Next(); err != nil || tok.Name.Local != want {
			t.Fatal(tok, err)
		}
	}
}

// Input that is small but would cost much: work and memory stay in proportion.
func TestAmplificationIsBounded(t *testing.T) {
	var prefixes strings.Builder
	for i, letter := range "ABCDEFGHIJKLMNOPQRSTUVWXYZabcde" {
		prefixes.WriteString(" xmlns:p" + string(letter) + "='" + strings.Repeat("u", 1000+i) + "'")
	}
	spaces := " xmlns='" + strings.Repeat("v", 100<<10) + "'"
	for name, c := range map[string]struct {
		in        string
		condition string
	}{
		"many children under many prefixes": {"<a" + prefixes.String() + ">" + strings.Repeat("<b/>", 40000) + "</a>", ""},
		"many pieces of text":               {"<a>" + strings.Repeat("x<b/>", 40000) + "</a>", ""},
		"many children of a long namespace": {"<a" + spaces + ">" + strings.Repeat("<b/>", 30000) + "</a>", "policy-violation"},
		"declarations at every level":       {strings.Repeat("<a xmlns:p='u' xmlns:q='u' xmlns:r='u'>", 64), "policy-violation"},
		"many prefixed attributes": {"<a" + prefixes.String() + ">" + strings.Repeat("<b"+strings.ReplaceAll(
			" pA:a='' pB:b='' pC:c='' pD:d='' pE:e='' pF:f='' pG:g='' pH:h='' pI:i='' pJ:j='' pK:k='' pL:l='' pM:m='' pN:n='' pO:o=''", "''", "'1'")+"/>", 1000) + "</a>", ""},
	} {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		r := NewReader(strings.NewReader(header+c.in), Limits{})
		r.Next()
		tok, err := r.Next()
		switch {
		case c.condition != "":
			if err == nil || !strings.HasPrefix(err.Error(), c.condition) {
				t.Errorf("%s: %v", name, err)
			}
		case err != nil:
			t.Errorf("%s: %v", name, err)
		default:
			if _, err := ParseTree(string(tok.Inner), string(tok.Decls), "jabber:client"); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
		runtime.ReadMemStats(&after)
		if used := (after.TotalAlloc - before.TotalAlloc) >> 20; used > 64 {
			t.Errorf("%s: %d bytes in, %d MiB allocated", name, len(c.in), used)
		}
	}
}
