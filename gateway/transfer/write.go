package transfer

import (
	"bufio"
	"encoding/base64"
	"fmt"
	"io"
	"slices"
	"strconv"

	"doorway/gateway/people"
	"doorway/xmpp"
	"doorway/xmpp/jid"
	"doorway/xmpp/sasl"
	"doorway/xmpp/xmlstream"
)

// Source is where accounts come from (people.People).
type Source interface {
	Account(local string) (people.Account, bool)
	KeysOf(local string) map[sasl.Hash]sasl.Keys
}

// Export writes accounts of a domain, by their localparts.
func Export(w io.Writer, domain string, from Source, locals []string, parts []xmpp.Portable) error {
	out := bufio.NewWriter(w)
	fmt.Fprintf(out, "<?xml version='1.0' encoding='UTF-8'?>\n<server-data xmlns='%s'>\n<host jid='%s'>\n", space, xmlstream.Escaped(domain))
	for _, local := range locals {
		if err := export(out, domain, from, local, parts); err != nil {
			return fmt.Errorf("export %s@%s: %w", local, domain, err)
		}
	}
	fmt.Fprintf(out, "</host>\n</server-data>\n")
	return out.Flush() // it has kept the first error of all writes
}

func export(out *bufio.Writer, domain string, from Source, local string, parts []xmpp.Portable) error {
	account, err := jid.New(local, domain, "")
	if err != nil {
		return err
	}
	a, ok := from.Account(local)
	if !ok {
		return people.ErrUnknown
	}
	fmt.Fprintf(out, "<user name='%s'>\n", xmlstream.Escaped(local))
	line := func(xml string) error {
		_, err := fmt.Fprintf(out, "%s\n", xml)
		return err
	}
	if a.Name != "" || a.Disabled {
		disabled := ""
		if a.Disabled {
			disabled = "true"
		}
		var x xmlstream.Writer
		if err := line(x.Start(spaceAccount, "account", "name", a.Name, "disabled", disabled).End().String()); err != nil {
			return err
		}
	}
	keys := from.KeysOf(local)
	for _, mechanism := range []string{"SCRAM-SHA-256", "SCRAM-SHA-1"} {
		if k, ok := keys[mechanisms[mechanism]]; ok {
			if err := line(scram(mechanism, k)); err != nil {
				return err
			}
		}
	}
	for _, p := range parts {
		if err := p.Export(account, line); err != nil {
			return err
		}
	}
	return line("</user>")
}

// scram writes keys (XEP-0227 §4.3).
func scram(mechanism string, k sasl.Keys) string {
	b64 := base64.StdEncoding.EncodeToString
	var w xmlstream.Writer
	w.Start(spaceScram, "scram-credentials", "mechanism", mechanism)
	w.Leaf("", "iter-count", strconv.Itoa(k.Iterations)).Leaf("", "salt", b64(k.Salt))
	return w.Leaf("", "server-key", b64(k.ServerKey)).Leaf("", "stored-key", b64(k.StoredKey)).End().String()
}

// Parts are the modules that are xmpp.Portable, in their order, but the
// archive, which is the longest, last.
func Parts(modules []xmpp.Module) []xmpp.Portable {
	var parts []xmpp.Portable
	for _, m := range modules {
		if p, ok := m.(xmpp.Portable); ok {
			parts = append(parts, p)
		}
	}
	slices.SortStableFunc(parts, func(a, b xmpp.Portable) int { return rank(a) - rank(b) })
	return parts
}

func rank(p xmpp.Portable) int {
	if m, ok := p.(xmpp.Module); ok && m.Info().Name == "mam" {
		return 1
	}
	return 0
}
