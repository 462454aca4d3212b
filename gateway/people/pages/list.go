package pages

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"

	"doorway/gateway/people"
	"doorway/xmpp"
	"doorway/xmpp/form"
)

// Limits of lists in a form, which comes in one stanza.
const (
	maxShown    = 200 // changes of an import that are shown
	maxExported = 1000
)

// importList takes over a list of people: pasted, tried, confirmed.
func (c Config) importList(context.Context, *xmpp.CommandCall) (*xmpp.CommandPage, error) {
	list := several("list", "The list", "CSV with a heading, such as name;phones;groups", nil)
	list.Required = true
	return ask("Take over a list of people", "Paste the list. What it would change is shown before anything is changed.", false, c.tryList,
		list, form.Switch("departments", "Each department is a group", false)), nil
}

func (c Config) tryList(_ context.Context, call *xmpp.CommandCall) (*xmpp.CommandPage, error) {
	var in people.Import
	if f := call.Form.Field("list"); f != nil {
		in.Data = []byte(strings.Join(f.Values, "\n"))
	}
	in.DepartmentGroups, _ = form.Bool(value(call, "departments")) // ignored: the form was checked
	out, err := c.People.TryImport(in)
	switch {
	case err != nil:
		return nil, listFault(err)
	case len(out.Accounts) > 0:
		return nil, xmpp.TryAgain("The list makes accounts: " + strings.Join(out.Accounts, ", ") +
			". Add them first, or use `doorway people import` on the server, which makes their passwords.")
	case len(out.Changes) == 0:
		return xmpp.CommandDone(imported(out)), nil
	}
	var lines []string
	for _, x := range out.Changes[:min(len(out.Changes), maxShown)] {
		verb := "changed"
		if x.Added {
			verb = "added"
		}
		lines = append(lines, fmt.Sprintf("line %d: %s is %s: %s", x.Line, x.ID, verb, strings.Join(x.What, "; ")))
	}
	if more := len(out.Changes) - maxShown; more > 0 {
		lines = append(lines, fmt.Sprintf("and %d more", more))
	}
	if len(out.Groups) > 0 {
		lines = append(lines, "New groups, visible to their members: "+strings.Join(out.Groups, ", "))
	}
	return ask("Take over a list of people", "It would be: "+imported(out), true, func(ctx context.Context, _ *xmpp.CommandCall) (*xmpp.CommandPage, error) {
		out, err := c.People.Import(ctx, in)
		if err != nil {
			return nil, listFault(err)
		}
		return xmpp.CommandDone(imported(out)), nil
	}, form.Field{Kind: form.Fixed, Values: lines}), nil
}

// listFault lets somebody mend the list whose fault it is.
func listFault(err error) error {
	var faults *people.ImportError
	if errors.As(err, &faults) {
		return xmpp.TryAgain(faults.Error())
	}
	return told(err)
}

func imported(out people.Imported) string {
	added := 0
	for _, x := range out.Changes {
		if x.Added {
			added++
		}
	}
	return fmt.Sprintf("%d added, %d changed, %d as they are.", added, len(out.Changes)-added, out.Same)
}

// exportList shows all people as a list that can be taken over again.
func (c Config) exportList(context.Context, *xmpp.CommandCall) (*xmpp.CommandPage, error) {
	s := c.People.State()
	if s.CountPeople() > maxExported {
		return xmpp.CommandFailed(fmt.Sprintf("There are more than %d people, too many for a form. Use `doorway people export` on the server.", maxExported)), nil
	}
	var b bytes.Buffer
	if err := s.ExportCSV(&b); err != nil {
		return nil, err
	}
	f := form.New(form.Result, prefix, several("list", "The list, as CSV", "", strings.Split(strings.TrimSuffix(b.String(), "\r\n"), "\r\n")))
	f.Title = "All people"
	return &xmpp.CommandPage{Form: f}, nil
}
