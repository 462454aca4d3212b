package caps

import (
	"crypto/sha1" //nolint:gosec // XEP-0115 asks for it
	"crypto/sha256"
	"encoding/base64"
	"slices"
	"sort"
	"strings"

	"doorway/xmpp/stanza"
)

const (
	discoInfo = "http://jabber.org/protocol/disco#info"
	dataForms = "jabber:x:data" // XEP-0004
	xmlSpace  = "http://www.w3.org/XML/1998/namespace"
)

// info is what an entity says of itself (XEP-0030 §3.1), all in memory of its own.
type info struct {
	identities []string   // category/type/lang/name, sorted
	features   []string   // sorted
	notify     []string   // nodes of which it wants notifications, sorted; after trim
	forms      []formInfo // by type, sorted (XEP-0128)
	sound      bool       // fit to be known by a hash (XEP-0115 §5.4)
	size       int        // bytes, about
}

// formInfo is a form of XEP-0128.
type formInfo struct {
	typ    string
	fields []field // by name, sorted
}

type field struct {
	name   string
	values []string // sorted
}

func (i *info) has(feature string) bool {
	_, ok := slices.BinarySearch(i.features, feature)
	return ok
}

// parse reads a disco#info answer; nil when it is larger than maxInfo.
func parse(query *stanza.Element) *info {
	i := &info{sound: true}
	keep := func(s string) string {
		i.size += len(s) + 16
		i.sound = i.sound && !strings.Contains(s, "<") // could pass for something else in the string that is hashed
		return strings.Clone(s)
	}
	for n := range query.Children {
		c := &query.Children[n]
		switch {
		case c.Name == stanza.Name{Space: discoInfo, Local: "identity"}:
			lang := ""
			for _, a := range c.Attrs {
				if a.Name.Local == "lang" && a.Name.Space == xmlSpace {
					lang = a.Value
				}
			}
			i.identities = append(i.identities, keep(c.Attr("category")+"/"+c.Attr("type")+"/"+lang+"/"+c.Attr("name")))
		case c.Name == stanza.Name{Space: discoInfo, Local: "feature"}:
			i.features = append(i.features, keep(c.Attr("var")))
		case c.Name == stanza.Name{Space: dataForms, Local: "x"}:
			i.form(c, keep)
		}
		if i.size > maxInfo {
			return nil
		}
	}
	i.order()
	return i
}

// form reads a form whose type is fixed by a hidden FORM_TYPE; others do not count.
func (i *info) form(x *stanza.Element, keep func(string) string) {
	var f formInfo
	typed := false
	for n := range x.Children {
		c := &x.Children[n]
		if c.Name != (stanza.Name{Space: dataForms, Local: "field"}) {
			continue
		}
		var values []string
		for v := range c.Children {
			if c.Children[v].Name == (stanza.Name{Space: dataForms, Local: "value"}) {
				values = append(values, keep(c.Children[v].Text))
			}
		}
		if c.Attr("var") != "FORM_TYPE" {
			slices.Sort(values)
			f.fields = append(f.fields, field{keep(c.Attr("var")), values})
			continue
		}
		if len(slices.Compact(slices.Sorted(slices.Values(values)))) > 1 {
			i.sound = false
		}
		if c.Attr("type") == "hidden" && len(values) > 0 {
			typed, f.typ = true, values[0]
		}
	}
	if typed {
		i.forms = append(i.forms, f)
	}
}

// sorted is a copy in order.
func sorted(values []string) []string {
	c := slices.Clone(values)
	slices.Sort(c)
	return c
}

// order sorts everything by octets (i;octet) and finds what occurs twice.
func (i *info) order() {
	slices.Sort(i.identities)
	slices.Sort(i.features)
	sort.Slice(i.forms, func(a, b int) bool { return i.forms[a].typ < i.forms[b].typ })
	for _, f := range i.forms {
		sort.Slice(f.fields, func(i, j int) bool { return f.fields[i].name < f.fields[j].name })
	}
	twice := func(l []string) bool { return len(slices.Compact(slices.Clone(l))) < len(l) }
	types := make([]string, len(i.forms))
	for n, f := range i.forms {
		types[n] = f.typ
	}
	i.sound = i.sound && !twice(i.identities) && !twice(i.features) && !twice(types)
	i.features = slices.Compact(i.features)
}

// trim forgets all but the features: the rest has done its work in the hash.
func (i *info) trim() {
	i.identities, i.forms, i.size = nil, nil, 0
	for _, f := range i.features {
		i.size += len(f) + 16
		if node, ok := strings.CutSuffix(f, "+notify"); ok && node != "" {
			i.notify = append(i.notify, node)
			i.size += 16
		}
	}
	slices.Sort(i.notify)
}

// text is the string that is hashed (XEP-0115 §5.1). Needs order.
func (i *info) text() string {
	var b strings.Builder
	add := func(s string) {
		b.WriteString(s)
		b.WriteByte('<')
	}
	for _, s := range i.identities {
		add(s)
	}
	for _, s := range i.features {
		add(s)
	}
	for _, f := range i.forms {
		add(f.typ)
		for _, x := range f.fields {
			add(x.name)
			for _, v := range x.values {
				add(v)
			}
		}
	}
	return b.String()
}

// ver is the verification string; "" for a hash that is not known here.
func (i *info) ver(hash string) string {
	switch hash {
	case "sha-1":
		sum := sha1.Sum([]byte(i.text())) //nolint:gosec // XEP-0115 asks for it
		return base64.StdEncoding.EncodeToString(sum[:])
	case "sha-256":
		sum := sha256.Sum256([]byte(i.text()))
		return base64.StdEncoding.EncodeToString(sum[:])
	}
	return ""
}

// verifiable reports a hash that ver knows.
func verifiable(hash string) bool { return hash == "sha-1" || hash == "sha-256" }
