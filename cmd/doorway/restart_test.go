package main

import (
	"context"
	"errors"
	"os/exec"
	"regexp"
	"strings"
	"testing"
	"time"

	"doorway/xmpp/jid"
)

// TestStopByCommand: an administrator shuts the service down, and restarts it:
// under a service manager by the exit code that the unit knows (XEP-0133 §4.30).
func TestStopByCommand(t *testing.T) {
	t.Setenv("INVOCATION_ID", "test")
	for node, code := range map[string]int{"shutdown": exitOK, "restart": exitRestart} {
		b := startBox(t, "")
		if out, code := b.run(t, "correct horse\n", "user", "add", "alice"); code != exitOK {
			t.Fatal(out)
		}
		alice := b.dial(t, "alice")
		alice.present(t)
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		home := jid.MustParse("office.localhost")
		command := func(attrs, form string) string {
			t.Helper()
			st, err := alice.Set(ctx, home, "<command xmlns='http://jabber.org/protocol/commands' node='http://jabber.org/protocol/admin#"+node+"'"+attrs+">"+form+"</command>")
			if err != nil {
				t.Fatalf("%s: %v", node, err)
			}
			return st.Inner()
		}
		id := regexp.MustCompile(`sessionid='(\w+)'`).FindStringSubmatch(command("", ""))[1]
		got := command(" sessionid='"+id+"'", "<x xmlns='jabber:x:data' type='submit'><field var='FORM_TYPE'><value>http://jabber.org/protocol/admin</value></field>"+
			"<field var='delay'><value>1</value></field><field var='announcement'><value>Good night.</value></field></x>")
		if !strings.Contains(got, "status='completed'") {
			t.Errorf("%s: %s", node, got)
		}
		alice.sees(t, "the announcement", func(xml string) bool { return strings.Contains(xml, "Good night.") })
		if err := alice.ExpectStreamError(ctx, "system-shutdown"); err != nil {
			t.Errorf("%s: %v", node, err)
		}
		err := <-b.done
		b.done <- err // for the cleanup
		var exit *exec.ExitError
		if was := b.cmd.ProcessState.ExitCode(); was != code || err != nil && !errors.As(err, &exit) {
			t.Errorf("%s: exit %d, %v", node, was, err)
		}
		b.once.Do(func() {}) // it has ended
	}
}
