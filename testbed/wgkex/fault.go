package wgkex

import (
	"fmt"
	"net/http"
	"strconv"

	"wguplink/testbed/httpfault"
)

// WrongTypes answers 200 with JSON that has the right names and the wrong types.
func WrongTypes() httpfault.Fault {
	bodies := map[API]string{
		V1:        `{"Message":["OK"]}`,
		V2:        `{"Endpoint":{"Address":["gw"],"AllowedIPs":"fe80::1","Port":{},"PublicKey":7}}`,
		Locations: `{"locations":"MUC"}`,
		Other:     `[]`,
	}
	return httpfault.Own("wrong JSON types", func(api API) answer {
		return answer{status: http.StatusOK, contentType: textJSON, body: []byte(bodies[api] + "\n")}
	})
}

// Hostile changes the endpoint of good v2 answers; other APIs are not affected.
func Hostile(name string, edit func(*Endpoint)) httpfault.Fault {
	return httpfault.Own("hostile endpoint: "+name, edit)
}

// HostilePort answers with another port: "0", "65536", or a number.
func HostilePort(port any) httpfault.Fault {
	return Hostile(fmt.Sprintf("port %v", port), func(e *Endpoint) { e.Port = port })
}

// HostileAddress answers with another address, such as the multicast "ff02::1".
func HostileAddress(addr string) httpfault.Fault {
	return Hostile("address "+addr, func(e *Endpoint) { e.Address = addr })
}

// HostileAllowedIPs answers with allowed IPs that are not the gateway's, such as "::/0".
func HostileAllowedIPs(ips ...string) httpfault.Fault {
	return Hostile(fmt.Sprintf("allowed IPs %v", ips), func(e *Endpoint) { e.AllowedIPs = ips })
}

func itoa(port uint16) string { return strconv.FormatUint(uint64(port), 10) }
