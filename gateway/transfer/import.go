package transfer

import (
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strconv"

	"doorway/gateway/people"
	"doorway/xmpp"
	"doorway/xmpp/jid"
	"doorway/xmpp/sasl"
	"doorway/xmpp/stanza"
)

// maxIterations bounds what a login would cost.
const maxIterations = 10_000_000

// Report is what became of a file.
type Report struct {
	Results []Result `json:"results"`
	Notes   []string `json:"notes,omitempty"` // about what is outside accounts
}

// Import reads a file and makes its accounts, one after the other; with trial
// it only says what would come of it. An error is a *Problem of the file as a
// whole, or one of the store; the accounts of the Report were dealt with before.
func Import(h House, r io.ReaderAt, size int64, trial bool) (Report, error) {
	// First the whole file, so that one that is broken in the middle changes nothing.
	dry := &importer{House: h, trial: true}
	if err := dry.run(r, size); err != nil || trial {
		return dry.report, err
	}
	wet := &importer{House: h}
	err := wet.run(r, size)
	return wet.report, err
}

// importer goes through a file once.
type importer struct {
	House
	trial  bool
	report Report
	seen   map[string]bool

	user    user
	refused *Problem // of the user
	staged  *xmpp.Import
	keys    map[sasl.Hash]sasl.Keys
	name    string
	off     bool
	bytes   int64
}

func (m *importer) run(r io.ReaderAt, size int64) error {
	m.seen = make(map[string]bool)
	m.report.Results = []Result{}
	return newFile(r, size).read(m.begin, m.part, m.end, func(text string) { m.report.Notes = append(m.report.Notes, text) })
}

func (m *importer) refuse(line int, format string, a ...any) {
	if m.refused == nil {
		m.refused = &Problem{line, fmt.Sprintf(format, a...)}
	}
}

func (m *importer) begin(u user) error {
	m.user, m.refused, m.keys, m.name, m.off, m.bytes = u, nil, make(map[sasl.Hash]sasl.Keys), "", false, 0
	m.staged = &xmpp.Import{}
	local, err := people.Prepare(u.name)
	var e *people.Error
	switch {
	case errors.As(err, &e):
		m.refuse(u.line, "%s", e.Text)
		return nil
	case u.host != m.Domain:
		m.refuse(u.line, "The account is of %q, and this server is %s. Change the jid of <host/> in the file to move it here.", u.host, m.Domain)
		return nil
	case m.seen[local]:
		m.refuse(u.line, "The account %s is in the file twice.", local)
	case m.Accounts.Exists(local):
		m.refuse(u.line, "There is already an account %s. Remove it first if the one in the file is to take its place.", local)
	}
	m.seen[local] = true
	if m.staged.Account, err = jid.New(local, m.Domain, ""); err != nil {
		m.refuse(u.line, "%q cannot be part of an address.", u.name)
	}
	return nil
}

// part stages one element of the user.
func (m *importer) part(line int, size int64, el *stanza.Element) error {
	if m.refused != nil {
		return nil
	}
	if m.bytes += size; m.bytes > maxAccount {
		m.refuse(line, "The account is larger than %d MiB.", maxAccount>>20)
		return nil
	}
	switch el.Name {
	case stanza.Name{Space: spaceScram, Local: "scram-credentials"}:
		if err := m.scram(el); err != nil {
			m.refuse(line, "The credentials cannot be used: %v.", err)
		}
		return nil
	case stanza.Name{Space: spaceAccount, Local: "account"}:
		m.name, m.off = el.Attr("name"), el.Attr("disabled") == "true"
		return nil
	}
	for _, p := range m.Parts {
		ok, err := p.Import(m.staged, el)
		if err != nil {
			m.refuse(line, "%s.", upper(err.Error()))
		}
		if ok || err != nil {
			return nil
		}
	}
	m.staged.Note("Line %d: <%s xmlns='%s'/> was left out: there is no place for it here.", line, el.Name.Local, el.Name.Space)
	return nil
}

// upper begins a sentence.
func upper(s string) string {
	if s != "" && 'a' <= s[0] && s[0] <= 'z' {
		return string(s[0]-'a'+'A') + s[1:]
	}
	return s
}

// end makes the account, or says why not.
func (m *importer) end() error {
	r := Result{Account: m.user.name + "@" + m.user.host, Line: m.user.line, State: Refused}
	if m.refused == nil {
		a := people.Adoption{Local: m.staged.Account.Local(), Name: m.name, Disabled: m.off, Keys: m.keys}
		if len(m.keys) == 0 {
			a.Password = m.user.password
		}
		switch {
		case len(m.keys) == 0 && a.Password == "":
			m.staged.Note("The account has no password yet: set one with `doorway user passwd %s`.", a.Local)
		case len(m.keys) == 1 && m.keys[sasl.SHA256].Iterations == 0:
			m.staged.Note("The account has keys for SCRAM-SHA-1 only. Clients that insist on SCRAM-SHA-256 cannot log in until its password is set with `doorway user passwd %s`.", a.Local)
		}
		if err := a.Check(); err != nil {
			m.refuse(m.user.line, "%s", err.Error())
		} else if m.trial {
			r.State = Possible
		} else if err := m.commit(a); err != nil {
			var e *people.Error
			if !errors.As(err, &e) && !errors.Is(err, people.ErrExists) {
				return fmt.Errorf("import %s: %w", r.Account, err)
			}
			m.refuse(m.user.line, "%s", err.Error())
		} else {
			r.State = Imported
		}
	}
	r.Problem, r.Notes = m.refused, m.staged.Notes
	m.report.Results = append(m.report.Results, r)
	m.staged = nil
	return nil
}

func (m *importer) commit(a people.Adoption) error {
	account := m.staged.Account
	if err := m.Clear(account); err != nil {
		return err
	}
	before := func() error {
		for _, f := range m.staged.Before {
			if err := f(); err != nil {
				return err
			}
		}
		return m.Accounts.Adopt(a, m.staged.Rows)
	}
	if err := before(); err != nil {
		return errors.Join(err, m.Clear(account))
	}
	for _, f := range m.staged.After {
		f()
	}
	return nil
}

// number is a positive integer without leading zeros (XEP-0227 §4.3).
var number = regexp.MustCompile(`^[1-9][0-9]{0,8}$`)

// scram reads keys (XEP-0227 §4.3).
func (m *importer) scram(el *stanza.Element) error {
	mechanism := el.Attr("mechanism")
	h, known := mechanisms[mechanism]
	if !known {
		m.staged.Note("Keys for %q were left out: this sign-in is not offered here.", mechanism)
		return nil
	}
	if _, twice := m.keys[h]; twice {
		return fmt.Errorf("%s is there twice", mechanism)
	}
	one := func(name string) (string, error) {
		found, text := 0, ""
		for i := range el.Children {
			if c := &el.Children[i]; c.Name == (stanza.Name{Space: spaceScram, Local: name}) {
				found, text = found+1, c.Text
			}
		}
		if found != 1 {
			return "", fmt.Errorf("%s has %d times <%s/> and not once", mechanism, found, name)
		}
		return text, nil
	}
	text, err := one("iter-count")
	if err != nil {
		return err
	}
	n, _ := strconv.Atoi(text) // ignored: the pattern has looked at it
	if !number.MatchString(text) || n > maxIterations {
		return fmt.Errorf("%q is no count of iterations", text)
	}
	k := sasl.Keys{Iterations: n}
	size := map[sasl.Hash]int{sasl.SHA256: 32, sasl.SHA1: 20}[h]
	for _, f := range []struct {
		name        string
		to          *[]byte
		least, most int
	}{{"salt", &k.Salt, 1, 256}, {"server-key", &k.ServerKey, size, size}, {"stored-key", &k.StoredKey, size, size}} {
		text, err := one(f.name)
		if err != nil {
			return err
		}
		if *f.to, err = base64.StdEncoding.DecodeString(text); err != nil || len(*f.to) < f.least || len(*f.to) > f.most {
			return fmt.Errorf("<%s/> of %s is not base64 of the right length", f.name, mechanism)
		}
	}
	m.keys[h] = k
	return nil
}
