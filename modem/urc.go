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
	kindPower         // the supply is too weak
	kindRing          // a call rings
	kindCaller        // and who calls
	kindCallEnd       // it rings no more
	kindUSSD          // an answer of the network to a person's code
	kindTime          // the network has told the time
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
	"+CIEV": kindNoise, "+CLIP": kindCaller, "+CRING": kindRing, "+CUSD": kindUSSD, "+CTZV": kindTime,
	"+CTZE": kindTime, "+CTZEU": kindTime, "+CTZDST": kindNoise, "+NITZ": kindTime, "#NITZ": kindTime, "*PSUTTZ": kindTime, "MISSED_CALL": kindCallEnd, "*PSNWID": kindNoise,
	"DST": kindNoise, "+CGEV": kindNoise, "+CBM": kindNoise, "+CFUN": kindNoise, "+STIN": kindNoise, "+PACSP": kindNoise,
	"^NDISSTAT": kindNoise, "^CSSI": kindNoise, "^SIMRESET": kindNoise, "^ORIG": kindNoise, "^CONF": kindNoise, "^CEND": kindCallEnd, "^CARDMODE": kindNoise,
	"^XLEMA": kindNoise, "^SIS": kindNoise, "^SISR": kindNoise, "^SISW": kindNoise, "^SLCC": kindNoise,
	"#QSSI": kindNoise, "#PSNT": kindNoise, "#STN": kindNoise, "#SGACT": kindNoise,
	"+UUPSDA": kindNoise, "+UUPSDD": kindNoise, "+UUCCID": kindNoise, "+UUSTS": kindNoise, "+UUDPDP": kindNoise, "+UUSTSD": kindNoise,
	"+WIND": kindNoise, "+ZMSRI": kindNoise, "+ZBADSIM": kindNoise, "+ZCFGI": kindNoise, "+ZIND": kindNoise,
	"+QUSIMSTAT": kindNoise, "+QNETDEVSTATUS": kindNoise, "+NETCLOSE": kindNoise, "+IPCLOSE": kindNoise, "+SMS FULL": kindFull, "SMS FULL": kindFull,
	"+CSSI": kindNoise, "+CSSU": kindNoise, "+CCWA": kindNoise, "+CSCON": kindNoise, "+QURC": kindNoise,
}

// words are unsolicited lines without parameters.
var words = map[string]kind{
	"RDY": kindBoot, "MODEM:STARTUP": kindBoot, "^SYSSTART": kindBoot, "+PBREADY": kindNoise,
	"SMS READY": kindSMSReady, "SMS DONE": kindSMSReady, "+QIND: SMS DONE": kindSMSReady,
	"CALL READY": kindNoise, "PB DONE": kindNoise, "RING": kindRing, "POWERED DOWN": kindNoise,
	"NORMAL POWER DOWN": kindNoise, "UNDER-VOLTAGE WARNNING": kindPower, "UNDER-VOLTAGE WARNING": kindPower,
	"UNDER-VOLTAGE POWER DOWN": kindPower, "^SBC: UNDERVOLTAGE": kindPower,
	"^SHUTDOWN": kindNoise, "^SMMEMFULL": kindFull, "+SIM REMOVED": kindSIM, "+SIM INSERTED": kindSIM,
	"NO CARRIER": kindCallEnd, "+PBREADY:": kindNoise, "*ATREADY": kindNoise,
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
