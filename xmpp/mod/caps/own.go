package caps

import (
	"context"
	"strings"

	"doorway/xmpp"
	"doorway/xmpp/form"
	"doorway/xmpp/stanza"
	"doorway/xmpp/xmlstream"
)

// own is what disco#info says of the server. Identities and features are
// complete when all modules are loaded; forms (XEP-0128) may change later.
type own struct {
	forms    string // XML, which tells whether the rest is still true
	features []string
	ver      string // sha-1
}

// self describes the server as it is now.
func (m *Module) self() *own {
	list := m.host.Forms(xmpp.ToHost)
	var xml strings.Builder
	for _, f := range list {
		xml.WriteString(f.XML())
	}
	if o := m.server.Load(); o != nil && o.forms == xml.String() {
		return o
	}
	i := &info{sound: true}
	for _, id := range m.host.Identities(xmpp.ToHost) {
		i.identities = append(i.identities, id.Category+"/"+id.Type+"//"+id.Name)
	}
	i.features = append(m.host.Features(xmpp.ToHost), m.host.Features(xmpp.ToDomain)...)
	for _, f := range list {
		i.forms = append(i.forms, hashed(f))
	}
	i.order()
	o := &own{forms: xml.String(), features: i.features, ver: i.ver("sha-1")}
	m.server.Store(o)
	return o
}

// hashed is a form as it goes into the hash (XEP-0115 §5.1).
func hashed(x *form.Form) formInfo {
	f := formInfo{typ: x.FormType()}
	for _, y := range x.Fields {
		if y.Var == form.TypeField {
			continue
		}
		f.fields = append(f.fields, field{y.Var, sorted(y.Values)})
	}
	return f
}

// described answers for the node that the stream features name (XEP-0115 §6.2, §6.3).
func (m *Module) described(ctx context.Context, st *stanza.Stanza) (xmpp.Verdict, error) {
	if (st.Payload != stanza.Name{Space: discoInfo, Local: "query"}) {
		return xmpp.Pass, nil
	}
	q, _ := st.Child(discoInfo, "query")
	node := q.Attr("node")
	o := m.self()
	if node == "" || node != m.node+"#"+o.ver {
		return xmpp.Pass, nil
	}
	var w xmlstream.Writer
	w.Start(discoInfo, "query", "node", node)
	for _, id := range m.host.Identities(xmpp.ToHost) {
		w.Start("", "identity", "category", id.Category, "type", id.Type, "name", id.Name).End()
	}
	for _, f := range o.features {
		w.Start("", "feature", "var", f).End()
	}
	w.Raw(o.forms)
	m.host.Send(ctx, st.Reply(w.End().String()), nil)
	return xmpp.Done, nil
}
