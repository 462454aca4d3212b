package control

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"syscall"
)

// ErrNotRunning says that no server listens in the folder.
var ErrNotRunning = errors.New("doorway is not running")

// Call asks the server of a data folder for one command and decodes its
// answer into result (nil to ignore it). The error is ErrNotRunning (wrapped),
// *Error, or one of the connection.
func Call(ctx context.Context, dir, command string, args, result any) error {
	short, undo, err := shorten(dir)
	if err != nil {
		return err
	}
	defer undo()
	var d net.Dialer
	c, err := d.DialContext(ctx, "unix", filepath.Join(short, SocketName))
	switch {
	case errors.Is(err, os.ErrNotExist), errors.Is(err, syscall.ECONNREFUSED):
		return fmt.Errorf("%w (no server answers in %s)", ErrNotRunning, dir)
	case errors.Is(err, os.ErrPermission):
		return Refuse("you may not talk to the doorway in %s: run the command as its user or as root.", dir)
	case err != nil:
		return fmt.Errorf("reach doorway in %s: %w", dir, err)
	}
	defer c.Close()
	stop := context.AfterFunc(ctx, func() { c.Close() })
	defer stop()
	raw, err := json.Marshal(args)
	if err != nil {
		return fmt.Errorf("encode %s: %w", command, err)
	}
	line, err := json.Marshal(request{Command: command, Args: raw})
	if err != nil {
		return fmt.Errorf("encode %s: %w", command, err)
	}
	if _, err := c.Write(append(line, '\n')); err != nil {
		return fmt.Errorf("ask doorway: %w", err)
	}
	answer, err := bufio.NewReader(c).ReadBytes('\n')
	if err != nil {
		return fmt.Errorf("doorway closed the connection without an answer; see its log: %w", err)
	}
	var out response
	if err := json.Unmarshal(answer, &out); err != nil {
		return fmt.Errorf("read doorway's answer: %w", err)
	}
	if out.Error != nil {
		return out.Error
	}
	if result == nil {
		return nil
	}
	if err := json.Unmarshal(out.Result, result); err != nil {
		return fmt.Errorf("read doorway's answer to %s: %w", command, err)
	}
	return nil
}
