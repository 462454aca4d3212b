package main

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"syscall"

	"doorway/modem/emulator"
)

// Names of the emulator's files in the data folder.
const (
	emulatorSocket = "emulator.sock"
	emulatorLog    = "emulator.log"
)

// detach keeps a Ctrl-C on the terminal from ending the modem before the
// server has finished with it.
func detach(cmd *exec.Cmd) { cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} }

func runEmulate(ctx context.Context, a *app, args []string) error {
	return emulator.Main(ctx, args, a.in, a.out)
}

func phoneClient(dir string) emulator.Client {
	if dir == "" {
		dir = "var"
	}
	return emulator.Client{Socket: filepath.Join(dir, emulatorSocket)}
}

// phoneError says what to do where no emulator listens.
func phoneError(dir string, err error) error {
	if errors.Is(err, syscall.ENOENT) || errors.Is(err, syscall.ECONNREFUSED) {
		return fmt.Errorf("no emulated phones answer in %s. Start `doorway demo`, or name the demo's folder with --dir", dir)
	}
	return err
}

func runPhoneSend(ctx context.Context, a *app, args []string) error {
	fs := newFlags("phone send")
	dir := fs.String("dir", "var", "the demo's folder")
	rest, err := parse(fs, args, 2, 2)
	if err != nil {
		return err
	}
	if err := phoneClient(*dir).Send(ctx, rest[0], rest[1]); err != nil {
		return phoneError(*dir, err)
	}
	fmt.Fprintf(a.out, "%s texts: %s\n", rest[0], rest[1])
	return nil
}

func runPhoneCall(ctx context.Context, a *app, args []string) error {
	fs := newFlags("phone call")
	dir := fs.String("dir", "var", "the demo's folder")
	rings := fs.Int("rings", 1, "how often it rings, every four seconds, until the caller gives up")
	rest, err := parse(fs, args, 1, 1)
	if err != nil {
		return err
	}
	if *rings < 1 || *rings > 100 {
		return usagef("--rings must lie between 1 and 100")
	}
	if err := phoneClient(*dir).Call(ctx, rest[0], *rings); err != nil {
		return phoneError(*dir, err)
	}
	fmt.Fprintf(a.out, "%s calls.\n", rest[0])
	return nil
}

func runPhoneLog(ctx context.Context, a *app, args []string) error {
	fs := newFlags("phone log")
	dir := fs.String("dir", "var", "the demo's folder")
	asJSON := fs.Bool("json", false, "print JSON")
	rest, err := parse(fs, args, 1, 1)
	if err != nil {
		return err
	}
	list, err := phoneClient(*dir).Log(ctx, rest[0])
	if err != nil {
		return phoneError(*dir, err)
	}
	if *asJSON {
		return a.printJSON(list)
	}
	if len(list) == 0 {
		fmt.Fprintf(a.out, "%s has received nothing yet.\n", rest[0])
	}
	for _, m := range list {
		fmt.Fprintf(a.out, "%s  %s: %s\n", m.At.Local().Format("15:04:05"), m.From, m.Text)
	}
	return nil
}
