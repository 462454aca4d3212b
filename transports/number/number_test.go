package number

import (
	"errors"
	"testing"
)

func TestParse(t *testing.T) {
	de, us, ru, it, none := National("49"), National("1"), National("7"), National("39"), Plan{}
	for _, c := range []struct {
		p          Plan
		typed, got string
	}{
		{de, "0155 501-01", "+4915550101"},
		{de, "+49 (0) 155 / 50101", "+4915550101"},
		{de, "0049 155 50101", "+4915550101"},
		{de, "4915550101", "+4915550101"},
		{de, "tel:+49-155-50101", "+4915550101"},
		{de, "5050", "5050"},
		{us, "(202) 555-0101", "+12025550101"},
		{us, "1 202 555 0101", "+12025550101"},
		{ru, "8 912 555-01-01", "+79125550101"},
		{it, "06 5550 1011", "+390655501011"},
		{none, "00447700900123", "+447700900123"},
	} {
		if got, err := c.p.Parse(c.typed); err != nil || got != c.got {
			t.Errorf("%q: %q, %v", c.typed, got, err)
		}
	}
	for _, bad := range []string{"", "bob", "+", "12", "155 501 01", "++49155", "+0155501", "+123", "+1234567890123456", "０１５５"} {
		_, err := de.Parse(bad)
		var e *Error
		if !errors.As(err, &e) || len(e.Text) < 20 {
			t.Errorf("%q: %v", bad, err)
		}
	}
	if _, err := none.Parse("0155 50101"); err == nil {
		t.Error("a national number without a country")
	}
}

func FuzzParse(f *testing.F) {
	for _, s := range []string{"0155 501-01", "+49 (0) 155", "5050", "bob", "tel:+1"} {
		f.Add(s)
	}
	p := National("49")
	f.Fuzz(func(t *testing.T, s string) {
		n, err := p.Parse(s)
		if err != nil {
			return
		}
		if again, err := p.Parse(n); err != nil || again != n {
			t.Fatalf("%q gives %q and then %q, %v", s, n, again, err)
		}
	})
}
