package pages

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"doorway/transports"
	"doorway/xmpp"
	"doorway/xmpp/form"
)

// Limits of one look at the history.
const (
	maxRows = 50
	maxLook = 5000 // texts that are looked at to find one's own
	step    = 200
)

// stateWords say what a state means to who wrote the text.
var stateWords = map[transports.State]string{
	transports.Queued:          "waits to be sent",
	transports.Leased:          "is being sent",
	transports.OnAir:           "is being sent",
	transports.Accepted:        "sent, the phone has not got it yet",
	transports.Delivered:       "delivered",
	transports.SentUnconfirmed: "sent, not confirmed by the phone",
	transports.PossiblySent:    "perhaps sent",
	transports.RetryWait:       "is tried again",
	transports.Failed:          "not delivered",
	transports.Cancelled:       "cancelled",
	transports.Expired:         "given up",
}

func (c *Pages) history(_ context.Context, call *xmpp.CommandCall) (*xmpp.CommandPage, error) {
	what := "The last texts that you have sent, newest first."
	if c.Admin(call.Asker) {
		what = "The last texts of everybody, newest first."
	}
	return ask("What became of texts", what+" Both fields may stay empty.", true, c.listHistory,
		form.Text("number", "Only to this number", ""),
		form.Text("before", "Only older than this id, for the next page", "")), nil
}

func (c *Pages) listHistory(_ context.Context, call *xmpp.CommandCall) (*xmpp.CommandPage, error) {
	f := transports.Filter{Limit: step}
	if typed := value(call, "number"); typed != "" {
		to, err := c.Number(typed)
		if err != nil {
			return nil, xmpp.TryAgain(sentence(err))
		}
		f.Dest = string(to)
	}
	if typed := value(call, "before"); typed != "" {
		id, err := strconv.ParseUint(typed, 10, 64)
		if err != nil {
			return nil, xmpp.TryAgain("“" + typed + "” is not an id. The list shows the ids.")
		}
		f.Before = id
	}
	all := c.Admin(call.Asker)
	rows, more, err := c.rows(f, call.Asker.Bare().String(), all)
	if err != nil {
		return nil, err
	}
	next := fmt.Sprintf(" For older ones run the command again with the id %d.", more)
	if len(rows) == 0 {
		if more > 0 {
			return xmpp.CommandDone(fmt.Sprintf("Among the last %d texts there are none of yours.", maxLook) + next), nil
		}
		return xmpp.CommandDone("There are no such texts."), nil
	}
	columns := []column{{"id", "Id"}, {"time", "Written"}, {"number", "To"}, {"sender", "From"}, {"state", "State"}, {"text", "Text"}}
	if !all {
		columns = []column{columns[0], columns[1], columns[2], columns[4], columns[5]}
	}
	page := table("Texts", columns, rows)
	if more > 0 {
		page.Notes = append(page.Notes, note(xmpp.CommandInfo, strings.TrimSpace(next)))
	}
	return page, nil
}

// rows are the texts of a sender, or of all; more is the id to go on from, 0 when there are no more.
func (c *Pages) rows(f transports.Filter, sender string, all bool) (rows [][]string, more uint64, err error) {
	for looked := 0; looked < maxLook; {
		jobs, err := c.Jobs(f)
		if err != nil {
			return nil, 0, err
		}
		for _, j := range jobs {
			f.Before = j.ID
			looked++
			t, err := c.Describe(j)
			if err != nil {
				return nil, 0, err
			}
			if !all && t.Sender != sender {
				continue
			}
			state := stateWords[t.State]
			if state == "" {
				state = string(t.State)
			}
			if t.Text != "" {
				state += ": " + t.Text
			}
			row := []string{fmt.Sprint(t.ID), t.Created.Local().Format("2006-01-02 15:04"), t.To}
			if all {
				from := t.Sender
				if from == "" {
					from = "the box"
				}
				row = append(row, from)
			}
			rows = append(rows, append(row, state, short(t.Body, 80)))
			if len(rows) == maxRows {
				return rows, f.Before, nil
			}
		}
		if len(jobs) < f.Limit {
			return rows, 0, nil
		}
	}
	return rows, f.Before, nil
}

// short cuts a text for one line.
func short(s string, n int) string {
	r := []rune(strings.Join(strings.Fields(s), " "))
	if len(r) > n {
		return string(r[:n-1]) + "…"
	}
	return string(r)
}
