package vcard_test

import (
	"context"
	"encoding/base64"
	"errors"
	"strings"
	"testing"

	"doorway/xmpp"
	"doorway/xmpp/jid"
	"doorway/xmpp/mod/pep"
	"doorway/xmpp/mod/presence"
	"doorway/xmpp/mod/vcard"
	"doorway/xmpp/pubsub"
	"doorway/xmpp/router"
	"doorway/xmpp/routertest"
	"doorway/xmpp/stanza"
)

const (
	data = "urn:xmpp:avatar:data"
	meta = "urn:xmpp:avatar:metadata"
)

// watcher has every client want the avatars, and nobody blocked.
type watcher struct{}

func (watcher) Has(jid.JID, string) bool                  { return true }
func (watcher) Notify(xmpp.Session) []string              { return []string{meta} }
func (watcher) Watch(func(context.Context, xmpp.Session)) {}
func (watcher) Blocked(_, _ jid.JID) bool                 { return false }

// Groups puts nobody into groups.
func (friends) Groups(_, _ jid.JID) []string { return nil }

// album is a server with vCards and avatars.
type album struct {
	*routertest.House
	m    *vcard.Module
	a, b *routertest.Client
}

func newAlbum(t *testing.T, store *routertest.Store) *album {
	t.Helper()
	p, s := presence.New(friends{}), pubsub.New(pubsub.Config{Rules: friends{}})
	o := &album{m: vcard.New(p, s)}
	o.House = routertest.Open(t, router.Config{Store: store}, p, o.m,
		pep.New(pep.Config{Service: s, Subscriptions: friends{}, Blocker: watcher{}, Caps: watcher{}}))
	o.Line = func(st *stanza.Stanza) string {
		if e, ok := st.Child(pubsub.SpaceEvent, "event"); ok {
			return "event " + strings.ReplaceAll(e.Children[0].XML(), " xmlns='"+pubsub.SpaceEvent+"'", "")
		}
		return routertest.Line(st)
	}
	o.b = o.Login(bob+"/desk", "<presence/>")
	o.a = o.Login(alice+"/desk", "<presence/>")
	o.a.Take()
	o.b.Take()
	return o
}

func (o *album) ask(typ, payload string) string {
	o.T.Helper()
	got := o.a.Ask(typ, "", payload)
	if got != "" && !strings.HasPrefix(got, "<") {
		o.T.Errorf("%s: %s", payload, got)
	}
	return got
}

func (o *album) publish(node, id, payload string, options ...string) {
	o.T.Helper()
	form := ""
	if len(options) > 0 {
		form = "<publish-options><x xmlns='jabber:x:data' type='submit'><field var='FORM_TYPE'><value>" + pubsub.Space + "#publish-options</value></field>"
		for _, f := range options {
			name, value, _ := strings.Cut(f, "=")
			form += "<field var='pubsub#" + name + "'><value>" + value + "</value></field>"
		}
		form += "</x></publish-options>"
	}
	o.ask("set", "<pubsub xmlns='"+pubsub.Space+"'><publish node='"+node+"'><item id='"+id+"'>"+payload+"</item></publish>"+form+"</pubsub>")
}

func metadata(id, mime string) string {
	return "<metadata xmlns='" + meta + "'><info id='" + id + "' bytes='7' type='" + mime + "'/></metadata>"
}

func image(text string) string {
	return "<data xmlns='" + data + "'>" + base64.StdEncoding.EncodeToString([]byte(text)) + "</data>"
}

// TestPhotoToAvatar: a photo in the vCard is an avatar.
func TestPhotoToAvatar(t *testing.T) {
	o := newAlbum(t, routertest.NewStore())
	xml, hash := card("picture")
	o.ask("set", xml)
	info := "<item id='" + hash + "'><metadata xmlns='" + meta + "'><info bytes='7' id='" + hash + "' type='image/png'/></metadata></item>"
	o.b.Want("a photo", "event <items node='"+meta+"'>"+info+"</items>", "presence "+alice+"/desk > "+bob+" "+update(hash))
	stranger := o.Login("carol@office.example/1")
	for node, want := range map[string]string{data: image("picture"), meta: info} {
		if got := stranger.Ask("get", alice, "<pubsub xmlns='"+pubsub.Space+"'><items node='"+node+"'/></pubsub>"); !strings.Contains(got, want) {
			t.Errorf("%s: %s", node, got)
		}
	}
	o.ask("set", strings.Replace(xml, "A &amp; B", "C", 1))
	o.b.Want("the same photo")
	if got := o.ask("get", ask); got != strings.Replace(xml, "A &amp; B", "C", 1) {
		t.Errorf("vCard: %s", got)
	}
	o.ask("set", "<vCard xmlns='vcard-temp'><FN>A</FN></vCard>")
	o.b.Want("none", "event <items node='"+meta+"'><item id='none'><metadata xmlns='"+meta+"'/></item></items>", "presence "+alice+"/desk > "+bob+" "+update(""))
	if got := o.ask("get", "<pubsub xmlns='"+pubsub.Space+"'><items node='"+data+"'/></pubsub>"); strings.Contains(got, "<item ") {
		t.Errorf("the image is left: %s", got)
	}
}

// TestAvatarToPhoto: an avatar is the photo in the vCard, which is otherwise as it was.
func TestAvatarToPhoto(t *testing.T) {
	rest := "<FN>A &amp; B</FN>\n <X-ODD a=\"1>2\"><![CDATA[<PHOTO>]]></X-ODD>"
	_, hash := card("picture")
	photo := "<PHOTO><TYPE>image/webp</TYPE><BINVAL>" + base64.StdEncoding.EncodeToString([]byte("picture")) + "</BINVAL></PHOTO>"
	for before, want := range map[string]string{
		"": "<vCard xmlns='vcard-temp'>" + photo + "</vCard>",
		"<vCard xmlns='vcard-temp'>" + rest + "</vCard>":                                                   "<vCard xmlns='vcard-temp'>" + rest + photo + "</vCard>",
		"<vCard version='2.0' xmlns='vcard-temp'><PHOTO><BINVAL>b2xk</BINVAL></PHOTO>" + rest + "</vCard>": "<vCard xmlns='vcard-temp' version='2.0'>" + rest + photo + "</vCard>",
		"<vCard xmlns='vcard-temp'/>":                                                                      "<vCard xmlns='vcard-temp'>" + photo + "</vCard>",
		"<vCard xmlns='vcard-temp' xmlns:o='urn:odd'><o:x/><PHOTO/></vCard>":                               "<vCard xmlns='vcard-temp'><o:x xmlns='vcard-temp' xmlns:o='urn:odd'/>" + photo + "</vCard>",
	} {
		o := newAlbum(t, routertest.NewStore())
		if before != "" {
			o.ask("set", before)
		}
		o.publish(data, hash, image("picture"))
		o.b.Take()
		o.publish(meta, hash, metadata(hash, "image/webp"))
		o.b.Want("an avatar", "event <items node='"+meta+"'><item id='"+hash+"'>"+metadata(hash, "image/webp")+"</item></items>",
			"presence "+alice+"/desk > "+bob+" "+update(hash))
		if got := o.ask("get", ask); got != want {
			t.Errorf("vCard\n got %s\nwant %s", got, want)
		}
		// The same photo in a vCard is no new avatar.
		o.ask("set", want)
		o.b.Want("the same")
		o.publish(meta, "x", "<metadata xmlns='"+meta+"'/>")
		o.b.Want("no avatar", "event <items node='"+meta+"'><item id='x'><metadata xmlns='"+meta+"'/></item></items>",
			"presence "+alice+"/desk > "+bob+" "+update(""))
		if got := o.ask("get", ask); got != strings.Replace(want, photo, "", 1) {
			t.Errorf("without: %s", got)
		}
	}
}

// TestAvatarEnds with its item or its node, and with it a vCard that was nothing else.
func TestAvatarEnds(t *testing.T) {
	_, hash := card("picture")
	for _, how := range []string{
		"<pubsub xmlns='" + pubsub.Space + "'><retract node='" + meta + "'><item id='" + hash + "'/></retract></pubsub>",
		"<pubsub xmlns='" + pubsub.SpaceOwner + "'><delete node='" + meta + "'/></pubsub>",
		"<pubsub xmlns='" + pubsub.SpaceOwner + "'><purge node='" + meta + "'/></pubsub>",
	} {
		o := newAlbum(t, routertest.NewStore())
		o.publish(data, hash, image("picture"))
		o.publish(meta, hash, metadata(hash, "image/png"))
		o.b.Take()
		o.ask("set", how)
		if got := o.b.Recv(); len(got) != 2 || got[1] != "presence "+alice+"/desk > "+bob+" "+update("") {
			t.Errorf("%s: %q", how, got)
		}
		if got := o.a.Ask("get", "", ask); got != "item-not-found" {
			t.Errorf("vCard: %s", got)
		}
	}
}

// TestNotFollowed: avatars that make no photo.
func TestNotFollowed(t *testing.T) {
	_, hash := card("picture")
	for what, c := range map[string]struct{ meta, image, access string }{
		"no data":       {metadata(hash, "image/png"), "", "presence"},
		"other data":    {metadata(hash, "image/png"), image("other"), "presence"},
		"no base64":     {metadata(hash, "image/png"), "<data xmlns='" + data + "'>!</data>", "presence"},
		"a URL":         {"<metadata xmlns='" + meta + "'><info id='" + hash + "' bytes='7' type='image/png' url='https://x.example/'/></metadata>", image("picture"), "open"},
		"not everybody": {metadata(hash, "image/png"), image("picture"), "whitelist"},
	} {
		o := newAlbum(t, routertest.NewStore())
		xml, old := card("old")
		o.ask("set", xml)
		o.ask("set", "<pubsub xmlns='"+pubsub.SpaceOwner+"'><delete node='"+data+"'/></pubsub>")
		o.ask("set", "<pubsub xmlns='"+pubsub.SpaceOwner+"'><configure node='"+meta+"'><x xmlns='jabber:x:data' type='submit'><field var='pubsub#access_model'><value>"+c.access+"</value></field></x></configure></pubsub>")
		if c.image != "" {
			o.publish(data, hash, c.image)
		}
		o.publish(meta, hash, c.meta)
		if got := o.ask("get", ask); got != xml {
			t.Errorf("%s: vCard %s", what, got)
		}
		if p, _ := o.a.Session.Presence(); !strings.Contains(p.Inner(), old) {
			t.Errorf("%s: presence %s", what, p)
		}
	}
}

// TestSeveralForms: the one without a URL is the photo.
func TestSeveralForms(t *testing.T) {
	o := newAlbum(t, routertest.NewStore())
	_, hash := card("picture")
	o.publish(data, hash, image("picture"), "access_model=open")
	o.publish(meta, hash, "<metadata xmlns='"+meta+"'><info id='0' type='image/gif' url='https://x.example/'/><info id='"+hash+"' type='image/png' bytes='7'/></metadata>", "access_model=open")
	if got := o.ask("get", ask); !strings.Contains(got, "<TYPE>image/png</TYPE>") {
		t.Errorf("vCard: %s", got)
	}
}

// TestTogether: both are on disk, or neither, and are the same after a restart.
func TestTogether(t *testing.T) {
	store := routertest.NewStore()
	o := newAlbum(t, store)
	xml, hash := card("picture")
	store.Fail(errors.New("disk full"))
	if got := o.a.Ask("set", "", xml); got != "internal-server-error" || store.Len() != 0 {
		t.Errorf("disk full: %s, %q", got, store.Rows())
	}
	store.Fail(nil)
	o.ask("set", xml)
	store.Fail(errors.New("disk full"))
	if got := o.a.Ask("set", "", "<pubsub xmlns='"+pubsub.SpaceOwner+"'><delete node='"+meta+"'/></pubsub>"); got != "internal-server-error" {
		t.Errorf("disk full: %s", got)
	}
	store.Fail(nil)
	o.b.Take()
	o.a.Say("<presence/>")
	o.b.Want("still there", "presence "+alice+"/desk > "+bob+" "+update(hash))
	o = newAlbum(t, store)
	if got := o.ask("get", ask); got != xml {
		t.Errorf("after a restart: %s", got)
	}
	if got := o.ask("get", "<pubsub xmlns='"+pubsub.Space+"'><items node='"+meta+"'/></pubsub>"); !strings.Contains(got, hash) {
		t.Errorf("after a restart: %s", got)
	}
}

// TestOtherPhoto: an avatar that its owner has closed ends without the vCard's
// photo, which is another.
func TestOtherPhoto(t *testing.T) {
	o := newAlbum(t, routertest.NewStore())
	_, hash := card("picture")
	o.publish(data, hash, image("picture"), "access_model=whitelist")
	o.publish(meta, hash, metadata(hash, "image/png"), "access_model=whitelist")
	if got := o.a.Ask("get", "", ask); got != "item-not-found" {
		t.Errorf("vCard: %s", got)
	}
	o.ask("set", "<pubsub xmlns='"+pubsub.SpaceOwner+"'><delete node='"+meta+"'/></pubsub>")
	xml, _ := card("old")
	o.ask("set", xml)
	o.ask("set", "<pubsub xmlns='"+pubsub.SpaceOwner+"'><configure node='"+meta+"'><x xmlns='jabber:x:data' type='submit'><field var='pubsub#access_model'><value>whitelist</value></field></x></configure></pubsub>")
	o.publish(data, hash, image("picture"))
	o.publish(meta, hash, metadata(hash, "image/png"))
	o.ask("set", "<pubsub xmlns='"+pubsub.SpaceOwner+"'><delete node='"+meta+"'/></pubsub>")
	if got := o.ask("get", ask); got != xml {
		t.Errorf("vCard: %s", got)
	}
}
