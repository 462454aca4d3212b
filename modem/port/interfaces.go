package port

import "strings"

// interfaces are the numbers of the USB interface that takes AT commands, and
// announces messages, of well-known modems; the others are for data, a shell, a
// satellite receiver or debugging. From the makers' manuals; it decides only
// which port is asked first.
var interfaces = map[string][]int{
	"12d1:1001": {2, 0}, "12d1:1003": {1, 0}, "12d1:1506": {2, 0}, "12d1:140c": {3, 0}, "12d1:14ac": {4, 2}, // Huawei
	"1e0e:9001": {2, 3}, "1e0e:9011": {5, 2}, // SIMCom
	"2c7c:0125": {2, 3}, "2c7c:0121": {2, 3}, "2c7c:0296": {2, 3}, "2c7c:0700": {2, 3}, "05c6:9215": {2, 3}, // Quectel
	"1546:1102": {0, 1}, "1546:1141": {2, 4}, "1546:1143": {1, 2}, "05c6:90b2": {1, 2}, // u-blox
	"1199:68a3": {3, 2}, "1199:68c0": {3, 2}, "1199:9071": {3, 2}, "1199:9079": {3, 2}, "1199:9091": {3, 2}, // Sierra
	"1e2d:0053": {0, 2}, "1e2d:0058": {0, 2}, "1e2d:0061": {0, 2}, "1e2d:005b": {0, 2}, // Cinterion
	"1bc7:0021": {0, 6}, "1bc7:1201": {4, 5}, "1bc7:1203": {4, 5}, "1bc7:1031": {4, 5}, "1bc7:110a": {2, 3}, // Telit
	"19d2:0031": {2, 1}, "19d2:0117": {2, 1}, "19d2:0016": {1, 2}, "19d2:1405": {2, 1}, // ZTE
}

// TakesAT tells whether the port is known to be the one for AT commands of its device.
func TakesAT(c Candidate) bool {
	for _, n := range interfaces[strings.ToLower(c.VID+":"+c.PID)] {
		if n == c.Interface {
			return true
		}
	}
	return false
}
