package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"

	"doorway/gateway/config"
	"doorway/gateway/control"
)

// usageError is a wrong command line.
type usageError struct{ text string }

func (e usageError) Error() string { return e.text }

func usagef(format string, a ...any) error { return usageError{fmt.Sprintf(format, a...)} }

// partialError is success for some and failure for others.
type partialError struct{ text string }

func (e partialError) Error() string { return e.text }

// errHelp is what helpError matches.
var errHelp = errors.New("help wanted")

type helpError struct{ flags string }

func (helpError) Error() string        { return "help wanted" }
func (helpError) Is(target error) bool { return target == errHelp }

// target names a running server, for commands that talk to one.
type target struct {
	dir, config string
	json        bool
}

// parse is the function parse with the flags of a target beside the command's own.
func (t *target) parse(fs *flag.FlagSet, args []string, least, most int) ([]string, error) {
	fs.StringVar(&t.dir, "dir", "", "the server's data folder (default ./var)")
	fs.StringVar(&t.config, "config", "", "the server's doorway.toml")
	fs.BoolVar(&t.json, "json", false, "print JSON")
	return parse(fs, args, least, most)
}

// systemConfig is where a package puts the configuration.
const systemConfig = "/etc/doorway/doorway.toml"

// folder finds the data folder: --dir, --config, DOORWAY_CONFIG, ./var when a
// demo has been there, else the system's configuration.
func (t *target) folder() (string, error) {
	if t.dir != "" && t.config != "" {
		return "", usagef("--dir and --config exclude each other")
	}
	file := t.config
	switch {
	case t.dir != "":
		return t.dir, nil
	case file != "":
	case os.Getenv("DOORWAY_CONFIG") != "":
		file = os.Getenv("DOORWAY_CONFIG")
	case exists(filepath.Join("var", control.SocketName)) || !exists(systemConfig):
		return "var", nil
	default:
		file = systemConfig
	}
	c, err := config.Load(file)
	if err != nil {
		return "", err
	}
	return c.Data, nil
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// call asks the running server.
func (t *target) call(ctx context.Context, command string, args, result any) error {
	dir, err := t.folder()
	if err != nil {
		return err
	}
	return control.Call(ctx, dir, command, args, result)
}

// parse reads flags and positional arguments in any order; -- ends the flags.
// least and most bound the number of positional arguments.
func parse(fs *flag.FlagSet, args []string, least, most int) ([]string, error) {
	var help bytes.Buffer
	fs.SetOutput(&help)
	fs.Usage = func() {}
	var rest []string
	for {
		if err := fs.Parse(args); err != nil {
			if errors.Is(err, flag.ErrHelp) {
				help.Reset()
				fs.PrintDefaults()
				return nil, helpError{help.String()}
			}
			return nil, usageError{err.Error()}
		}
		n := len(args) - fs.NArg()
		if n > 0 && args[n-1] == "--" {
			rest = append(rest, fs.Args()...)
			break
		}
		if fs.NArg() == 0 {
			break
		}
		rest = append(rest, fs.Arg(0))
		args = fs.Args()[1:]
	}
	switch {
	case len(rest) < least:
		return nil, usagef("something is missing")
	case len(rest) > most:
		return nil, usagef("%q is one word too many (quote a text that has spaces)", rest[most])
	}
	return rest, nil
}

func newFlags(name string) *flag.FlagSet { return flag.NewFlagSet(name, flag.ContinueOnError) }

// printJSON writes one object on one line.
func (a *app) printJSON(v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("encode answer: %w", err)
	}
	_, err = fmt.Fprintf(a.out, "%s\n", b)
	return err
}
