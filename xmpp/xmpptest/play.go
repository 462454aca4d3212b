package xmpptest

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"doorway/xmpp/xmlstream"
)

// Play is a script in which named clients send and expect stanzas: one
// behaviour of a server. A file begins with a comment that says what it is, a
// header, an empty line, and then has one step on each line:
//
//	# A message to a full address reaches that resource, whatever its priority.
//	section: RFC 6121 §8.5.3.1
//	servers: both
//
//	bob/x online -5
//	alice/a connects
//	alice/a > <message to='{bob/x}' type='chat'><body>hi</body></message>
//	bob/x < <message from='{alice/a}' to='{bob/x}'><body>hi</body></message>
//
// Header lines: section; servers ("both", or "doorway" and behind it a
// semicolon and the reason); friends (two people who see each other's
// presence; the line may be repeated); standing (a person, a state of RFC 6121
// appendix A.1 written as in "to+in", and who the contact is); absent (people
// without an account); for (a table of plays, see ParsePlays).
//
// A step begins with the client, PERSON/RESOURCE:
//
//	opens                  connects and sends nothing
//	authenticates          signs in and does not bind
//	mistypes CONDITION     signs in with a wrong password, and is refused with it
//	connects               signs in and binds
//	online [PRIORITY]      connects, asks for the roster, sends presence, and drops what it gets
//	> XML                  sends it, as it is; in double quotes Go's escapes hold, "\xff"
//	< PATTERN              expects a stanza, among what has come or will come
//	<! PATTERN             expects it as the next one that no step has taken
//	hears nothing          nothing else has come
//	hears no PATTERN       nothing else of that kind has come
//	forgets                drops what has come
//	stream error CONDITION the server ends the stream with it
//	ends                   the server ends the stream
//	leaves                 ends the stream, and the server answers
//	dies                   closes the connection without a word
//	reads TEXT             waits for the text in what the server sends (after opens only)
//
// The step "server stops" has no client: the server is told to end. A step
// behind "doorway: " is left out on other servers: there it is the standard that
// leaves a choice, or them that differ.
//
// A line that begins with white space goes on with the one before. In XML,
// {bob} stands for a person's bare address, {bob/x} for a full one, {bob@} for
// the localpart, {domain} for the server, {big} for 300,000 characters, and
// b64[text] for the text in base64. A step begins when the server has handled what other
// clients had sent before. At the end no client may have got anything that no
// step expected.
//
// A pattern matches a stanza that has at least its attributes, children and
// text; * in a value stands for any characters, and the value - says that the
// attribute is absent. On a child, play='absent' says that there is no such
// child; on any element, play='only' says that it has no other children. The
// prefix e: is bound to the namespace of the stanza errors. The attribute value
// ?word keeps what is there, and {?word} stands for it in later steps.
//
// A pattern that is no stanza expects another element of the stream; what
// comes before it of that kind is skipped, since a server may ask for an
// acknowledgement (XEP-0198) at any time. Nor is it waited for that the server
// has handled such elements of a client.
type Play struct {
	Name    string // of the file, without its end
	Title   string // the comment at its top
	Section string
	Both    bool   // Prosody agrees; false: doorway alone
	Reason  string // why it is doorway alone

	standing [][3]string // person, state, contact
	absent   []string
	people   []string
	steps    []step
}

// Stops reports that the play stops the server, which others should not share.
func (p *Play) Stops() bool {
	return slices.ContainsFunc(p.steps, func(s step) bool { return s.verb == serverStops })
}

const serverStops = "server stops"

type step struct {
	line   int
	client string // PERSON/RESOURCE
	verb   string
	arg    string // as written
	ours   bool   // on doorway only
}

var (
	stepLine   = regexp.MustCompile(`^(?:doorway: )?([a-z]+/\S+) (opens|authenticates|mistypes|connects|online|hears nothing|hears no|forgets|stream error|ends|leaves|dies|reads|>|<!|<)(?: (.*))?$`)
	knownState = regexp.MustCompile(`^(none(\+out)?(\+in)?|to(\+in)?|from(\+out)?|both)$`)
	captured   = regexp.MustCompile(`\{\?[a-z]+\}`)
	spoken     = regexp.MustCompile(`\{([a-z]+)(@|/[^{}]*)?\}`)
	encoded    = regexp.MustCompile(`b64\[[^\]]*\]`)
)

// argument tells which steps take one: 1 must, 0 may, -1 must not.
var argument = map[string]int{">": 1, "<": 1, "<!": 1, "hears no": 1, "stream error": 1, "reads": 1, "mistypes": 1, "online": 0}

// ParsePlay reads a script.
func ParsePlay(name, text string) (*Play, error) {
	p := &Play{Name: name}
	lines := strings.Split(strings.TrimRight(text, "\n"), "\n")
	at := func(i int, format string, a ...any) error {
		return fmt.Errorf("%s:%d: %s", name, i+1, fmt.Sprintf(format, a...))
	}
	i := 0
	for ; i < len(lines) && strings.HasPrefix(lines[i], "#"); i++ {
		p.Title = strings.TrimSpace(p.Title + " " + strings.TrimSpace(strings.TrimPrefix(lines[i], "#")))
	}
	for ; i < len(lines) && lines[i] != ""; i++ {
		if err := p.header(lines[i]); err != nil {
			return nil, at(i, "%v", err)
		}
	}
	if p.Title == "" || p.Section == "" || !p.Both && p.Reason == "" {
		return nil, at(0, "a play begins with a comment, section: and servers: (both, or doorway; and the reason)")
	}
	for ; i < len(lines); i++ {
		line := lines[i]
		switch {
		case strings.TrimSpace(line) == "" || strings.HasPrefix(line, "#"):
			continue
		case line[0] == ' ' || line[0] == '\t':
			if len(p.steps) == 0 {
				return nil, at(i, "there is no line to go on with")
			}
			p.steps[len(p.steps)-1].arg += strings.TrimSpace(line)
			continue
		}
		if line == serverStops {
			p.steps = append(p.steps, step{line: i + 1, verb: serverStops})
			continue
		}
		m := stepLine.FindStringSubmatch(line)
		if m == nil {
			return nil, at(i, "no step: %s", line)
		}
		p.steps = append(p.steps, step{line: i + 1, client: m[1], verb: m[2], arg: m[3], ours: strings.HasPrefix(line, "doorway: ")})
	}
	if len(p.steps) == 0 {
		return nil, at(i, "the play has no steps")
	}
	return p, p.check()
}

func (p *Play) header(line string) error {
	if strings.HasPrefix(line, "#") {
		return nil
	}
	key, value, ok := strings.Cut(line, ":")
	value = strings.TrimSpace(value)
	if !ok || value == "" {
		return fmt.Errorf("no header line: %s", line)
	}
	switch key {
	case "section":
		p.Section = value
	case "servers":
		who, why, _ := strings.Cut(value, ";")
		p.Both, p.Reason = who == "both", strings.TrimSpace(why)
		if who != "both" && who != "doorway" {
			return fmt.Errorf("servers: both or doorway, not %s", who)
		}
	case "friends":
		f := strings.Fields(value)
		if len(f) != 2 {
			return fmt.Errorf("friends: two people")
		}
		p.standing = append(p.standing, [3]string{f[0], "both", f[1]})
	case "standing":
		f := strings.Fields(value)
		if len(f) != 3 || !knownState.MatchString(f[1]) {
			return fmt.Errorf("standing: a person, a state such as to+in, and the contact")
		}
		p.standing = append(p.standing, [3]string{f[0], f[1], f[2]})
	case "absent":
		p.absent = strings.Fields(value)
	default:
		return fmt.Errorf("unknown header line %s", key)
	}
	return nil
}

// check finds the people, and the mistakes that can be found without a server.
func (p *Play) check() error {
	met := func(name string) {
		if name != "domain" && name != "big" && !slices.Contains(p.people, name) && !slices.Contains(p.absent, name) {
			p.people = append(p.people, name)
		}
	}
	for _, f := range p.standing {
		met(f[0])
		met(f[2])
	}
	for _, s := range p.steps {
		if want := argument[s.verb]; want == 1 && s.arg == "" || s.arg != "" && argument[s.verb] == 0 && s.verb != "online" {
			return fmt.Errorf("%s:%d: %s: the argument is %q", p.Name, s.line, s.verb, s.arg)
		}
		person, _, _ := strings.Cut(s.client, "/")
		if s.verb != "opens" && s.verb != serverStops {
			met(person)
		}
		for _, m := range spoken.FindAllStringSubmatch(s.arg, -1) {
			met(m[1])
		}
		if s.verb == "<" || s.verb == "<!" || s.verb == "hears no" {
			if _, err := parsePattern(spoken.ReplaceAllString(s.arg, "x")); err != nil {
				return fmt.Errorf("%s:%d: %w", p.Name, s.line, err)
			}
		}
	}
	return nil
}

const patternDecls = " xmlns:e='urn:ietf:params:xml:ns:xmpp-stanzas'"

func parsePattern(xml string) (*xmlstream.Tree, error) {
	t, err := xmlstream.ParseTree(xml, patternDecls, "jabber:client")
	if err != nil {
		return nil, err
	}
	if len(t) != 1 {
		return nil, fmt.Errorf("a pattern is one element: %s", xml)
	}
	return &t[0], nil
}

// matches compares an element with a pattern.
func matches(got, want *xmlstream.Tree) bool {
	if got.Name != want.Name {
		return false
	}
	only := false
	for _, a := range want.Attrs {
		if a.Name.Space == "" && a.Name.Local == "play" {
			only = a.Value == "only"
			continue
		}
		value, there := "", false
		for _, b := range got.Attrs {
			if b.Name == a.Name {
				value, there = b.Value, true
			}
		}
		if a.Value == "-" {
			if there {
				return false
			}
			continue
		}
		if !there || !strings.HasPrefix(a.Value, "?") && !glob(a.Value, value) {
			return false
		}
	}
	if text := strings.TrimSpace(want.Text); text != "" && !glob(text, strings.TrimSpace(got.Text)) {
		return false
	}
	taken := make([]bool, len(got.Children))
	count := 0
	for i := range want.Children {
		w := &want.Children[i]
		j := -1
		for k := range got.Children {
			if !taken[k] && matches(&got.Children[k], w) {
				j = k
				break
			}
		}
		switch {
		case w.Attr("play") == "absent":
			if j >= 0 {
				return false
			}
		case j < 0:
			return false
		default:
			taken[j] = true
			count++
		}
	}
	return !only || count == len(got.Children)
}

// keep notes the values that a pattern asks to keep of an element it matches.
func keep(kept map[string]string, got, want *xmlstream.Tree) {
	for _, a := range want.Attrs {
		for _, b := range got.Attrs {
			if word, ok := strings.CutPrefix(a.Value, "?"); ok && a.Name == b.Name {
				kept[word] = b.Value
			}
		}
	}
	for i := range want.Children {
		if j := slices.IndexFunc(got.Children, func(c xmlstream.Tree) bool { return matches(&c, &want.Children[i]) }); j >= 0 {
			keep(kept, &got.Children[j], &want.Children[i])
		}
	}
}

// glob matches a value with a pattern in which * stands for anything.
func glob(pattern, s string) bool {
	parts := strings.Split(pattern, "*")
	if len(parts) == 1 {
		return pattern == s
	}
	first, last := parts[0], parts[len(parts)-1]
	if len(s) < len(first)+len(last) || !strings.HasPrefix(s, first) || !strings.HasSuffix(s, last) {
		return false
	}
	s = s[len(first) : len(s)-len(last)]
	for _, part := range parts[1 : len(parts)-1] {
		i := strings.Index(s, part)
		if i < 0 {
			return false
		}
		s = s[i+len(part):]
	}
	return true
}
