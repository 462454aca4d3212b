package jid

import (
	"net/netip"
	"strings"
	"unicode/utf8"

	"golang.org/x/net/idna"
	"golang.org/x/text/secure/precis"
)

// Character classes of ASCII in canonical parts.
const (
	inLocal    = 1 << iota // RFC 7622 §3.3.1, lower case
	inDomain               // letters, digits and hyphens of a label
	inResource             // RFC 7622 §3.4
	isUpper
)

var class = func() (t [256]byte) {
	for c := 0x20; c < 0x7f; c++ {
		t[c] |= inResource
		switch {
		case c >= 'A' && c <= 'Z':
			t[c] |= isUpper
		case strings.IndexByte(` "&'/:<>@`, byte(c)) < 0:
			t[c] |= inLocal
		}
		if c >= 'a' && c <= 'z' || c >= '0' && c <= '9' || c == '-' {
			t[c] |= inDomain
		}
	}
	return t
}()

// parseCanonical takes an ASCII address that needs no preparation.
func parseCanonical(s string) (JID, bool) {
	i := 0
	for i < len(s) && class[s[i]]&inLocal != 0 {
		i++
	}
	at := 0
	start := 0
	if i < len(s) && s[i] == '@' {
		if i == 0 || i > maxPart {
			return JID{}, false
		}
		at, start = i, i+1
		i++
		for i < len(s) && class[s[i]]&inLocal != 0 {
			i++
		}
	}
	if !canonicalDomain(s[start:i]) {
		return JID{}, false
	}
	sl := i
	if i < len(s) {
		if s[i] != '/' || i+1 == len(s) || len(s)-i-1 > maxPart {
			return JID{}, false
		}
		for i++; i < len(s); i++ {
			if class[s[i]]&inResource == 0 {
				return JID{}, false
			}
		}
	}
	return JID{s: s, at: uint16(at), sl: uint16(sl)}, true
}

// canonicalDomain reports a name of NR-LDH labels in lower case without a
// trailing dot (RFC 5890 §2.3.1). A-labels and other names with hyphens in
// the third and fourth place are left to IDNA.
func canonicalDomain(d string) bool {
	if len(d) == 0 || len(d) > maxPart {
		return false
	}
	start := 0
	for i := 0; i <= len(d); i++ {
		if i < len(d) && class[d[i]]&inDomain != 0 {
			continue
		}
		if i < len(d) && d[i] != '.' {
			return false
		}
		n := i - start
		if n == 0 || n > 63 || d[start] == '-' || d[i-1] == '-' {
			return false
		}
		if n >= 4 && d[start+2] == '-' && d[start+3] == '-' {
			return false
		}
		start = i + 1
	}
	return true
}

// parseSlow splits at the first '/' and then at the first '@' (RFC 7622
// §3.2 to 3.4) and prepares each part.
func parseSlow(s string) (JID, error) {
	if s == "" {
		return JID{}, malformed("address", "is empty")
	}
	if j, ok := cached.get(s); ok {
		return j, nil
	}
	bare, resource, hasResource := strings.Cut(s, "/")
	local, domain, hasLocal := strings.Cut(bare, "@")
	if !hasLocal {
		local, domain = "", bare
	}
	if hasLocal && local == "" {
		return JID{}, malformed("localpart", "is empty")
	}
	if hasResource && resource == "" {
		return JID{}, malformed("resource", "is empty")
	}
	j, err := New(local, domain, resource)
	if err == nil {
		cached.put(s, j)
	}
	return j, err
}

// checkInput bounds the work that preparation may cost: no mapping shrinks
// text more than fourfold.
func checkInput(part, s string) error {
	if len(s) > 4*maxPart {
		return malformed(part, "is too long")
	}
	if !utf8.ValidString(s) {
		return malformed(part, "is not UTF-8")
	}
	return nil
}

// enforce applies a PRECIS profile until the result is stable (RFC 8264 §7).
func enforce(p *precis.Profile, part, s string) (string, error) {
	for range 4 {
		t, err := p.String(s)
		if err != nil {
			return "", malformed(part, "has a character that is not allowed")
		}
		if t == s {
			return s, nil
		}
		s = t
	}
	return "", malformed(part, "has no stable form")
}

func prepareLocal(s string) (string, error) {
	const part = "localpart"
	if err := checkInput(part, s); err != nil {
		return "", err
	}
	ascii := true
	for i := 0; i < len(s); i++ {
		ascii = ascii && s[i] < utf8.RuneSelf
	}
	if ascii {
		s = strings.ToLower(s)
	} else {
		var err error
		if s, err = enforce(precis.UsernameCaseMapped, part, s); err != nil {
			return "", err
		}
	}
	// After the mapping, which turns a full-width '＠' into '@'.
	for i := 0; i < len(s); i++ {
		if s[i] < utf8.RuneSelf && class[s[i]]&inLocal == 0 {
			return "", malformed(part, "has a character that is not allowed") // RFC 7622 §3.3.1
		}
	}
	return s, checkLength(part, s)
}

func prepareResource(s string) (string, error) {
	const part = "resource"
	if err := checkInput(part, s); err != nil {
		return "", err
	}
	for i := 0; i < len(s); i++ {
		if class[s[i]]&inResource == 0 {
			var err error
			if s, err = enforce(precis.OpaqueString, part, s); err != nil {
				return "", err
			}
			break
		}
	}
	return s, checkLength(part, s)
}

func checkLength(part, s string) error {
	switch {
	case s == "":
		return malformed(part, "is empty")
	case len(s) > maxPart:
		return malformed(part, "is too long")
	}
	return nil
}

// domains maps and checks as RFC 5891 §5 asks of a lookup, bidi rule included.
var domains = idna.New(idna.MapForLookup(), idna.BidiRule())

func prepareDomain(s string) (string, error) {
	const part = "domain"
	if canonicalDomain(s) {
		return s, nil
	}
	if err := checkInput(part, s); err != nil {
		return "", err
	}
	if strings.HasPrefix(s, "[") {
		return prepareIPv6(s)
	}
	u, err := domains.ToUnicode(s)
	if err != nil {
		return "", malformed(part, "is not a valid name")
	}
	u = strings.TrimSuffix(u, ".") // RFC 7622 §3.2: one trailing dot is stripped
	if canonicalDomain(u) {
		return u, nil
	}
	if err := checkLength(part, u); err != nil {
		return "", err
	}
	if again, err := domains.ToUnicode(u); err != nil || again != u {
		return "", malformed(part, "has no stable form")
	}
	ascii, err := domains.ToASCII(u)
	if err != nil {
		return "", malformed(part, "is not a valid name")
	}
	for label := range strings.SplitSeq(ascii, ".") {
		if len(label) == 0 || len(label) > 63 { // RFC 1035 §2.3.4
			return "", malformed(part, "has a label of a wrong length")
		}
	}
	return u, nil
}

// prepareIPv6 takes an IPv6 address in brackets (RFC 7622 §3.2, IP-literal).
func prepareIPv6(s string) (string, error) {
	inner, ok := strings.CutSuffix(s[1:], "]")
	a, err := netip.ParseAddr(inner)
	if !ok || err != nil || !a.Is6() || a.Zone() != "" {
		return "", malformed("domain", "is not an IPv6 address")
	}
	return "[" + a.String() + "]", nil
}
