// Command house is the project's own tool: what the Makefile asks for and
// takes more than a line. It is never shipped.
package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"strings"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "house:", err)
		stop()
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	if len(args) == 0 {
		return fmt.Errorf("usage: house peers|npm|test|format|fuzz|sizes|readme")
	}
	switch args[0] {
	case "peers":
		return peers(ctx)
	case "npm":
		return npm(ctx, args[1:])
	case "test":
		return test(ctx, args[1:])
	case "format":
		return format(ctx)
	case "fuzz":
		return fuzz(ctx, args[1:])
	case "readme":
		return readme(ctx, args[1:])
	case "sizes":
		return sizes(ctx)
	}
	return fmt.Errorf("no such task %q", args[0])
}

// loud runs a command with its output shown.
func loud(ctx context.Context, env []string, name string, args ...string) error {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	cmd.Env = append(os.Environ(), env...)
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("%s %s: %w", name, strings.Join(args, " "), err)
	}
	return nil
}

// output runs a command and returns what it printed.
func output(ctx context.Context, name string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Stderr = os.Stderr
	b, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("%s %s: %w", name, strings.Join(args, " "), err)
	}
	return strings.TrimSpace(string(b)), nil
}

// format fails when a tracked file is not in gofmt -s form.
func format(ctx context.Context) error {
	out, err := output(ctx, "gofmt", "-s", "-l", "cmd", "configs", "gateway", "modem", "transports", "xmpp")
	if err != nil {
		return err
	}
	if out != "" {
		return fmt.Errorf("not in gofmt -s form:\n%s", out)
	}
	return nil
}
