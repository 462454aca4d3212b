package people

import (
	"strings"

	"doorway/xmpp/jid"
)

// whose finds the person a line is about, so that the same list can be taken
// over again: by id, account, address, number, mail address or name, in this
// order. It returns a copy of the person, or a new one.
func (m *importer) whose(r csvRow) (*Person, bool) {
	local, ok := m.typedAccount(r)
	if !ok {
		return nil, false
	}
	at, ok := m.typedJID(r)
	if !ok {
		return nil, false
	}
	id := ""
	if typed := m.t.cell(r, colID); typed != "" {
		var err error
		if id, err = prepareID("person", typed); err != nil && m.e.old.people[typed] == nil {
			m.fault(m.t.at(r, colID, "%v", err))
			return nil, false
		} else if err != nil {
			id = typed
		}
	}
	old, ok := m.known(r, id, local, at)
	if !ok {
		return nil, false
	}
	p := &Person{}
	if old != nil {
		c := *old
		p = &c
	} else if !m.alone(r, id, local) {
		return nil, false
	} else if p.ID = m.newID(r, id, local); p.ID == "" {
		if m.t.unclear {
			return nil, false // the name may be in a column that is not known
		}
		m.fault(m.t.at(r, "", "Nobody is named here. Give an id, an account, a name, a mail address or a number."))
		return nil, false
	}
	switch {
	case local == "":
	case p.Account == "" || p.Account == local:
		p.Account = local
	default:
		m.fault(m.t.at(r, colAccount, "%s has the account %s, and an account cannot be renamed. Write that one, or leave the cell empty.", p.Display(), p.Account))
		return nil, false
	}
	if m.t.has(colJID) {
		p.JID = at
	}
	return p, true
}

// typedAccount reads the column account.
func (m *importer) typedAccount(r csvRow) (local string, ok bool) {
	typed := m.t.cell(r, colAccount)
	if typed == "" {
		return "", true
	}
	local, err := Prepare(strings.TrimSuffix(typed, "@"+m.e.p.house.Domain))
	if err != nil {
		m.fault(m.t.at(r, colAccount, "%v", err))
		return "", false
	}
	return local, true
}

// typedJID reads the column jid.
func (m *importer) typedJID(r csvRow) (j jid.JID, ok bool) {
	typed := m.t.cell(r, colJID)
	if typed == "" {
		return j, true
	}
	j, err := jid.Parse(typed)
	if err != nil {
		m.fault(m.t.at(r, colJID, "%q is not an address. Write one such as anna@elsewhere.example, or a name in the column account.", typed))
		return j, false
	}
	return j, true
}

// known finds the person among those that there were; nil for a new one.
func (m *importer) known(r csvRow, id, local string, at jid.JID) (*Person, bool) {
	s := m.e.old
	owner := s.OfAccount(local)
	if id != "" {
		p := s.people[id]
		if owner != nil && owner != p {
			m.fault(m.t.at(r, colAccount, "The account %s is that of %s (%s).", local, owner.Display(), owner.ID))
			return nil, false
		}
		return p, true
	}
	if owner != nil {
		return owner, true
	}
	if p := s.OfAddress(at); p != nil && !at.IsZero() {
		return p, true
	}
	if local != "" && s.people[local] != nil && s.people[local].Account == "" {
		return s.people[local], true // as for `doorway user add`
	}
	var byPhone *Person
	for _, typed := range phoneList(m.t.cell(r, colPhones)) {
		num, err := m.e.p.house.Numbers.Parse(typed)
		if err != nil {
			continue // fill says so
		}
		if p := s.OfPhone(num); p != nil && byPhone != nil && p != byPhone {
			m.fault(m.t.at(r, colPhones, "These are numbers of two people, %s (%s) and %s (%s). Give the id of whom you mean.", byPhone.Display(), byPhone.ID, p.Display(), p.ID))
			return nil, false
		} else if p != nil {
			byPhone = p
		}
	}
	if byPhone != nil {
		return byPhone, true
	}
	if ids := m.mails[strings.ToLower(m.t.cell(r, colMail))]; len(ids) == 1 {
		return s.people[ids[0]], true
	}
	return m.knownByName(r, local)
}

// knownByName finds somebody of the same name, if that cannot be anybody else.
func (m *importer) knownByName(r csvRow, local string) (*Person, bool) {
	name := m.typedName(r)
	ids := m.names[strings.ToLower(name)]
	if name == "" || len(ids) == 0 || local != "" {
		return nil, true
	}
	if len(ids) > 1 {
		m.fault(m.t.at(r, colName, "There are several people called %s: %s. Give the id of whom you mean, or a new one.", name, strings.Join(ids, ", ")))
		return nil, false
	}
	p := m.e.old.people[ids[0]]
	if m.t.cell(r, colPhones) != "" && len(p.Phones) > 0 || m.t.cell(r, colMail) != "" && p.Mail != "" {
		m.fault(m.t.at(r, colName, "There is already somebody called %s (%s) with another number or mail address. If it is the same person give the id %s, else a new one.", name, p.ID, p.ID))
		return nil, false
	}
	return p, true
}

// alone refuses a second new person of one name, when nothing would tell the
// two apart the next time.
func (m *importer) alone(r csvRow, id, local string) bool {
	name := strings.ToLower(m.typedName(r))
	if name == "" {
		return true
	}
	told := id != "" || local != "" || m.t.cell(r, colPhones) != "" || m.t.cell(r, colMail) != ""
	first, twice := m.fresh[name]
	if twice && !(told && first.told) {
		m.fault(m.t.at(r, colName, "Somebody of the same name is in line %d. Give each of the two an id, a number or a mail address.", first.line))
		return false
	}
	m.fresh[name] = newName{r.line, told}
	return true
}

// newName is a new person of the list, and whether more than the name is known.
type newName struct {
	line int
	told bool
}

func (m *importer) typedName(r csvRow) string {
	if name := m.t.cell(r, colName); name != "" {
		return name
	}
	return strings.TrimSpace(m.t.cell(r, colFirst) + " " + m.t.cell(r, colLast))
}

// newID makes the id of a new person: the one given, else of the account, the
// name, the mail address or the number. "" when there is none of them.
func (m *importer) newID(r csvRow, id, local string) string {
	taken := func(id string) bool { _, listed := m.lines[id]; return listed || m.e.Person(id) != nil }
	if id != "" {
		return id
	}
	mail, _, _ := strings.Cut(m.t.cell(r, colMail), "@")
	for _, text := range []string{local, m.typedName(r), mail, m.t.cell(r, colPhones)} {
		if text != "" {
			return freeID(idFrom(text), taken)
		}
	}
	return ""
}
