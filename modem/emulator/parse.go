package emulator

import "strings"

// form is how a command is called (3GPP TS 27.007 §4).
type form int

const (
	execute form = iota // +CMD
	read                // +CMD?
	set                 // +CMD=...
	test                // +CMD=?
)

// command is one command of a command line.
type command struct {
	name string // upper case: "E", "&F", "+CMGS"; "" for AT alone
	form form
	args string // behind "=", or the digits and dial string of a basic command
}

// params splits the arguments at commas outside quotes and takes the quotes off;
// there is always one, if an empty one.
func (c command) params() []string {
	var out []string
	var b strings.Builder
	quoted := false
	for i := 0; i < len(c.args); i++ {
		switch ch := c.args[i]; {
		case ch == '"':
			quoted = !quoted
		case ch == ',' && !quoted:
			out = append(out, strings.TrimSpace(b.String()))
			b.Reset()
		default:
			b.WriteByte(ch)
		}
	}
	return append(out, strings.TrimSpace(b.String()))
}

// parseLine takes a command line apart (ITU-T V.250 §5.2-5.4). The prefix is
// looked for, since a modem drops what came before it; ok is false when there
// is none, and then the line gets no answer. bad is true when the body makes
// no sense; commands before that point are still returned.
func parseLine(line string) (cmds []command, ok, bad bool) {
	at := 0
	for at+1 < len(line) && (line[at]|0x20 != 'a' || line[at+1]|0x20 != 't') {
		at++
	}
	if at+1 >= len(line) {
		return nil, false, false
	}
	s := strings.TrimSpace(line[at+2:])
	for s != "" {
		var c command
		switch ch := s[0]; {
		case ch == ';' || ch == ' ':
			s = s[1:]
			continue
		case strings.IndexByte("+^#$*%!-", ch) >= 0:
			end := bodyEnd(s)
			c, s = extended(s[:end]), s[end:]
			if len(c.name) < 2 {
				return cmds, true, true
			}
		case ch == 'd' || ch == 'D':
			c, s = command{name: "D", args: s[1:]}, ""
		case ch == '&' && len(s) > 1 && isLetter(s[1]):
			n := digits(s[2:])
			c, s = command{name: "&" + strings.ToUpper(s[1:2]), args: s[2 : 2+n]}, s[2+n:]
		case isLetter(ch):
			c, s = basic(s)
		default:
			return cmds, true, true
		}
		cmds = append(cmds, c)
	}
	return cmds, true, false
}

// bodyEnd finds the semicolon behind an extended command.
func bodyEnd(s string) int {
	quoted := false
	for i := 0; i < len(s); i++ {
		switch {
		case s[i] == '"':
			quoted = !quoted
		case s[i] == ';' && !quoted:
			return i
		}
	}
	return len(s)
}

func extended(s string) command {
	s = strings.TrimSpace(s)
	i := strings.IndexAny(s[1:], "=?") + 1
	if i == 0 {
		return command{name: strings.ToUpper(s), form: execute}
	}
	c := command{name: strings.ToUpper(strings.TrimSpace(s[:i]))}
	switch rest := strings.TrimSpace(s[i:]); {
	case rest == "?":
		c.form = read
	case rest == "=?":
		c.form = test
	case rest[0] == '=':
		c.form, c.args = set, strings.TrimSpace(rest[1:])
	default:
		c.name = "" // something behind the question mark
	}
	return c
}

// basic reads a letter with its number, and S registers with their forms.
func basic(s string) (command, string) {
	c := command{name: strings.ToUpper(s[:1])}
	n := 1 + digits(s[1:])
	c.args, s = s[1:n], s[n:]
	if c.name != "S" {
		return c, s
	}
	if strings.HasPrefix(s, "?") {
		c.form = read
		return c, s[1:]
	}
	if strings.HasPrefix(s, "=") {
		n := 1 + digits(s[1:])
		c.form, c.args, s = set, c.args+","+s[1:n], s[n:]
	}
	return c, s
}

func digits(s string) int {
	n := 0
	for n < len(s) && s[n] >= '0' && s[n] <= '9' {
		n++
	}
	return n
}

func isLetter(c byte) bool { return c|0x20 >= 'a' && c|0x20 <= 'z' }
