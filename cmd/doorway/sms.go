package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"doorway/gateway/control"
	"doorway/transports"
	"doorway/transports/sms"
)

func runSMSSend(ctx context.Context, a *app, args []string) error {
	var t target
	fs := newFlags("sms send")
	urgent := fs.Bool("urgent", false, "an alarm: before chat, for an hour at most")
	flash := fs.Bool("flash", false, "shown on the phone's screen at once and not kept there")
	key := fs.String("key", "", "idempotency key: the same key is not sent to the number again within 48 hours")
	from := fs.String("from", "", "the account that speaks; answers go there")
	via := fs.String("modem", "", "the only modem that may send it")
	at := fs.String("at", "", "not before this time: 15:04, or 2006-01-02T15:04")
	valid := fs.Duration("valid", 0, "how long it may be tried, e.g. 30m (default: validity in [sms])")
	rest, err := t.parse(fs, args, 2, 2)
	if err != nil {
		return err
	}
	begin, err := moment(*at, time.Now())
	if err != nil {
		return err
	}
	if *valid < 0 {
		return usagef("--valid %s is no time to try a text in: write 30m, or 2h", *valid)
	}
	text := rest[1]
	if text == "-" {
		b, err := io.ReadAll(io.LimitReader(a.in, 1<<20))
		if err != nil {
			return fmt.Errorf("read the text from stdin: %w", err)
		}
		text = strings.TrimRight(string(b), "\n")
	}
	var sent control.SMSSent
	req := control.SMSSend{To: rest[0], Text: text, Urgent: *urgent, Flash: *flash, Key: *key, Sender: *from,
		Modem: *via, NotBefore: begin, Validity: *valid}
	if err := t.call(ctx, "sms.send", req, &sent); err != nil {
		return err
	}
	if t.json {
		return a.printJSON(sent)
	}
	fmt.Fprintf(a.out, "Queued as %d to %s. Follow it with `doorway sms show %d`.\n", sent.ID, sent.To, sent.ID)
	return nil
}

// moment reads a time of day, which is the next such one, or a full time; "" is the zero time.
func moment(text string, now time.Time) (time.Time, error) {
	if text == "" {
		return time.Time{}, nil
	}
	for _, layout := range []string{time.RFC3339, "2006-01-02T15:04", "2006-01-02 15:04"} {
		if t, err := time.ParseInLocation(layout, text, now.Location()); err == nil {
			return t, nil
		}
	}
	t, err := time.Parse("15:04", text)
	if err != nil {
		return time.Time{}, usagef("%q is not a time: write 15:04, or 2006-01-02T15:04", text)
	}
	y, m, d := now.Date()
	at := time.Date(y, m, d, t.Hour(), t.Minute(), 0, 0, now.Location())
	if at.Before(now) {
		at = time.Date(y, m, d+1, t.Hour(), t.Minute(), 0, 0, now.Location())
	}
	return at, nil
}

func runSMSList(ctx context.Context, a *app, args []string) error {
	var t target
	var req control.QueueList
	fs := newFlags("sms list")
	pageFlags(fs, &req, "texts", "failed")
	if _, err := t.parse(fs, args, 0, 0); err != nil {
		return err
	}
	var list []control.SMSText
	if err := t.call(ctx, "sms.list", req, &list); err != nil {
		return err
	}
	if t.json {
		return a.printJSON(list)
	}
	if len(list) == 0 {
		fmt.Fprintln(a.out, "There are no such texts.")
	}
	for _, m := range list {
		fmt.Fprintf(a.out, "%6d  %s  %-16s %-16s %s\n", m.ID, m.Created.Local().Format("2006-01-02 15:04:05"), m.To, m.State, short(m.Text, 60))
		if m.Error != "" {
			fmt.Fprintf(a.out, "        %s\n", m.Error)
		}
	}
	return nil
}

// pageFlags are the flags that choose some of many jobs: texts, or jobs as such.
func pageFlags(fs *flag.FlagSet, req *control.QueueList, things, state string) {
	fs.StringVar(&req.State, "state", "", "only this state, e.g. "+state)
	limitFlag(fs, &req.Limit)
	fs.Uint64Var(&req.Before, "before", 0, "only "+things+" older than this id, for paging")
}

// limitFlag is how many rows a list shows.
func limitFlag(fs *flag.FlagSet, n *int) {
	*n = 50
	fs.Func("limit", "how many (default 50)", func(s string) (err error) {
		if *n, err = strconv.Atoi(s); err != nil || *n < 1 {
			return errors.New("write a number from 1")
		}
		return nil
	})
}

func runSMSInbox(ctx context.Context, a *app, args []string) error {
	var t target
	var req control.Inbox
	fs := newFlags("sms inbox")
	fs.StringVar(&req.From, "from", "", "only of this number (as the list shows it) or name")
	limitFlag(fs, &req.Limit)
	fs.Uint64Var(&req.Before, "before", 0, "only texts older than this id, for paging")
	if _, err := t.parse(fs, args, 0, 0); err != nil {
		return err
	}
	var list []sms.Received
	if err := t.call(ctx, "sms.inbox", req, &list); err != nil {
		return err
	}
	if t.json {
		return a.printJSON(list)
	}
	if len(list) == 0 {
		fmt.Fprintln(a.out, "No texts have come in.")
	}
	for _, m := range list {
		kind := m.Kind
		if !m.Taken {
			kind = strings.TrimSpace(kind + " waiting")
		}
		fmt.Fprintf(a.out, "%6d  %s  %-16s %-10s %s\n", m.ID, m.At.Local().Format("2006-01-02 15:04:05"), m.From, kind, short(m.Text, 60))
	}
	return nil
}

func runSMSOptOut(ctx context.Context, a *app, args []string) error {
	var t target
	fs := newFlags("sms optout")
	off := fs.Bool("off", false, "the number wants texts again")
	rest, err := t.parse(fs, args, 0, 1)
	if err != nil {
		return err
	}
	if len(rest) == 0 {
		return a.listOptOuts(ctx, t)
	}
	var o control.OptOut
	if err := t.call(ctx, "sms.optout", control.OptOut{Number: rest[0], Out: !*off}, &o); err != nil {
		return err
	}
	if t.json {
		return a.printJSON(o)
	}
	switch {
	case o.Out && o.Changed:
		fmt.Fprintf(a.out, "%s gets no more texts.\n", o.Number)
	case o.Out:
		fmt.Fprintf(a.out, "%s got no texts already.\n", o.Number)
	case o.Changed:
		fmt.Fprintf(a.out, "%s gets texts again.\n", o.Number)
	default:
		fmt.Fprintf(a.out, "%s had not opted out.\n", o.Number)
	}
	return nil
}

func (a *app) listOptOuts(ctx context.Context, t target) error {
	var list []sms.OptOut
	if err := t.call(ctx, "sms.optouts", struct{}{}, &list); err != nil {
		return err
	}
	if t.json {
		return a.printJSON(list)
	}
	if len(list) == 0 {
		fmt.Fprintln(a.out, "Nobody has opted out.")
	}
	for _, o := range list {
		fmt.Fprintf(a.out, "%-16s since %s\n", o.Number, o.Since.Local().Format("2006-01-02 15:04"))
	}
	return nil
}

func runSMSShow(ctx context.Context, a *app, args []string) error {
	var t target
	rest, err := t.parse(newFlags("sms show"), args, 1, 1)
	if err != nil {
		return err
	}
	id, err := parseID(rest[0])
	if err != nil {
		return err
	}
	var c sms.Chain
	if err := t.call(ctx, "sms.show", control.JobID{ID: id}, &c); err != nil {
		return err
	}
	if t.json {
		return a.printJSON(c)
	}
	printChain(a.out, c)
	return nil
}

// printChain shows what became of a text, part by part.
func printChain(w io.Writer, c sms.Chain) {
	fmt.Fprintf(w, "Text %d to %s: %s\n", c.ID, c.To, c.State)
	if c.Text != "" {
		fmt.Fprintf(w, "  %s\n", c.Text)
	}
	at := func(label string, t time.Time) {
		if !t.IsZero() {
			fmt.Fprintf(w, "  %-10s %s\n", label, t.Local().Format("2006-01-02 15:04:05"))
		}
	}
	fmt.Fprintf(w, "  %-10s %s\n", "text", short(c.Body, 100))
	if c.Sender != "" {
		fmt.Fprintf(w, "  %-10s %s\n", "sender", c.Sender)
	}
	at("created", c.Created)
	at("deadline", c.Deadline)
	at("next try", c.Next)
	for _, p := range c.Parts {
		fmt.Fprintf(w, "  part %d of %d (%s): %s", p.Number, len(c.Parts), c.Alphabet, p.State)
		if p.Modem != "" {
			fmt.Fprintf(w, " by %s", p.Modem)
		}
		if p.MR >= 0 {
			fmt.Fprintf(w, ", reference %d", p.MR)
		}
		fmt.Fprintln(w)
		for _, x := range []struct {
			label string
			t     time.Time
		}{{"on air", p.OnAir}, {"accepted", p.Accepted}, {"done", p.Done}} {
			if !x.t.IsZero() {
				clock := "15:04:05.000"
				if x.t.Nanosecond() == 0 {
					clock = "15:04:05" // a service centre tells whole seconds
				}
				fmt.Fprintf(w, "    %-8s %s\n", x.label, x.t.Local().Format(clock))
			}
		}
		if p.Reason != "" {
			fmt.Fprintf(w, "    %s\n", p.Reason)
		}
		if p.Raw != "" {
			fmt.Fprintf(w, "    the modem said: %s\n", p.Raw)
		}
	}
	printSteps(w, c.Steps)
}

func printSteps(w io.Writer, steps []transports.Step) {
	fmt.Fprintln(w, "  history")
	for _, s := range steps {
		fmt.Fprintln(w, strings.TrimRight(fmt.Sprintf("    %s  %-16s %s", s.At.Local().Format("15:04:05.000"), s.State, s.Note), " "))
	}
}

// short cuts a text for one line.
func short(s string, n int) string {
	r := []rune(strings.Join(strings.Fields(s), " "))
	if len(r) > n {
		return string(r[:n-1]) + "…"
	}
	return string(r)
}
