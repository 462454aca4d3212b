// Package rsm is paging through results (XEP-0059 1.0): what a client asks for
// in <set/>, and what it is told of the page it gets.
//
// Left out: pages by index, which a server may refuse (XEP-0059 §2.6). No
// goroutines.
package rsm

import (
	"strconv"
	"strings"

	"doorway/xmpp/stanza"
	"doorway/xmpp/xmlstream"
)

// Space is the namespace of result set management.
const Space = "http://jabber.org/protocol/rsm"

// Request is what a client asks for. Use Of or Parse, or set Max to -1 for no
// limit of the client's.
type Request struct {
	Max int // how many at most, 0 only counts, -1 for as many as the server likes
	// After and Before are the ids next to the page, "" for none.
	After, Before string
	// Backward asks for the end of what Before leaves, else for the beginning of what After leaves.
	Backward bool
}

// Of reads the <set/> among an element's children; without one it is a request
// without limits. Errors are *stanza.Error.
func Of(parent *stanza.Element) (Request, error) {
	set := parent.Child(Space, "set")
	if set == nil {
		return Request{Max: -1}, nil
	}
	return Parse(set)
}

// Parse reads a <set/>. Errors are *stanza.Error: bad-request for what is no
// number or is there twice, feature-not-implemented for a page by index.
func Parse(set *stanza.Element) (Request, error) {
	r := Request{Max: -1}
	seen := make(map[string]bool, 2)
	for i := range set.Children {
		c := &set.Children[i]
		if c.Name.Space != Space {
			continue
		}
		if seen[c.Name.Local] {
			return r, stanza.NewError(stanza.BadRequest, "The request for a page has two elements "+c.Name.Local+".")
		}
		seen[c.Name.Local] = true
		switch c.Name.Local {
		case "max":
			n, err := strconv.ParseUint(strings.TrimSpace(c.Text), 10, 64)
			switch {
			case err == nil:
				r.Max = int(min(n, 1<<30))
			case strings.Trim(strings.TrimSpace(c.Text), "0123456789") == "" && strings.TrimSpace(c.Text) != "":
				r.Max = 1 << 30 // more than fits is as many as the server likes
			default:
				return r, stanza.NewError(stanza.BadRequest, "The size of a page must be a number.")
			}
		case "after":
			r.After = c.Text
		case "before":
			r.Before, r.Backward = c.Text, true
		case "index":
			return r, stanza.NewError(stanza.FeatureNotImplemented, "Pages can be asked for by the id of an item, not by a number.")
		}
	}
	return r, nil
}

// Limit is the size of the page when the server gives at most most, which is
// also what a client gets that names no size.
func (r Request) Limit(most int) int {
	if r.Max < 0 {
		return most
	}
	return min(r.Max, most)
}

// Result describes a page.
type Result struct {
	First, Last string // ids; both "" for an empty page
	Index       int    // of the first among all, -1 when not known
	Count       int    // of all, -1 when not known
}

// XML writes the <set/>.
func (r Result) XML() string {
	var w xmlstream.Writer
	w.Start(Space, "set")
	if r.First != "" {
		index := ""
		if r.Index >= 0 {
			index = strconv.Itoa(r.Index)
		}
		w.Leaf("", "first", r.First, "index", index).Leaf("", "last", r.Last)
	}
	if r.Count >= 0 {
		w.Leaf("", "count", strconv.Itoa(r.Count))
	}
	return w.End().String()
}
