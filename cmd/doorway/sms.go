package main

import (
	"context"
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
	key := fs.String("key", "", "idempotency key: the same key within 48 hours is not sent again")
	from := fs.String("from", "", "the account that speaks; answers go there")
	rest, err := t.parse(fs, args, 2, 2)
	if err != nil {
		return err
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
	req := control.SMSSend{To: rest[0], Text: text, Urgent: *urgent, Flash: *flash, Key: *key, Sender: *from}
	if err := t.call(ctx, "sms.send", req, &sent); err != nil {
		return err
	}
	if t.json {
		return a.printJSON(sent)
	}
	fmt.Fprintf(a.out, "Queued as %d to %s. Follow it with `doorway sms show %d`.\n", sent.ID, sent.To, sent.ID)
	return nil
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
	fs.IntVar(&req.Limit, "limit", 50, "how many")
	fs.Uint64Var(&req.Before, "before", 0, "only "+things+" older than this id, for paging")
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
	fmt.Fprintln(w, "  history")
	for _, s := range c.Steps {
		fmt.Fprintln(w, strings.TrimRight(fmt.Sprintf("    %s  %-16s %s", s.At.Local().Format("15:04:05.000"), s.State, s.Note), " "))
	}
}

func runQueueList(ctx context.Context, a *app, args []string) error {
	var t target
	var req control.QueueList
	fs := newFlags("queue list")
	pageFlags(fs, &req, "jobs", "retry-wait")
	if _, err := t.parse(fs, args, 0, 0); err != nil {
		return err
	}
	var q control.QueueAnswer
	if err := t.call(ctx, "queue.list", req, &q); err != nil {
		return err
	}
	if t.json {
		return a.printJSON(q)
	}
	var parts []string
	for _, s := range []transports.State{transports.Queued, transports.RetryWait, transports.OnAir, transports.Accepted, transports.PossiblySent, transports.Failed} {
		if n := q.Counts[s]; n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", n, s))
		}
	}
	if parts == nil {
		parts = []string{"nothing is waiting"}
	}
	fmt.Fprintf(a.out, "%s\n", strings.Join(parts, ", "))
	for _, j := range q.Jobs {
		fmt.Fprintln(a.out, strings.TrimRight(fmt.Sprintf("%6d  %s  %-16s %-16s attempts %d  %s", j.ID, j.Created.Local().Format("2006-01-02 15:04:05"), j.Dest, j.State, j.Attempts, j.Error), " "))
	}
	return nil
}

func runQueueCancel(ctx context.Context, a *app, args []string) error {
	return a.changeJob(ctx, "queue cancel", "queue.cancel", "is cancelled", args)
}

func runQueueRequeue(ctx context.Context, a *app, args []string) error {
	return a.changeJob(ctx, "queue requeue", "queue.requeue", "is queued again", args)
}

func runQueueDelete(ctx context.Context, a *app, args []string) error {
	return a.changeJob(ctx, "queue delete", "queue.delete", "is forgotten", args)
}

func (a *app) changeJob(ctx context.Context, name, command, done string, args []string) error {
	var t target
	rest, err := t.parse(newFlags(name), args, 1, 1)
	if err != nil {
		return err
	}
	id, err := parseID(rest[0])
	if err != nil {
		return err
	}
	var j transports.Job
	if err := t.call(ctx, command, control.JobID{ID: id}, &j); err != nil {
		return err
	}
	if t.json {
		return a.printJSON(j)
	}
	fmt.Fprintf(a.out, "Job %d %s.\n", id, done)
	return nil
}

func parseID(s string) (uint64, error) {
	id, err := strconv.ParseUint(s, 10, 64)
	if err != nil {
		return 0, usagef("%q is not an id; `doorway sms list` shows the ids", s)
	}
	return id, nil
}

// short cuts a text for one line.
func short(s string, n int) string {
	r := []rune(strings.Join(strings.Fields(s), " "))
	if len(r) > n {
		return string(r[:n-1]) + "…"
	}
	return string(r)
}
