package emulator

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"strings"
	"time"
)

// options of Main.
type options struct {
	cfg        Config
	log        string
	control    string
	script     string
	replay     string
	parentDies bool
}

const usage = `An emulated GSM modem on a pseudo-terminal, with phones behind it.

Usage: doorway emulate [flags]

`

// Main runs an emulator as a process of its own until ctx ends (or stdin
// closes, with --parent-dies). Once it serves it prints one line of JSON:
// {"ready":true,"modem":PATH,"number":…,"phones":[…],"control":SOCKET,"log":FILE}.
func Main(ctx context.Context, args []string, stdin io.Reader, stdout io.Writer) error {
	o, err := parseArgs(args, stdout)
	if errors.Is(err, flag.ErrHelp) {
		return nil
	}
	if err != nil {
		return err
	}
	if o.log != "" {
		f, err := os.OpenFile(o.log, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
		if err != nil {
			return fmt.Errorf("open the log: %w", err)
		}
		defer f.Close()
		o.cfg.Log = f
	}
	e, err := New(o.cfg)
	if err != nil {
		return err
	}
	defer e.Close()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	if o.parentDies {
		go func() { // ends with the process: a read of stdin can not be called off
			_, _ = io.Copy(io.Discard, stdin) // ignored: an error ends it as the end of input does
			cancel()
		}()
	}
	served := make(chan error, 1)
	if o.control != "" {
		l, err := listen(o.control)
		if err != nil {
			return err
		}
		defer os.Remove(o.control)
		go func() { e.serve(ctx, l); served <- nil }() // Main waits for it below
	} else {
		served <- nil
	}
	ready := map[string]any{"ready": true, "modem": e.Path(), "number": e.Number(), "phones": numbers(e.net.Phones()), "control": o.control, "log": o.log}
	if err := json.NewEncoder(stdout).Encode(ready); err != nil {
		return err
	}
	err = e.Run(ctx)
	cancel()
	return errors.Join(err, <-served)
}

func numbers(phones []PhoneConfig) []string {
	out := []string{}
	for _, p := range phones {
		out = append(out, p.Number)
	}
	return out
}

func parseArgs(args []string, stdout io.Writer) (options, error) {
	var o options
	fs := flag.NewFlagSet("emulate", flag.ContinueOnError)
	fs.SetOutput(io.Discard)
	fs.StringVar(&o.cfg.Link, "pty-link", "", "path of a symbolic `link` to the terminal that the driver opens")
	fs.StringVar(&o.log, "log", "", "append everything sent and received to this `file`, in JSON lines")
	fs.StringVar(&o.control, "control", "", "path of the control `socket`")
	fs.StringVar(&o.cfg.Number, "number", "", "the modem's own `number`")
	fs.StringVar(&o.cfg.PIN, "pin", "", "PIN of the SIM")
	fs.StringVar(&o.cfg.IMEI, "imei", "", "IMEI of the modem")
	fs.StringVar(&o.script, "script", "", "`file` of rules, or the name of a ready-made behaviour: "+strings.Join(ScriptNames(), " "))
	fs.StringVar(&o.replay, "replay", "", "`file` written by doorway modem record: commands are answered as they were then")
	fs.DurationVar(&o.cfg.Latency, "latency", 0, "time of the network, each way")
	fs.BoolVar(&o.parentDies, "parent-dies", false, "end when standard input closes")
	fs.Func("phone", "a phone: `NUMBER[,ANSWER]`; ANSWER is texted back, {text} in it is what was received; may be repeated", func(s string) error {
		number, answer, _ := strings.Cut(s, ",")
		if _, ok := sender(number).E164(); !ok {
			return fmt.Errorf("%q is not a number such as +4915550101", number)
		}
		o.cfg.Phones = append(o.cfg.Phones, PhoneConfig{Number: number, Answer: answer})
		return nil
	})
	if err := fs.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			fmt.Fprint(stdout, usage)
			fs.SetOutput(stdout)
			fs.PrintDefaults()
		}
		return o, err
	}
	if fs.NArg() > 0 {
		return o, fmt.Errorf("unexpected argument %q", fs.Arg(0))
	}
	if o.cfg.Latency < 0 || o.cfg.Latency > time.Hour {
		return o, errors.New("--latency must lie between 0 and 1h")
	}
	return o, errors.Join(o.loadScript(), o.loadReplay())
}

// loadReplay adds the rules of a recording, behind those of a script.
func (o *options) loadReplay() error {
	if o.replay == "" {
		return nil
	}
	text, err := os.ReadFile(o.replay)
	if err != nil {
		return fmt.Errorf("--replay: %w", err)
	}
	rules, err := ParseTranscript(string(text))
	if err != nil {
		return fmt.Errorf("%s: %w", o.replay, err)
	}
	if len(rules) == 0 {
		return fmt.Errorf("%s: holds no command to a modem", o.replay)
	}
	o.cfg.Rules = append(o.cfg.Rules, rules...)
	return nil
}

// loadScript takes a file when there is one of that name, else a ready-made behaviour.
func (o *options) loadScript() error {
	if o.script == "" {
		return nil
	}
	text, err := os.ReadFile(o.script)
	if errors.Is(err, os.ErrNotExist) {
		if o.cfg.Rules, err = Script(o.script); err != nil {
			return fmt.Errorf("--script: no such file, and %w", err)
		}
		return nil
	}
	if err != nil {
		return fmt.Errorf("--script: %w", err)
	}
	if o.cfg.Rules, err = ParseScript(string(text)); err != nil {
		return fmt.Errorf("%s: %w", o.script, err)
	}
	return nil
}
