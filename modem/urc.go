package modem

import "strings"

// kind of an unsolicited line.
type kind int

const (
	kindUnknown  kind = iota
	kindNoise         // known and of no use here
	kindMessage       // +CMTI, +CDSI
	kindPushed        // +CMT, +CDS with their PDU
	kindNetwork       // registration changed
	kindSIM           // the SIM changed
	kindBoot          // the modem has started: settings are lost
	kindSMSReady      // SMS works from now on
	kindFull          // storage is full
)

// prefixes of unsolicited lines; each is followed by a colon, which is part of
// the comparison, so that +CREG does not match +CREGX.
var prefixes = map[string]kind{
	"+CMTI": kindMessage, "+CDSI": kindMessage,
	"+CMT": kindPushed, "+CDS": kindPushed,
	"+CREG": kindNetwork, "+CGREG": kindNetwork, "+CEREG": kindNetwork, "+C5GREG": kindNetwork,
	"+CPIN": kindSIM, "+QUSIM": kindNoise, "+ZUSIMR": kindNoise, "^SIMST": kindSIM, "#QSS": kindSIM, "+QSIMSTAT": kindSIM,
	"^SYSSTART": kindBoot, "^SMMEMFULL": kindFull, "+QIND": kindNoise,
	"^RSSI": kindNoise, "^HCSQ": kindNoise, "^BOOT": kindNoise, "^MODE": kindNoise, "^DSFLOWRPT": kindNoise,
	"^CSNR": kindNoise, "^SRVST": kindNoise, "^STIN": kindNoise, "^NWTIME": kindNoise, "^ANLEVEL": kindNoise,
	"^CERSSI": kindNoise, "^LTERSRP": kindNoise, "^SBC": kindNoise, "^SCN": kindNoise, "^EARST": kindNoise,
	"+ZPASR": kindNoise, "+ZDONR": kindNoise, "+UUSIMSTAT": kindNoise, "+UMWI": kindNoise,
	"+CIEV": kindNoise, "+CLIP": kindNoise, "+CRING": kindNoise, "+CUSD": kindNoise, "+CTZV": kindNoise,
	"+CTZE": kindNoise, "+CTZDST": kindNoise, "+NITZ": kindNoise, "*PSUTTZ": kindNoise, "*PSNWID": kindNoise,
	"DST": kindNoise, "+CGEV": kindNoise, "+CBM": kindNoise, "+CFUN": kindNoise, "+STIN": kindNoise, "+PACSP": kindNoise,
	"+CSSI": kindNoise, "+CSSU": kindNoise, "+CCWA": kindNoise, "+CSCON": kindNoise, "+QURC": kindNoise,
}

// words are unsolicited lines without parameters.
var words = map[string]kind{
	"RDY": kindBoot, "MODEM:STARTUP": kindBoot, "^SYSSTART": kindBoot, "+PBREADY": kindNoise,
	"SMS READY": kindSMSReady, "SMS DONE": kindSMSReady, "+QIND: SMS DONE": kindSMSReady,
	"CALL READY": kindNoise, "PB DONE": kindNoise, "RING": kindNoise, "POWERED DOWN": kindNoise,
	"NORMAL POWER DOWN": kindNoise, "UNDER-VOLTAGE WARNNING": kindNoise, "UNDER-VOLTAGE WARNING": kindNoise,
	"^SHUTDOWN": kindNoise, "^SMMEMFULL": kindFull, "+SIM REMOVED": kindSIM, "+SIM INSERTED": kindSIM,
	"NO CARRIER": kindNoise, "+PBREADY:": kindNoise, "*ATREADY": kindNoise,
}

// urcKind tells what an unsolicited line is about.
func urcKind(line string) kind {
	up := strings.ToUpper(line)
	if k, ok := words[up]; ok {
		return k
	}
	if i := strings.IndexByte(up, ':'); i > 0 {
		if k, ok := prefixes[up[:i]]; ok {
			if up[:i] == "+CIEV" && strings.Contains(up, "SMSFULL") {
				return kindFull
			}
			return k
		}
	}
	return kindUnknown
}
