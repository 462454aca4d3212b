package modem

import "errors"

// Errors that end a session on a port.
var (
	errTimeout = errors.New("no answer in time")
	errLost    = errors.New("the port is gone")
	errStuck   = errors.New("the port takes no bytes")
	errSilent  = errors.New("no answer to AT")
	errNoSync  = errors.New("answers no longer match commands")
	errNoPDU   = errors.New("PDU mode is refused")
	errReset   = errors.New("the modem has restarted")
	errPower   = errors.New("the power of the modem is switched off and on")
	errOther   = errors.New("another modem than the one that was used before")
	errUnnamed = errors.New("the modem does not tell its IMEI now")
	errForeign = errors.New("the serial devices do not answer AT commands")
)

// ErrDown is wrapped by errors that mean: there is no modem to talk to now.
var ErrDown = errors.New("the modem is not available")

// classify gives the class of an error that ended +CMGS. The tables are those
// of 3GPP TS 27.005 §3.2.5 with TS 24.011 annex E-2 and TS 23.040 §9.2.3.22 for
// +CMS, and TS 27.007 §9.2 for +CME. after tells whether Ctrl-Z was written;
// quick whether the answer came within a second of it, that is from the modem
// itself and not from the network.
func classify(f final, after, quick bool) Class {
	switch f.kind {
	case finalCMS:
		return classCMS(f.code, after)
	case finalCME:
		return classCME(f.code, after)
	}
	if after && !quick {
		return ClassAmbiguous
	}
	return ClassUnknown
}

func classCMS(code int, after bool) Class {
	switch code {
	case 1, 28, 30, 195, 196:
		return ClassRecipient
	case 8, 10, 29, 50, 69, 193:
		return ClassSubscription
	case 95, 96, 97, 99, 111, 176, 198, 199, 213, 304, 305:
		return ClassPDU
	case 17, 21, 27, 38, 41, 42, 47, 127, 192, 194, 331:
		return ClassNetwork
	case 81, 98:
		return ClassProtocol
	case 332, 500, 255:
		if after {
			return ClassAmbiguous
		}
		return ClassModem
	case 300:
		if after {
			return ClassAmbiguous
		}
		return ClassModem
	case 197:
		return ClassAccepted
	case 310, 311, 312, 313, 315, 316, 317, 318:
		return ClassSIM
	case 212, 256, 258, 301, 314:
		return ClassBusy
	case 22, 208, 209, 210, 211, 320, 321, 322:
		return ClassStorage
	case 302, 303, 330, 340:
		return ClassConfig
	}
	switch {
	case code >= 128 && code <= 175:
		return ClassPDU
	case code >= 512:
		return ClassVendor
	}
	return ClassUnknown
}

func classCME(code int, after bool) Class {
	switch code {
	case 5, 6, 7, 10, 11, 12, 13, 15, 16, 17, 18, 40, 41, 42, 43, 44, 45, 46, 47:
		return ClassSIM
	case 2, 14, 515:
		return ClassBusy
	case 31:
		if after {
			return ClassAmbiguous
		}
		return ClassNetwork
	case 30, 32, 112, 113:
		return ClassNetwork
	case 103, 106, 107, 111:
		return ClassSubscription
	case 20, 21, 22, 23:
		return ClassStorage
	case 3, 4, 24, 25, 26, 27, 50:
		return ClassConfig
	case 0, 1, 100:
		return ClassModem
	}
	return ClassUnknown
}

// cmsWords are the verbose forms of +CMS errors, folded.
var cmsWords = map[string]int{
	"unassignedunallocatednumber": 1, "unassignednumber": 1,
	"operatordeterminedbarring": 8, "callbarred": 10,
	"networkfailure": 17, "shortmessagetransferrejected": 21, "memorycapacityexceeded": 22,
	"destinationoutofservice": 27, "destinationoutoforder": 27, "unidentifiedsubscriber": 28,
	"facilityrejected": 29, "unknownsubscriber": 30,
	"networkoutoforder": 38, "temporaryfailure": 41, "congestion": 42,
	"resourcesunavailableunspecified": 47, "resourcesunavailable": 47,
	"requestedfacilitynotsubscribed": 50, "requestedfacilitynotimplemented": 69,
	"invalidshortmessagetransferreferencevalue": 81, "invalidmessagereference": 81,
	"invalidmessageunspecified": 95, "semanticallyincorrectmessage": 95,
	"invalidmandatoryinformation": 96, "messagetypenonexistentornotimplemented": 97,
	"messagetypenonexistentornonimplemented":            97,
	"messagenotcompatiblewithshortmessageprotocolstate": 98,
	"messagenotcompatiblewithprotocolstate":             98,
	"informationelementnonexistentornotimplemented":     99,
	"protocolerrorunspecified":                          111, "interworkingunspecified": 127,
	"telematicinterworkingnotsupported": 128, "shortmessagetype0notsupported": 129,
	"cannotreplaceshortmessage": 130, "unspecifiedtppiderror": 143,
	"datacodingschemealphabetnotsupported": 144, "messageclassnotsupported": 145,
	"unspecifiedtpdcserror": 159, "commandcannotbeactioned": 160, "commandunsupported": 161,
	"unspecifiedtpcommanderror": 175, "tpdunotsupported": 176,
	"scbusy": 192, "noscsubscription": 193, "scsystemfailure": 194, "invalidsmeaddress": 195,
	"destinationsmebarred": 196, "smrejectedduplicatesm": 197, "tpvpfnotsupported": 198,
	"tpvpnotsupported": 199, "d0simsmsstoragefull": 208, "simsmsstoragefull": 208,
	"nosmsstoragecapabilityinsim": 209, "errorinms": 210,
	"memorycapacityexceededinms": 211, "simapplicationtoolkitbusy": 212, "simdatadownloaderror": 213,
	"unspecifiederrorcause": 255, "unspecifiederror": 255,
	"mefailure": 300, "phonefailure": 300, "smsserviceofmereserved": 301, "smsserviceofphonereserved": 301,
	"operationnotallowed": 302, "operationnotsupported": 303, "invalidpdumodeparameter": 304,
	"invalidtextmodeparameter": 305, "simnotinserted": 310, "simpinrequired": 311,
	"simpinnecessary": 311, "phsimpinrequired": 312, "phsimpinnecessary": 312, "simfailure": 313,
	"simbusy": 314, "simwrong": 315, "simpukrequired": 316, "simpin2required": 317, "simpuk2required": 318,
	"memoryfailure": 320, "invalidmemoryindex": 321, "memoryfull": 322,
	"smscaddressunknown": 330, "nonetworkservice": 331, "nonetwork": 331, "networktimeout": 332,
	"nocnmaacknowledgementexpected": 340, "unknownerror": 500,
}

// cmeWords are the verbose forms of +CME errors, folded.
var cmeWords = map[string]int{
	"phonefailure": 0, "mefailure": 0, "noconnectiontophone": 1, "noconnectiontome": 1,
	"phoneadaptorlinkreserved": 2, "phoneadapterlinkreserved": 2,
	"operationnotallowed": 3, "operationnotsupported": 4,
	"phsimpinrequired": 5, "phfsimpinrequired": 6, "phfsimpukrequired": 7,
	"simnotinserted": 10, "simpinrequired": 11, "simpukrequired": 12, "simfailure": 13, "simbusy": 14,
	"simwrong": 15, "incorrectpassword": 16, "simpin2required": 17, "simpuk2required": 18,
	"memoryfull": 20, "invalidindex": 21, "notfound": 22, "memoryfailure": 23,
	"textstringtoolong": 24, "invalidcharactersintextstring": 25, "dialstringtoolong": 26,
	"invalidcharactersindialstring": 27, "nonetworkservice": 30, "networktimeout": 31,
	"networknotallowedemergencycallsonly": 32, "networknotallowedemergencycallonly": 32,
	"networkpersonalizationpinrequired": 40, "networkpersonalisationpinrequired": 40,
	"networkpersonalizationpukrequired": 41, "networkpersonalisationpukrequired": 41,
	"incorrectparameters": 50, "unknown": 100, "unknownerror": 100,
	"illegalms": 103, "illegalme": 106, "gprsservicesnotallowed": 107, "plmnnotallowed": 111,
	"locationareanotallowed": 112, "roamingnotallowedinthislocationarea": 113,
}
