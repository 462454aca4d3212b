package pubsub

import (
	"fmt"
	"slices"
	"strconv"

	"doorway/xmpp/form"
	"doorway/xmpp/stanza"
)

// Form types (XEP-0060 §16.4).
const (
	formConfig  = Space + "#node_config"
	formOptions = Space + "#publish-options"
	formMeta    = Space + "#meta-data"
)

// Access models (XEP-0060 §4.5).
const (
	Open      = "open"
	Presence  = "presence"
	Roster    = "roster"
	Whitelist = "whitelist"
)

// When the last item is sent (XEP-0060 §16.4.4, pubsub#send_last_published_item).
const (
	Never            = "never"
	OnSub            = "on_sub"
	OnSubAndPresence = "on_sub_and_presence"
)

// Who may publish (pubsub#publish_model).
const (
	Publishers  = "publishers"
	Subscribers = "subscribers"
	Anybody     = "open"
)

// NodeConfig is how a node is configured. Personal is the usual one.
type NodeConfig struct {
	Title       string   `json:"title,omitempty"`
	Description string   `json:"desc,omitempty"`
	Type        string   `json:"type,omitempty"` // namespace of the payloads, "" for any
	Access      string   `json:"access"`
	Groups      []string `json:"groups,omitempty"` // of the owner's roster, for Roster
	Publish     string   `json:"publish"`
	Last        string   `json:"last"`
	Max         int      `json:"max"`     // items kept; 0: as many as the service allows
	Persist     bool     `json:"persist"` // items are kept at all
	Mute        bool     `json:"mute,omitempty"`
	Bare        bool     `json:"bare,omitempty"` // notifications without payloads
	Normal      bool     `json:"normal,omitempty"`
	TellConfig  bool     `json:"tell_config,omitempty"`
	HideDelete  bool     `json:"hide_delete,omitempty"`
	HideRetract bool     `json:"hide_retract,omitempty"`
}

// Personal is the configuration of a personal node that nobody has configured
// (XEP-0163 §3): one item, for those who see the owner's presence.
func Personal() NodeConfig {
	return NodeConfig{Access: Presence, Publish: Publishers, Last: OnSubAndPresence, Max: 1, Persist: true}
}

// Private is the configuration of private storage (XEP-0223 §4): all items, for
// the owner alone.
func Private() NodeConfig {
	return NodeConfig{Access: Whitelist, Publish: Publishers, Last: Never, Persist: true}
}

// intern has the words of a configuration share their memory.
func (c *NodeConfig) intern() {
	for _, w := range []*string{&c.Access, &c.Publish, &c.Last} {
		for _, known := range [...]string{Open, Presence, Roster, Whitelist, Publishers, Subscribers, Never, OnSub, OnSubAndPresence} {
			if *w == known {
				*w = known
			}
		}
	}
}

// option is one field of a node's configuration.
type option struct {
	name, kind, label string
	choices           []string
	get               func(*NodeConfig) []string
	set               func(*NodeConfig, []string, *Limits) bool // false: not a value that can be
}

// options are the fields of XEP-0060 §16.4.4 that a node has here.
var options = []option{
	text("pubsub#title", "A name for the node", func(c *NodeConfig) *string { return &c.Title }),
	text("pubsub#description", "What the node is about", func(c *NodeConfig) *string { return &c.Description }),
	text("pubsub#type", "The namespace of the payloads", func(c *NodeConfig) *string { return &c.Type }),
	choice("pubsub#access_model", "Who may subscribe and read", func(c *NodeConfig) *string { return &c.Access }, Open, Presence, Roster, Whitelist),
	{
		name: "pubsub#roster_groups_allowed", kind: form.TextMulti, label: "Groups of the roster that may read",
		get: func(c *NodeConfig) []string { return c.Groups },
		set: func(c *NodeConfig, v []string, _ *Limits) bool {
			c.Groups = nil
			for _, g := range v {
				if g != "" && !slices.Contains(c.Groups, g) {
					c.Groups = append(c.Groups, g)
				}
			}
			slices.Sort(c.Groups)
			return len(c.Groups) <= 50
		},
	},
	choice("pubsub#publish_model", "Who may publish", func(c *NodeConfig) *string { return &c.Publish }, Publishers, Subscribers, Anybody),
	flag("pubsub#persist_items", "Keep the items", func(c *NodeConfig) *bool { return &c.Persist }, false),
	{
		name: "pubsub#max_items", kind: form.TextSingle, label: "How many items are kept, or max",
		get: func(c *NodeConfig) []string {
			if c.Max == 0 {
				return []string{"max"} // XEP-0060 §8.2.1, config-node-max
			}
			return []string{strconv.Itoa(c.Max)}
		},
		set: func(c *NodeConfig, v []string, l *Limits) bool {
			if v[0] == "max" {
				c.Max = 0
				return true
			}
			n, err := strconv.Atoi(v[0])
			if c.Max = n; n == l.Items {
				c.Max = 0
			}
			return err == nil && n >= 1 && n <= l.Items
		},
	},
	choice("pubsub#send_last_published_item", "When the last item is sent", func(c *NodeConfig) *string { return &c.Last }, Never, OnSub, OnSubAndPresence),
	flag("pubsub#deliver_notifications", "Tell of new items", func(c *NodeConfig) *bool { return &c.Mute }, true),
	flag("pubsub#deliver_payloads", "Tell with the payload", func(c *NodeConfig) *bool { return &c.Bare }, true),
	flag("pubsub#notify_config", "Tell when the configuration changes", func(c *NodeConfig) *bool { return &c.TellConfig }, false),
	flag("pubsub#notify_delete", "Tell when the node is deleted", func(c *NodeConfig) *bool { return &c.HideDelete }, true),
	flag("pubsub#notify_retract", "Tell when items are removed", func(c *NodeConfig) *bool { return &c.HideRetract }, true),
	{
		name: "pubsub#notification_type", kind: form.ListSingle, label: "Notifications are messages of type", choices: []string{"headline", "normal"},
		get: func(c *NodeConfig) []string {
			if c.Normal {
				return []string{"normal"}
			}
			return []string{"headline"}
		},
		set: func(c *NodeConfig, v []string, _ *Limits) bool {
			c.Normal = v[0] == "normal"
			return c.Normal || v[0] == "headline"
		},
	},
	fixed("pubsub#node_type", "leaf"),
	fixed("pubsub#subscribe", "1"),
	fixed("pubsub#presence_based_delivery", "1"),
	fixed("pubsub#purge_offline", "0"),
	fixed("pubsub#notify_sub", "0"),
}

func text(name, label string, at func(*NodeConfig) *string) option {
	return option{
		name: name, kind: form.TextSingle, label: label,
		get: func(c *NodeConfig) []string { return []string{*at(c)} },
		set: func(c *NodeConfig, v []string, _ *Limits) bool { *at(c) = v[0]; return len(v[0]) <= 1023 },
	}
}

func choice(name, label string, at func(*NodeConfig) *string, choices ...string) option {
	return option{
		name: name, kind: form.ListSingle, label: label, choices: choices,
		get: func(c *NodeConfig) []string { return []string{*at(c)} },
		set: func(c *NodeConfig, v []string, _ *Limits) bool { *at(c) = v[0]; return slices.Contains(choices, v[0]) },
	}
}

func flag(name, label string, at func(*NodeConfig) *bool, inverse bool) option {
	return option{
		name: name, kind: form.Boolean, label: label,
		get: func(c *NodeConfig) []string {
			if *at(c) != inverse {
				return []string{"1"}
			}
			return []string{"0"}
		},
		set: func(c *NodeConfig, v []string, _ *Limits) bool {
			b, ok := form.Bool(v[0])
			*at(c) = b != inverse
			return ok
		},
	}
}

// fixed is a field that has one value here.
func fixed(name, value string) option {
	return option{
		name: name, kind: form.Fixed,
		set: func(_ *NodeConfig, v []string, _ *Limits) bool {
			b, ok := form.Bool(v[0])
			return v[0] == value || ok && b == (value == "1")
		},
	}
}

// apply takes one submitted field; known is false for one that nodes do not
// have, good for a value that can be.
func (c *NodeConfig) apply(f *form.Field, l *Limits) (known, good bool) {
	i := slices.IndexFunc(options, func(o option) bool { return o.name == f.Var })
	if i < 0 {
		return false, false
	}
	o, v := &options[i], f.Values
	switch {
	case o.kind == form.TextMulti:
	case len(v) == 0 && o.kind == form.TextSingle && o.choices == nil && o.name != "pubsub#max_items":
		v = []string{""}
	case len(v) != 1:
		return true, false
	}
	return true, o.set(c, v, l)
}

// form writes the configuration as it is asked for or told.
func (c *NodeConfig) form(typ string) *form.Form {
	f := form.New(typ, formConfig)
	for i := range options {
		o := &options[i]
		if o.get == nil {
			continue
		}
		x := form.Field{Var: o.name, Kind: o.kind, Label: o.label, Values: o.get(c)}
		for _, v := range o.choices {
			x.Options = append(x.Options, form.Option{Value: v})
		}
		f.Fields = append(f.Fields, x)
	}
	return f
}

// configure is a configuration as a submitted form changes it. Unknown fields
// are not looked at (XEP-0060 §8.2.5); a value that cannot be is not-acceptable.
func (c NodeConfig) configure(f *form.Form, l *Limits) (NodeConfig, error) {
	if f == nil || f.Type != form.Submit || f.FormType() != "" && f.FormType() != formConfig {
		return c, stanza.NewError(stanza.BadRequest, "The configuration of a node is a submitted form of type "+formConfig+".")
	}
	for i := range f.Fields {
		x := &f.Fields[i]
		if known, good := c.apply(x, l); known && !good {
			return c, stanza.NewError(stanza.NotAcceptable, fmt.Sprintf("A node cannot have %q for %s.", x.Values, x.Var))
		}
	}
	return c, nil
}

// require is a configuration with what publish-options ask (XEP-0060 §7.1.5).
// An unknown field, or a value that cannot be, is a precondition that is not met.
func (c NodeConfig) require(f *form.Form, l *Limits) (NodeConfig, error) {
	if f == nil {
		return c, nil
	}
	if f.Type != form.Submit || f.FormType() != formOptions {
		return c, stanza.NewError(stanza.BadRequest, "Options of a publication are a submitted form of type "+formOptions+".")
	}
	for i := range f.Fields {
		x := &f.Fields[i]
		if x.Var == form.TypeField {
			continue
		}
		if _, good := c.apply(x, l); !good {
			return c, unmet(x.Var)
		}
	}
	return c, nil
}

// differs names the first field in which two configurations differ.
func (c *NodeConfig) differs(o *NodeConfig) (name string, yes bool) {
	for i := range options {
		if x := &options[i]; x.get != nil && !slices.Equal(x.get(c), x.get(o)) {
			return x.name, true
		}
	}
	return "", false
}
