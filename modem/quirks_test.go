package modem

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"doorway/modem/emulator"
)

// transcript is a file of testdata/quirks.
type transcript struct {
	text   string
	family string
	expect []string // lines that are written to the modem
	never  []string // lines that are not
	iccid  string
	mute   bool // no reports come
}

func readTranscript(t *testing.T, path string) transcript {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	tr := transcript{text: string(b), mute: strings.Contains(string(b), "\n# no reports\n")}
	for _, m := range regexp.MustCompile(`(?m)^# (family|expect|never):? (.*)$`).FindAllStringSubmatch(tr.text, -1) {
		switch word, rest := m[1], m[2]; {
		case word == "family":
			tr.family = rest
		case word == "never":
			tr.never = append(tr.never, strings.Replace(rest, "> ", ">", 1))
		case strings.HasPrefix(rest, "iccid "):
			tr.iccid = strings.TrimPrefix(rest, "iccid ")
		default:
			tr.expect = append(tr.expect, strings.Replace(rest, "> ", ">", 1))
		}
	}
	return tr
}

// Each entry of the quirks table has a transcript, and a modem that speaks like
// it is recognised, set up, and sends and receives.
func TestQuirks(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("testdata/quirks/*.txt")
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for _, f := range files {
		tr := readTranscript(t, f)
		if !strings.HasPrefix(tr.text, "# Composed for doorway") {
			t.Errorf("%s does not say where it comes from", f)
		}
		seen[tr.family] = true
		t.Run(strings.TrimSuffix(filepath.Base(f), ".txt"), func(t *testing.T) {
			t.Parallel()
			rules, err := emulator.ParseTranscript(tr.text)
			if err != nil {
				t.Fatal(err)
			}
			r := newRig(t, emulator.Config{Rules: rules}, nil)
			r.noReports = tr.mute
			r.ready()
			st := r.d.Status()
			if st.Family != tr.family || st.ICCID != tr.iccid {
				t.Errorf("family %q, want %q; card %q", st.Family, tr.family, st.ICCID)
			}
			r.standing()
			for _, line := range tr.expect {
				if r.traced(line) == 0 {
					t.Errorf("%s was not written", line)
				}
			}
			for _, line := range tr.never {
				if r.traced(line) != 0 {
					t.Errorf("%s was written", line)
				}
			}
		})
	}
	for _, q := range families {
		if !seen[q.family] {
			t.Errorf("%s has no transcript", q.family)
		}
	}
}

func TestFamilies(t *testing.T) {
	for _, c := range []struct{ maker, model, want string }{
		{"huawei", "E3131", "Huawei sticks"}, {"HUAWEI", "E220", "Huawei sticks"}, {"Huawei Technologies Co., Ltd.", "MU609", "Huawei modules"},
		{"SIMCOM_Ltd", "SIMCOM_SIM900", "SIMCom 2G"}, {"SIMCOM", "A7670E-LASA", "SIMCom LTE"}, {"SIMCOM INCORPORATED", "SIM7000E", "SIMCom LTE"},
		{"Quectel", "EG25-G", "Quectel"}, {"Quectel", "BG96", "Quectel"}, {"Quectel_Ltd", "M95", "Quectel 2G"},
		{"u-blox", "LARA-R6401D", "u-blox"}, {"Sierra Wireless, Inc.", "EM7455", "Sierra"}, {"SIEMENS", "MC35i", "Cinterion"},
		{"Telit", "GE864-QUAD", "Telit"}, {"ZTE CORPORATION", "MF823", "ZTE"}, {"doorway", "EMU-1", ""}, {"", "", ""},
	} {
		if got := quirksOf(c.maker, c.model).family; got != c.want {
			t.Errorf("%s %s: %q, want %q", c.maker, c.model, got, c.want)
		}
	}
}

// The attempts at the PIN are asked for in the family's own words first.
func TestPINAttemptsOfFamilies(t *testing.T) {
	for _, q := range families {
		if q.pins == "" {
			continue
		}
		if first := q.pinOrder()[0]; first.info != q.pins {
			t.Errorf("%s asks %s first", q.family, first.line)
		}
	}
	if first := (quirks{}).pinOrder()[0]; first.info != "+CPINR" {
		t.Errorf("others ask %s first", first.line)
	}
}
