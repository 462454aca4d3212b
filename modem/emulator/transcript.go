package emulator

import (
	"encoding/hex"
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// Bounds of a transcript.
const (
	maxTranscript = 4 << 20          // bytes
	maxPause      = 10 * time.Minute // of an answer or an unsolicited line
)

// errTooLong says that a transcript is larger than any recording.
var errTooLong = errors.New("transcript: larger than 4 MiB")

// said is what a modem answered once, and what it said by itself afterwards.
type said struct {
	lines   []string
	final   string // "" when none came
	prompt  bool
	at      time.Duration // when the command was written
	delay   time.Duration // until the modem answered
	unasked []Unasked
}

// ParseTranscript reads a dialogue with a modem, recorded by `doorway modem
// record` or composed by hand, and makes rules of it, with which the emulator
// answers as that modem did:
//
//	# a comment
//	+1.250 > AT+CSQ          written to the modem; the time, in seconds, may be missing
//	+1.262 < +CSQ: 17,99     said by the modem
//	+1.262 < OK
//	+3.000 < ^RSSI:17        unsolicited: no command is open
//	+9.000 ! port lost       what else happened; not replayed
//	% on command \+CMGL      a line of a script (ParseScript) that is used before everything else
//	%  swallow
//
// A command that occurs several times is answered in turn, then as the last
// time. A command without an answer is not answered. What changes the state of
// the modem and was accepted is carried out by the honest modem too, and so is
// all that does not occur. Messages are sent and stored by the honest modem, which
// gets those that were read, and fails once where the recorded one did.
func ParseTranscript(text string) ([]Rule, error) {
	if len(text) > maxTranscript {
		return nil, errTooLong
	}
	p := transcript{answers: map[string][]*said{}}
	var script []string
	for i, line := range strings.Split(text, "\n") {
		line = strings.TrimRight(line, "\r")
		if rule, ok := strings.CutPrefix(line, "%"); ok {
			script = append(script, rule)
			continue
		}
		if line = strings.TrimSpace(line); line == "" || line[0] == '#' {
			continue
		}
		if err := p.line(line); err != nil {
			return nil, fmt.Errorf("transcript line %d: %w", i+1, err)
		}
	}
	p.cut()
	first, err := ParseScript(strings.Join(script, "\n"))
	if err != nil {
		return nil, err
	}
	return append(first, p.rules()...), nil
}

// transcript is a dialogue being read.
type transcript struct {
	keys    []string // in order of their first occurrence
	key     string   // of the command written last
	answers map[string][]*said
	command string // as it was written
	last    *said  // of the command written last
	at      time.Duration
	stamped bool // the lines have times
	open    bool // its final result is awaited
}

// cutOff is how long a command must have gone without an answer for that to be
// the modem's doing: before, who wrote it has gone away.
const cutOff = 250 * time.Millisecond

// cut forgets the command written last when it had no time to be answered.
func (p *transcript) cut() {
	if !p.stamped || !p.open || p.last.lines != nil || p.at-p.last.at >= cutOff {
		return
	}
	l := p.answers[p.key]
	p.answers[p.key] = l[:len(l)-1]
	p.last, p.open = nil, false
}

// pduKey stands for what is written at a prompt.
const pduKey = "\x1a"

// line takes one line of the dialogue.
func (p *transcript) line(line string) error {
	if stamp, rest, ok := strings.Cut(line, " "); ok && stamp[0] == '+' {
		if s, err := strconv.ParseFloat(stamp[1:], 64); err == nil && s >= 0 && s < 1e7 {
			p.at, line, p.stamped = time.Duration(s*float64(time.Second)), strings.TrimSpace(rest), true
		}
	}
	if line == "" {
		return nil
	}
	dir, said := line[0], strings.TrimSpace(line[1:])
	switch dir {
	case '!':
	case '>':
		p.wrote(unescape(said))
	case '<':
		p.heard(unescape(said))
	default:
		return fmt.Errorf("want >, <, !, %% or #, not %q", line)
	}
	return nil
}

// unescape reads a line with characters that could not be printed.
func unescape(s string) string {
	if plain, err := strconv.Unquote(`"` + s + `"`); err == nil {
		return plain
	}
	return s
}

func (p *transcript) wrote(line string) {
	p.cut()
	p.open = false
	if line == "" || line == "<ESC>" {
		return
	}
	key := strings.ToUpper(line)
	switch {
	case strings.HasSuffix(line, "<Ctrl-Z>"):
		key = pduKey
	case strings.HasPrefix(key, "AT+CMGS="):
		key = "AT+CMGS="
	}
	if p.answers[key] == nil {
		p.keys = append(p.keys, key)
	}
	p.key = key
	p.command, p.last, p.open = line, &said{at: p.at}, true
	p.answers[key] = append(p.answers[key], p.last)
}

func (p *transcript) heard(line string) {
	switch {
	case p.last == nil, strings.EqualFold(line, p.command): // before everything; an echo
	case !p.open:
		if since := p.at - p.last.at; since <= maxPause {
			p.last.unasked = append(p.last.unasked, Unasked{After: max(since, 0), Raw: "\r\n" + line + "\r\n"})
		}
	case line == ">":
		p.last.delay = p.wait()
		p.last.prompt, p.open = true, false
	case isFinal(line):
		p.last.delay = p.wait()
		p.last.final, p.open = line, false
	default:
		p.last.lines = append(p.last.lines, line)
	}
}

// wait is how long the answer that ends now has taken. Short times are those of
// the machine that recorded them.
func (p *transcript) wait() time.Duration {
	if d := p.at - p.last.at; d > 50*time.Millisecond {
		return min(d, maxPause)
	}
	return 0
}

var finalCode = regexp.MustCompile(`(?i)^(OK|ERROR|ERROR:.*|\+CM[ES] ERROR.*|NO CARRIER|NO ANSWER|BUSY|COMMAND NOT SUPPORT.*|TOO MANY PARAMETERS)$`)

func isFinal(line string) bool { return finalCode.MatchString(line) }

// passing are commands about messages: what went well is done by the honest
// modem, and what did not is repeated once.
var passing = regexp.MustCompile(`^AT\+(CMG[SRLDW]|CPMS\?|CNMA)|^` + pduKey)

// rules makes the rules, for each command one for each time it was answered.
func (p *transcript) rules() []Rule {
	var out []Rule
	for _, key := range p.keys {
		for i, s := range p.answers[key] {
			r := s.rule(key)
			if i < len(p.answers[key])-1 || passing.MatchString(key) {
				r.Times = 1
			}
			out = append(out, r)
		}
	}
	return out
}

func (s *said) rule(key string) Rule {
	r := Rule{On: OnCommand, Match: regexp.MustCompile("(?i)^" + masked(key)), Delay: s.delay, Unasked: s.unasked}
	if key == pduKey {
		r.On, r.Match = OnPDU, nil
	} else if key != "AT+CMGS=" {
		r.Match = regexp.MustCompile(r.Match.String() + "$")
	}
	raw := func() string {
		var b strings.Builder
		for _, l := range append(s.lines[:len(s.lines):len(s.lines)], s.final) {
			if l != "" {
				b.WriteString("\r\n" + l + "\r\n")
			}
		}
		return b.String()
	}
	accepted := strings.EqualFold(s.final, "OK")
	switch {
	case s.prompt, accepted && passing.MatchString(key): // by the honest modem, which has its own references and slots
		r.put = s.stored(key)
	case s.final == "" && s.lines == nil:
		r.Swallow = true
	default:
		r.Replace, r.Instead, r.Skip = true, raw(), !accepted
	}
	return r
}

// stored are the messages that an answer to +CMGR or +CMGL shows.
func (s *said) stored(key string) []Slot {
	var out []Slot
	for i := 0; i+1 < len(s.lines); i++ {
		_, rest, ok := strings.Cut(s.lines[i], ":")
		if !ok || !strings.HasPrefix(strings.ToUpper(s.lines[i]), "+CMG") {
			continue
		}
		p := command{args: rest}.params()
		if index, ok := strings.CutPrefix(key, "AT+CMGR="); ok {
			p = append([]string{index}, p...)
		}
		b, err := hex.DecodeString(s.lines[i+1])
		if err != nil || len(b) == 0 || len(p) < 3 {
			continue
		}
		index, err1 := strconv.Atoi(p[0])
		length, err2 := strconv.Atoi(p[len(p)-1])
		if n := 1 + int(b[0]); err1 == nil && err2 == nil && n < len(b) && length == len(b)-n {
			stat, _ := strconv.Atoi(p[1]) // ignored: words mean unread
			out = append(out, Slot{Index: index, Stat: stat & 3, TPDU: b[n:]})
		}
	}
	return out
}

// masked is a pattern for a command whose secrets and numbers are asterisks.
func masked(key string) string {
	return strings.ReplaceAll(regexp.QuoteMeta(key), `\*\*\*\*`, `[^"]*`)
}
