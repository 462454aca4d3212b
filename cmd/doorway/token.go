package main

import (
	"context"
	"flag"
	"fmt"
	"strings"
	"time"

	"doorway/gateway/control"
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
		for _, n := range x.Networks {
			fmt.Fprintf(a.out, " without TLS from %s", n)
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
