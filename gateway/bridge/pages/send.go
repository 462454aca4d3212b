package pages

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"

	"doorway/transports"
	"doorway/transports/sms"
	"doorway/xmpp"
	"doorway/xmpp/form"
)

// Limits of one go.
const (
	maxNumbers = 100
	atOnce     = 8 // texts on their way to the disk
)

func (c *Pages) send(_ context.Context, call *xmpp.CommandCall) (*xmpp.CommandPage, error) {
	fields := []form.Field{
		{Var: "numbers", Kind: form.TextMulti, Label: "Numbers", Desc: fmt.Sprintf("One on each line, or with commas between them; %d at most", maxNumbers), Required: true},
		{Var: "text", Kind: form.TextMulti, Label: "Text", Required: true},
	}
	if c.Admin(call.Asker) {
		fields = append(fields, form.Switch("urgent", "It is urgent: before other texts, at any hour, given up soon", false))
	}
	return ask("Text several numbers", "Everybody gets a text of their own and sees none of the other numbers. Answers come to you.", true, c.sendAll, fields...), nil
}

// outcome is what became of one number.
type outcome struct {
	typed string
	to    transports.ContactID
	ref   transports.Ref
	err   error
}

func (c *Pages) sendAll(ctx context.Context, call *xmpp.CommandCall) (*xmpp.CommandPage, error) {
	list, err := c.numbers(call)
	if err != nil {
		return nil, err
	}
	body := ""
	if f := call.Form.Field("text"); f != nil {
		body = strings.TrimSpace(strings.Join(f.Values, "\n"))
	}
	if body == "" {
		return nil, xmpp.TryAgain("The text is empty. Write one.")
	}
	urgent, _ := form.Bool(value(call, "urgent"))
	urgent = urgent && c.Admin(call.Asker)

	var wg sync.WaitGroup // waited for below
	slots := make(chan struct{}, atOnce)
	for i := range list {
		o := &list[i]
		if o.err != nil {
			continue
		}
		slots <- struct{}{}
		wg.Go(func() {
			defer func() { <-slots }()
			_, o.ref, o.err = c.Text(ctx, call.Asker, string(o.to), body, urgent)
		})
	}
	wg.Wait()
	return outcomes(list), nil
}

// numbers are the different numbers that were typed, each with an error when it is none.
func (c *Pages) numbers(call *xmpp.CommandCall) ([]outcome, error) {
	var typed []string
	if f := call.Form.Field("numbers"); f != nil {
		for _, line := range f.Values {
			for _, n := range strings.FieldsFunc(line, func(r rune) bool { return r == ',' || r == ';' || r == '\n' }) {
				if n = strings.TrimSpace(n); n != "" {
					typed = append(typed, n)
				}
			}
		}
	}
	switch {
	case len(typed) == 0:
		return nil, xmpp.TryAgain("There is no number. Write at least one.")
	case len(typed) > maxNumbers:
		return nil, xmpp.TryAgain(fmt.Sprintf("These are %d numbers, and at most %d are texted at once, so nothing was sent. Send it in several goes.", len(typed), maxNumbers))
	}
	var list []outcome
	seen := map[transports.ContactID]bool{}
	for _, n := range typed {
		to, err := c.Number(n)
		if err == nil && seen[to] {
			continue
		}
		seen[to] = err == nil
		list = append(list, outcome{typed: n, to: to, err: err})
	}
	return list, nil
}

// outcomes is the page that tells what became of each.
func outcomes(list []outcome) *xmpp.CommandPage {
	var rows [][]string
	sent := 0
	for _, o := range list {
		number, id, words := string(o.to), "", "queued"
		if number == "" {
			number = o.typed
		}
		if o.err != nil {
			words = "not sent: " + sentence(o.err)
		} else {
			sent++
			if n, ok := sms.JobID(o.ref); ok {
				id = fmt.Sprint(n)
			}
		}
		rows = append(rows, []string{number, words, id})
	}
	page := table("Text several numbers", []column{{"number", "Number"}, {"outcome", "Outcome"}, {"id", "Id"}}, rows)
	switch {
	case sent == 0:
		page.Notes = append(page.Notes, note(xmpp.CommandFailure, "Nothing was sent. The list says why."))
	case sent < len(list):
		page.Notes = append(page.Notes, note(xmpp.CommandWarning, fmt.Sprintf("%d of %d texts are queued. The list says why the others are not.", sent, len(list))))
	default:
		text := fmt.Sprintf("All %d texts are queued.", sent)
		if sent == 1 {
			text = "The text is queued."
		}
		page.Notes = append(page.Notes, note(xmpp.CommandInfo, text))
	}
	return page
}

// sentence is an error for the sender; the network gives one of its own.
func sentence(err error) string {
	var e *transports.Error
	if errors.As(err, &e) {
		return e.Text
	}
	return "Something went wrong in the gateway. Try again in a moment."
}
