package main

import (
	"encoding/json"
	"io"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// arrows is the floor plan (docs/architecture.md): who may import whom, among
// our own packages. A pattern ends in /… for everything below. The first
// matching row holds.
var arrows = []struct {
	from string
	to   []string
}{
	{"cmd/doorway", []string{"configs", "gateway/…", "modem/…", "modem", "transports/…", "transports", "xmpp/…", "xmpp"}},
	{"cmd/house", nil},
	{"configs", nil},

	{"xmpp/jid", nil},
	{"xmpp/xmlstream", nil},
	{"xmpp/stanza", []string{"xmpp/jid", "xmpp/xmlstream"}},
	{"xmpp", []string{"xmpp/form", "xmpp/jid", "xmpp/stanza"}},
	{"xmpp/sasl", []string{"xmpp/jid"}},
	{"xmpp/router", []string{"xmpp", "xmpp/form", "xmpp/jid", "xmpp/stanza", "xmpp/xmlstream"}},
	{"xmpp/c2s", []string{"xmpp", "xmpp/jid", "xmpp/router", "xmpp/sasl", "xmpp/stanza", "xmpp/xmlstream"}},
	{"xmpp/websocket", []string{"xmpp", "xmpp/c2s", "xmpp/stanza", "xmpp/xmlstream"}},
	{"xmpp/routertest", []string{"xmpp", "xmpp/jid", "xmpp/router", "xmpp/stanza", "xmpp/xmlstream"}},
	{"xmpp/xmpptest", []string{"xmpp/jid", "xmpp/stanza", "xmpp/xmlstream"}},
	{"xmpp/form", []string{"xmpp/jid", "xmpp/stanza", "xmpp/xmlstream"}},
	{"xmpp/muc", []string{"xmpp/jid", "xmpp/stanza", "xmpp/xmlstream"}},
	{"xmpp/rsm", []string{"xmpp/stanza", "xmpp/xmlstream"}},
	{"xmpp/archive", []string{"xmpp", "xmpp/form", "xmpp/jid", "xmpp/rsm", "xmpp/stanza", "xmpp/xmlstream"}},
	{"xmpp/pubsub", []string{"xmpp", "xmpp/form", "xmpp/jid", "xmpp/rsm", "xmpp/stanza", "xmpp/xmlstream"}},
	{"xmpp/mod/…", []string{"xmpp", "xmpp/archive", "xmpp/form", "xmpp/jid", "xmpp/muc", "xmpp/pubsub", "xmpp/rsm", "xmpp/stanza", "xmpp/xmlstream"}},

	{"transports", nil},
	{"transports/number", nil},
	{"transports/sms", []string{"transports", "transports/number", "modem", "modem/pdu"}},

	{"modem", []string{"modem/port", "modem/pdu"}},
	{"modem/port", nil},
	{"modem/pdu", nil},
	{"modem/emulator", []string{"modem/pdu"}},

	{"gateway/store", nil},
	{"gateway/killtest", nil},
	{"gateway/health", nil},
	{"gateway/certs", nil},
	{"gateway/config", []string{"xmpp/jid"}},
	{"gateway/supervise", []string{"gateway/health"}},
	{"gateway/queue", []string{"gateway/store", "transports"}},
	{"gateway/backup", []string{"gateway/health", "gateway/store"}},
	{"gateway/people", []string{"gateway/store", "transports/number", "xmpp/jid", "xmpp/sasl"}},
	{"gateway/people/pages", []string{"gateway/people", "xmpp", "xmpp/form", "xmpp/jid"}},
	{"gateway/people/shared", []string{"gateway/people", "xmpp", "xmpp/jid", "xmpp/xmlstream"}},
	{"gateway/transfer", []string{"gateway/people", "xmpp", "xmpp/jid", "xmpp/sasl", "xmpp/stanza", "xmpp/xmlstream"}},
	{"gateway/token", nil},
	{"gateway/hook", []string{"gateway/queue", "gateway/store", "modem", "transports"}},
	{"gateway/control", []string{"gateway/health", "gateway/hook", "gateway/people", "gateway/queue", "gateway/token", "gateway/transfer", "modem", "transports", "transports/sms", "xmpp/jid"}},
	{"gateway/bridge", []string{"gateway/people", "transports", "xmpp", "xmpp/jid", "xmpp/muc", "xmpp/stanza", "xmpp/xmlstream"}},
	{"gateway/bridge/pages", []string{"modem", "transports", "transports/sms", "xmpp", "xmpp/form", "xmpp/jid", "xmpp/stanza"}},
	{"gateway/doctor", []string{"gateway/certs", "gateway/config", "gateway/health", "gateway/store", "modem", "modem/port", "transports"}},
	{"gateway/spool", []string{"gateway/health", "modem", "modem/pdu", "transports", "transports/sms"}},
	{"gateway/api", []string{"gateway/health", "gateway/hook", "gateway/people", "gateway/queue", "gateway/token", "modem", "transports", "transports/sms"}},
}

// keepers are modules that only one package may import.
var keepers = map[string]string{
	"go.etcd.io/bbolt": "gateway/store",
	"go.bug.st/serial": "modem/port",
}

type listed struct {
	ImportPath string
	Dir        string
	GoFiles    []string
	Imports    []string
	Doc        string
}

func listPackages(t *testing.T) []listed {
	t.Helper()
	cmd := exec.Command("go", "list", "-json=ImportPath,Dir,GoFiles,Imports,Doc", "doorway/...")
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	var all []listed
	for d := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p listed
		if err := d.Decode(&p); err == io.EOF {
			return all
		} else if err != nil {
			t.Fatal(err)
		}
		if len(p.GoFiles) > 0 {
			all = append(all, p)
		}
	}
}

func matches(pattern, pkg string) bool {
	if below, ok := strings.CutSuffix(pattern, "/…"); ok {
		return strings.HasPrefix(pkg, below+"/")
	}
	return pattern == pkg
}

func TestFloorPlan(t *testing.T) {
	seen := 0
	for _, p := range listPackages(t) {
		from := strings.TrimPrefix(p.ImportPath, "doorway/")
		seen++
		if p.Doc == "" {
			t.Errorf("%s has no package comment", from)
		}
		if word := path.Base(from); slices.Contains([]string{"util", "utils", "common", "helpers", "types", "base"}, word) {
			t.Errorf("%s: a package is not called %s", from, word)
		}
		row := slices.IndexFunc(arrows, func(a struct {
			from string
			to   []string
		}) bool {
			return matches(a.from, from)
		})
		if row < 0 {
			t.Errorf("%s is not in the floor plan: give it a row here and in docs/architecture.md", from)
			continue
		}
		for _, imp := range p.Imports {
			for module, keeper := range keepers {
				if (imp == module || strings.HasPrefix(imp, module+"/")) && from != keeper {
					t.Errorf("%s imports %s, which only %s may", from, imp, keeper)
				}
			}
			to, ours := strings.CutPrefix(imp, "doorway/")
			if ours && !slices.ContainsFunc(arrows[row].to, func(pat string) bool { return matches(pat, to) }) {
				t.Errorf("%s imports %s, against the floor plan", from, to)
			}
		}
	}
	if seen < 20 {
		t.Errorf("only %d packages were seen", seen)
	}
}

// TestOnlyTestsUseTestPackages: what is there for tests never gets into a program.
func TestOnlyTestsUseTestPackages(t *testing.T) {
	seen := 0
	for _, p := range listPackages(t) {
		if strings.HasSuffix(p.ImportPath, "test") {
			seen++
		}
		for _, imp := range p.Imports {
			if strings.HasPrefix(imp, "doorway/") && strings.HasSuffix(imp, "test") {
				t.Errorf("%s imports %s, which is for tests only", p.ImportPath, imp)
			}
		}
	}
	if seen < 2 {
		t.Errorf("only %d packages for tests were seen", seen)
	}
}

// TestModulesAreRegistered holds each folder under xmpp/mod against modules.go.
func TestModulesAreRegistered(t *testing.T) {
	src, err := os.ReadFile("modules.go")
	if err != nil {
		t.Fatal(err)
	}
	entries, err := os.ReadDir(filepath.Join("..", "..", "xmpp", "mod"))
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if e.IsDir() && !strings.Contains(string(src), `"doorway/xmpp/mod/`+e.Name()+`"`) {
			t.Errorf("xmpp/mod/%s has no line in modules.go", e.Name())
		}
	}
	if len(entries) < 7 {
		t.Errorf("only %d modules were seen", len(entries))
	}
}

// TestTopLevel pins the folders of the repository.
func TestTopLevel(t *testing.T) {
	entries, err := os.ReadDir(filepath.Join("..", ".."))
	if err != nil {
		t.Fatal(err)
	}
	allowed := []string{"cmd", "configs", "docs", "gateway", "image", "modem", "transports", "xmpp", "bin", "dist", "var", ".git", ".ci"}
	for _, e := range entries {
		if e.IsDir() && !slices.Contains(allowed, e.Name()) {
			t.Errorf("folder %s at the top level is not in the plan", e.Name())
		}
	}
}
