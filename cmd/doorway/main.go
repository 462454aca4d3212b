// Command doorway is an office's messaging door: an XMPP server and an SMS
// gateway in one process. `doorway help` lists what it can be told to do;
// README.md shows how to begin.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"doorway/gateway/control"
)

// Exit codes (outside contract).
const (
	exitOK         = 0
	exitFailed     = 1
	exitUsage      = 2
	exitNotRunning = 3
	exitPartial    = 4
)

// app is what a subcommand sees of the world.
type app struct {
	in       io.Reader
	out, err io.Writer
}

// command is one row of the table.
type command struct {
	name  string // one to three words
	args  string // shown in help
	about string
	run   func(ctx context.Context, a *app, args []string) error
}

// commands is the table of subcommands, in the order of help.
func commands() []command {
	return []command{
		{"run", "--config FILE", "run the server", runServer},
		{"check", "--config FILE", "check the configuration and say what it means", runCheck},
		{"reload", "", "read the configuration again and say what needs a restart", runReload},
		{"doctor", "", "look everything over and say what is wrong and how to cure it", runDoctor},
		{"demo", "[--dir DIR] [--json] [--ephemeral]", "run a server on loopback with three people and an emulated modem", runDemo},
		{"user add", "NAME [--name TEXT]", "create an account; the password comes from the prompt or stdin", runUserAdd},
		{"user list", "", "list accounts", runUserList},
		{"user passwd", "NAME", "set an account's password, from the prompt or stdin", runUserPasswd},
		{"user disable", "NAME", "switch an account off; what belongs to it stays", runUserDisable},
		{"user enable", "NAME", "switch a disabled account on again", runUserEnable},
		{"user export", "NAME|--all --file FILE", "write accounts to a file for another XMPP server (XEP-0227)", runUserExport},
		{"user import", "FILE [--dry-run]", "take accounts from such a file, each wholly or not at all", runUserImport},
		{"user remove", "NAME", "delete an account", runUserRemove},
		{"people list", "[TEXT] [--group ID] [--department NAME]", "list people, those without an account too", runPeopleList},
		{"people show", "WHO", "show a person", runPeopleShow},
		{"people add", "ID [--name TEXT] [--phone NUMBER] …", "make a person without an account", runPeopleAdd},
		{"people edit", "WHO [--name TEXT] [--phone NUMBER] …", "change a person", runPeopleEdit},
		{"people remove", "WHO", "delete a person without an account", runPeopleRemove},
		{"people import", "FILE [--dry-run] [--passwords FILE]", "take over a list of people (CSV); FILE - is stdin", runPeopleImport},
		{"people export", "[FILE]", "write all people as a list (CSV)", runPeopleExport},
		{"group list", "", "list the shared groups", runGroupList},
		{"group show", "ID", "show a group with its members", runGroupShow},
		{"group add", "ID [WHO …] [--label TEXT] [--visible TO] …", "make a group; its members see each other", runGroupAdd},
		{"group edit", "ID [--label TEXT] [--visible TO] [--room ROOM] …", "change a group", runGroupEdit},
		{"group remove", "ID", "delete a group", runGroupRemove},
		{"group member add", "ID WHO …", "add people, phones, addresses, group:ID or everybody", runGroupMemberAdd},
		{"group member remove", "ID WHO …", "take members out", runGroupMemberRemove},
		{"group preview", "WHO", "show the contact list that somebody has", runGroupPreview},
		{"sms send", "NUMBER TEXT", "queue a text; TEXT - reads stdin", runSMSSend},
		{"sms list", "[--state STATE] [--limit N]", "list texts, newest first", runSMSList},
		{"sms inbox", "[--from NUMBER] [--limit N]", "list texts that came in, newest first", runSMSInbox},
		{"sms optout", "[NUMBER] [--off]", "list the numbers that want no texts, or note by hand that one does", runSMSOptOut},
		{"sms show", "ID", "show a text with its whole delivery chain", runSMSShow},
		{"modem list", "", "list the modems", runModemList},
		{"modem status", "[NAME]", "say how the modems are and what to do", runModemStatus},
		{"modem probe", "[--device DEVICE]", "list the serial devices, who answers there and which one is used", runModemProbe},
		{"modem at", "COMMAND [--modem NAME] [--force]", "ask a modem by an AT command and print its answer", runModemAT},
		{"modem ussd", "CODE [--modem NAME]", "ask the network by a USSD code, or answer its question", runModemUSSD},
		{"modem credit", "[NAME]", "ask for the credit of a prepaid SIM", runModemCredit},
		{"modem record", "[NAME] [--out FILE]", "save the last minutes of traffic with a modem, secrets masked", runModemRecord},
		{"queue list", "[--state STATE] [--limit N]", "list queued jobs", runQueueList},
		{"queue show", "ID", "show a job with its history", runQueueShow},
		{"queue cancel", "ID", "take back a job that is not being sent", runQueueCancel},
		{"queue requeue", "ID", "send a failed, expired or possibly-sent job again", runQueueRequeue},
		{"queue delete", "ID", "forget a job that has ended", runQueueDelete},
		{"token add", "NAME [--scope SCOPE] …", "make a token for a program that uses the HTTP API", runTokenAdd},
		{"token list", "", "list the tokens of programs", runTokenList},
		{"token rotate", "NAME [--overlap 24h]", "give a program's token a new secret", runTokenRotate},
		{"token revoke", "NAME", "take a program's token no longer", runTokenRevoke},
		{"webhook add", "URL [--event EVENT] [--style STYLE] …", "tell a program of events by HTTP", runWebhookAdd},
		{"webhook list", "", "list the webhooks", runWebhookList},
		{"webhook show", "ID", "list the last deliveries of a webhook", runWebhookShow},
		{"webhook test", "ID", "send a test to a webhook, and say what is answered", runWebhookTest},
		{"webhook resend", "ID DELIVERY", "send a delivery again", runWebhookResend},
		{"webhook rotate", "ID [--overlap 24h]", "sign with a new secret", runWebhookRotate},
		{"webhook enable", "ID", "switch a webhook on again", runWebhookEnable},
		{"webhook remove", "ID", "tell a program of events no longer", runWebhookRemove},
		{"backup", "FILE", "copy what must survive into one file, also while the server runs", runBackup},
		{"restore", "FILE", "put a backup in the place of the data; the server must not run", runRestore},
		{"emulate", "[--pty-link PATH] …", "run an emulated GSM modem on a pty", runEmulate},
		{"phone send", "NUMBER TEXT", "play an emulated phone that texts in", runPhoneSend},
		{"phone call", "NUMBER [--rings N]", "play an emulated phone that calls; nobody takes it", runPhoneCall},
		{"phone log", "NUMBER", "print what an emulated phone received", runPhoneLog},
		{"version", "", "print the version", runVersion},
	}
}

func main() {
	if version == "" {
		version = recordedVersion()
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	a := &app{in: os.Stdin, out: os.Stdout, err: os.Stderr}
	code := a.main(ctx, os.Args[1:])
	stop()
	if code == exitRestart {
		if err := beginAgain(); err != nil {
			fmt.Fprintf(a.err, "doorway: %v. Start it by hand.\n", err)
		}
	}
	os.Exit(code)
}

// main runs one subcommand and returns the exit code.
func (a *app) main(ctx context.Context, args []string) int {
	if len(args) == 0 || args[0] == "help" || args[0] == "-h" || args[0] == "--help" {
		out := a.out
		if len(args) == 0 {
			out = a.err
		}
		usage(out, commands())
		if len(args) == 0 {
			return exitUsage
		}
		return exitOK
	}
	cmd, rest, ok := find(args)
	if !ok {
		fmt.Fprintf(a.err, "doorway: there is no command %q. These are:\n", strings.Join(args[:min(2, len(args))], " "))
		usage(a.err, group(args[0]))
		return exitUsage
	}
	return a.report(cmd, cmd.run(ctx, a, rest))
}

// report turns an error into a sentence and an exit code.
func (a *app) report(cmd command, err error) int {
	var u usageError
	var refused *control.Error
	var partial partialError
	switch {
	case err == nil:
		return exitOK
	case errors.Is(err, errRestart):
		return exitRestart
	case errors.Is(err, errHelp):
		fmt.Fprintf(a.out, "usage: doorway %s %s\n%s\n%s", cmd.name, cmd.args, cmd.about, err.(helpError).flags)
		return exitOK
	case errors.As(err, &u):
		fmt.Fprintf(a.err, "doorway %s: %s\nusage: doorway %s %s\n", cmd.name, u.text, cmd.name, cmd.args)
		return exitUsage
	case errors.Is(err, control.ErrNotRunning):
		fmt.Fprintf(a.err, "doorway %s: %v. Start it with `doorway run --config FILE` or `doorway demo`, or name its folder with --dir or --config.\n", cmd.name, err)
		return exitNotRunning
	case errors.As(err, &refused):
		fmt.Fprintf(a.err, "doorway %s: %s\n", cmd.name, refused.Text)
		if refused.Usage {
			return exitUsage
		}
		return exitFailed
	case errors.As(err, &partial):
		fmt.Fprintf(a.err, "doorway %s: %s\n", cmd.name, partial.text)
		return exitPartial
	}
	fmt.Fprintf(a.err, "doorway %s: %v\n", cmd.name, err)
	return exitFailed
}

// find matches the longest command name at the head of args.
func find(args []string) (command, []string, bool) {
	for words := 3; words > 0; words-- {
		if len(args) < words {
			continue
		}
		name := strings.Join(args[:words], " ")
		for _, c := range commands() {
			if c.name == name {
				return c, args[words:], true
			}
		}
	}
	return command{}, nil, false
}

// group returns the commands that begin with a word, all of them when none does.
func group(word string) []command {
	var g []command
	for _, c := range commands() {
		if strings.HasPrefix(c.name, word+" ") {
			g = append(g, c)
		}
	}
	if g == nil {
		return commands()
	}
	return g
}

func usage(w io.Writer, list []command) {
	fmt.Fprintln(w, "usage: doorway COMMAND [ARGUMENTS]")
	for _, c := range list {
		fmt.Fprintf(w, "  %-48s %s\n", c.name+" "+c.args, c.about)
	}
	fmt.Fprintln(w, "\nCommands that talk to a running doorway find it by --dir DIR (its data folder, default ./var)\nor --config FILE, and print JSON with --json. Exit codes: 0 ok, 1 failed, 2 usage, 3 not running, 4 partial.")
}
