package jid

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
)

func TestParse(t *testing.T) {
	long := strings.Repeat("a", 1023)
	longDomain := strings.Repeat(strings.Repeat("d", 62)+".", 16) + strings.Repeat("d", 15)
	for _, c := range []struct{ in, local, domain, resource string }{
		{"alice@office.example", "alice", "office.example", ""},
		{"office.example", "", "office.example", ""},
		{"alice@office.example/phone", "alice", "office.example", "phone"},
		{"office.example/x", "", "office.example", "x"},
		{"a@b/c@d/e", "a", "b", "c@d/e"},
		{"b/c@d", "", "b", "c@d"},
		{"ALICE@Office.Example/Phone", "alice", "office.example", "Phone"},
		{"alice@office.example./r", "alice", "office.example", "r"},
		{"alice@127.0.0.1/ two words ", "alice", "127.0.0.1", " two words "},
		{"a@[::1]/r", "a", "[::1]", "r"},
		{"a@[2001:DB8:0::1]", "a", "[2001:db8::1]", ""},
		{"+4915550101@sms.office.localhost", "+4915550101", "sms.office.localhost", ""},
		{`d\27artagnan@musketeers.lit`, `d\27artagnan`, "musketeers.lit", ""},
		{"Jürgen@Bücher.example", "jürgen", "bücher.example", ""},
		{"j@xn--bcher-kva.example", "j", "bücher.example", ""},
		{"j@XN--BCHER-KVA.example", "j", "bücher.example", ""},
		{"j@bücher。example", "j", "bücher.example", ""},
		{"ｊｕ@e.example", "ju", "e.example", ""},
		{"fußball@e.example", "fußball", "e.example", ""},
		{"Σίσυφος@e.example", "σίσυφος", "e.example", ""},
		{"e\u0301@e.example/e\u0301", "é", "e.example", "é"},
		{"a@b/x\u00a0y", "a", "b", "x y"},
		{"a@b/Καλημέρα ♚", "a", "b", "Καλημέρα ♚"},
		{"a@b/😀", "a", "b", "😀"},
		{long + "@b/" + long, long, "b", long},
		{"a@" + longDomain, "a", longDomain, ""},
	} {
		j, err := Parse(c.in)
		if err != nil {
			t.Errorf("Parse(%q): %v", c.in, err)
			continue
		}
		if j.Local() != c.local || j.Domain() != c.domain || j.Resource() != c.resource {
			t.Errorf("Parse(%q) = %q %q %q, want %q %q %q", c.in, j.Local(), j.Domain(), j.Resource(), c.local, c.domain, c.resource)
		}
		checkParts(t, j)
	}
}

func TestParseRefuses(t *testing.T) {
	long := strings.Repeat("a", 1024)
	for _, in := range []string{
		"", "@b", "a@", "@", "/", "/r", "a@b/", "b/", "a b@c", "a@b c", `a"@b`, "a&@b", "a'@b", "a:@b", "a<@b", "a>@b", "a@b@c",
		"a＠x@b", "a／@b", "＜@b", // forbidden only after width mapping
		"a@-b", "a@b-", "a@b..c", "a@.b", "a@.", "a@b..", "a@ab--cd", "a@under_score", "a@xn--", "a@xn--a", "a@xn--ab-",
		"a@[::1", "a@[127.0.0.1]", "a@[fe80::1%eth0]", "a@[x]", "a@::1",
		long + "@b", "a@b/" + long, "a@" + strings.Repeat("d", 64), "a@" + strings.Repeat("dd.", 341) + "dd",
		"a\x00@b", "a@b/\x07", "a@b/x\u0085", "a\xff@b", "a@b\xff", "a@b/\xff", "a@b/\xed\xa0\x80",
		"a\u00a0b@c", "♚@b", "ﬁx@b", // IdentifierClass has no symbols and no compatibility characters
		"a\u0627@b", // mixed direction
		"\u0000", "a@b/\u200b\u0007",
	} {
		if j, err := Parse(in); err == nil {
			t.Errorf("Parse(%q) = %q, want an error", in, j)
		} else if !errors.Is(err, ErrMalformed) {
			t.Errorf("Parse(%q): %v does not wrap ErrMalformed", in, err)
		}
	}
}

func checkParts(t *testing.T, j JID) {
	t.Helper()
	again, err := Parse(j.String())
	if err != nil || again != j {
		t.Fatalf("Parse(%q) = %#v, %v; want %#v", j.String(), again, err, j)
	}
	built, err := New(j.Local(), j.Domain(), j.Resource())
	if err != nil || built != j {
		t.Fatalf("New of the parts of %q = %q, %v", j, built, err)
	}
	if b := j.Bare(); b.String() != strings.TrimSuffix(j.String(), "/"+j.Resource()) && j.IsFull() || !b.IsBare() || b.Local() != j.Local() {
		t.Fatalf("Bare(%q) = %q", j, b)
	}
	if d := j.DomainJID(); d.String() != j.Domain() || !d.IsBare() {
		t.Fatalf("DomainJID(%q) = %q", j, d)
	}
	if j.IsFull() == j.IsBare() || j.IsFull() != (j.Resource() != "") {
		t.Fatalf("IsFull(%q) = %v, IsBare = %v", j, j.IsFull(), j.IsBare())
	}
}

func TestZero(t *testing.T) {
	var j JID
	if !j.IsZero() || j.IsBare() || j.IsFull() || j.Local()+j.Domain()+j.Resource()+j.String() != "" || j.Bare() != j || j.DomainJID() != j {
		t.Fatalf("the zero JID has parts: %#v", j)
	}
	if _, err := j.WithResource("x"); err == nil {
		t.Fatal("a resource was added to no address")
	}
}

func TestWithResource(t *testing.T) {
	j := MustParse("a@b/old")
	k, err := j.WithResource("n\u00a0w")
	if err != nil || k != MustParse("a@b/n w") {
		t.Fatalf("WithResource = %q, %v", k, err)
	}
	for _, r := range []string{"", "\x00", strings.Repeat("r", 1024)} {
		if _, err := j.WithResource(r); !errors.Is(err, ErrMalformed) {
			t.Errorf("WithResource(%.10q): %v", r, err)
		}
	}
}

func TestMapKeyAndJSON(t *testing.T) {
	m := map[JID]int{MustParse("Alice@Office.Example"): 1}
	if m[MustParse("alice@office.example")] != 1 {
		t.Fatal("equal addresses are different keys")
	}
	type v struct{ A, B JID }
	raw, err := json.Marshal(v{A: MustParse("a@b/c")})
	if err != nil || string(raw) != `{"A":"a@b/c","B":""}` {
		t.Fatalf("Marshal = %s, %v", raw, err)
	}
	var got v
	if err := json.Unmarshal(raw, &got); err != nil || got.A != MustParse("a@b/c") || !got.B.IsZero() {
		t.Fatalf("Unmarshal = %v, %v", got, err)
	}
	if err := json.Unmarshal([]byte(`{"A":"@"}`), &got); !errors.Is(err, ErrMalformed) {
		t.Fatalf("Unmarshal of a bad address: %v", err)
	}
}

func TestCanonicalAllocatesNothing(t *testing.T) {
	s := "alice@office.example/phone"
	if n := testing.AllocsPerRun(100, func() {
		j, _ := Parse(s)
		if j.Bare().Domain() == "" || j.Resource() == "" {
			t.Fatal("no parts")
		}
	}); n != 0 {
		t.Fatalf("%v allocations", n)
	}
}

func TestCacheIsBounded(t *testing.T) {
	for i := range 5 * cacheEntries {
		MustParse("Ä" + strings.Repeat("x", i%200) + string(rune('a'+i%26)) + "@e.example")
	}
	if n := len(cached.young) + len(cached.old); n > 2*cacheEntries {
		t.Fatalf("%d entries", n)
	}
}

// The examples of XEP-0106 §5 and its rules of §4.
func TestEscape(t *testing.T) {
	for _, c := range []struct{ plain, escaped string }{
		{"space cadet", `space\20cadet`},
		{`call me "ishmael"`, `call\20me\20\22ishmael\22`},
		{"at&t guy", `at\26t\20guy`},
		{"d'artagnan", `d\27artagnan`},
		{"/.fanboy", `\2f.fanboy`},
		{"::foo::", `\3a\3afoo\3a\3a`},
		{"<foo>", `\3cfoo\3e`},
		{"user@host", `user\40host`},
		{`c:\net`, `c\3a\net`},
		{`c:\\net`, `c\3a\\net`},
		{`c:\cool stuff`, `c\3a\cool\20stuff`},
		{`c:\5commas`, `c\3a\5c5commas`},
		{`\3and\2is\5cool`, `\5c3and\2is\5c5cool`},
		{`\2plus\2is\4`, `\2plus\2is\4`},
		{`foo\bar`, `foo\bar`},
		{`foob\41r`, `foob\41r`},
		{`\20x`, `\5c20x`},
		{`x\2F`, `x\2F`},
		{`\`, `\`}, {`\5`, `\5`}, {``, ``},
	} {
		if got := Escape(c.plain); got != c.escaped {
			t.Errorf("Escape(%q) = %q, want %q", c.plain, got, c.escaped)
		}
		if got := Unescape(c.escaped); got != c.plain {
			t.Errorf("Unescape(%q) = %q, want %q", c.escaped, got, c.plain)
		}
	}
	if got := Escape("  both ends "); got != `both\20ends` {
		t.Errorf("spaces at the ends: %q", got)
	}
	for _, s := range []string{`\20x`, `x\20`, `\20`} {
		if got := Unescape(s); got != s {
			t.Errorf("Unescape(%q) = %q: a space cannot be at the end", s, got)
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, s := range []string{"a@b/c", "ALICE@Example.COM./x", "jü@bücher.example", "a@[::1]", "a@xn--bcher-kva", "ｊ＠@e"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		j, err := Parse(s)
		if err != nil {
			return
		}
		checkParts(t, j)
		if len(j.Local()) > 1023 || len(j.Domain()) > 1023 || len(j.Resource()) > 1023 || j.Domain() == "" {
			t.Fatalf("lengths of %q", j)
		}
		if strings.ContainsAny(j.Local(), "\"&'/:<>@ ") {
			t.Fatalf("localpart %q", j.Local())
		}
	})
}

func FuzzEscape(f *testing.F) {
	f.Add(`c:\5commas`)
	f.Add(` a\20b `)
	f.Fuzz(func(t *testing.T, s string) {
		e := Escape(s)
		if strings.ContainsAny(e, "\"&'/:<>@ ") || strings.HasPrefix(e, `\20`) || strings.HasSuffix(e, `\20`) {
			t.Fatalf("Escape(%q) = %q", s, e)
		}
		if got := Unescape(e); got != strings.Trim(s, " ") {
			t.Fatalf("Unescape(%q) = %q, want %q", e, got, s)
		}
	})
}

func BenchmarkParse(b *testing.B) {
	for _, c := range []struct{ name, s string }{
		{"canonical", "alice@office.example/phone"}, {"upper", "Alice@Office.Example/phone"}, {"unicode", "jürgen@bücher.example/büro"},
	} {
		b.Run(c.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := Parse(c.s); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
