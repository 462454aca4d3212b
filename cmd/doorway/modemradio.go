package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"doorway/gateway/control"
	"doorway/modem"
)

func runModemUSSD(ctx context.Context, a *app, args []string) error {
	var t target
	var req control.ModemUSSD
	fs := newFlags("modem ussd")
	fs.StringVar(&req.Name, "modem", "", "the modem's name, when there are several")
	rest, err := t.parse(fs, args, 1, 1)
	if err != nil {
		return err
	}
	req.Code = rest[0]
	var r modem.Reply
	if err := t.call(ctx, "modem.ussd", req, &r); err != nil {
		return err
	}
	if t.json {
		return a.printJSON(r)
	}
	fmt.Fprintln(a.out, r.Text)
	if r.More {
		fmt.Fprintln(a.out, "The network waits for an answer: give it with `doorway modem ussd ANSWER` within a minute.")
	}
	return nil
}

func runModemCredit(ctx context.Context, a *app, args []string) error {
	var t target
	rest, err := t.parse(newFlags("modem credit"), args, 0, 1)
	if err != nil {
		return err
	}
	var req control.ModemName
	if len(rest) == 1 {
		req.Name = rest[0]
	}
	var b modem.Balance
	if err := t.call(ctx, "modem.credit", req, &b); err != nil {
		return err
	}
	if t.json {
		return a.printJSON(b)
	}
	fmt.Fprintln(a.out, balanceText(b))
	fmt.Fprintf(a.out, "The network says: %s\n", b.Text)
	return nil
}

func balanceText(b modem.Balance) string {
	s := fmt.Sprintf("%.2f", b.Amount)
	if b.Currency != "" {
		s += " " + b.Currency
	}
	return s
}

func runModemRecord(ctx context.Context, a *app, args []string) error {
	var t target
	fs := newFlags("modem record")
	file := fs.String("out", "", "write to this `file`, which must not be there yet; otherwise it is printed")
	rest, err := t.parse(fs, args, 0, 1)
	if err != nil {
		return err
	}
	var req control.ModemName
	if len(rest) == 1 {
		req.Name = rest[0]
	}
	var rec modem.Recording
	if err := t.call(ctx, "modem.record", req, &rec); err != nil {
		return err
	}
	write := func(w io.Writer) error {
		if t.json {
			return (&app{out: w}).printJSON(rec)
		}
		_, err := rec.WriteTo(w)
		return err
	}
	if *file == "" {
		return write(a.out)
	}
	f, err := os.OpenFile(*file, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, os.ErrExist) {
		return fmt.Errorf("%s is there already: name another file", *file)
	}
	if err != nil {
		return err
	}
	if err := errors.Join(write(f), f.Close()); err != nil {
		return err
	}
	fmt.Fprintf(a.out, "The traffic of the last %s with modem %s is in %s: %d lines, texts and numbers masked.\nPlay it again with `doorway emulate --replay %s --pty-link PATH`.\n",
		span(rec).Round(time.Second), rec.Modem, *file, len(rec.Lines), *file)
	return nil
}

// span is the time that a recording covers.
func span(r modem.Recording) time.Duration {
	if len(r.Lines) == 0 {
		return 0
	}
	return r.At.Sub(r.Lines[0].At)
}
