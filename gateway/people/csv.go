package people

import (
	"bytes"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode/utf8"
)

// The columns of a list of people, in the order in which they are exported.
const (
	colID          = "id"
	colAccount     = "account"
	colJID         = "jid"
	colName        = "name"
	colFirst       = "first"
	colLast        = "last"
	colNick        = "nick"
	colPhones      = "phones"
	colMail        = "mail"
	colDepartments = "departments"
	colGroups      = "groups"
	colLanguage    = "language"
	colSMS         = "sms"
	colHidden      = "hidden"
	colPrivate     = "private_phones"
	colLegacy      = "legacy"
	colNotes       = "notes"
)

// Columns are the headings of a list of people (RFC 4180), in order.
var Columns = []string{colID, colAccount, colJID, colName, colFirst, colLast, colNick, colPhones, colMail, colDepartments, colGroups,
	colLanguage, colSMS, colHidden, colPrivate, colLegacy, colNotes}

// otherHeadings are words that other programs write over the same columns.
var otherHeadings = map[string]string{
	"phone": colPhones, "mobile": colPhones, "tel": colPhones, "telephone": colPhones, "email": colMail, "e-mail": colMail,
	"department": colDepartments, "group": colGroups, "lang": colLanguage, "note": colNotes, "display name": colName, "full name": colName,
	"first name": colFirst, "given name": colFirst, "last name": colLast, "surname": colLast, "family name": colLast, "nickname": colNick,
	"user": colAccount, "username": colAccount, "login": colAccount,
}

// Problem is a fault in a list of people.
type Problem struct {
	Line   int    `json:"line"`             // of the file, from 1; 0 for the file as a whole
	Column int    `json:"column,omitempty"` // of the line, from 1; 0 for the line as a whole
	Name   string `json:"name,omitempty"`   // the column's heading
	Text   string `json:"text"`
}

func (p Problem) String() string {
	switch {
	case p.Line == 0:
		return p.Text
	case p.Column == 0:
		return fmt.Sprintf("line %d: %s", p.Line, p.Text)
	case p.Name == "":
		return fmt.Sprintf("line %d, column %d: %s", p.Line, p.Column, p.Text)
	}
	return fmt.Sprintf("line %d, column %d (%s): %s", p.Line, p.Column, p.Name, p.Text)
}

// maxProblems is how many are told at once.
const maxProblems = 50

// table is a list of people as it was read.
type table struct {
	columns map[string]int // heading → number, from 0
	unclear bool           // a heading is none that is known
	rows    []csvRow
}

type csvRow struct {
	line  int
	cells []string
}

// has reports a column that the list has.
func (t *table) has(column string) bool { _, ok := t.columns[column]; return ok }

// cell is the text of a column; "" when the list has no such column.
func (t *table) cell(r csvRow, column string) string {
	i, ok := t.columns[column]
	if !ok {
		return ""
	}
	return r.cells[i]
}

// in is a problem with one cell of a line, by its number; 0 for the list as a whole.
func (t *table) in(line int, column, text string) Problem {
	p := Problem{Line: line, Text: text}
	if i, ok := t.columns[column]; ok && line > 0 {
		p.Column, p.Name = i+1, column
	}
	return p
}

// at is a problem with one cell, or with the whole line where column is "".
func (t *table) at(r csvRow, column, format string, a ...any) Problem {
	return t.in(r.line, column, fmt.Sprintf(format, a...))
}

// parseCSV reads a list of people: UTF-8 with or without a mark, parted by
// commas, semicolons or tabs, with a heading. It stops at the first line that
// is no CSV, since the rest cannot be told from it.
func parseCSV(data []byte) (*table, []Problem) {
	data = bytes.TrimPrefix(data, []byte("\ufeff"))
	if i := invalidUTF8(data); i >= 0 {
		return nil, []Problem{{Line: 1 + bytes.Count(data[:i], []byte("\n")), Text: "This is not UTF-8 text. Save the list as “CSV UTF-8” and try again."}}
	}
	r := csv.NewReader(bytes.NewReader(data))
	r.Comma, r.FieldsPerRecord = separator(data), -1
	head, err := r.Read()
	if errors.Is(err, io.EOF) {
		return nil, []Problem{{Text: "The list is empty. Its first line names the columns, such as name,phones,mail."}}
	}
	if err != nil {
		return nil, []Problem{csvProblem(err)}
	}
	line, _ := r.FieldPos(0)
	t, problems := heading(head, line)
	for {
		cells, err := r.Read()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return t, append(problems, csvProblem(err))
		}
		line, _ := r.FieldPos(0)
		if slices.IndexFunc(cells, func(c string) bool { return strings.TrimSpace(c) != "" }) < 0 {
			continue
		}
		if len(cells) != len(head) {
			problems = append(problems, Problem{Line: line, Column: min(len(cells), len(head)) + 1,
				Text: fmt.Sprintf("The line has %s and the heading %d. Put texts that contain a %q in quotes.", columns(len(cells)), len(head), r.Comma)})
			continue
		}
		for i, c := range cells {
			cells[i] = strings.TrimSpace(unguard(c))
		}
		t.rows = append(t.rows, csvRow{line, cells})
		if len(t.rows) > MaxPeople {
			return t, append(problems, Problem{Line: line, Text: fmt.Sprintf("The list has more than %d people, which is all that this version keeps.", MaxPeople)})
		}
	}
	if len(t.rows) == 0 && len(problems) == 0 {
		problems = append(problems, Problem{Text: "Nobody is in the list: it has a heading only."})
	}
	return t, problems
}

// invalidUTF8 is where data is not UTF-8, was not or has a NUL; -1 for nowhere.
func invalidUTF8(data []byte) int {
	for i := 0; i < len(data); {
		r, size := utf8.DecodeRune(data[i:])
		if r == utf8.RuneError || r == 0 { // also U+FFFD itself, which JSON makes of what is not UTF-8
			return i
		}
		i += size
	}
	return -1
}

// separator is what the heading is parted by: spreadsheets write semicolons
// where the comma is in numbers.
func separator(data []byte) rune {
	head, _, _ := bytes.Cut(bytes.TrimLeft(data, "\r\n"), []byte("\n"))
	best, most := ',', 0
	for _, c := range []rune{',', ';', '\t'} {
		if n := bytes.Count(head, []byte(string(c))); n > most {
			best, most = c, n
		}
	}
	return best
}

func columns(n int) string {
	if n == 1 {
		return "1 column"
	}
	return fmt.Sprintf("%d columns", n)
}

// heading reads the first line that is not empty.
func heading(cells []string, line int) (*table, []Problem) {
	t := &table{columns: make(map[string]int)}
	var problems []Problem
	for i, c := range cells {
		name := strings.ToLower(strings.TrimSpace(unguard(c)))
		if other, ok := otherHeadings[name]; ok {
			name = other
		}
		switch {
		case !slices.Contains(Columns, name):
			t.unclear = true
			problems = append(problems, Problem{Line: line, Column: i + 1, Text: fmt.Sprintf("There is no column %q. The columns are %s.", c, strings.Join(Columns, ", "))})
		case t.has(name):
			problems = append(problems, Problem{Line: line, Column: i + 1, Name: name, Text: "This column is there twice. Take one away, or put both into one cell with a ; between."})
		default:
			t.columns[name] = i
		}
	}
	return t, problems
}

// csvProblem says where a line is no CSV.
func csvProblem(err error) Problem {
	var pe *csv.ParseError
	if !errors.As(err, &pe) {
		return Problem{Text: err.Error()}
	}
	p := Problem{Line: pe.Line, Column: pe.Column, Text: "This is not CSV. Save the list anew from a spreadsheet."}
	switch {
	case errors.Is(pe.Err, csv.ErrQuote) && pe.StartLine != pe.Line:
		p.Line, p.Text = pe.StartLine, "A text in quotation marks begins in this line and is not closed where it should be. Close it, and double the marks inside it."
	case errors.Is(pe.Err, csv.ErrQuote):
		p.Text = fmt.Sprintf("A quotation mark stands where none can be (character %d). Double those inside a text, and put the whole text in quotes.", pe.Column)
	case errors.Is(pe.Err, csv.ErrBareQuote):
		p.Text = fmt.Sprintf("A quotation mark stands inside a text without quotes (character %d). Double it, and put the whole text in quotes.", pe.Column)
	}
	p.Column = 0
	return p
}

// guarded are beginnings that spreadsheets take for a formula.
const guarded = "=+-@\t\r"

// guard puts a ' before a text that a spreadsheet would run as a formula, and
// before one that looks as if that had been done. unguard takes it away.
func guard(cell string) string {
	if rest := strings.TrimLeft(cell, "'"); rest != "" && strings.ContainsRune(guarded, rune(rest[0])) {
		return "'" + cell
	}
	return cell
}

func unguard(cell string) string {
	rest := strings.TrimLeft(cell, "'")
	if len(rest) < len(cell) && rest != "" && strings.ContainsRune(guarded, rune(rest[0])) {
		return cell[1:]
	}
	return cell
}

// splitList parts a cell that holds several.
func splitList(cell string) []string {
	var out []string
	for _, s := range strings.FieldsFunc(cell, func(r rune) bool { return r == '\n' || strings.ContainsRune(listSeparators, r) }) {
		if s = strings.TrimSpace(s); s != "" {
			out = append(out, s)
		}
	}
	return out
}

// yes reads a cell that says yes or no; ok is false for anything else.
func yes(cell string, empty bool) (value, ok bool) {
	switch strings.ToLower(cell) {
	case "":
		return empty, true
	case "yes", "y", "true", "1", "ja", "x":
		return true, true
	case "no", "n", "false", "0", "nein", "-":
		return false, true
	}
	return false, false
}

// ExportCSV writes all people as a list that can be imported again (RFC 4180):
// cells that a spreadsheet would run as a formula begin with a ', but for phone
// numbers, which begin with their plus.
func (s *State) ExportCSV(w io.Writer) error {
	out := csv.NewWriter(w)
	out.UseCRLF = true
	if err := out.Write(Columns); err != nil {
		return fmt.Errorf("export people: %w", err)
	}
	in := make(map[string][]string)
	for g := range s.Groups() {
		for _, m := range g.Members {
			if id, ok := m.Person(); ok {
				in[id] = append(in[id], g.ID)
			}
		}
	}
	for p := range s.People() {
		var legacy []string
		for _, j := range p.Legacy {
			legacy = append(legacy, j.String())
		}
		word := map[bool]string{true: "yes", false: "no"}
		cells := map[string]string{
			colID: p.ID, colAccount: p.Account, colJID: p.JID.String(), colName: p.Name, colFirst: p.First, colLast: p.Last, colNick: p.Nick,
			colPhones: strings.Join(p.Phones, ";"), colMail: p.Mail, colDepartments: strings.Join(p.Departments, ";"), colGroups: strings.Join(in[p.ID], ";"),
			colLanguage: p.Language, colSMS: word[!p.NoSMS], colHidden: word[p.Hidden], colPrivate: word[p.PrivatePhones],
			colLegacy: strings.Join(legacy, ";"), colNotes: p.Notes,
		}
		row := make([]string, len(Columns))
		for i, c := range Columns {
			if row[i] = cells[c]; c != colPhones {
				row[i] = guard(row[i])
			}
		}
		if err := out.Write(row); err != nil {
			return fmt.Errorf("export people: %w", err)
		}
	}
	out.Flush()
	return out.Error()
}
