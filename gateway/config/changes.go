package config

import (
	"fmt"
	"reflect"
)

// Reload returns the snapshot that a doorway which was started with c can run
// on once next has been read: the administrators, contacts, sms.recipients and the
// names of certificate files are taken from next, everything else waits for a
// restart and stays as in c. The own CA and configured files do not replace
// each other. With another domain nothing is taken: every address in next
// means something else.
func (c *Config) Reload(next *Config) *Config {
	r := *c
	if next.Domain != c.Domain {
		return &r
	}
	r.Admins, r.adminJIDs, r.SMS.Recipients = next.Admins, next.adminJIDs, next.SMS.Recipients
	r.Contact = next.Contact
	if c.XMPP.Certificate != "" && next.XMPP.Certificate != "" {
		r.XMPP.Certificate, r.XMPP.Key = next.XMPP.Certificate, next.XMPP.Key
	}
	return &r
}

// Changes lists the keys that two snapshots disagree on, in the order of the
// sections and as a person writes them: "sms.country"; "[[modem]]" where
// sections can be added.
func Changes(old, new *Config) []string {
	keys := []string{}
	walk(reflect.ValueOf(*old), reflect.ValueOf(*new), "", func(key string) { keys = append(keys, key) })
	return keys
}

func walk(a, b reflect.Value, prefix string, differs func(key string)) {
	t := a.Type()
	for i := range t.NumField() {
		tag := t.Field(i).Tag.Get("toml")
		if tag == "" || tag == "-" {
			continue
		}
		x, y := a.Field(i), b.Field(i)
		if x.Kind() == reflect.Struct {
			walk(x, y, prefix+tag+".", differs)
			continue
		}
		if same(x, y) {
			continue
		}
		if x.Kind() == reflect.Slice && x.Type().Elem().Kind() == reflect.Struct {
			differs("[[" + prefix + tag + "]]")
			continue
		}
		differs(prefix + tag)
	}
}

// same takes an empty list for a missing one.
func same(x, y reflect.Value) bool {
	if x.Kind() == reflect.Slice && x.Len() == 0 && y.Len() == 0 {
		return true
	}
	return reflect.DeepEqual(x.Interface(), y.Interface())
}

// Where names the place of a key in the file, as "doorway.toml:12".
func (c *Config) Where(key string) string {
	if n := c.src.line(key); n > 0 {
		return fmt.Sprintf("%s:%d", c.File, n)
	}
	return c.File
}
