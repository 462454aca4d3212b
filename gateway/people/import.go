package people

import (
	"context"
	"fmt"
	"slices"
	"sort"
	"strings"
	"time"

	"doorway/xmpp/jid"
	"doorway/xmpp/sasl"
)

// Import is a list of people to be taken over. A column that the list has is
// the truth for the people in it, an empty cell too; a column that it has not,
// and people who are not in it, stay as they are. Only groups and accounts are
// never removed.
type Import struct {
	Data             []byte            // CSV; ExportCSV writes the same
	Passwords        map[string]string // of accounts that are to be made, by localpart
	DepartmentGroups bool              // each department is a group with its people
}

// Imported is what an import does or, tried, would do.
type Imported struct {
	Changes  []ImportChange `json:"changes"`  // in the order of the list
	Same     int            `json:"same"`     // people who are as the list says
	Accounts []string       `json:"accounts"` // made anew, by localpart
	Groups   []string       `json:"groups"`   // made anew, by id
}

// ImportChange is one person whom an import adds or changes.
type ImportChange struct {
	Line  int      `json:"line"`
	ID    string   `json:"id"`
	Name  string   `json:"name,omitempty"`
	Added bool     `json:"added,omitempty"`
	What  []string `json:"what"` // e.g. "phones: +4915550101"
}

// ImportError is a list that was not taken over: nothing was changed.
type ImportError struct{ Problems []Problem }

func (e *ImportError) Error() string {
	lines := make([]string, 0, len(e.Problems)+1)
	for _, p := range e.Problems[:min(len(e.Problems), maxProblems)] {
		lines = append(lines, p.String())
	}
	if more := len(e.Problems) - maxProblems; more > 0 {
		lines = append(lines, fmt.Sprintf("and %d more", more))
	}
	return strings.Join(lines, "\n")
}

// Import takes a list over as one transaction: all of it or, with an
// *ImportError, nothing.
func (p *People) Import(ctx context.Context, in Import) (Imported, error) {
	made := make(map[string]map[sasl.Hash]keys, len(in.Passwords)) // not nil: it is meant
	for local, password := range in.Passwords {                    // slow, so before anybody has to wait
		if err := ctx.Err(); err != nil {
			return Imported{}, err
		}
		k, err := derive(password)
		if err != nil {
			return Imported{}, fmt.Errorf("password of %s: %w", local, err)
		}
		made[local] = k
	}
	var m *importer
	err := p.Edit(ctx, func(e *Edit) error {
		m = newImporter(e, in)
		m.keys = made
		return m.run()
	})
	if err != nil {
		return Imported{}, err
	}
	return m.out, nil
}

// TryImport says what Import would do. Passwords need not be there.
func (p *People) TryImport(in Import) (Imported, error) {
	var m *importer
	_, _, err := p.Try(func(e *Edit) error {
		m = newImporter(e, in)
		return m.run()
	})
	if err != nil {
		return Imported{}, err
	}
	return m.out, nil
}

// importer works through one list.
type importer struct {
	e        *Edit
	in       Import
	keys     map[string]map[sasl.Hash]keys // nil: only tried
	t        *table
	problems []Problem
	out      Imported

	lines map[string]int      // line of each person in the list, by id
	names map[string][]string // ids of the people that there were, by name
	mails map[string][]string // and by mail address
	was   map[string][]string // and their groups
	fresh map[string]newName  // new people in the list, by name
	joins []membership
}

// membership is somebody who comes into a group, or leaves it.
type membership struct {
	r     csvRow
	id    string // of the person
	group string // as typed, or the id of one to be left
	leave bool
}

func newImporter(e *Edit, in Import) *importer {
	m := &importer{e: e, in: in, lines: map[string]int{}, names: map[string][]string{}, mails: map[string][]string{}, was: map[string][]string{}, fresh: map[string]newName{}}
	m.out = Imported{Changes: []ImportChange{}, Accounts: []string{}, Groups: []string{}}
	for p := range e.old.People() {
		if p.Name != "" {
			m.names[strings.ToLower(p.Name)] = append(m.names[strings.ToLower(p.Name)], p.ID)
		}
		if p.Mail != "" {
			m.mails[strings.ToLower(p.Mail)] = append(m.mails[strings.ToLower(p.Mail)], p.ID)
		}
	}
	for g := range e.old.Groups() {
		for _, x := range g.Members {
			if id, ok := x.Person(); ok {
				m.was[id] = append(m.was[id], g.ID)
			}
		}
	}
	return m
}

func (m *importer) fault(p Problem) { m.problems = append(m.problems, p) }

// run works through the list; an *ImportError when anything is wrong with it.
func (m *importer) run() error {
	m.t, m.problems = parseCSV(m.in.Data)
	if m.t != nil {
		for _, r := range m.t.rows {
			m.row(r)
		}
		m.memberships()
	}
	if len(m.problems) == 0 {
		_, faults := m.e.result()
		for _, f := range faults { // of two people the list may have one only
			m.fault(m.t.in(max(m.lines[f.person], m.lines[f.other]), f.column, f.text))
		}
	}
	if len(m.problems) > 0 {
		sort.SliceStable(m.problems, func(i, j int) bool { return m.problems[i].Line < m.problems[j].Line })
		return &ImportError{m.problems}
	}
	return nil
}

// row takes one person over.
func (m *importer) row(r csvRow) {
	p, ok := m.whose(r)
	if !ok {
		return
	}
	if first, twice := m.lines[p.ID]; twice {
		m.fault(m.t.at(r, "", "This is the same person (%s) as in line %d. Make one line of the two, or give each an id of its own.", p.ID, first))
		return
	}
	m.lines[p.ID] = r.line
	old := m.e.Person(p.ID)
	if !m.fill(r, p) {
		return
	}
	local := p.Account
	if old == nil || old.Account == "" {
		p.Account = ""
	}
	c, err := m.e.p.house.clean(*p)
	if err != nil {
		m.fault(m.t.at(r, m.blame(p, err), "%v", err))
		return
	}
	if local != c.Account && !m.account(r, c, local) {
		return
	}
	m.e.setPerson(c.ID, c)
	m.note(r, old, c, m.groupsOf(r, old, c))
}

// account makes the account of a person.
func (m *importer) account(r csvRow, c *Person, local string) bool {
	if !c.JID.IsZero() {
		m.fault(m.t.at(r, colAccount, "%s has the address %s already. Move it to the legacy addresses to give an account.", c.Display(), c.JID))
		return false
	}
	k := m.keys[local]
	if m.keys != nil && k == nil {
		m.fault(m.t.at(r, colAccount, "There is no account %s yet, and no password for it was given.", local))
		return false
	}
	if m.keys != nil {
		m.e.accounts[local] = &record{V: recordVersion, Account: Account{Local: local, Name: c.Name, Created: time.Now().UTC().Truncate(time.Second)}, Keys: k}
	}
	c.Account = local
	c.addr = m.e.p.house.address(c)
	m.out.Accounts = append(m.out.Accounts, local)
	return true
}

// blame finds the cell that a refusal is about, where trying each tells.
func (m *importer) blame(p *Person, refusal error) string {
	h := m.e.p.house
	for column, only := range map[string]Person{
		colPhones: {Phones: p.Phones}, colMail: {Mail: p.Mail}, colLanguage: {Language: p.Language}, colName: {Name: p.Name}, colFirst: {First: p.First},
		colLast: {Last: p.Last}, colNick: {Nick: p.Nick}, colDepartments: {Departments: p.Departments}, colNotes: {Notes: p.Notes},
		colLegacy: {Legacy: p.Legacy}, colJID: {JID: p.JID},
	} {
		only.ID = "x"
		if _, err := h.clean(only); err != nil && err.Error() == refusal.Error() && m.t.has(column) {
			return column
		}
	}
	return ""
}

// fill writes the cells of a line over a person.
func (m *importer) fill(r csvRow, p *Person) bool {
	ok := true
	for column, text := range map[string]*string{colName: &p.Name, colFirst: &p.First, colLast: &p.Last, colNick: &p.Nick, colMail: &p.Mail, colLanguage: &p.Language, colNotes: &p.Notes} {
		if m.t.has(column) {
			*text = m.t.cell(r, column)
		}
	}
	if m.t.has(colPhones) {
		p.Phones = phoneList(m.t.cell(r, colPhones))
	}
	if m.t.has(colDepartments) {
		p.Departments = splitList(m.t.cell(r, colDepartments))
	}
	for column, flag := range map[string]*bool{colSMS: &p.NoSMS, colHidden: &p.Hidden, colPrivate: &p.PrivatePhones} {
		if !m.t.has(column) {
			continue
		}
		value, known := yes(m.t.cell(r, column), column == colSMS)
		if !known {
			m.fault(m.t.at(r, column, "%q is neither yes nor no.", m.t.cell(r, column)))
			ok = false
		}
		*flag = value != (column == colSMS)
	}
	if m.t.has(colLegacy) {
		p.Legacy = nil
		for _, typed := range splitList(m.t.cell(r, colLegacy)) {
			j, err := jid.Parse(typed)
			if err != nil {
				m.fault(m.t.at(r, colLegacy, "%q is not an address. Write one such as 12345@icq.%s.", typed, m.e.p.house.Domain))
				ok = false
			}
			p.Legacy = append(p.Legacy, j)
		}
	}
	return ok
}

// phoneList parts numbers, which may have commas between them too.
func phoneList(cell string) []string { return splitList(strings.ReplaceAll(cell, ",", ";")) }

// groupsOf notes what the line says of groups, and returns it in words.
func (m *importer) groupsOf(r csvRow, old, c *Person) (what []string) {
	id := c.ID
	var wanted, left []string
	if m.t.has(colGroups) {
		wanted = splitList(m.t.cell(r, colGroups))
	}
	if m.in.DepartmentGroups {
		wanted = append(wanted, c.Departments...)
	}
	if m.in.DepartmentGroups && old != nil {
		for _, d := range old.Departments {
			if g := m.groupNamed(d); g != nil {
				left = append(left, g.ID)
			}
		}
	}
	var stays []string
	for _, typed := range wanted {
		g := m.groupNamed(typed)
		name := strings.ToLower(typed)
		if g != nil {
			name = g.ID
		}
		if slices.Contains(stays, name) {
			continue
		}
		if stays = append(stays, name); g != nil {
			if slices.Contains(m.was[id], g.ID) {
				continue
			}
		}
		m.joins = append(m.joins, membership{r: r, id: id, group: typed})
		what = append(what, "joins "+typed)
	}
	for _, g := range m.was[id] {
		if !slices.Contains(stays, g) && (m.t.has(colGroups) || slices.Contains(left, g)) {
			m.joins = append(m.joins, membership{r: r, id: id, group: g, leave: true})
			what = append(what, "leaves "+g)
		}
	}
	return what
}

// groupNamed finds a group by id or label.
func (m *importer) groupNamed(typed string) *Group {
	if id, err := prepareID("group", typed); err == nil && m.e.Group(id) != nil {
		return m.e.Group(id)
	}
	for g := range m.e.old.Groups() {
		if strings.EqualFold(g.Label, typed) {
			return g
		}
	}
	return nil
}

// memberships changes the groups, each once, and makes those that are new.
func (m *importer) memberships() {
	changed := make(map[string]*Group)
	made := make(map[string]string) // id by what was typed
	for _, j := range m.joins {
		id := made[strings.ToLower(j.group)]
		if g := m.groupNamed(j.group); g != nil {
			id = g.ID
		}
		if id == "" {
			var err error
			if id, err = m.newGroup(changed, j.group); err != nil {
				m.fault(m.t.at(j.r, colGroups, "%v", err))
				continue
			}
			made[strings.ToLower(j.group)] = id
			m.out.Groups = append(m.out.Groups, id)
		}
		g := changed[id]
		if g == nil {
			c := *m.e.Group(id)
			c.Members = slices.Clone(c.Members)
			g, changed[id] = &c, &c
		}
		if j.leave {
			g.Members = without(g.Members, Member(j.id))
		} else {
			g.Members = append(g.Members, Member(j.id))
		}
	}
	for _, g := range changed {
		if err := m.e.PutGroup(*g); err != nil {
			m.fault(Problem{Text: err.Error()})
		}
	}
	slices.Sort(m.out.Groups)
}

// newGroup makes a group that its members see, labelled as it was typed.
func (m *importer) newGroup(changed map[string]*Group, typed string) (string, error) {
	id, err := prepareID("group", typed)
	if err != nil {
		if id = idFrom(typed); id == noID {
			id = "group"
		}
		id = freeID(id, func(id string) bool { return m.e.Group(id) != nil || changed[id] != nil })
	}
	label, err := line("label", typed, maxName)
	changed[id] = &Group{ID: id, Label: label, Visible: Visible{Members: true}}
	return id, err
}

// note writes down what a line changes.
func (m *importer) note(r csvRow, old, c *Person, groups []string) {
	change := ImportChange{Line: r.line, ID: c.ID, Name: c.Name, Added: old == nil, What: append(differ(old, c), groups...)}
	if old != nil && len(change.What) == 0 {
		m.out.Same++
		return
	}
	m.out.Changes = append(m.out.Changes, change)
}

// differ says in words what of a person is new.
func differ(old, c *Person) (what []string) {
	if old == nil {
		old = &Person{}
	}
	word := func(name string, a, b any) {
		x, y := strings.Trim(fmt.Sprint(a), "[]"), strings.Trim(fmt.Sprint(b), "[]")
		switch {
		case x == y:
		case y == "":
			what = append(what, name+" removed")
		default:
			what = append(what, name+": "+strings.ReplaceAll(y, "\n", " "))
		}
	}
	word(colAccount, old.Account, c.Account)
	word(colJID, old.JID, c.JID)
	word(colName, old.Name, c.Name)
	word(colFirst, old.First, c.First)
	word(colLast, old.Last, c.Last)
	word(colNick, old.Nick, c.Nick)
	word(colPhones, old.Phones, c.Phones)
	word(colMail, old.Mail, c.Mail)
	word(colDepartments, strings.Join(old.Departments, ", "), strings.Join(c.Departments, ", "))
	word(colLanguage, old.Language, c.Language)
	flag := map[bool]string{true: "yes", false: "no"}
	word(colSMS, flag[!old.NoSMS], flag[!c.NoSMS])
	word(colHidden, flag[old.Hidden], flag[c.Hidden])
	word(colPrivate, flag[old.PrivatePhones], flag[c.PrivatePhones])
	word(colLegacy, old.Legacy, c.Legacy)
	word(colNotes, old.Notes, c.Notes)
	return what
}
