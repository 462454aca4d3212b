package xmlstream

import (
	"bytes"
	"strings"
)

// maxDeclaration is the longest XML declaration read.
const maxDeclaration = 256

// query reads "<?…?>": the XML declaration where it may stand, or what RFC
// 6120 §11.1 forbids.
func (s *scanner) query(el []byte) (done bool, err error) {
	const open = "<?xml"
	b := el[s.mark:]
	if !s.declared {
		return false, fault(restrictedXML, "a processing instruction")
	}
	if n := min(len(b), len(open)); string(b[:n]) != open[:n] {
		return false, fault(restrictedXML, "a processing instruction")
	}
	if len(b) <= len(open) {
		return false, nil
	}
	if class[b[len(open)]]&whiteSpace == 0 {
		return false, fault(restrictedXML, "a processing instruction")
	}
	n := bytes.Index(b, []byte("?>"))
	if n > maxDeclaration || n < 0 && len(b) > maxDeclaration {
		return false, fault(notWellFormed, "an XML declaration without end")
	}
	if n < 0 {
		return false, nil
	}
	s.pos = s.mark + n + 2
	s.isDecl = true
	return true, checkDeclaration(string(b[len(open):n]))
}

// checkDeclaration is XML 1.0 §2.8, XMLDecl: version, then perhaps encoding,
// then perhaps standalone.
func checkDeclaration(d string) error {
	malformed := fault(notWellFormed, "a malformed XML declaration")
	value := func(name string) (v string, present, ok bool) {
		rest := strings.TrimLeft(d, " \t\r\n")
		after, found := strings.CutPrefix(rest, name)
		if !found {
			return "", false, true
		}
		if len(rest) == len(d) {
			return "", true, false // no white space before it
		}
		after = strings.TrimLeft(after, " \t\r\n")
		after, eq := strings.CutPrefix(after, "=")
		after = strings.TrimLeft(after, " \t\r\n")
		if !eq || after == "" || after[0] != '\'' && after[0] != '"' {
			return "", true, false
		}
		v, rest, closed := strings.Cut(after[1:], after[:1])
		d = rest
		return v, true, closed
	}
	v, present, ok := value("version")
	if !ok || !present || v != "1.0" {
		return malformed
	}
	v, present, ok = value("encoding")
	if !ok {
		return malformed
	}
	if present && !strings.EqualFold(v, "utf-8") {
		return fault(unsupportedEncoding, "an encoding other than UTF-8") // RFC 6120 §11.6
	}
	v, present, ok = value("standalone")
	if !ok || present && v != "yes" && v != "no" || strings.Trim(d, " \t\r\n") != "" {
		return malformed
	}
	return nil
}
