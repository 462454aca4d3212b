package config

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/BurntSushi/toml"

	"doorway/xmpp/jid"
)

type validator struct {
	c        *Config
	src      source
	md       toml.MetaData
	problems []Problem
	warnings []Problem
}

func (v *validator) fault(key, format string, a ...any) {
	v.problems = append(v.problems, Problem{v.c.File, v.src.line(key), fmt.Sprintf(format, a...)})
}

func (v *validator) warn(key, format string, a ...any) {
	v.warnings = append(v.warnings, Problem{v.c.File, v.src.line(key), fmt.Sprintf(format, a...)})
}

// unknown reports keys that mean nothing, with the nearest that does.
func (v *validator) unknown() {
	seen := map[string]int{}
	for _, key := range v.md.Undecoded() {
		if len(key) > 1 && !slices.Contains(tableKeys(v.c), key[0]) {
			continue // its table was reported already
		}
		path := key.String()
		line := v.unknownLine(key, seen)
		parent := key[:len(key)-1]
		text := fmt.Sprintf("unknown key %q", path)
		if near := nearest(key[len(key)-1], keysOf(v.c, parent)); near != "" {
			text += fmt.Sprintf("; did you mean %q?", near)
		} else {
			text += "; remove it or see the commented sample doorway.toml"
		}
		v.problems = append(v.problems, Problem{v.c.File, line, text})
	}
}

// unknownLine finds an undecoded key, which carries no index when its table
// is one of an array: the n-th time it is the n-th place.
func (v *validator) unknownLine(key toml.Key, seen map[string]int) int {
	path := key.String()
	if n, ok := v.src.lines[path]; ok {
		return n
	}
	if len(key) < 2 {
		return v.src.line(path)
	}
	var at []int
	for i := range 1000 {
		k := key[0] + "." + strconv.Itoa(i)
		if _, ok := v.src.lines[k]; !ok {
			break
		}
		if n, ok := v.src.lines[k+"."+strings.Join(key[1:], ".")]; ok {
			at = append(at, n)
		}
	}
	if len(at) == 0 {
		return v.src.line(path)
	}
	n := min(seen[path], len(at)-1)
	seen[path]++
	return at[n]
}

func tableKeys(c *Config) []string { return keysOf(c, nil) }

// keysOf lists the keys of a table of Config by its path.
func keysOf(c *Config, path toml.Key) []string {
	t := reflect.TypeOf(*c)
	for _, p := range path {
		f, ok := fieldOf(t, p)
		if !ok {
			return nil
		}
		t = f
	}
	var keys []string
	for i := range t.NumField() {
		if tag := t.Field(i).Tag.Get("toml"); tag != "" && tag != "-" {
			keys = append(keys, tag)
		}
	}
	return keys
}

func fieldOf(t reflect.Type, tag string) (reflect.Type, bool) {
	for i := range t.NumField() {
		f := t.Field(i)
		if f.Tag.Get("toml") != tag {
			continue
		}
		ft := f.Type
		if ft.Kind() == reflect.Slice {
			ft = ft.Elem()
		}
		return ft, ft.Kind() == reflect.Struct
	}
	return nil, false
}

func (v *validator) check() {
	c := v.c
	v.domain()
	v.data()
	for _, a := range c.Admins {
		j, err := jid.Parse(a)
		if err != nil || !j.IsBare() || j.Local() == "" {
			v.fault("admins", `%q is not an account: write name@domain, e.g. admins = ["alice@%s"]`, a, c.Domain)
			continue
		}
		c.adminJIDs = append(c.adminJIDs, j)
	}
	v.xmpp()
	v.services()
	v.modems()
	v.sms()
	v.http()
	v.once()
	v.archive()
	v.backup()
	v.contact()
	v.spool()
}

// once reports an address that two listeners want.
func (v *validator) once() {
	c := v.c
	used := map[string]string{}
	for _, l := range []struct {
		key  string
		list []string
	}{{"xmpp.listen", c.XMPP.Listen}, {"xmpp.listen_tls", c.XMPP.ListenTLS}, {"http.listen", c.HTTP.Listen}, {"http.listen_tls", c.HTTP.ListenTLS}} {
		for _, a := range l.list {
			_, port, err := net.SplitHostPort(a)
			switch first := used[a]; {
			case err != nil, port == "0", first == l.key: // reported already, or any free port
			case first != "":
				v.fault(l.key, "%s is already in %s: every listener needs an address of its own, usually another port", a, first)
			default:
				used[a] = l.key
			}
		}
	}
}

func (v *validator) domain() {
	c := v.c
	if c.Domain == "" {
		v.fault("domain", `domain is missing: write the name your users have after the @, e.g. domain = "office.example"`)
		return
	}
	j, err := jid.Parse(c.Domain)
	if err != nil || j.Local() != "" || j.Resource() != "" {
		v.fault("domain", `%q is not a domain name: write e.g. domain = "office.example"`, c.Domain)
		return
	}
	c.Domain = j.Domain()
}

func (v *validator) xmpp() {
	x := &v.c.XMPP
	switch x.Mode {
	case "server":
	case "component":
		v.fault("xmpp.mode", `mode "component" is not in this version: write mode = "server"`)
	default:
		v.fault("xmpp.mode", `mode %q is unknown: write mode = "server"`, x.Mode)
	}
	v.addresses("xmpp.listen", x.Listen)
	v.addresses("xmpp.listen_tls", x.ListenTLS)
	v.addresses("xmpp.listen_component", x.ListenComponent)
	if len(x.ListenComponent) > 0 {
		v.fault("xmpp.listen_component", "this version accepts no foreign gateways: remove listen_component")
	}
	if len(x.Listen)+len(x.ListenTLS) == 0 {
		v.fault("xmpp.listen", `no listener: write listen = ["0.0.0.0:5222"] or listen_tls = ["0.0.0.0:5223"]`)
	}
	if !x.RequireTLS {
		for _, a := range x.Listen {
			if !loopback(a) {
				v.fault("xmpp.require_tls", "require_tls = false is for test listeners on loopback only, and %s is not loopback: write require_tls = true", a)
				break
			}
		}
	}
	if (x.Certificate == "") != (x.Key == "") {
		v.fault("xmpp.certificate", "certificate and key go together: name both PEM files, or leave both empty so that the box's own CA issues one")
	}
	x.Certificate, x.Key = v.c.rel(x.Certificate), v.c.rel(x.Key)
	for key, path := range map[string]string{"xmpp.certificate": x.Certificate, "xmpp.key": x.Key} {
		if path == "" {
			continue
		}
		if _, err := os.Stat(path); err != nil {
			v.fault(key, "%v: name a PEM file that doorway can read, or leave it empty", pathError(err))
		}
	}
}

func (v *validator) services() {
	c := v.c
	for i := range c.Comps {
		v.fault(fmt.Sprintf("component.%d", i), "this version accepts no foreign gateways: remove the section [[component]]")
	}
	for i, n := range c.Networks {
		v.fault(fmt.Sprintf("network.%d.type", i), "network type %q is not in this version: remove the section [[network]]", n.Type)
	}
	for key, s := range map[string]Service{"muc": c.MUC, "directory": c.Dir, "upload": c.Upload, "sms": {c.SMS.Domain}} {
		if j, err := jid.Parse(c.full(s.Domain)); err != nil || j.Local() != "" || j.Resource() != "" || s.Domain == "" {
			v.fault(key+".domain", `%q is not a domain name: write a label such as %q, which is put before the domain, or a whole name`, s.Domain, key)
		}
		if _, set := v.src.lines[key]; set && key == "upload" {
			v.warn(key, "[%s] is kept for a later version; nothing is served there yet", key)
		}
	}
	if name := c.MUCDomain(); name == c.Domain || name == c.SMSDomain() {
		v.fault("muc.domain", "%q is taken by something else: rooms need a domain of their own", name)
	}
	if name := c.DirectoryDomain(); name == c.Domain || name == c.SMSDomain() || name == c.MUCDomain() {
		v.fault("directory.domain", "%q is taken by something else: the directory needs a domain of its own", name)
	}
	if len(c.HTTP.ListenTLS) > 0 {
		v.addresses("http.listen_tls", c.HTTP.ListenTLS)
	}
}

// usbDevice is a place or a kind of USB device, with the number of its interface if need be.
var usbDevice = regexp.MustCompile(`^(usb:[0-9]+-[0-9.]+|[0-9a-fA-F]{4}:[0-9a-fA-F]{4})(:[0-9]+)?$`)

func (v *validator) modems() {
	names := map[string]bool{}
	devices := map[string]bool{}
	for i := range v.c.Modems {
		m := &v.c.Modems[i]
		at := func(k string) string { return fmt.Sprintf("modem.%d.%s", i, k) }
		if m.Name == "" {
			m.Name = fmt.Sprintf("gsm%d", i)
		}
		if names[m.Name] {
			v.fault(at("name"), "two modems are called %q: give each a name of its own", m.Name)
		}
		names[m.Name] = true
		switch {
		case m.Device == "":
			v.fault(at("device"), `device is missing: write device = "auto" or a path such as "/dev/serial/by-id/…"`)
		case m.Device != "auto" && !filepath.IsAbs(m.Device) && !usbDevice.MatchString(m.Device):
			v.fault(at("device"), `device %q is not a full path: write device = "auto", a path that begins with /dev/, "usb:1-1.2" (the place) or "12d1:1001" (the kind of stick)`, m.Device)
		case devices[m.Device] && m.Device != "auto":
			v.fault(at("device"), "device %q is used by two modems", m.Device)
		}
		devices[m.Device] = true
		if m.Baud == 0 {
			m.Baud = 115200
		}
		if !slices.Contains(bauds, m.Baud) {
			v.fault(at("baud"), "baud %d is no speed of a serial line: most modems use 115200", m.Baud)
		}
		if m.PINFile != "" {
			m.pin = v.pin(at("pin_file"), v.c.rel(m.PINFile))
		}
		v.radio(at, m)
		v.routes(i, m)
	}
}

// bauds are the speeds that Linux has for serial lines (termios(3)), from 300 on.
var bauds = []int{
	300, 600, 1200, 1800, 2400, 4800, 9600, 19200, 38400, 57600, 115200, 230400, 460800, 500000, 576000, 921600,
	1000000, 1152000, 1500000, 2000000, 2500000, 3000000, 3500000, 4000000,
}

// pin reads a PIN file: four to eight digits (3GPP TS 31.101 §9.5).
func (v *validator) pin(key, path string) string {
	st, err := os.Stat(path)
	if err != nil {
		v.fault(key, "%v: write the SIM's PIN into that file (mode 0600), or remove pin_file", pathError(err))
		return ""
	}
	if st.Mode().Perm()&0o077 != 0 {
		v.fault(key, "%s can be read by others (mode %04o): run chmod 600 %s", path, st.Mode().Perm(), path)
		return ""
	}
	b, err := os.ReadFile(path)
	if err != nil {
		v.fault(key, "%v", pathError(err))
		return ""
	}
	p := strings.TrimSpace(string(b))
	if len(p) < 4 || len(p) > 8 || strings.Trim(p, "0123456789") != "" {
		v.fault(key, "%s does not hold a PIN: write four to eight digits and nothing else", path)
		return ""
	}
	return p
}

func (v *validator) http() {
	h := v.c.HTTP
	v.addresses("http.listen", h.Listen)
	for _, a := range h.Listen {
		if !loopback(a) {
			v.warn("http.listen", "%s answers without TLS to everybody who can reach it; listen_tls is the listener for the office", a)
		}
	}
	if h.URL != "" {
		if u, err := url.Parse(h.URL); err != nil || u.Scheme != "https" || u.Host == "" {
			v.fault("http.url", `url %q must be a full address with https, e.g. "https://office.example"`, h.URL)
		}
	}
}

func (v *validator) addresses(key string, list []string) {
	seen := map[string]bool{}
	for _, a := range list {
		host, port, err := net.SplitHostPort(a)
		if err != nil {
			v.fault(key, `%q is not an address: write host:port, e.g. "0.0.0.0:5222" or "[::]:5222"`, a)
			continue
		}
		if n, err := strconv.Atoi(port); err != nil || n < 0 || n > 65535 {
			v.fault(key, "%q has no valid port: write a number from 1 to 65535", a)
		}
		if host != "" && host != "localhost" && net.ParseIP(host) == nil {
			v.fault(key, "%q: the part before the port must be an IP address of this machine, e.g. 0.0.0.0 for all", a)
		}
		if seen[a] {
			v.fault(key, "%q is listed twice", a)
		}
		seen[a] = true
	}
}

func loopback(addr string) bool {
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return false
	}
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

func pathError(err error) error {
	var pe *os.PathError
	if errors.As(err, &pe) {
		return fmt.Errorf("%s: %w", pe.Path, pe.Err)
	}
	return err
}
