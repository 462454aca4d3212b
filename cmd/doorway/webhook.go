package main

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"doorway/gateway/control"
	"doorway/gateway/hook"
	"doorway/transports"
)

func runWebhookAdd(ctx context.Context, a *app, args []string) error {
	var t target
	var events listFlag
	fs := newFlags("webhook add")
	fs.Var(&events, "event", "what it is told: "+strings.Join(hook.Events, ", ")+" (default: all)")
	style := fs.String("style", hook.Doorway, "of the bodies: "+strings.Join(hook.Styles, ", "))
	method := fs.String("method", "POST", "POST, or GET in the style "+hook.SMSEagle)
	withKey := fs.Bool("api-key", false, "ask for the key that the style "+hook.SMSEagle+" sends as apikey, or read it from stdin")
	rest, err := t.parse(fs, args, 1, 1)
	if err != nil {
		return err
	}
	req := control.WebhookAdd{URL: rest[0], Events: events, Style: *style, Method: strings.ToUpper(*method)}
	if *withKey {
		if req.APIKey, err = a.password("API key: ", false); err != nil {
			return err
		}
	}
	var made control.WebhookMade
	if err := t.call(ctx, "webhook.add", req, &made); err != nil {
		return err
	}
	if t.json {
		return a.printJSON(made)
	}
	fmt.Fprintf(a.out, "Webhook %s is made. Its deliveries are signed with this secret, which is shown only now:\n%s\nTry it with `doorway webhook test %s`.\n", made.ID, made.Secret, made.ID)
	return nil
}

func runWebhookList(ctx context.Context, a *app, args []string) error {
	var t target
	if _, err := t.parse(newFlags("webhook list"), args, 0, 0); err != nil {
		return err
	}
	var list []hook.Hook
	if err := t.call(ctx, "webhook.list", struct{}{}, &list); err != nil {
		return err
	}
	if t.json {
		return a.printJSON(list)
	}
	if len(list) == 0 {
		fmt.Fprintln(a.out, "There are no webhooks. `doorway webhook add URL` makes one.")
	}
	for _, h := range list {
		events := "all events"
		if len(h.Events) > 0 {
			events = strings.Join(h.Events, ",")
		}
		if h.Style != hook.Doorway {
			events += ", style " + h.Style
		}
		fmt.Fprintf(a.out, "%s  %s  %s\n", h.ID, h.URL, events)
		if !h.OldUntil.IsZero() {
			fmt.Fprintf(a.out, "    signed with the secret before, too, until %s\n", minute(h.OldUntil))
		}
		if h.Off != "" {
			fmt.Fprintf(a.out, "    switched off: %s\n", h.Off)
		}
	}
	return nil
}

func runWebhookShow(ctx context.Context, a *app, args []string) error {
	var t target
	rest, err := t.parse(newFlags("webhook show"), args, 1, 1)
	if err != nil {
		return err
	}
	var list []hook.Delivery
	if err := t.call(ctx, "webhook.show", control.Name{Name: rest[0]}, &list); err != nil {
		return err
	}
	if t.json {
		return a.printJSON(list)
	}
	if len(list) == 0 {
		fmt.Fprintln(a.out, "Nothing was delivered yet.")
	}
	for _, d := range list {
		code := "-"
		if d.Code != 0 {
			code = strconv.Itoa(d.Code)
		}
		fmt.Fprintf(a.out, "%6d  %s  %-14s %-10s answer %-3s attempts %d\n", d.ID, d.Created.Local().Format("2006-01-02 15:04:05"), d.Event, d.State, code, d.Attempts)
		if d.Error != "" {
			fmt.Fprintf(a.out, "        %s\n", d.Error)
		}
	}
	return nil
}

func runWebhookTest(ctx context.Context, a *app, args []string) error {
	var t target
	rest, err := t.parse(newFlags("webhook test"), args, 1, 1)
	if err != nil {
		return err
	}
	return a.attempt(ctx, &t, "webhook.test", control.Name{Name: rest[0]})
}

func runWebhookResend(ctx context.Context, a *app, args []string) error {
	var t target
	rest, err := t.parse(newFlags("webhook resend"), args, 2, 2)
	if err != nil {
		return err
	}
	n, err := strconv.ParseUint(rest[1], 10, 64)
	if err != nil {
		return usagef("%q is not the number of a delivery; `doorway webhook show %s` lists them", rest[1], rest[0])
	}
	return a.attempt(ctx, &t, "webhook.resend", control.Resend{Name: rest[0], Delivery: n})
}

// attempt has a delivery made and says how its first attempt went.
func (a *app) attempt(ctx context.Context, t *target, command string, req any) error {
	var d hook.Delivery
	if err := t.call(ctx, command, req, &d); err != nil {
		return err
	}
	if t.json {
		if err := a.printJSON(d); err != nil {
			return err
		}
	}
	switch {
	case d.State != transports.Delivered && d.Error != "":
		return errors.New(d.Error)
	case d.State != transports.Delivered:
		return errors.New("it is on its way still; `doorway webhook show` will say how it went")
	case !t.json:
		fmt.Fprintf(a.out, "Delivered: the receiver answered %d.\n", d.Code)
	}
	return nil
}

func runWebhookRotate(ctx context.Context, a *app, args []string) error {
	var t target
	fs := newFlags("webhook rotate")
	overlap := overlapFlag(fs)
	rest, err := t.parse(fs, args, 1, 1)
	if err != nil {
		return err
	}
	var made control.WebhookMade
	if err := t.call(ctx, "webhook.rotate", control.Rotate{Name: rest[0], Overlap: *overlap}, &made); err != nil {
		return err
	}
	if t.json {
		return a.printJSON(made)
	}
	fmt.Fprintf(a.out, "%s\n", made.Secret)
	if made.OldUntil.IsZero() {
		fmt.Fprintf(a.err, "This new secret of webhook %s is shown only now, and signs from now on.\n", made.ID)
		return nil
	}
	fmt.Fprintf(a.err, "This new secret of webhook %s is shown only now. Until %s each delivery has two signatures, of it and of the one before.\n", made.ID, minute(made.OldUntil))
	return nil
}

func runWebhookEnable(ctx context.Context, a *app, args []string) error {
	return a.webhook(ctx, "webhook enable", "webhook.enable", args, "Webhook %s is told of events again.\n")
}

func runWebhookRemove(ctx context.Context, a *app, args []string) error {
	return a.webhook(ctx, "webhook remove", "webhook.remove", args, "Webhook %s is removed.\n")
}

func (a *app) webhook(ctx context.Context, name, command string, args []string, done string) error {
	var t target
	rest, err := t.parse(newFlags(name), args, 1, 1)
	if err != nil {
		return err
	}
	var answer any
	if err := t.call(ctx, command, control.Name{Name: rest[0]}, &answer); err != nil {
		return err
	}
	if t.json {
		return a.printJSON(answer)
	}
	fmt.Fprintf(a.out, done, rest[0])
	return nil
}
