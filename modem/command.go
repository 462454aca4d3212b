package modem

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"
)

// Answer is what the modem said to a command of a person.
type Answer struct {
	Lines []string `json:"lines,omitempty"`
	Final string   `json:"final"` // OK, ERROR, +CME ERROR: 10…
	OK    bool     `json:"ok"`
}

// RefusedError says why a command is not sent; Text is a sentence for people.
type RefusedError struct {
	Text   string
	Forced bool // it would be sent with force
}

func (e *RefusedError) Error() string { return e.Text }

// Command has the modem carry out one command line of a person and returns its
// answer. It takes its turn between parts, never within a burst, and with the
// same limits as the driver's own commands; a line that changes settings is
// followed by a new start. Refuse says what is not sent without force.
// Errors are *RefusedError, ErrDown, ctx's, or one that says that no answer came.
func (d *Driver) Command(ctx context.Context, line string, force bool) (Answer, error) {
	line = strings.TrimSpace(line)
	if err := Refuse(line, force); err != nil {
		return Answer{}, err
	}
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		var a Answer
		var none error
		wait := false
		err := d.submit(ctx, func(ctx context.Context, s *session) error {
			if wait = s.inBurst(); wait {
				return nil
			}
			var fatal error
			a, none, fatal = s.person(ctx, line)
			return fatal
		})
		if err != nil || !wait {
			return a, errors.Join(err, none)
		}
		select {
		case <-tick.C: // the parts that follow each other come first
		case <-ctx.Done():
			return Answer{}, ctx.Err()
		}
	}
}

// person runs a person's command.
func (s *session) person(ctx context.Context, line string) (a Answer, none, fatal error) {
	limit := s.t.List
	if strings.Contains(strings.ToUpper(line), "+COPS=") {
		limit = s.t.Send // a search for networks takes minutes
	}
	cmds := splitCommands(line)
	c := command{line: line, limit: limit, all: true}
	if len(cmds) > 0 {
		c.info = cmds[len(cmds)-1].name
	}
	r, err := s.e.do(ctx, c)
	if err == errTimeout {
		return Answer{}, fmt.Errorf("the modem did not answer %s within %v", line, limit), s.e.resync(ctx)
	}
	if err != nil {
		return Answer{}, err, err
	}
	for _, c := range cmds {
		if !c.query {
			s.restart = true // whatever it has changed: the settings are made again
		}
	}
	return Answer{Lines: r.lines, Final: r.final.raw, OK: r.final.ok()}, nil, nil
}

// typed is one command of a line.
type typed struct {
	name  string // in capitals, e.g. "+CPIN", or the letters of basic commands
	query bool   // reads only
}

// guarded are commands that cost money, delete, or can lock the SIM or the
// modem for good, and why. Reading and test forms of them are harmless.
var guarded = map[string]string{
	"+CPIN": pinReason, "^CPIN": pinReason, "+CPIN2": pinReason, "+CLCK": pinReason, "+CPWD": pinReason, "^CPWD": pinReason,
	"+CMGD": "deletes messages that may not have been read", "+CMGDA": "deletes all messages", "+QMGDA": "deletes all messages",
	"+CMSS": "sends a message", "+CUSD": "sends a request to the network, which can cost money",
	"+CPBW": "changes the phone book of the SIM card", "+CSIM": "speaks to the SIM card directly", "+CRSM": "speaks to the SIM card directly",
	"+EGMR": "changes the modem's own number", "+CNMA": "takes a message away from doorway",
	"D": "makes a call", "Z": "takes settings away", "&F": "takes settings away", "&W": "changes the stored settings",
}

const pinReason = "uses up attempts at PIN or password, and three wrong ones lock the SIM card"

// prompts are commands that wait for a text, which cannot be given here.
var prompts = map[string]bool{"+CMGS": true, "+CMGW": true, "+CMGC": true}

// Refuse says why a person's command line is not sent to the modem; nil when
// it is. With force only that is refused what cannot work at all.
func Refuse(line string, force bool) error {
	switch {
	case len(line) < 2 || !strings.EqualFold(line[:2], "AT"):
		return &RefusedError{Text: fmt.Sprintf("%q is not a command for a modem: it begins with AT, for example AT+CSQ.", line)}
	case len(line) > 400:
		return &RefusedError{Text: "The command is longer than modems read (400 characters)."}
	}
	for i := range len(line) {
		if line[i] < ' ' || line[i] > '~' {
			return &RefusedError{Text: "The command holds a character that is not printable ASCII; one command line is sent at a time."}
		}
	}
	for _, c := range splitCommands(line) {
		if c.query {
			continue
		}
		if prompts[c.name] {
			return &RefusedError{Text: "AT" + c.name + " waits for a text, which cannot be given here. Use `doorway sms send` for a text."}
		}
		if why, ok := guarded[c.name]; ok && !force {
			return &RefusedError{Forced: true, Text: "AT" + c.name + " " + why + ", so it is not sent. If you know what you do, repeat it with --force."}
		}
	}
	return nil
}

// splitCommands takes a command line apart (ITU-T V.250 §5.2): basic commands,
// then extended ones separated by semicolons outside of quotes. Blanks do not count.
func splitCommands(line string) []typed {
	up := strings.ToUpper(strings.ReplaceAll(line, " ", ""))
	up = strings.TrimPrefix(up, "AT")
	var out []typed
	quoted, from := false, 0
	for i := 0; i <= len(up); i++ {
		if i < len(up) && up[i] == '"' {
			quoted = !quoted
		}
		if i < len(up) && (up[i] != ';' || quoted) {
			continue
		}
		out = append(out, splitOne(up[from:i])...)
		from = i + 1
	}
	return out
}

// splitOne splits basic commands off the front of an extended one: E0V1+CSQ.
func splitOne(s string) []typed {
	var out []typed
	for s != "" {
		if strings.IndexByte("+^#$*%!-_", s[0]) >= 0 {
			end := strings.IndexAny(s[1:], "=?") + 1
			name, rest := s, ""
			if end > 0 {
				name, rest = s[:end], s[end:]
			}
			return append(out, typed{name, rest == "?" || rest == "=?" || rest == "" && guarded[name] == ""})
		}
		n := 1
		if s[0] == '&' && len(s) > 1 {
			n = 2
		}
		name := s[:n]
		if name == "D" { // all that follows is the number
			return append(out, typed{name, false})
		}
		for n < len(s) && (s[n] >= '0' && s[n] <= '9' || s[n] == '=' || s[n] == '?') {
			n++
		}
		out = append(out, typed{name, name == "I"})
		s = s[n:]
	}
	return out
}
