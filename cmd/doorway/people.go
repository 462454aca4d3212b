package main

import (
	"context"
	"encoding/csv"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"

	"doorway/gateway/control"
)

// maxCSV is the size of a list of people, in bytes, that fits into one request.
const maxCSV = 4 << 20

// personFlags are those of people add and people edit.
func personFlags(name string) (fs *flag.FlagSet, edit func(who string) (control.PersonEdit, error)) {
	fs = newFlags(name)
	for flag, about := range map[string]string{
		"name": "the person's name as colleagues see it", "first": "first name", "last": "last name", "nick": "nickname",
		"mail": "mail address", "notes": "notes for administrators", "language": "language tag, such as de or pt-BR",
		"jid":    "address elsewhere, of somebody without an account here",
		"photo":  "a PNG, JPEG, GIF or WebP file of at most 64 KB; empty takes the photo away",
		"sms":    "whether texts may be sent to the phones: yes or no",
		"hidden": "whether the person is neither in the directory nor among everybody: yes or no", "private-phones": "whether the directory keeps the numbers to itself: yes or no",
	} {
		fs.String(flag, "", about)
	}
	var phones, departments, legacy list
	fs.Var(&phones, "phone", "phone number, the one for texts first; can be given several times, empty for none")
	fs.Var(&departments, "department", "department; can be given several times, empty for none")
	fs.Var(&legacy, "legacy", "address at a transport, such as 12345@icq.office.example; can be given several times, empty for none")
	return fs, func(who string) (control.PersonEdit, error) {
		r := control.PersonEdit{
			Who: who, JID: given(fs, "jid"), Name: given(fs, "name"), First: given(fs, "first"), Last: given(fs, "last"), Nick: given(fs, "nick"),
			Phones: phones.pointer(), Mail: given(fs, "mail"), Departments: departments.pointer(), Notes: given(fs, "notes"),
			Language: given(fs, "language"), Legacy: legacy.pointer(),
		}
		for flag, to := range map[string]**bool{"sms": &r.SMS, "hidden": &r.Hidden, "private-phones": &r.PrivatePhones} {
			word := given(fs, flag)
			if word == nil {
				continue
			}
			if *word != "yes" && *word != "no" {
				return r, usagef("--%s is %q; write yes or no", flag, *word)
			}
			is := *word == "yes"
			*to = &is
		}
		if file := given(fs, "photo"); file != nil {
			image := []byte{}
			if *file != "" {
				var err error
				if image, err = readSome(*file, 1<<20); err != nil {
					return r, err
				}
			}
			r.Photo = &image
		}
		return r, nil
	}
}

// readSome reads a file that may have so many bytes.
func readSome(name string, most int64) ([]byte, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, most+1))
	if err == nil && int64(len(b)) > most {
		err = fmt.Errorf("%s has more than %d KB", name, most>>10)
	}
	return b, err
}

func runPeopleAdd(ctx context.Context, a *app, args []string) error {
	return a.putPerson(ctx, args, "people add", "people.add")
}

func runPeopleEdit(ctx context.Context, a *app, args []string) error {
	return a.putPerson(ctx, args, "people edit", "people.edit")
}

func (a *app) putPerson(ctx context.Context, args []string, name, command string) error {
	var t target
	fs, edit := personFlags(name)
	rest, err := t.parse(fs, args, 1, 1)
	if err != nil {
		return err
	}
	r, err := edit(rest[0])
	if err != nil {
		return err
	}
	var p control.Person
	if err := t.call(ctx, command, r, &p); err != nil {
		return err
	}
	return a.showPerson(t, p)
}

func runPeopleShow(ctx context.Context, a *app, args []string) error {
	var t target
	rest, err := t.parse(newFlags("people show"), args, 1, 1)
	if err != nil {
		return err
	}
	var p control.Person
	if err := t.call(ctx, "people.show", control.PersonName{Who: rest[0]}, &p); err != nil {
		return err
	}
	return a.showPerson(t, p)
}

func (a *app) showPerson(t target, p control.Person) error {
	if t.json {
		return a.printJSON(p)
	}
	reach := p.Address
	if reach == "" {
		reach = "nowhere: there is neither an account nor a phone that may be texted"
	}
	word := map[bool]string{true: "yes", false: "no"}
	rows := [][2]string{
		{"person", p.ID}, {"reached at", reach}, {"account", p.Account}, {"jid", p.JID}, {"name", p.Name}, {"first", p.First}, {"last", p.Last}, {"nick", p.Nick},
		{"phones", strings.Join(p.Phones, ", ")}, {"mail", p.Mail}, {"departments", strings.Join(p.Departments, ", ")}, {"language", p.Language},
		{"sms", word[p.SMS]}, {"hidden", word[p.Hidden]}, {"private", word[p.PrivatePhones]}, {"legacy", strings.Join(p.Legacy, ", ")},
		{"groups", strings.Join(p.Groups, ", ")}, {"notes", p.Notes},
	}
	if p.Photo != nil {
		rows = append(rows, [2]string{"photo", fmt.Sprintf("%s, %d bytes", p.Photo.Type, p.Photo.Size)})
	}
	for _, r := range rows {
		if r[1] != "" {
			fmt.Fprintf(a.out, "%-12s %s\n", r[0], r[1])
		}
	}
	return nil
}

func runPeopleList(ctx context.Context, a *app, args []string) error {
	var t target
	fs := newFlags("people list")
	var r control.PeopleFilter
	fs.StringVar(&r.Group, "group", "", "only those who are in this group by name")
	fs.StringVar(&r.Department, "department", "", "only those of this department")
	rest, err := t.parse(fs, args, 0, 1)
	if err != nil {
		return err
	}
	if len(rest) > 0 {
		r.Text = rest[0]
	}
	var people []control.Person
	if err := t.call(ctx, "people.list", r, &people); err != nil {
		return err
	}
	if t.json {
		return a.printJSON(people)
	}
	if len(people) == 0 {
		fmt.Fprintln(a.out, "There is nobody like that. `doorway people add ID` makes a person, `doorway people import FILE` takes a list over.")
	}
	for _, p := range people {
		fmt.Fprintf(a.out, "%-20s %-28s %-36s %s\n", p.ID, p.Name, p.Address, strings.Join(p.Groups, ", "))
	}
	return nil
}

func runPeopleRemove(ctx context.Context, a *app, args []string) error {
	var t target
	rest, err := t.parse(newFlags("people remove"), args, 1, 1)
	if err != nil {
		return err
	}
	var p control.Person
	if err := t.call(ctx, "people.remove", control.PersonName{Who: rest[0]}, &p); err != nil {
		return err
	}
	if t.json {
		return a.printJSON(p)
	}
	fmt.Fprintf(a.out, "%s is removed, from all groups too.\n", p.ID)
	return nil
}

func runPeopleExport(ctx context.Context, a *app, args []string) error {
	var t target
	rest, err := t.parse(newFlags("people export"), args, 0, 1)
	if err != nil {
		return err
	}
	var all control.PeopleCSV
	if err := t.call(ctx, "people.export", nil, &all); err != nil {
		return err
	}
	switch {
	case t.json:
		return a.printJSON(all)
	case len(rest) == 0 || rest[0] == "-":
		_, err := io.WriteString(a.out, all.CSV)
		return err
	}
	if err := os.WriteFile(rest[0], []byte(all.CSV), 0o600); err != nil {
		return fmt.Errorf("write the list: %w", err)
	}
	fmt.Fprintf(a.out, "%s: %s.\n", rest[0], peopleCount(all.Count))
	return nil
}

func peopleCount(n int) string {
	if n == 1 {
		return "1 person"
	}
	return strconv.Itoa(n) + " people"
}

// runPeopleImport asks first what the list would do. Passwords of new accounts
// are made here and are in their file before the first account is made, so
// that none can be lost.
func runPeopleImport(ctx context.Context, a *app, args []string) error {
	var t target
	fs := newFlags("people import")
	dry := fs.Bool("dry-run", false, "only say what would change")
	passwords := fs.String("passwords", "", "a new file for the passwords of accounts that the list makes (mode 0600)")
	departments := fs.Bool("department-groups", false, "make a group of each department")
	rest, err := t.parse(fs, args, 1, 1)
	if err != nil {
		return err
	}
	text, err := a.readCSV(rest[0])
	if err != nil {
		return err
	}
	r := control.PeopleImport{CSV: string(text), DepartmentGroups: *departments, DryRun: true}
	var out control.PeopleImported
	if err := t.call(ctx, "people.import", r, &out); err != nil {
		return err
	}
	var undo func() error
	if len(out.Problems) == 0 && !*dry {
		if r.Passwords, undo, err = writePasswords(*passwords, out.Accounts); err != nil {
			return err
		}
		r.DryRun = false
		out = control.PeopleImported{}
		if err := t.call(ctx, "people.import", r, &out); err != nil {
			var refused *control.Error
			if errors.As(err, &refused) || errors.Is(err, control.ErrNotRunning) { // nothing was changed; else one cannot know
				err = errors.Join(err, undo())
			}
			return err
		}
		if len(out.Problems) > 0 { // somebody else was faster
			if err := undo(); err != nil {
				return err
			}
		}
	}
	if t.json {
		if err := a.printJSON(out); err != nil {
			return err
		}
	} else {
		a.showImport(rest[0], *passwords, out)
	}
	if len(out.Problems) > 0 {
		return fmt.Errorf("%s was not taken over; nothing was changed", rest[0])
	}
	return nil
}

func (a *app) readCSV(name string) ([]byte, error) {
	if name != "-" {
		return readSome(name, maxCSV)
	}
	b, err := io.ReadAll(io.LimitReader(a.in, maxCSV+1))
	if err == nil && len(b) > maxCSV {
		err = fmt.Errorf("the list has more than %d KB", maxCSV>>10)
	}
	return b, err
}

// writePasswords makes passwords and writes them into a new file. undo removes
// it again.
func writePasswords(name string, accounts []string) (made map[string]string, undo func() error, err error) {
	undo = func() error { return nil }
	if len(accounts) == 0 {
		return nil, undo, nil
	}
	if name == "" {
		return nil, undo, usagef("the list makes %s (%s); name a new file for the passwords with --passwords FILE", count(len(accounts), "account"), strings.Join(accounts[:min(3, len(accounts))], ", "))
	}
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, os.ErrExist) {
		return nil, undo, usagef("%s is there already; name a new file for the passwords", name)
	}
	if err != nil {
		return nil, undo, fmt.Errorf("make the file of passwords: %w", err)
	}
	undo = func() error { return os.Remove(name) }
	made = make(map[string]string, len(accounts))
	w := csv.NewWriter(f)
	_ = w.Write([]string{"account", "password"}) // ignored: Error tells
	for _, local := range slices.Sorted(slices.Values(accounts)) {
		if made[local], err = newPassword(); err != nil {
			return nil, undo, errors.Join(err, f.Close(), undo())
		}
		_ = w.Write([]string{local, made[local]}) // ignored: Error tells
	}
	w.Flush()
	if err := errors.Join(w.Error(), f.Sync(), f.Close()); err != nil {
		return nil, undo, errors.Join(fmt.Errorf("write the file of passwords: %w", err), undo())
	}
	return made, undo, nil
}

func (a *app) showImport(file, passwords string, out control.PeopleImported) {
	for _, p := range out.Problems {
		fmt.Fprintf(a.err, "%s: %s\n", file, p)
	}
	if len(out.Problems) > 0 {
		return
	}
	added := 0
	for _, c := range out.Changes {
		verb := "changed"
		if c.Added {
			verb = "added"
			added++
		}
		fmt.Fprintf(a.out, "line %-5d %-8s %-20s %s\n", c.Line, verb, c.ID, strings.Join(c.What, "; "))
	}
	would := ""
	if out.DryRun {
		would = "Nothing was changed. It would be: "
	}
	fmt.Fprintf(a.out, "%s%s added, %d changed, %d as they are.\n", would, peopleCount(added), len(out.Changes)-added, out.Same)
	if len(out.Groups) > 0 {
		fmt.Fprintf(a.out, "New groups, visible to their members: %s.\n", strings.Join(out.Groups, ", "))
	}
	if len(out.Accounts) > 0 && !out.DryRun {
		fmt.Fprintf(a.out, "New accounts: %d. Their passwords are in %s, and nowhere else; give them out and delete the file.\n", len(out.Accounts), passwords)
	} else if len(out.Accounts) > 0 {
		fmt.Fprintf(a.out, "New accounts: %s. Name a file for their passwords with --passwords FILE.\n", strings.Join(out.Accounts, ", "))
	}
}
