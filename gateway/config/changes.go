package config

import (
	"fmt"
	"reflect"
)

// Change is one key that two snapshots disagree on.
type Change struct {
	Key string // as a person writes it: "sms.country", "[[modem]]"
	// Live says that a running doorway can take the new value over; without
	// it the key waits for a restart.
	Live bool
}

// Changes compares a snapshot with a later one, in the order of the sections.
// Key is a whole section [[…]] where sections can be added. With another
// domain nothing is live: every address in the file means something else.
func Changes(old, new *Config) []Change {
	live := map[string]bool{"admins": true, "sms.recipients": true}
	if old.XMPP.Certificate != "" && new.XMPP.Certificate != "" {
		live["xmpp.certificate"], live["xmpp.key"] = true, true
	}
	var list []Change
	walk(reflect.ValueOf(*old), reflect.ValueOf(*new), "", func(key string) {
		list = append(list, Change{Key: key, Live: live[key] && old.Domain == new.Domain})
	})
	return list
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
			tag = "[[" + tag + "]]"
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
