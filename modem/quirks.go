package modem

import (
	"regexp"
	"time"
)

// quirks are what a family of modems wants done otherwise than 3GPP TS 27.005
// and TS 27.007 say. The zero value is a modem that keeps to them. All of it is
// from the makers' manuals and from reports; the transcript of each family in
// testdata/quirks is composed from the same, and none of it was seen on a device.
type quirks struct {
	family string
	maker  *regexp.Regexp // of +CGMI
	model  *regexp.Regexp // of +CGMM; nil: all that no earlier entry has taken

	init     []string   // commands after the identity, refused ones are lived without
	iccid    string     // command for the number of the card, tried first; its answer has the same name
	pins     string     // information prefix of the pinQueries entry that is tried first
	reset    string     // restarts the modem; "" for AT+CFUN=1,1
	walk     bool       // +CMGL is not used: it may never answer
	announce [][]string // settings of +CNMI tried before the usual ones
	noAck    bool       // phase 2+ (+CSMS=1) is never asked for
	slow     int        // sends and switching the radio may take so many times as long, in halves; 0 means 2 (once)
	says     string     // the line after which SMS works; until it came, a storage that answers proves nothing
	wake     bool       // a SIM that appears in a running modem is used only after the radio was off and on
	packed   bool       // USSD codes are written in packed septets
}

func re(s string) *regexp.Regexp { return regexp.MustCompile("(?i)" + s) }

// families is the quirks table; the first entry that fits is taken. An entry
// is named by +CGMI and +CGMM, and testdata/quirks holds its transcript.
var families = []quirks{
	// COMPAT(Huawei ME906, ME909, MU609, MU709): the noise of the sticks, and lists that work.
	{family: "Huawei modules", maker: re("huawei"), model: re(`^(ME9|MU[67]|EM[67]|MH5)`),
		init: []string{"AT^CURC=0"}, iccid: "^ICCID?", pins: "^CPIN", reset: "AT^RESET"},
	// COMPAT(Huawei E1xx to E3xx, K3xxx, E220, E1750): ^RSSI and others all the time; a +CMGL that is
	// never answered leaves the stick dead; USSD ignores +CSCS.
	{family: "Huawei sticks", maker: re("huawei"),
		init: []string{"AT^CURC=0"}, iccid: "^ICCID?", pins: "^CPIN", reset: "AT^RESET", walk: true, packed: true},
	// COMPAT(SIMCom SIM800, SIM900, SIM868): refuses SMS until it has said so; a SIM put in later is not used.
	{family: "SIMCom 2G", maker: re("simcom"), model: re(`SIM(8|9)\d\d`),
		iccid: "+CCID", pins: "+SPIC", says: "SMS READY", wake: true},
	// COMPAT(SIMCom SIM5xxx, SIM7xxx, A76xx): AT&F cures a bad stored profile, which a person has to decide.
	{family: "SIMCom LTE", maker: re("simcom"),
		iccid: "+CICCID", pins: "+SPIC", reset: "AT+CRESET", says: "SMS DONE", wake: true},
	// COMPAT(Quectel M10, M26, M35, M66, M95): +CSMS knows 0 and 128 only.
	{family: "Quectel 2G", maker: re("quectel"), model: re(`(^|_)M\d`),
		iccid: "+QCCID", pins: "+QPINC", noAck: true, says: "SMS READY"},
	// COMPAT(Quectel EC25, EG25, EC21, BG95, BG96, UC20, RM5xx): a stored report is announced in SM and lies in SR,
	// so that reports are better pushed; +QIND says when SMS works.
	{family: "Quectel", maker: re("quectel"),
		iccid: "+QCCID", pins: "+QPINC", announce: [][]string{{"2", "1", "0", "1", "0"}}, says: "+QIND: SMS DONE"},
	// COMPAT(u-blox LISA, SARA, TOBY, LARA): sends for up to 180 s, switches the radio for as long.
	{family: "u-blox", maker: re(`u-?blox`), iccid: "+CCID", pins: "+UPINCNT", reset: "AT+CFUN=16", slow: 12},
	// COMPAT(Sierra HL76, HL78): of another make than the others, without the commands that begin with "!".
	{family: "Sierra HL", maker: re("sierra"), model: re(`^HL\d`), iccid: "+CCID", pins: "+CPINC", slow: 3},
	// COMPAT(Sierra MC, EM, AirPrime): +CME 515 while it starts, its own restart.
	{family: "Sierra", maker: re("sierra"), iccid: "!ICCID?", pins: "+CPINC", reset: "AT!RESET", slow: 3},
	// COMPAT(Wavecom Q24, Fastrack): +CME 515 after each send; reports in SR get lost.
	{family: "Wavecom", maker: re("wavecom"), iccid: "+CCID", pins: "+CPINC", announce: [][]string{{"2", "1", "0", "1", "0"}, {"2", "1", "0", "1"}}},
	// COMPAT(Siemens MC35, TC65; Cinterion BGS2, EHS6, PLS8; Gemalto, Thales): the tuples of +CNMI differ by model.
	{family: "Cinterion", maker: re(`cinterion|siemens|gemalto|thales`), iccid: "^SCID", pins: "^SPIC"},
	// COMPAT(Telit GE864, HE910, LE910, ME910): sends for up to 180 s; a SIM put in later is not used.
	{family: "Telit", maker: re("telit"), iccid: "#CCID", pins: "#PCT", reset: "AT#REBOOT", slow: 3, wake: true},
	// COMPAT(ZTE MF1xx, MF6xx, MF8xx): floods of +ZUSIMR, a storage that fails until the SIM is up.
	{family: "ZTE", maker: re(`\bzte\b`), iccid: "+ZGETICCID", pins: "+ZPINPUK", reset: "AT+ZRST"},
	// COMPAT(sticks that name the maker of their chip): CNMI=2,1,2,1,0 is offered and refused, 2,1,2,2,0 accepted.
	{family: "Qualcomm", maker: re("qualcomm"), announce: [][]string{{"2", "1", "0", "1", "0"}, {"2", "1", "2", "2", "0"}, {"2", "1", "0", "2", "0"}}},
}

// quirksOf gives the entry for a modem; the zero one when there is none.
func quirksOf(maker, model string) quirks {
	for _, q := range families {
		if q.maker.MatchString(maker) && (q.model == nil || q.model.MatchString(model)) {
			return q
		}
	}
	return quirks{}
}

// stretch makes a limit longer for a slow family.
func (q quirks) stretch(d time.Duration) time.Duration {
	if q.slow == 0 {
		return d
	}
	return d * time.Duration(q.slow) / 2
}

// sendLimit is the limit of a send: 180 s are the most that any maker names.
func (q quirks) sendLimit(d time.Duration) time.Duration {
	return min(q.stretch(d), d*3/2)
}
