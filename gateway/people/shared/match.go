package shared

import (
	"strings"
	"unicode"

	"golang.org/x/text/cases"
	"golang.org/x/text/unicode/norm"

	"doorway/gateway/people"
	"doorway/xmpp"
)

// words are the folded words of a text, as it is searched: without case, marks
// on letters and punctuation.
func words(text string) []string {
	if text == "" {
		return nil
	}
	folded := text
	if !isPlain(text) {
		folded = norm.NFKD.String(cases.Fold().String(text))
	}
	return strings.FieldsFunc(strings.Map(func(r rune) rune {
		if unicode.Is(unicode.Mn, r) {
			return -1
		}
		return r
	}, folded), func(r rune) bool { return !unicode.IsLetter(r) && !unicode.IsDigit(r) })
}

// isPlain reports that folding changes nothing.
func isPlain(s string) bool {
	for i := range len(s) {
		if s[i] >= 0x80 || s[i] >= 'A' && s[i] <= 'Z' {
			return false
		}
	}
	return true
}

// begins reports that each of the words sought begins one of those there.
func begins(sought, there []string) bool {
	for _, w := range sought {
		found := false
		for _, t := range there {
			if strings.HasPrefix(t, w) {
				found = true
				break
			}
		}
		if !found {
			return false
		}
	}
	return true
}

// matcher is a query that was prepared for many people.
type matcher struct {
	text, first, last, nick, email, group []string
	phone, textPhone                      dialled
	nothing                               bool                // something sought has neither letters nor digits
	labels                                map[string][]string // words of labels
}

// matcher prepares a query.
func (v view) matcher(h people.House, q xmpp.DirectoryQuery) *matcher {
	m := &matcher{text: words(q.Text), first: words(q.First), last: words(q.Last), nick: words(q.Nick), email: words(q.Email),
		group: words(q.Group), phone: numberOf(h, q.Phone), labels: map[string][]string{}}
	if m.text != nil {
		m.textPhone = numberOf(h, q.Text)
	}
	for typed, list := range map[*string][]string{&q.Text: m.text, &q.First: m.first, &q.Last: m.last, &q.Nick: m.nick, &q.Email: m.email, &q.Group: m.group} {
		m.nothing = m.nothing || *typed != "" && len(list) == 0 && !anything(*typed)
	}
	for _, l := range v.snapshot.labels {
		m.labels[l] = words(l)
	}
	return m
}

// anything is what people type who are used to having to: it sets no condition.
func anything(typed string) bool { return strings.Trim(typed, "* ") == "" }

// matches holds a card against the query.
func (m *matcher) matches(v view, c *card, labels []string) bool {
	if m.nothing || !begins(m.first, c.first) || !begins(m.last, c.last) || !begins(m.nick, c.nick) || !begins(m.email, c.email) {
		return false
	}
	if m.phone.sought && !m.phone.in(v, c.node) {
		return false
	}
	if !begins(m.group, m.grouped(c.departments, labels)) {
		return false
	}
	return len(m.text) == 0 || begins(m.text, m.grouped(c.all, labels)) || m.textPhone.sought && m.textPhone.in(v, c.node)
}

// grouped are words and those of labels.
func (m *matcher) grouped(list, labels []string) []string {
	for _, l := range labels {
		list = append(list[:len(list):len(list)], m.labels[l]...)
	}
	return list
}

// dialled is a phone number, or the beginning or end of one, that is sought.
type dialled struct {
	sought bool
	none   bool     // nothing can match
	begins []string // E.164 digits without the plus
	ends   string   // "" for too short to tell
}

// numberOf reads what somebody typed; nothing is sought where that is no number.
func numberOf(h people.House, typed string) dialled {
	typed = strings.TrimSpace(typed)
	if anything(typed) {
		return dialled{}
	}
	var digits strings.Builder
	for _, r := range typed {
		switch {
		case r >= '0' && r <= '9':
			digits.WriteRune(r)
		case unicode.IsLetter(r):
			return dialled{sought: true, none: true}
		}
	}
	d := digits.String()
	n := dialled{sought: true, none: d == ""}
	if len(d) >= 4 {
		n.ends = d
	}
	if rest, ok := strings.CutPrefix(d, "00"); ok && rest != "" {
		n.begins = append(n.begins, rest)
		return n
	}
	if trunk := h.Numbers.Trunk; trunk != "" && strings.HasPrefix(d, trunk) && !strings.HasPrefix(typed, "+") {
		n.ends = ""
		n.begins = append(n.begins, h.Numbers.Country+d[len(trunk):])
	} else {
		n.begins = append(n.begins, d)
	}
	return n
}

// in reports that a node has the number, as far as the viewer may know it.
func (n dialled) in(v view, i int) bool {
	if n.none {
		return false
	}
	for _, p := range v.entry(i, nil).Phones {
		d := strings.TrimPrefix(p, "+")
		for _, b := range n.begins {
			if strings.HasPrefix(d, b) {
				return true
			}
		}
		if n.ends != "" && strings.HasSuffix(d, n.ends) {
			return true
		}
	}
	return false
}
