package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// browser is a headless Chromium that is driven step by step, and the server of
// the page with Converse.js, which it opens.
type browser struct {
	t       *testing.T
	in      io.Writer
	answers chan string
	log     *logBuffer
	pages   *httptest.Server
	version string
}

// npmPackage is the folder of a package that `make test` has installed.
func npmPackage(t *testing.T, name string) string {
	t.Helper()
	cmd := exec.Command("go", "run", "../house", "npm", name)
	out, err := cmd.Output()
	if err == nil {
		return strings.TrimSpace(string(out))
	}
	text := fmt.Sprintf("the npm package %s is missing: `go run ./cmd/house npm` installs it", name)
	if os.Getenv("CI") == "true" {
		t.Fatal(text)
	}
	t.Skip(text)
	return ""
}

// newBrowser starts one in which the HTTPS of the domain is at an address.
func newBrowser(t *testing.T, https string) *browser {
	t.Helper()
	needPeer(t, "chromium", "chromium")
	needPeer(t, "node", "nodejs")
	chromium, err := exec.LookPath("chromium")
	if err != nil {
		t.Fatal(err)
	}
	mux := http.NewServeMux()
	mux.Handle("/dist/", http.FileServer(http.Dir(npmPackage(t, "converse.js"))))
	mux.HandleFunc("/{$}", func(w http.ResponseWriter, r *http.Request) {
		http.ServeFile(w, r, filepath.Join("testdata", "converse", "index.html"))
	})
	b := &browser{t: t, answers: make(chan string), log: &logBuffer{}, pages: httptest.NewServer(mux)}
	t.Cleanup(b.pages.Close)
	cmd := exec.Command("node", filepath.Join("testdata", "converse", "driver.js"), npmPackage(t, "playwright-core"), chromium, "office.localhost", https)
	cmd.Env = append(os.Environ(), "HOME="+t.TempDir())
	cmd.Stderr = b.log
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	b.in = in
	go func() { // owner: the clean-up below, which receives until it ends
		defer close(b.answers)
		lines := bufio.NewScanner(out)
		lines.Buffer(nil, 8<<20)
		for lines.Scan() {
			b.answers <- lines.Text()
		}
	}()
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("the pages said:\n%s", tail(b.log.String(), 20_000))
		}
		_ = in.Close() // ignored: it may have ended
		for range b.answers {
		}
		if err := cmd.Wait(); err != nil {
			t.Errorf("the browser's driver ended with %v\n%s", err, tail(b.log.String(), 2000))
		}
	})
	b.version, _ = b.answer(map[string]any{}).(string)
	return b
}

func tail(s string, n int) string { return s[max(0, len(s)-n):] }

// step does one thing in a page and returns what came of it.
func (b *browser) step(s map[string]any) any {
	b.t.Helper()
	line, err := json.Marshal(s)
	if err != nil {
		b.t.Fatal(err)
	}
	if _, err := b.in.Write(append(line, '\n')); err != nil {
		b.t.Fatal(err)
	}
	return b.answer(s)
}

func (b *browser) answer(s map[string]any) any {
	b.t.Helper()
	select {
	case line, ok := <-b.answers:
		var a struct {
			Value any
			Error string
		}
		if !ok {
			b.t.Fatalf("the browser is gone:\n%s", tail(b.log.String(), 2000))
		}
		if err := json.Unmarshal([]byte(line), &a); err != nil || a.Error != "" {
			b.t.Fatalf("%v: %s %v", s, a.Error, err)
		}
		return a.Value
	case <-time.After(90 * time.Second):
		b.t.Fatalf("%v: no answer\n%s", s, tail(b.log.String(), 2000))
	}
	return nil
}

// converse is Converse.js in a page.
type converse struct {
	*browser
	page string
}

// converse opens the page, which comes from the domain, and logs in. Without the
// address of a socket it is found as XEP-0156 says.
func (b *browser) converse(page, socket, jid, password string) *converse {
	b.t.Helper()
	c := &converse{b, page}
	b.step(map[string]any{"page": page, "open": "http://office.localhost:" + portOf(b.pages.Listener.Addr().String()) + "/"})
	settings, err := json.Marshal(map[string]any{
		"view_mode": "fullscreen", "websocket_url": socket, "discover_connection_methods": socket == "", "authentication": "login",
		"auto_login": true, "jid": jid, "password": password, "assets_path": "/dist/", "loglevel": "debug", "i18n": "en",
		"show_self_in_roster": false, "blacklisted_plugins": []string{"converse-omemo"}, "play_sounds": false, "show_desktop_notifications": false,
	})
	if err != nil {
		b.t.Fatal(err)
	}
	b.step(map[string]any{"page": page, "eval": "(converse.initialize(" + string(settings) + "), null)"})
	c.shows("a connection", func() (bool, string) {
		text := fmt.Sprint(c.eval("document.body.innerText"))
		return strings.Contains(text, "CONTACTS"), text
	})
	return c
}

func (c *converse) eval(js string) any {
	c.t.Helper()
	return c.step(map[string]any{"page": c.page, "eval": js})
}

func (c *converse) click(what string) {
	c.t.Helper()
	c.step(map[string]any{"page": c.page, "click": what})
}

// shows waits until the page shows something.
func (c *converse) shows(what string, f func() (ok bool, got string)) {
	c.t.Helper()
	until(c.t, 30*time.Second, func() (bool, string) {
		ok, got := f()
		return ok, fmt.Sprintf("%s: the page does not show %s but\n%s", c.page, what, got)
	})
}

// rosterJS is the contact list as a person sees it: groups with the names and
// availability of their contacts, a line each.
const rosterJS = `[...document.querySelectorAll("converse-roster .roster-group")].map((g) => g.dataset.group + ": " +
  [...g.querySelectorAll(":scope > ul > li")].map((li) => li.querySelector(".contact-name")?.innerText.trim() + "/" + li.dataset.status).sort().join(", ")
).sort().join("\n")`

// roster waits until the contact list is that.
func (c *converse) roster(lines ...string) {
	c.t.Helper()
	want := strings.Join(lines, "\n")
	c.shows("the contact list\n"+want, func() (bool, string) {
		got := fmt.Sprint(c.eval(rosterJS))
		return got == want, got
	})
}
