package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"golang.org/x/term"

	"doorway/gateway/control"
)

func runUserAdd(ctx context.Context, a *app, args []string) error {
	var t target
	fs := newFlags("user add")
	name := fs.String("name", "", "the person's name as colleagues see it")
	rest, err := t.parse(fs, args, 1, 1)
	if err != nil {
		return err
	}
	password, err := a.password("Password for "+rest[0]+": ", true)
	if err != nil {
		return err
	}
	var u control.User
	if err := t.call(ctx, "user.add", control.UserAdd{Local: rest[0], Name: *name, Password: password}, &u); err != nil {
		return err
	}
	if t.json {
		return a.printJSON(u)
	}
	fmt.Fprintf(a.out, "%s can log in now.\n", u.JID)
	return nil
}

func runUserPasswd(ctx context.Context, a *app, args []string) error {
	var t target
	rest, err := t.parse(newFlags("user passwd"), args, 1, 1)
	if err != nil {
		return err
	}
	password, err := a.password("New password for "+rest[0]+": ", true)
	if err != nil {
		return err
	}
	var u control.User
	if err := t.call(ctx, "user.passwd", control.UserAdd{Local: rest[0], Password: password}, &u); err != nil {
		return err
	}
	if t.json {
		return a.printJSON(u)
	}
	fmt.Fprintf(a.out, "The password of %s is changed; streams that are open stay open.\n", u.JID)
	return nil
}

func runUserList(ctx context.Context, a *app, args []string) error {
	var t target
	if _, err := t.parse(newFlags("user list"), args, 0, 0); err != nil {
		return err
	}
	var list []control.User
	if err := t.call(ctx, "user.list", nil, &list); err != nil {
		return err
	}
	if t.json {
		return a.printJSON(list)
	}
	if len(list) == 0 {
		fmt.Fprintln(a.out, "There are no accounts yet. Create one with `doorway user add NAME`.")
	}
	for _, u := range list {
		state := "offline"
		if u.Sessions > 0 {
			state = fmt.Sprintf("online (%d)", u.Sessions)
		}
		if u.Disabled {
			state = "disabled"
		}
		fmt.Fprintf(a.out, "%-32s %-12s %s\n", u.JID, state, u.Name)
	}
	return nil
}

func runUserDisable(ctx context.Context, a *app, args []string) error {
	return a.userSwitch(ctx, args, "user.disable", "%s is disabled: nobody can log in to it, its streams are ended, and messages for it are kept.\n")
}

func runUserEnable(ctx context.Context, a *app, args []string) error {
	return a.userSwitch(ctx, args, "user.enable", "%s can log in again.\n")
}

func (a *app) userSwitch(ctx context.Context, args []string, command, done string) error {
	var t target
	rest, err := t.parse(newFlags(command), args, 1, 1)
	if err != nil {
		return err
	}
	var u control.User
	if err := t.call(ctx, command, control.UserName{Local: rest[0]}, &u); err != nil {
		return err
	}
	if t.json {
		return a.printJSON(u)
	}
	fmt.Fprintf(a.out, done, u.JID)
	return nil
}

func runUserRemove(ctx context.Context, a *app, args []string) error {
	var t target
	rest, err := t.parse(newFlags("user remove"), args, 1, 1)
	if err != nil {
		return err
	}
	var u control.User
	if err := t.call(ctx, "user.remove", control.UserName{Local: rest[0]}, &u); err != nil {
		return err
	}
	if t.json {
		return a.printJSON(u)
	}
	fmt.Fprintf(a.out, "%s is removed, with its contacts and waiting messages.\n", u.JID)
	return nil
}

// password asks on a terminal, twice when it is a new one, or takes the first
// line of stdin.
func (a *app) password(prompt string, twice bool) (string, error) {
	f, ok := a.in.(*os.File)
	if !ok || !term.IsTerminal(int(f.Fd())) {
		line, err := bufio.NewReader(a.in).ReadString('\n')
		if err != nil && !errors.Is(err, io.EOF) {
			return "", fmt.Errorf("read the password from stdin: %w", err)
		}
		line = strings.TrimRight(line, "\r\n")
		if line == "" {
			return "", usagef("stdin holds no password; write it there, or run the command on a terminal")
		}
		return line, nil
	}
	ask := func(p string) (string, error) {
		fmt.Fprint(a.err, p)
		b, err := term.ReadPassword(int(f.Fd()))
		fmt.Fprintln(a.err)
		if err != nil {
			return "", fmt.Errorf("read the password: %w", err)
		}
		return string(b), nil
	}
	first, err := ask(prompt)
	if err != nil || !twice {
		return first, err
	}
	again, err := ask("The same once more: ")
	if err != nil {
		return "", err
	}
	if first != again {
		return "", errors.New("the two passwords differ; nothing was changed")
	}
	return first, nil
}
