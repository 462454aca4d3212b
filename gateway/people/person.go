package people

import (
	"fmt"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"doorway/transports/number"
	"doorway/xmpp/jid"
)

// Limits of one person; of all of them see MaxPeople.
const (
	maxPhones      = 10
	maxDepartments = 16
	maxLegacy      = 16
	maxMail        = 254  // bytes (RFC 5321 §4.5.3.1)
	maxNotes       = 4000 // characters
	maxID          = 64   // bytes of the id of a group, or of a person that somebody typed
)

// MaxPeople is how many people the house may have.
const MaxPeople = 20000

// House is what people's addresses are made with.
type House struct {
	Domain    string      // of the accounts
	SMSDomain string      // phones are <number>@SMSDomain
	Numbers   number.Plan // how people here write numbers
}

// Person is somebody who can be reached: by an account here, by an address
// elsewhere, or by phone. A Person that the package gave out is never changed;
// its slices are not to be written to.
type Person struct {
	ID          string    `json:"id"`                // stable; a localpart
	Account     string    `json:"account,omitempty"` // localpart of the account here, "" for none
	JID         jid.JID   `json:"jid,omitzero"`      // address elsewhere, for who has no account here; zero for none
	Name        string    `json:"name,omitempty"`    // as colleagues see it
	First       string    `json:"first,omitempty"`
	Last        string    `json:"last,omitempty"`
	Nick        string    `json:"nick,omitempty"`
	Phones      []string  `json:"phones,omitempty"` // E.164; the first one is texted
	Mail        string    `json:"mail,omitempty"`
	Departments []string  `json:"departments,omitempty"`
	Notes       string    `json:"notes,omitempty"`    // for administrators only
	Language    string    `json:"language,omitempty"` // BCP 47, e.g. de or pt-BR
	NoSMS       bool      `json:"no_sms,omitempty"`   // no texts may be sent to the phones
	Legacy      []jid.JID `json:"legacy,omitempty"`   // addresses at transports, e.g. 12345@icq.office.example
	Hidden      bool      `json:"hidden,omitempty"`   // not in the directory, nor among everybody
	// PrivatePhones are not told in the directory. Who has no other address is
	// seen by the phone all the same.
	PrivatePhones bool   `json:"private_phones,omitempty"`
	Photo         *Photo `json:"photo,omitempty"`

	addr jid.JID // where messages reach the person; zero for nowhere
}

// personRecord is a person as the table "people" holds it, under its id.
type personRecord struct {
	V int `json:"v"`
	Person
}

// Address is where messages reach the person: the account, else the address
// elsewhere, else the first phone, if texts may be sent. Zero for nowhere.
func (p *Person) Address() jid.JID { return p.addr }

// Display is the name, or the id of a person without one.
func (p *Person) Display() string {
	if p.Name != "" {
		return p.Name
	}
	return p.ID
}

// address works out Address.
func (h House) address(p *Person) jid.JID {
	var j jid.JID
	switch {
	case p.Account != "":
		j, _ = jid.New(p.Account, h.Domain, "") // ignored: an account's name is a localpart
	case !p.JID.IsZero():
		j = p.JID
	case len(p.Phones) > 0 && !p.NoSMS:
		j = h.Phone(p.Phones[0])
	}
	return j
}

// Phone is the address of an E.164 number.
func (h House) Phone(num string) jid.JID {
	j, _ := jid.New(num, h.SMSDomain, "") // ignored: a plus and digits are a localpart
	return j
}

// number makes what somebody typed an E.164 number.
func (h House) number(typed string) (string, error) {
	num, err := h.Numbers.Parse(typed)
	if err != nil {
		return "", &Error{Text: err.Error(), Err: ErrPerson}
	}
	if !strings.HasPrefix(num, "+") {
		return "", wrong("%q is a short code, which is nobody's phone. Write the whole number, such as %s.", num, h.Numbers.Example())
	}
	return num, nil
}

// wrong is an *Error about a person.
func wrong(format string, a ...any) error {
	return &Error{Text: fmt.Sprintf(format, a...), Err: ErrPerson}
}

// clean prepares a person as somebody typed it, or says what is wrong. It does
// not look at other people.
func (h House) clean(p Person) (*Person, error) {
	var err error
	if p.ID, err = prepareID("person", p.ID); err != nil {
		return nil, err
	}
	for what, text := range map[string]*string{"name": &p.Name, "first name": &p.First, "last name": &p.Last, "nickname": &p.Nick} {
		if *text, err = line(what, *text, maxName); err != nil {
			return nil, err
		}
	}
	if p.Name == "" {
		p.Name = strings.TrimSpace(p.First + " " + p.Last)
	}
	if p.Notes = strings.TrimSpace(p.Notes); !utf8.ValidString(p.Notes) || utf8.RuneCountInString(p.Notes) > maxNotes || strings.ContainsFunc(p.Notes, isBad) {
		return nil, wrong("Notes may have at most %d characters and no control characters.", maxNotes)
	}
	if p.Mail = strings.TrimSpace(p.Mail); p.Mail != "" && !validMail(p.Mail) {
		return nil, wrong("%q is not a mail address. Write one such as anna@%s.", p.Mail, h.Domain)
	}
	if p.Language = strings.TrimSpace(p.Language); p.Language != "" && !validLanguage(p.Language) {
		return nil, wrong("%q is not a language. Write its tag, such as de, en or pt-BR.", p.Language)
	}
	if p.Departments, err = departments(p.Departments); err != nil {
		return nil, err
	}
	if err := h.cleanAddresses(&p); err != nil {
		return nil, err
	}
	p.addr = h.address(&p)
	return &p, nil
}

// cleanAddresses prepares the phones and addresses of a person.
func (h House) cleanAddresses(p *Person) error {
	var phones []string
	for _, typed := range p.Phones {
		num, err := h.number(typed)
		if err != nil {
			return err
		}
		if slices.Contains(phones, num) {
			return wrong("%s is there twice. Give each of a person's numbers once.", num)
		}
		phones = append(phones, num)
	}
	if len(phones) > maxPhones {
		return wrong("A person may have at most %d phone numbers.", maxPhones)
	}
	p.Phones = phones
	if len(p.Legacy) == 0 {
		p.Legacy = nil
	}
	if len(p.Legacy) > maxLegacy {
		return wrong("A person may have at most %d legacy addresses.", maxLegacy)
	}
	for _, j := range append([]jid.JID{p.JID}, p.Legacy...) {
		switch {
		case j.IsZero():
		case !j.IsBare() || j.Local() == "":
			return wrong("%q is not somebody's address. Write one such as 12345@icq.%s.", j, h.Domain)
		case j.Domain() == h.Domain:
			return wrong("%s is in this server's own domain: give the account's name instead, such as %s.", j, j.Local())
		case j.Domain() == h.SMSDomain:
			return wrong("%s is a phone: give its number among the phone numbers instead.", j)
		}
	}
	if p.Account != "" && !p.JID.IsZero() {
		return wrong("A person has either an account here or an address elsewhere, not both: %s is a legacy address beside the account %s.", p.JID, p.Account)
	}
	return nil
}

// isBad reports a control character other than a line break or a tab, and what
// XML cannot hold (XML 1.0 §2.2).
func isBad(r rune) bool {
	return unicode.IsControl(r) && r != '\n' && r != '\t' || r == utf8.RuneError || r == 0xfffe || r == 0xffff
}

// line checks a text of one line.
func line(what, s string, most int) (string, error) {
	s = strings.TrimSpace(s)
	if !utf8.ValidString(s) || utf8.RuneCountInString(s) > most || strings.ContainsFunc(s, isBad) || strings.ContainsAny(s, "\n\t") {
		return "", wrong("A %s may have at most %d characters and no control characters.", what, most)
	}
	return s, nil
}

// departments checks names of departments: each once, in the order given.
func departments(list []string) ([]string, error) {
	var out []string
	for _, d := range list {
		d, err := line("department's name", d, maxName)
		if err != nil {
			return nil, err
		}
		if strings.ContainsAny(d, listSeparators) {
			return nil, wrong("%q has a ; or a |, which part the names of departments. Write it without.", d)
		}
		if d != "" && !slices.Contains(out, d) {
			out = append(out, d)
		}
	}
	if len(out) > maxDepartments {
		return nil, wrong("A person may be in at most %d departments.", maxDepartments)
	}
	return out, nil
}

// validMail takes what mail servers take: one @, something on both sides, no
// spaces. Whether it is somebody's only a mail can tell.
func validMail(s string) bool {
	local, domain, ok := strings.Cut(s, "@")
	return ok && local != "" && domain != "" && len(s) <= maxMail && utf8.ValidString(s) &&
		!strings.Contains(domain, "@") && !strings.ContainsFunc(s, func(r rune) bool {
		return unicode.IsSpace(r) || isBad(r) || strings.ContainsRune("<>,;\"", r)
	})
}

// validLanguage takes the shape of a language tag (RFC 5646 §2.1).
func validLanguage(s string) bool {
	for i, sub := range strings.Split(s, "-") {
		if len(sub) < 1 || len(sub) > 8 || i == 0 && len(sub) < 2 {
			return false
		}
		for _, r := range sub {
			letter := r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z'
			if !letter && (i == 0 || r < '0' || r > '9') {
				return false
			}
		}
	}
	return len(s) <= 35
}

// prepareID makes what somebody typed the id of a person or a group: a
// canonical localpart (RFC 7622 §3.3) that means nothing else where members
// are named.
func prepareID(what, typed string) (string, error) {
	id, err := Prepare(typed)
	if err != nil || len(id) > maxID || badID(id) {
		return "", &Error{
			Text: fmt.Sprintf("%q cannot be the id of a %s. Use up to %d letters, digits and signs such as . - _, e.g. %s.", typed, what, maxID, map[string]string{"person": "anna.berg", "group": "sales"}[what]),
			Err:  ErrName,
		}
	}
	if id == wordEverybody || id == wordMembers || id == wordNobody {
		return "", &Error{Text: fmt.Sprintf("%q has a meaning of its own and cannot be the id of a %s. Choose another one.", id, what), Err: ErrName}
	}
	return id, nil
}

// badID reports what would be taken for something else: a number, a list.
func badID(id string) bool {
	return id == "" || strings.HasPrefix(id, "+") || strings.HasPrefix(id, "-") || strings.ContainsAny(id, listSeparators+",=")
}

// idFrom makes an id of a text such as a name: anna-berg of "Anna Berg".
func idFrom(text string) string {
	var b strings.Builder
	dash := false
	for _, r := range strings.ToLower(text) {
		if unicode.IsLetter(r) || unicode.IsDigit(r) || r == '.' || r == '_' {
			if dash && b.Len() > 0 {
				b.WriteByte('-')
			}
			b.WriteRune(r)
			dash = false
		} else {
			dash = true
		}
		if b.Len() >= maxID-8 {
			break
		}
	}
	if id, err := prepareID("person", b.String()); err == nil {
		return id
	}
	return noID
}

// noID is the id of whom no other can be made for.
const noID = "person"
