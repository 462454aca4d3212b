package main

import (
	"context"
	"flag"
	"fmt"
	"strings"
	"time"

	"doorway/gateway/control"
	"doorway/gateway/hook"
	"doorway/gateway/token"
)

// listFlag is a flag that may come several times or hold a list with commas.
type listFlag []string

func (l *listFlag) String() string { return strings.Join(*l, ",") }
func (l *listFlag) Set(v string) error {
	for _, s := range strings.Split(v, ",") {
		if s = strings.TrimSpace(s); s != "" {
			*l = append(*l, s)
		}
	}
	return nil
}

func runTokenAdd(ctx context.Context, a *app, args []string) error {
	var t target
	var scopes, networks listFlag
	fs := newFlags("token add")
	fs.Var(&scopes, "scope", "what it may do: sms.send, sms.read or admin (default sms.send,sms.read)")
	fs.Var(&networks, "network", "network from which it may come without TLS, e.g. 192.168.1.0/24")
	rate := fs.String("rate", "", "how many requests it may make, such as 60/m (default: any number)")
	days := fs.Int("days", 0, "how many days it is valid (default: until it is revoked)")
	rest, err := t.parse(fs, args, 1, 1)
	if err != nil {
		return err
	}
	req := control.TokenAdd{Name: rest[0], Scopes: scopes, Networks: networks, Rate: *rate}
	if *days < 0 {
		return usagef("--days is a number of days")
	}
	if *days > 0 {
		req.Expires = time.Now().AddDate(0, 0, *days).Round(time.Second)
	}
	var made control.TokenMade
	if err := t.call(ctx, "token.add", req, &made); err != nil {
		return err
	}
	if t.json {
		return a.printJSON(made)
	}
	fmt.Fprintf(a.out, "%s\n", made.Secret)
	fmt.Fprintf(a.err, "This token of %s is shown only now. Send it as: Authorization: Bearer TOKEN\n", made.Name)
	return nil
}

func runTokenList(ctx context.Context, a *app, args []string) error {
	var t target
	if _, err := t.parse(newFlags("token list"), args, 0, 0); err != nil {
		return err
	}
	var list []token.Token
	if err := t.call(ctx, "token.list", struct{}{}, &list); err != nil {
		return err
	}
	if t.json {
		return a.printJSON(list)
	}
	if len(list) == 0 {
		fmt.Fprintln(a.out, "There are no tokens. `doorway token add NAME` makes one.")
	}
	for _, x := range list {
		fmt.Fprintf(a.out, "%-16s %-20s %-20s used %-10s expires %s", x.ID, x.Name, strings.Join(x.Scopes, ","), day(x.Used, "never"), day(x.Expires, "never"))
		if x.Rate.N > 0 {
			fmt.Fprintf(a.out, " rate %s", x.Rate)
		}
		fmt.Fprintln(a.out)
		if !x.OldUntil.IsZero() {
			fmt.Fprintf(a.out, "    the secret before is taken until %s, used %s\n", minute(x.OldUntil), day(x.OldUsed, "never"))
		}
	}
	return nil
}

func day(x time.Time, none string) string {
	if x.IsZero() {
		return none
	}
	return x.Local().Format("2006-01-02")
}

func minute(x time.Time) string { return x.Local().Format("2006-01-02 15:04") }

// overlapFlag is how long an old secret is good beside the new one.
func overlapFlag(fs *flag.FlagSet) *time.Duration {
	return fs.Duration("overlap", 24*time.Hour, "how long the old secret is good beside the new one; 0 ends it at once")
}

func runTokenRotate(ctx context.Context, a *app, args []string) error {
	var t target
	fs := newFlags("token rotate")
	overlap := overlapFlag(fs)
	rest, err := t.parse(fs, args, 1, 1)
	if err != nil {
		return err
	}
	var made control.TokenMade
	if err := t.call(ctx, "token.rotate", control.Rotate{Name: rest[0], Overlap: *overlap}, &made); err != nil {
		return err
	}
	if t.json {
		return a.printJSON(made)
	}
	fmt.Fprintf(a.out, "%s\n", made.Secret)
	fmt.Fprintf(a.err, "This new token of %s is shown only now. The one before is %s\n", made.Name, goodUntil(made.OldUntil))
	return nil
}

// goodUntil says how long the secret before a rotation is good.
func goodUntil(x time.Time) string {
	if x.IsZero() {
		return "not taken any more."
	}
	return "taken until " + minute(x) + "."
}

func runTokenRevoke(ctx context.Context, a *app, args []string) error {
	var t target
	rest, err := t.parse(newFlags("token revoke"), args, 1, 1)
	if err != nil {
		return err
	}
	var x token.Token
	if err := t.call(ctx, "token.revoke", control.Name{Name: rest[0]}, &x); err != nil {
		return err
	}
	if t.json {
		return a.printJSON(x)
	}
	fmt.Fprintf(a.out, "The token of %s is not taken any more.\n", x.Name)
	return nil
}

func runWebhookAdd(ctx context.Context, a *app, args []string) error {
	var t target
	var events listFlag
	fs := newFlags("webhook add")
	fs.Var(&events, "event", "what it is told: "+strings.Join(hook.Events, ", ")+" (default: all)")
	rest, err := t.parse(fs, args, 1, 1)
	if err != nil {
		return err
	}
	var made control.WebhookMade
	if err := t.call(ctx, "webhook.add", control.WebhookAdd{URL: rest[0], Events: events}, &made); err != nil {
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
		fmt.Fprintf(a.out, "%s  %s  %s\n", h.ID, h.URL, events)
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
		fmt.Fprintf(a.out, "%6d  %s  %-14s %-10s attempts %d\n", d.ID, d.Created.Local().Format("2006-01-02 15:04:05"), d.Event, d.State, d.Attempts)
		if d.Error != "" {
			fmt.Fprintf(a.out, "        %s\n", d.Error)
		}
	}
	return nil
}

func runWebhookTest(ctx context.Context, a *app, args []string) error {
	return a.webhook(ctx, "webhook test", "webhook.test", args, "A test is on its way. `doorway webhook show %s` says how it went.\n")
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
