package rsm_test

import (
	"errors"
	"testing"

	"doorway/xmpp/jid"
	"doorway/xmpp/rsm"
	"doorway/xmpp/stanza"
)

func of(t testing.TB, inner string) (rsm.Request, error) {
	t.Helper()
	st := stanza.New(stanza.IQ, "set", "1", jid.JID{}, jid.JID{}, "<query xmlns='urn:x'>"+inner+"</query>")
	els := st.Elements()
	if len(els) != 1 {
		t.Skipf("not XML: %s", inner)
	}
	return rsm.Of(&els[0])
}

// set is a request for a page.
func set(inner string) string { return "<set xmlns='" + rsm.Space + "'>" + inner + "</set>" }

func TestRequest(t *testing.T) {
	for inner, want := range map[string]rsm.Request{
		"":                                     {Max: -1},
		set(""):                                {Max: -1},
		set("<max>10</max>"):                   {Max: 10},
		set("<max> 0 </max>"):                  {Max: 0},
		set("<max>99999999999999999999</max>"): {Max: 1 << 30},
		set("<max>5</max><after>a</after>"):    {Max: 5, After: "a"},
		set("<before/>"):                       {Max: -1, Backward: true},
		set("<before>b</before><max>2</max>"):  {Max: 2, Before: "b", Backward: true},
		set("<after>a</after><before>b</before>"):          {Max: -1, After: "a", Before: "b", Backward: true},
		set("<max xmlns='urn:other'>x</max><unheard-of/>"): {Max: -1},
	} {
		if got, err := of(t, inner); err != nil || got != want {
			t.Errorf("%s: %+v, %v, want %+v", inner, got, err, want)
		}
	}
	for inner, want := range map[string]stanza.Condition{
		"<max>ten</max>":               stanza.BadRequest,
		"<max>-1</max>":                stanza.BadRequest,
		"<max/>":                       stanza.BadRequest,
		"<max>1.5</max>":               stanza.BadRequest,
		"<max>1</max><max>2</max>":     stanza.BadRequest,
		"<index>3</index>":             stanza.FeatureNotImplemented,
		"<max>1</max><index>0</index>": stanza.FeatureNotImplemented,
	} {
		_, err := of(t, set(inner))
		var e *stanza.Error
		if !errors.As(err, &e) || e.Condition != want {
			t.Errorf("%s: %v, want %s", inner, err, want)
		}
	}
}

func TestLimit(t *testing.T) {
	for max, want := range map[int]int{-1: 250, 0: 0, 50: 50, 251: 250} {
		if got := (rsm.Request{Max: max}).Limit(250); got != want {
			t.Errorf("%d: %d, want %d", max, got, want)
		}
	}
}

func TestResult(t *testing.T) {
	for want, r := range map[string]rsm.Result{
		"<set xmlns='" + rsm.Space + "'><first index='0'>a&amp;</first><last>b</last><count>2</count></set>": {First: "a&", Last: "b", Count: 2},
		"<set xmlns='" + rsm.Space + "'><first>a</first><last>b</last></set>":                                {First: "a", Last: "b", Index: -1, Count: -1},
		"<set xmlns='" + rsm.Space + "'><count>0</count></set>":                                              {},
		"<set xmlns='" + rsm.Space + "'/>":                                                                   {Count: -1},
	} {
		if got := r.XML(); got != want {
			t.Errorf("got  %s\nwant %s", got, want)
		}
	}
}
