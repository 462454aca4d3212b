package emulator

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// Event is when a rule is looked at.
type Event string

// Events.
const (
	OnStart   Event = "start"   // the emulator starts, or the script is loaded into a running one
	OnCommand Event = "command" // a command line came; Match sees it without its CR
	OnPDU     Event = "pdu"     // Ctrl-Z came after a prompt; Match sees the hex digits
)

// Rule changes what the honest modem does at one event. For each event the
// first rule that matches is used. Raw strings go out as they are; {cmd} in
// them stands for the command line.
type Rule struct {
	On    Event
	Match *regexp.Regexp // nil matches all
	Nth   int            // only the nth match counts, from 1; 0: each
	Times int            // at most so many times; 0: no limit

	Skip       bool          // do not carry the command out
	Result     string        // carry nothing out, answer this final result
	Swallow    bool          // carry nothing out, answer nothing
	Mute       bool          // carry out, answer nothing
	Delay      time.Duration // before the answer
	FinalDelay time.Duration // between the information lines and the final result
	Before     string        // raw, in front of the answer
	Instead    string        // raw, in place of the answer (Replace says that it is meant)
	Replace    bool
	After      string // raw, behind the answer
	Partial    int    // send only so many bytes of the answer

	Vanish bool          // no answer: the port hangs up (after Delay)
	Back   time.Duration // it comes back after this time; 0: stays away

	Set     []Setting
	Receive []Incoming // messages that are stored and announced before the answer
	Unasked []Unasked  // raw bytes at times counted from the event

	Spoil func(string) string // changes the answer; only in Go

	put []Slot // laid into the memory in use where it has room, before the command is carried out
}

// Setting is a change of the modem's state; see Emulator.Set for the names.
type Setting struct{ Name, Value string }

// Incoming is a message that arrives as a rule applies.
type Incoming struct{ From, Text string }

// Unasked are raw bytes sent at a time of their own, Count times (0: once).
type Unasked struct {
	After, Every time.Duration
	Count        int
	Raw          string
}

// ParseScript reads rules from text. A rule begins with a line
//
//	on start | on command REGEXP | on pdu [REGEXP]
//
// and goes on with lines of a word and its value: nth N, times N, skip,
// result TEXT, swallow, mute, delay D, finaldelay D, before "raw", instead
// "raw", after "raw", partial N, vanish [D], set NAME VALUE, receive NUMBER
// "text", urc D "raw", repeat D EVERY COUNT "raw". Durations and quoted
// strings are as in Go; lines that begin with # are comments.
func ParseScript(text string) ([]Rule, error) {
	var rules []Rule
	for i, line := range strings.Split(text, "\n") {
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' {
			continue
		}
		word, rest, _ := strings.Cut(line, " ")
		rest = strings.TrimSpace(rest)
		if word == "on" {
			r, err := parseOn(rest)
			if err != nil {
				return nil, fmt.Errorf("script line %d: %w", i+1, err)
			}
			rules = append(rules, r)
			continue
		}
		if len(rules) == 0 {
			return nil, fmt.Errorf("script line %d: %q comes before the first \"on\"", i+1, word)
		}
		if err := rules[len(rules)-1].parse(word, rest); err != nil {
			return nil, fmt.Errorf("script line %d: %s: %w", i+1, word, err)
		}
	}
	return rules, nil
}

func parseOn(s string) (r Rule, err error) {
	event, pattern, _ := strings.Cut(s, " ")
	r.On = Event(event)
	switch r.On {
	case OnStart, OnCommand, OnPDU:
	default:
		return r, fmt.Errorf("unknown event %q, want start, command or pdu", event)
	}
	if pattern = strings.TrimSpace(pattern); pattern != "" {
		r.Match, err = regexp.Compile("(?i)" + pattern)
	}
	return r, err
}

func (r *Rule) parse(word, rest string) (err error) {
	switch word {
	case "nth":
		r.Nth, err = strconv.Atoi(rest)
	case "times":
		r.Times, err = strconv.Atoi(rest)
	case "partial":
		r.Partial, err = strconv.Atoi(rest)
	case "skip":
		r.Skip = true
	case "swallow":
		r.Swallow = true
	case "mute":
		r.Mute = true
	case "result":
		r.Result = rest
	case "delay":
		r.Delay, err = time.ParseDuration(rest)
	case "finaldelay":
		r.FinalDelay, err = time.ParseDuration(rest)
	case "before":
		r.Before, err = strconv.Unquote(rest)
	case "after":
		r.After, err = strconv.Unquote(rest)
	case "instead":
		r.Replace = true
		r.Instead, err = strconv.Unquote(rest)
	case "vanish":
		r.Vanish = true
		if rest != "" {
			r.Back, err = time.ParseDuration(rest)
		}
	case "set":
		name, value, _ := strings.Cut(rest, " ")
		r.Set = append(r.Set, Setting{name, strings.TrimSpace(value)})
	case "receive":
		from, text, _ := strings.Cut(rest, " ")
		if text, err = strconv.Unquote(strings.TrimSpace(text)); err == nil {
			r.Receive = append(r.Receive, Incoming{from, text})
		}
	case "urc", "repeat":
		return r.parseUnasked(word, rest)
	default:
		return fmt.Errorf("unknown word")
	}
	return err
}

func (r *Rule) parseUnasked(word, rest string) (err error) {
	n := 1
	if word == "repeat" {
		n = 3
	}
	f := strings.SplitN(rest, " ", n+1)
	if len(f) != n+1 {
		return fmt.Errorf("values are missing")
	}
	var u Unasked
	if u.After, err = time.ParseDuration(f[0]); err != nil {
		return err
	}
	if word == "repeat" {
		if u.Every, err = time.ParseDuration(f[1]); err != nil {
			return err
		}
		if u.Count, err = strconv.Atoi(f[2]); err != nil {
			return err
		}
		if u.Count < 1 || u.Count > 100_000 {
			return fmt.Errorf("the count must lie between 1 and 100000")
		}
	}
	if u.Raw, err = strconv.Unquote(strings.TrimSpace(f[n])); err != nil {
		return err
	}
	r.Unasked = append(r.Unasked, u)
	return nil
}

// armed is a rule with its counters.
type armed struct {
	Rule
	matched, used int
}

// pick finds the rule for an event and counts the match.
func pick(rules []*armed, on Event, subject string) Rule {
	for _, r := range rules {
		if r.On != on || r.Match != nil && !r.Match.MatchString(subject) {
			continue
		}
		r.matched++
		if r.Nth > 0 && r.matched != r.Nth || r.Times > 0 && r.used >= r.Times {
			continue
		}
		r.used++
		return r.Rule
	}
	return Rule{}
}
