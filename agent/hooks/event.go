package hooks

import (
	"os"
	"strconv"
	"strings"

	"wguplink/agent/json"
)

// The kinds of Event.
const (
	Up     = "up"     // the uplink works: a gateway is in use
	Down   = "down"   // it works no longer
	Change = "change" // it works, but something of what Event tells is another
	// Stranded says that since a firmware update the uplink has not worked for as long as option update_watchdog
	// allows.
	Stranded = "stranded"
)

// Event is what hooks are told. Empty fields are left out, in JSON as well as in the environment.
type Event struct {
	Event      string `json:"event"` // Up, Down, Change or Stranded
	Uplink     string `json:"uplink"`
	Protocol   string `json:"protocol,omitempty"`
	Interface  string `json:"interface,omitempty"`   // WireGuard device in use
	Gateway    string `json:"gateway,omitempty"`     // its name
	GatewayKey string `json:"gateway_key,omitempty"` // its public key, base64
	PublicKey  string `json:"public_key,omitempty"`  // our own, base64
	MTU        int    `json:"mtu,omitempty"`         // of Interface, bytes
	// ClientMTU is what clients may send: all tunnels that are alive take it. Bytes; of Parker only.
	ClientMTU int `json:"client_mtu,omitempty"`

	// Of Stranded: for how many hours, with which firmware, and what keeps the uplink from working, as in the status.
	Hours    int    `json:"hours,omitempty"`
	Firmware string `json:"firmware,omitempty"`
	Cause    string `json:"cause,omitempty"`
	Reason   string `json:"reason,omitempty"`

	// Of a Parker configuration: addresses and networks as its server writes them.
	Address4   string `json:"address4,omitempty"`
	Address6   string `json:"address6,omitempty"`
	Range4     string `json:"range4,omitempty"`
	Range6     string `json:"range6,omitempty"`
	XlatRange6 string `json:"xlat_range6,omitempty"`
	ID         string `json:"id,omitempty"`
	// Config is the signed configuration as received. It is in the JSON only.
	Config json.RawMessage `json:"config,omitempty"`
}

const envPrefix = "WGUPLINK_"

// fallbackPath is for an agent that was started without PATH.
const fallbackPath = "PATH=/usr/sbin:/usr/bin:/sbin:/bin"

// environ is the whole environment of a hook: the agent's own, and the event's.
func (e Event) environ() []string {
	var env []string
	path := false
	for _, v := range os.Environ() {
		path = path || strings.HasPrefix(v, "PATH=")
		// What another program told the agent is not about this event.
		if !strings.HasPrefix(v, envPrefix) {
			env = append(env, v)
		}
	}
	if !path {
		env = append(env, fallbackPath)
	}
	number := func(n int) string {
		if n == 0 {
			return ""
		}
		return strconv.Itoa(n)
	}
	for _, v := range [...][2]string{
		{"EVENT", e.Event}, {"UPLINK", e.Uplink}, {"PROTOCOL", e.Protocol}, {"INTERFACE", e.Interface},
		{"GATEWAY", e.Gateway}, {"GATEWAY_KEY", e.GatewayKey}, {"PUBLIC_KEY", e.PublicKey}, {"MTU", number(e.MTU)},
		{"CLIENT_MTU", number(e.ClientMTU)},
		{"HOURS", number(e.Hours)}, {"FIRMWARE", e.Firmware}, {"CAUSE", e.Cause}, {"REASON", e.Reason},
		{"ADDRESS4", e.Address4}, {"ADDRESS6", e.Address6}, {"RANGE4", e.Range4}, {"RANGE6", e.Range6},
		{"XLAT_RANGE6", e.XlatRange6}, {"ID", e.ID},
	} {
		if v[1] != "" {
			env = append(env, envPrefix+v[0]+"="+v[1])
		}
	}
	return env
}

// line is the JSON of an event, with a newline.
func (e Event) line() ([]byte, error) {
	b, err := json.Marshal(e)
	if err != nil {
		return nil, err // Config is not JSON
	}
	return append(b, '\n'), nil
}
