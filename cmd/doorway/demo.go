package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/rand"
	"encoding/base32"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"doorway/gateway/config"
	"doorway/gateway/people"
	"doorway/gateway/supervise"
	"doorway/modem"
)

// The demo's people, modem and phones. The numbers are of the kind that
// nobody has.
const (
	demoDomain = "office.localhost"
	demoOwn    = "+4915550100"
	demoQuiet  = "+4915550101" // answers when told to
	demoBusy   = "+4915550102" // answers by itself
	demoAnswer = "Got it, thank you."
)

// demoUser is a person of the demo.
type demoUser struct {
	JID      string `json:"jid"`
	Password string `json:"password"`
}

// demoReady is what `doorway demo --json` prints once everything is up.
type demoReady struct {
	Domain    string     `json:"domain"`
	Dir       string     `json:"dir"`
	CA        string     `json:"ca"`
	C2S       string     `json:"c2s"`
	C2STLS    string     `json:"c2s_tls"`
	HTTP      string     `json:"http"`
	Users     []demoUser `json:"users"`
	Admin     string     `json:"admin"`
	APIToken  string     `json:"api_token"`
	SMSDomain string     `json:"sms_domain"`
	Modem     string     `json:"modem"`
	Phones    []string   `json:"phones"`
}

func runDemo(ctx context.Context, a *app, args []string) error {
	fs := newFlags("demo")
	dir := fs.String("dir", "var", "folder for the demo's data")
	asJSON := fs.Bool("json", false, "print one line of JSON when ready")
	ephemeral := fs.Bool("ephemeral", false, "listen on free ports instead of 5222, 5223 and 8080")
	address := fs.String("address", "127.0.0.1", "the loopback address to listen on")
	if _, err := parse(fs, args, 0, 0); err != nil {
		return err
	}
	if ip := net.ParseIP(*address); ip == nil || !ip.IsLoopback() {
		return usagef("the demo listens on loopback only, and %q is not a loopback address; to serve an office use `doorway run`", *address)
	}
	abs, err := filepath.Abs(*dir)
	if err != nil {
		return fmt.Errorf("find the demo's folder: %w", err)
	}
	if err := demoFolder(abs); err != nil {
		return fmt.Errorf("make the demo's folder: %w", err)
	}
	cfg, err := demoConfig(abs, *address, *ephemeral)
	if err != nil {
		return err
	}
	level := slog.LevelWarn // the screen belongs to the welcome
	if *asJSON {
		level = slog.LevelInfo
	}
	log := newLog(a.err, level)
	s, err := newServer(cfg, log)
	if err != nil {
		return err
	}
	s.strict = true // a taken port is a sentence and the end
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	emu, err := startEmulator(ctx, abs)
	if err != nil {
		return errors.Join(err, s.close())
	}
	var once sync.Once
	s.group.Add(supervise.Task{Name: "emulated modem", Once: true, Run: func(ctx context.Context) error {
		select {
		case <-ctx.Done():
			return nil
		case err := <-emu.done:
			emu.done <- err // for stop
			return fmt.Errorf("its process ended: %w", err)
		}
	}})
	s.ready = func() {
		once.Do(func() {
			waitForModem(ctx, s)
			r, err := demoPeople(s, abs)
			if err != nil {
				log.Error("the demo's people cannot be made", "comp", "demo", "err", err)
				cancel()
				return
			}
			if *asJSON {
				err = a.printJSON(r)
			} else {
				err = printWelcome(a.out, r)
			}
			if err != nil {
				log.Error("the demo's welcome cannot be printed", "comp", "demo", "err", err)
			}
		})
	}
	err = s.run(ctx)
	return errors.Join(err, emu.stop())
}

// waitForModem gives the emulated modem a moment to be set up, so that what
// the welcome says is true when it is read.
func waitForModem(ctx context.Context, s *server) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		if s.modems[0].Status().State == modem.Ready {
			return
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// demoFolder makes the demo's folder, or closes an empty one to others: the
// store takes no open folder that holds something, and the configuration comes
// into it first.
func demoFolder(dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	if entries, err := os.ReadDir(dir); err != nil || len(entries) > 0 {
		return err
	}
	return os.Chmod(dir, 0o700)
}

// demoConfig writes the demo's doorway.toml and reads it as `doorway run` would.
func demoConfig(dir, address string, ephemeral bool) (*config.Config, error) {
	port := func(n int) string {
		if ephemeral {
			n = 0
		}
		return net.JoinHostPort(address, strconv.Itoa(n))
	}
	var b bytes.Buffer
	fmt.Fprintf(&b, "# Written anew at each start of `doorway demo`.\ndomain = %q\ndata = %q\nadmins = [%q]\n", demoDomain, dir, "alice@"+demoDomain)
	fmt.Fprintf(&b, "[xmpp]\nlisten = [%q]\nlisten_tls = [%q]\n", port(5222), port(5223))
	fmt.Fprintf(&b, "[[modem]]\nname = \"gsm0\"\ndevice = %q\n", filepath.Join(dir, "modem"))
	fmt.Fprintf(&b, "[sms]\ncountry = \"49\"\n[http]\nlisten = [%q]\n", port(8080))
	file := filepath.Join(dir, "doorway.toml")
	if err := os.WriteFile(file, b.Bytes(), 0o600); err != nil {
		return nil, fmt.Errorf("write the demo's configuration: %w", err)
	}
	return config.Parse(file, b.Bytes())
}

// demoPeople gives alice, bob and carol new passwords.
func demoPeople(s *server, dir string) (demoReady, error) {
	r := demoReady{
		Domain: demoDomain, Dir: dir, CA: s.certs.CAFile(), C2S: s.addr("c2s"), C2STLS: s.addr("c2s_tls"), HTTP: s.addr("http"),
		Admin: "alice@" + demoDomain, APIToken: s.token, SMSDomain: s.cfg.SMSDomain(), Modem: filepath.Join(dir, "modem"),
		Phones: []string{demoQuiet, demoBusy},
	}
	for _, p := range []struct{ local, name string }{{"alice", "Alice"}, {"bob", "Bob"}, {"carol", "Carol"}} {
		password, err := newPassword()
		if err != nil {
			return r, err
		}
		err = s.people.Add(p.local, password, p.name)
		if errors.Is(err, people.ErrExists) {
			err = s.people.SetPassword(p.local, password)
		}
		if err != nil {
			return r, fmt.Errorf("make %s: %w", p.local, err)
		}
		r.Users = append(r.Users, demoUser{p.local + "@" + demoDomain, password})
	}
	return r, nil
}

// newPassword is 80 random bits in letters that are easy to type.
func newPassword() (string, error) {
	b := make([]byte, 10)
	if _, err := rand.Read(b); err != nil {
		return "", fmt.Errorf("make a password: %w", err)
	}
	s := strings.ToLower(base32.StdEncoding.EncodeToString(b))
	return s[:4] + "-" + s[4:8] + "-" + s[8:12] + "-" + s[12:], nil
}

// printWelcome tells a person how to go on.
func printWelcome(w io.Writer, r demoReady) error {
	where := ""
	if rel(r.Dir) != "var" {
		where = "--dir " + rel(r.Dir) + " "
	}
	var b strings.Builder
	fmt.Fprintf(&b, "\ndoorway demo is ready. It listens on this machine only; Ctrl-C ends it.\n\n")
	fmt.Fprintf(&b, "Log in with any XMPP client (server %s, port %s with STARTTLS or %s with direct TLS,\ntrusted CA file %s):\n",
		host(r.C2S), portOf(r.C2S), portOf(r.C2STLS), rel(r.CA))
	for _, u := range r.Users {
		fmt.Fprintf(&b, "    %-24s password %s\n", u.JID, u.Password)
	}
	fmt.Fprintf(&b, "\nText a phone: chat to %s@%s\n    (%s@%s answers by itself)\n", r.Phones[0], r.SMSDomain, r.Phones[1], r.SMSDomain)
	fmt.Fprintf(&b, "Make the phone answer:      ./bin/doorway phone send %s%s \"On my way\"\n", where, r.Phones[0])
	fmt.Fprintf(&b, "See what the phone got:     ./bin/doorway phone log %s%s\n", where, r.Phones[0])
	fmt.Fprintf(&b, "Status page:                http://%s/\n", r.HTTP)
	_, err := io.WriteString(w, b.String())
	return err
}

// rel shortens a path below the working folder.
func rel(path string) string {
	wd, err := os.Getwd()
	if err != nil {
		return path
	}
	if r, err := filepath.Rel(wd, path); err == nil && !strings.HasPrefix(r, "..") {
		return r
	}
	return path
}

func host(addr string) string {
	h, _, _ := net.SplitHostPort(addr) // ignored: our own listener's address
	return h
}

func portOf(addr string) string {
	_, p, _ := net.SplitHostPort(addr) // ignored: our own listener's address
	return p
}

// child is the emulated modem's process.
type child struct {
	cmd   *exec.Cmd
	stdin io.Closer
	done  chan error // gets the exit once
}

// startEmulator runs `doorway emulate` and waits until its pty is there. It
// ends when its stdin closes, so also when this process is killed.
func startEmulator(ctx context.Context, dir string) (*child, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("find the program: %w", err)
	}
	link := filepath.Join(dir, "modem")
	if err := os.Remove(link); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("remove the old modem: %w", err)
	}
	cmd := exec.Command(self, "emulate", "--pty-link", link, "--log", filepath.Join(dir, emulatorLog),
		"--control", filepath.Join(dir, emulatorSocket), "--number", demoOwn, "--parent-dies",
		"--phone", demoQuiet, "--phone", demoBusy+","+demoAnswer)
	cmd.Stderr = os.Stderr
	detach(cmd)
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, fmt.Errorf("start the emulated modem: %w", err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, fmt.Errorf("start the emulated modem: %w", err)
	}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start the emulated modem: %w", err)
	}
	c := &child{cmd: cmd, stdin: in, done: make(chan error, 1)}
	ready := make(chan struct{}, 1)
	go func() { // owner: child.stop, which receives from done
		lines := bufio.NewScanner(out)
		for lines.Scan() {
			select {
			case ready <- struct{}{}: // its one line says that it serves
			default:
			}
		}
		c.done <- cmd.Wait()
	}()
	limit := time.NewTimer(10 * time.Second)
	defer limit.Stop()
	select {
	case <-ready:
		return c, nil
	case err := <-c.done:
		return nil, fmt.Errorf("the emulated modem did not start: %w", err)
	case <-limit.C:
		return nil, errors.Join(errors.New("the emulated modem did not start within ten seconds"), c.stop())
	case <-ctx.Done():
		return nil, errors.Join(ctx.Err(), c.stop())
	}
}

// stop closes the emulator's stdin and waits for its end.
func (c *child) stop() error {
	_ = c.stdin.Close() // ignored: the process may have ended by itself
	limit := time.NewTimer(5 * time.Second)
	defer limit.Stop()
	select {
	case <-c.done:
		return nil
	case <-limit.C:
		return c.cmd.Process.Kill()
	}
}
