// Package control is the administrator's unix socket in the data folder: the
// running server answers the commands of the command line there.
//
// A connection carries one request and one answer, each one line of JSON. The
// socket has mode 0600 and only the server's own user and root are answered
// (SO_PEERCRED). Serve owns one goroutine for each connection and waits for
// all of them.
package control

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"reflect"
	"runtime/debug"
	"sort"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// SocketName is the socket's name in the data folder.
const SocketName = "control.sock"

// maxRequest bounds one request line: a list of all people fits.
const maxRequest = 8 << 20

// callLimit is how long one request may take from its first byte on.
const callLimit = 2 * time.Minute

// Error is an answer that says no. Text is a sentence for the person.
type Error struct {
	Usage bool   `json:"usage,omitempty"` // the request itself was wrong
	Text  string `json:"text"`
}

func (e *Error) Error() string { return e.Text }

// Refuse makes an *Error with a sentence.
func Refuse(format string, a ...any) error { return &Error{Text: fmt.Sprintf(format, a...)} }

type request struct {
	Command string          `json:"command"`
	Args    json.RawMessage `json:"args,omitempty"`
}

type response struct {
	Result json.RawMessage `json:"result,omitempty"`
	Error  *Error          `json:"error,omitempty"`
}

// Server answers commands. Register them with Handle before Serve.
type Server struct {
	log      *slog.Logger
	commands map[string]func(context.Context, json.RawMessage) (any, error)
	limits   map[string]time.Duration // of commands that may take longer than callLimit
}

// New makes a Server without commands.
func New(log *slog.Logger) *Server {
	return &Server{log: log, commands: map[string]func(context.Context, json.RawMessage) (any, error){}, limits: map[string]time.Duration{}}
}

// Handle registers a command; a name taken twice panics, and so does an f that is no
// func(context.Context, A) (R, error) for some A and R, which go over the socket as JSON. f's error
// is sent as its text, so it should be a sentence.
//
// A and R are found by reflection and are no type parameters: those cost the binary 130 KB, 2.5 for
// each command. The commands are registered when the server starts, so a wrong f cannot hide.
func Handle(s *Server, name string, f any) {
	if _, ok := s.commands[name]; ok {
		panic("control: command " + name + " registered twice")
	}
	v := reflect.ValueOf(f)
	t := v.Type()
	if t.Kind() != reflect.Func || t.NumIn() != 2 || t.NumOut() != 2 || t.In(0) != reflect.TypeFor[context.Context]() || t.Out(1) != reflect.TypeFor[error]() {
		panic("control: command " + name + " is a " + t.String())
	}
	s.commands[name] = func(ctx context.Context, raw json.RawMessage) (any, error) {
		args := reflect.New(t.In(1))
		if len(raw) > 0 {
			if err := json.Unmarshal(raw, args.Interface()); err != nil {
				return nil, &Error{Usage: true, Text: "the request cannot be read: " + err.Error()}
			}
		}
		out := v.Call([]reflect.Value{reflect.ValueOf(ctx), args.Elem()})
		err, _ := out[1].Interface().(error) // nil is none
		return out[0].Interface(), err
	}
}

// Commands lists what is registered, in order.
func (s *Server) Commands() []string {
	names := make([]string, 0, len(s.commands))
	for n := range s.commands {
		names = append(names, n)
	}
	sort.Strings(names)
	return names
}

// Listen makes the socket in the folder, removing a stale one: the caller
// holds the folder's lock, so nobody can be listening there.
func Listen(dir string) (net.Listener, error) {
	path := filepath.Join(dir, SocketName)
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("remove stale control socket: %w", err)
	}
	short, undo, err := shorten(dir)
	if err != nil {
		return nil, err
	}
	defer undo()
	old := syscall.Umask(0o177)
	l, err := net.Listen("unix", filepath.Join(short, SocketName))
	syscall.Umask(old)
	if err != nil {
		return nil, fmt.Errorf("make control socket: %w", err)
	}
	// The listener knows the shortened name, which is gone by then.
	l.(*net.UnixListener).SetUnlinkOnClose(false)
	return l, nil
}

// shorten gives a folder a private short name when a socket in it would have
// a path over what sockaddr_un holds (unix(7): 108 bytes).
func shorten(dir string) (short string, undo func(), err error) {
	if len(filepath.Join(dir, SocketName)) <= 100 {
		return dir, func() {}, nil
	}
	abs, err := filepath.Abs(dir)
	if err != nil {
		return "", nil, fmt.Errorf("find data folder: %w", err)
	}
	tmp, err := os.MkdirTemp("", "dw")
	if err != nil {
		return "", nil, fmt.Errorf("make short link to data folder: %w", err)
	}
	undo = func() { _ = os.RemoveAll(tmp) } // ignored: a leftover link in the temporary folder harms nobody
	link := filepath.Join(tmp, "d")
	if err := os.Symlink(abs, link); err != nil {
		undo()
		return "", nil, fmt.Errorf("make short link to data folder: %w", err)
	}
	return link, undo, nil
}

// Serve answers until ctx ends, then closes l and waits for the answers under way.
func (s *Server) Serve(ctx context.Context, l net.Listener) error {
	var wg sync.WaitGroup
	defer wg.Wait()
	stop := context.AfterFunc(ctx, func() { l.Close() })
	defer stop()
	for {
		c, err := l.Accept()
		if err != nil {
			if ctx.Err() != nil {
				return nil
			}
			return fmt.Errorf("accept on control socket: %w", err)
		}
		wg.Add(1)
		go func() { // owner: this Serve, by wg
			defer wg.Done()
			defer c.Close()
			s.answer(ctx, c)
		}()
	}
}

func (s *Server) answer(ctx context.Context, c net.Conn) {
	uid, err := peer(c)
	if err != nil || uid != 0 && uid != os.Getuid() {
		s.log.Warn("control socket refused a user", "comp", "control", "user", uid, "err", err)
		return
	}
	if err := c.SetDeadline(time.Now().Add(callLimit)); err != nil {
		return
	}
	line, err := bufio.NewReader(io.LimitReader(c, maxRequest)).ReadBytes('\n')
	if err != nil {
		return // the caller went away
	}
	var out response
	var req request
	if err := json.Unmarshal(line, &req); err != nil {
		out.Error = &Error{Usage: true, Text: "the request is not one line of JSON"}
	} else {
		limit := max(callLimit, s.limits[req.Command])
		if err := c.SetDeadline(time.Now().Add(limit)); err != nil {
			return
		}
		cctx, cancel := context.WithTimeout(ctx, limit)
		out = s.call(cctx, req)
		cancel()
	}
	b, err := json.Marshal(out)
	if err != nil {
		s.log.Error("control answer cannot be written", "comp", "control", "err", err)
		return
	}
	if _, err := c.Write(append(b, '\n')); err != nil {
		s.log.Debug("control client went away", "comp", "control", "err", err)
	}
}

func (s *Server) call(ctx context.Context, req request) (out response) {
	defer func() {
		if p := recover(); p != nil {
			s.log.Error("panic in a control command", "comp", "control", "ref", req.Command, "err", p, "stack", string(debug.Stack()))
			out = response{Error: &Error{Text: "doorway has a fault in this command; the log has the details."}}
		}
	}()
	f, ok := s.commands[req.Command]
	if !ok {
		return response{Error: &Error{Usage: true, Text: fmt.Sprintf("the running doorway knows no command %q; it may be another version than this one", req.Command)}}
	}
	result, err := f(ctx, req.Args)
	if err != nil {
		var e *Error
		if !errors.As(err, &e) {
			e = &Error{Text: err.Error()}
		}
		return response{Error: e}
	}
	raw, err := json.Marshal(result)
	if err != nil {
		return response{Error: &Error{Text: "the answer cannot be encoded: " + err.Error()}}
	}
	return response{Result: raw}
}

// peer returns the user id at the other end (unix(7), SO_PEERCRED).
func peer(c net.Conn) (int, error) {
	raw, err := c.(*net.UnixConn).SyscallConn()
	if err != nil {
		return -1, fmt.Errorf("look at control client: %w", err)
	}
	uid := -1
	var cerr error
	err = raw.Control(func(fd uintptr) {
		var cred *unix.Ucred
		if cred, cerr = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED); cerr == nil {
			uid = int(cred.Uid)
		}
	})
	return uid, errors.Join(err, cerr)
}
