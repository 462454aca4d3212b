package modem

import (
	"encoding/hex"
	"strconv"
	"strings"

	"github.com/warthog618/modem/info"
)

// finalKind is what ended a command.
type finalKind int

const (
	finalOK finalKind = iota
	finalError
	finalCME
	finalCMS
	finalOther // NO CARRIER, COMMAND NOT SUPPORT…: refused
	finalNone  // no answer came
)

// final is a final result code (3GPP TS 27.007 §4.1, §9.2; TS 27.005 §3.2.5).
type final struct {
	kind finalKind
	code int    // of +CME and +CMS; -1 when its words are unknown
	raw  string // as the modem wrote it
}

func (f final) ok() bool { return f.kind == finalOK }

// parseFinal recognises a final result code in numeric and verbose form.
func parseFinal(line string) (final, bool) {
	f := final{code: -1, raw: line}
	up := strings.ToUpper(line)
	switch {
	case up == "OK":
		return f, true
	case strings.HasPrefix(up, "+CMS ERROR"):
		f.kind, f.code = finalCMS, errorCode(line[len("+CMS ERROR"):], cmsWords)
		return f, true
	case strings.HasPrefix(up, "+CME ERROR"):
		f.kind, f.code = finalCME, errorCode(line[len("+CME ERROR"):], cmeWords)
		return f, true
	case up == "ERROR", strings.HasPrefix(up, "ERROR:"):
		f.kind = finalError
		return f, true
	case up == "NO CARRIER", up == "NO ANSWER", up == "NO DIALTONE", up == "BUSY",
		strings.HasPrefix(up, "COMMAND NOT SUPPORT"), up == "TOO MANY PARAMETERS":
		f.kind = finalOther
		return f, true
	}
	return f, false
}

// errorCode reads ": 38" or ": network out of order".
func errorCode(s string, words map[string]int) int {
	s = strings.Trim(s, ": \t\"")
	if n, err := strconv.Atoi(s); err == nil && n >= 0 && n < 1<<16 {
		return n
	}
	if n, ok := words[fold(s)]; ok {
		return n
	}
	return -1
}

// fold keeps the letters and digits of an error's words, so that vendors'
// capitals, hyphens and blanks do not matter.
func fold(s string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r >= 'A' && r <= 'Z':
			return r + 'a' - 'A'
		case r >= 'a' && r <= 'z', r >= '0' && r <= '9':
			return r
		}
		return -1
	}, s)
}

// fields splits the parameters of an information line at commas outside of
// quotes and parentheses, and takes blanks and quotes off.
func fields(s string) []string {
	var out []string
	depth, quoted, from := 0, false, 0
	for i := 0; i <= len(s); i++ {
		if i == len(s) || (s[i] == ',' && !quoted && depth <= 0) {
			out = append(out, strings.Trim(strings.TrimSpace(s[from:i]), `"`))
			from = i + 1
			continue
		}
		switch s[i] {
		case '"':
			quoted = !quoted
		case '(':
			if !quoted {
				depth++
			}
		case ')':
			if !quoted {
				depth--
			}
		}
	}
	return out
}

// param gives the fields behind the prefix of a line.
func param(line, prefix string) []string { return fields(info.TrimPrefix(line, prefix)) }

// number reads a small number that is not negative; -1 when it is none.
func number(s string) int {
	n, err := strconv.Atoi(strings.TrimSpace(s))
	if err != nil || n < 0 || n > 1<<20 {
		return -1
	}
	return n
}

// field gives field i or "".
func field(f []string, i int) string {
	if i < len(f) {
		return f[i]
	}
	return ""
}

// parseCMGS reads "+CMGS: <mr>[,<ackpdu>]" (TS 27.005 §4.3).
func parseCMGS(line string) (mr byte, ok bool) {
	if !info.HasPrefix(line, "+CMGS") {
		return 0, false
	}
	n := number(field(param(line, "+CMGS"), 0))
	return byte(n), n >= 0 && n <= 255
}

// header is the first line of an entry of storage or of a pushed TPDU.
type header struct {
	index  int // -1 when the answer has none
	stat   int // -1 for pushed ones and unknown words
	length int // octets of the TPDU without the SMSC field; -1 unknown
}

// parseCMGL reads "+CMGL: <index>,<stat>,[<alpha>],<length>" (TS 27.005 §4.1).
func parseCMGL(line string) (header, bool) {
	if !info.HasPrefix(line, "+CMGL") {
		return header{}, false
	}
	f := param(line, "+CMGL")
	h := header{index: number(field(f, 0)), stat: parseStat(field(f, 1)), length: number(f[len(f)-1])}
	return h, h.index >= 0 && len(f) >= 3
}

// parseCMGR reads "+CMGR: <stat>,[<alpha>],<length>" (TS 27.005 §4.2).
func parseCMGR(line string) (header, bool) {
	if !info.HasPrefix(line, "+CMGR") {
		return header{}, false
	}
	f := param(line, "+CMGR")
	h := header{index: -1, stat: parseStat(field(f, 0)), length: number(f[len(f)-1])}
	return h, len(f) >= 2
}

// parseStat reads the state of a slot, also in the words of text mode, which
// some modems use in PDU mode as well (TS 27.005 §3.1).
func parseStat(s string) int {
	if n := number(s); n >= 0 && n <= 4 {
		return n
	}
	switch strings.ToUpper(s) {
	case "REC UNREAD":
		return 0
	case "REC READ":
		return 1
	case "STO UNSENT":
		return 2
	case "STO SENT":
		return 3
	}
	return -1
}

// parsePushed reads the first line of "+CMT: [<alpha>],<length>" and
// "+CDS: <length>" (TS 27.005 §3.4.1).
func parsePushed(line string) (header, bool) {
	for _, p := range []string{"+CMT", "+CDS"} {
		if info.HasPrefix(line, p) {
			f := param(line, p)
			h := header{index: -1, stat: -1, length: number(f[len(f)-1])}
			return h, h.length > 0
		}
	}
	return header{}, false
}

// parseIndication reads "+CMTI: <mem>,<index>" and "+CDSI: <mem>,<index>".
func parseIndication(line string) (mem string, index int, ok bool) {
	for _, p := range []string{"+CMTI", "+CDSI"} {
		if info.HasPrefix(line, p) {
			f := param(line, p)
			index = number(field(f, 1))
			mem = strings.ToUpper(field(f, 0))
			return mem, index, index >= 0 && isMemory(mem)
		}
	}
	return "", 0, false
}

// isMemory guards the name before it goes back into a command.
func isMemory(s string) bool {
	if s == "" || len(s) > 8 {
		return false
	}
	for _, r := range s {
		if (r < 'A' || r > 'Z') && r != '_' && (r < '0' || r > '9') {
			return false
		}
	}
	return true
}

// parsePDU reads a PDU line: the SMSC field (TS 27.005 §3.1, <pdu>) is taken
// off and length, when known, is checked.
func parsePDU(line string, length int) (tpdu []byte, ok bool) {
	b, err := hex.DecodeString(line)
	if err != nil || len(b) < 2 {
		return nil, false
	}
	n := 1 + int(b[0])
	if n < len(b) && (length < 0 || len(b)-n == length) {
		return b[n:], true
	}
	if length == len(b) {
		return b, true // COMPAT: no SMSC field at all
	}
	if n < len(b) && n <= 12 {
		return b[n:], true // the length lies: what is there is decoded as far as it goes
	}
	return nil, false
}

// wholePDU tells whether a PDU line is as long as its header says; a line that
// is not may have lost bytes on its way.
func wholePDU(line string, length int) bool {
	return length < 0 || fitsPDU(line, length) || isHex(line, 2) && len(line) == 2*length
}

// fitsPDU tells whether a PDU line with an SMSC field has the announced length.
func fitsPDU(line string, length int) bool {
	b, err := hex.DecodeString(line)
	return err == nil && len(b) > 0 && len(b) == 1+int(b[0])+length
}

// isHex tells whether a line can be a PDU of at least min octets.
func isHex(s string, min int) bool {
	if len(s) < 4 || len(s)%2 != 0 || len(s) < 2*min {
		return false
	}
	for i := 0; i < len(s); i++ {
		c := s[i]
		if (c < '0' || c > '9') && (c < 'A' || c > 'F') && (c < 'a' || c > 'f') {
			return false
		}
	}
	return true
}

// registration is what +CREG, +CGREG and +CEREG say (TS 27.007 §7.2, §10.1.20, §10.1.22).
type registration struct {
	stat int
	act  int  // access technology, -1 unknown
	read bool // the answer to the read command; false: unsolicited
}

// parseCREG tells the read form "n,stat[,lac,ci…]" from the unsolicited form
// "stat[,lac,ci…]": their numbers of fields overlap, but a second field that
// is a bare small number can only be <stat>, since <lac> is quoted hex (or
// unquoted hex of four digits).
func parseCREG(line string) (r registration, ok bool) {
	i := strings.IndexByte(line, ':')
	if i < 0 {
		return r, false
	}
	rest := strings.Split(line[i+1:], ",")
	// The access technology stands behind the area and the cell.
	act := func(i int) int {
		if i < len(rest) {
			return number(rest[i])
		}
		return -1
	}
	first := number(rest[0])
	if first < 0 || first > 11 {
		return r, false
	}
	if len(rest) > 1 {
		second := strings.TrimSpace(rest[1])
		if n := number(second); n >= 0 && n <= 11 && len(second) <= 2 && first <= 5 {
			return registration{stat: n, act: act(4), read: true}, true
		}
	}
	return registration{stat: first, act: act(3)}, true
}

// usable tells whether SMS works in this state.
func (r registration) usable() bool {
	switch r.stat {
	case 1, 5, 6, 7, 9, 10:
		return true
	}
	return false
}

// roams tells whether the network is not the SIM's own.
func (r registration) roams() bool { return r.stat == 5 || r.stat == 7 || r.stat == 10 }

// denied tells whether waiting will not help.
func (r registration) denied() bool { return r.stat == 3 || r.stat == 8 || r.stat == 11 }

func (r registration) String() string {
	switch r.stat {
	case 0:
		return "not searching"
	case 1, 9:
		return "home"
	case 6:
		return "home, SMS only"
	case 2:
		return "searching"
	case 3:
		return "denied"
	case 5, 10:
		return "roaming"
	case 7:
		return "roaming, SMS only"
	case 8, 11:
		return "emergency calls only"
	}
	return "unknown"
}

// parseCSQ gives the signal in dBm, 0 when unknown (TS 27.007 §8.5).
func parseCSQ(line string) int {
	if !info.HasPrefix(line, "+CSQ") {
		return 0
	}
	n := number(field(param(line, "+CSQ"), 0))
	if n < 0 || n > 31 {
		return 0
	}
	return -113 + 2*n
}

// parseCOPS gives the operator's name or number and the access technology, -1
// when it is missing (TS 27.007 §7.3).
func parseCOPS(line string) (operator string, act int) {
	if !info.HasPrefix(line, "+COPS") {
		return "", -1
	}
	f := param(line, "+COPS")
	return field(f, 2), number(field(f, 3))
}

// usage is the filling of one memory.
type usage struct{ used, size int }

// parseCPMS reads the first memory of the answers to +CPMS? (with names) and
// +CPMS= (without) (TS 27.005 §3.2.2).
func parseCPMS(line string) (mem string, u usage, ok bool) {
	if !info.HasPrefix(line, "+CPMS") {
		return "", u, false
	}
	f := param(line, "+CPMS")
	if number(f[0]) < 0 {
		if mem = strings.ToUpper(f[0]); !isMemory(mem) {
			return "", u, false
		}
		f = f[1:]
	}
	u = usage{number(field(f, 0)), number(field(f, 1))}
	if u.used < 0 || u.size < 0 {
		return mem, usage{}, mem != ""
	}
	return mem, u, true
}

// parseLists reads the answer to a test command: one list of values for each
// parameter, ranges expanded: ("SM","ME"),(0-3) and bare values.
func parseLists(line, prefix string) [][]string {
	if !info.HasPrefix(line, prefix) {
		return nil
	}
	var out [][]string
	for _, f := range param(line, prefix) {
		f = strings.TrimSuffix(strings.TrimPrefix(f, "("), ")")
		var vs []string
		for _, v := range fields(f) {
			lo, hi, isRange := strings.Cut(v, "-")
			a, b := number(lo), number(hi)
			if !isRange || a < 0 || b < a || b-a > 255 {
				if v != "" && len(vs) < 256 {
					vs = append(vs, v)
				}
				continue
			}
			for n := a; n <= b && len(vs) < 256; n++ {
				vs = append(vs, strconv.Itoa(n))
			}
		}
		out = append(out, vs)
		if len(out) == 16 {
			break
		}
	}
	return out
}

// parseCPIN gives the state of the SIM in capitals: READY, SIM PIN… (TS 27.007 §8.3).
func parseCPIN(line string) string {
	if !info.HasPrefix(line, "+CPIN") {
		return ""
	}
	return strings.ToUpper(field(param(line, "+CPIN"), 0))
}
