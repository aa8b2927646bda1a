// Package status is what an uplink tells about itself: one snapshot type, kept as a JSON file while the agent runs and
// printed by `wguplink status`.
package status

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"wguplink/agent/json"
	"wguplink/agent/nowait"
)

// Cause is the one stage that keeps an uplink from working; "" when it works.
type Cause string

// The causes, in the order of the stages.
const (
	None              Cause = ""
	Config            Cause = "config"             // a mistake in the configuration makes the uplink impossible
	BadKey            Cause = "key"                // the stored private key cannot be used
	NoWAN             Cause = "no_wan"             // no default route in the table that the mark selects
	Clock             Cause = "clock"              // the time is being asked for
	Device            Cause = "device"             // WireGuard or VXLAN device cannot be made
	BrokerUnreachable Cause = "broker_unreachable" // no broker answers, or none makes sense
	BrokerRefused     Cause = "broker_refused"     // a broker answers, and says no
	NotRegistered     Cause = "not_registered"     // a signed answer says that the server does not know the key yet
	NoHandshake       Cause = "no_handshake"       // gateways do not answer
	NoAnswer          Cause = "no_answer"          // handshake fine, nothing comes back inside the tunnel
	NoNeighbour       Cause = "no_neighbour"       // tunnel fine, no batman-adv neighbour behind it
)

// State is the short form of it all.
type State string

// The states of an uplink. Connected and a cause never stand together.
const (
	Starting   State = "starting"   // nothing is known yet
	Connecting State = "connecting" // no gateway is in use
	Connected  State = "connected"  // a gateway is in use and answers, and nothing is in the way
	Suspect    State = "suspect"    // the gateway in use is silent or mute; others are tried beside it
	Impaired   State = "impaired"   // the gateway in use is not at fault, and the cause keeps traffic from it
	Stopped    State = "stopped"    // the agent does not run
)

// Snapshot is one uplink at one moment. Times are kept as uptime, because the wall clock is set while we run.
type Snapshot struct {
	Uplink    string   `json:"uplink"`
	State     State    `json:"state"`
	Cause     Cause    `json:"cause,omitempty"`
	Reason    string   `json:"reason,omitempty"` // one sentence for people
	Fault     string   `json:"fault,omitempty"`  // with cause device: its kind, see tunnel.Fault
	Since     Uptime   `json:"since_uptime_ms"`  // when State and Cause became what they are
	Seconds   int64    `json:"seconds"`          // for how long; filled in when the snapshot is read
	PID       int      `json:"pid,omitempty"`
	PublicKey string   `json:"public_key,omitempty"`
	KeyOrigin string   `json:"key_origin,omitempty"`
	WAN       string   `json:"wan,omitempty"`
	Clock     string   `json:"clock,omitempty"`
	Broker    string   `json:"broker,omitempty"` // last answer of a broker, or what went wrong
	Interface string   `json:"interface"`
	Backend   string   `json:"backend,omitempty"`
	MTU       int      `json:"mtu,omitempty"` // of the WireGuard device, bytes
	VXLAN     string   `json:"vxlan,omitempty"`
	VXLANMTU  int      `json:"vxlan_mtu,omitempty"`
	Batman    *Batman  `json:"batman,omitempty"` // nil when the VXLAN is no hard-interface
	Gateway   *Gateway `json:"gateway,omitempty"`
	// Gateways are all that the network is known to have, by name; at most as many as the selector takes.
	Gateways []Candidate `json:"gateways,omitempty"`
	// Changes are the latest of state, cause and gateway, the oldest first; at most MaxChanges.
	Changes  []Change `json:"changes,omitempty"`
	Network  *Network `json:"network,omitempty"` // with a signed configuration
	Hooks    []Hook   `json:"hooks,omitempty"`
	Warnings []string `json:"warnings,omitempty"`
	// Stranded says that since a firmware update there has been no tunnel for as long as option update_watchdog allows.
	Stranded bool `json:"stranded,omitempty"`
	Switches int  `json:"switches"` // gateways promoted since the start, the first included
}

// Batman is the mesh interface that has the VXLAN device as a hard-interface.
type Batman struct {
	Interface  string   `json:"interface"`
	Algorithm  string   `json:"algorithm"`            // BATMAN_IV or BATMAN_V
	Neighbours []string `json:"neighbours,omitempty"` // MAC addresses heard behind the tunnel of late
}

// Gateway is the one in use.
type Gateway struct {
	Name         string `json:"name"`
	PublicKey    string `json:"public_key"`
	Endpoint     string `json:"endpoint,omitempty"`
	LinkAddress  string `json:"link_address,omitempty"`
	Established  Uptime `json:"established_uptime_ms"`
	HandshakeAt  Uptime `json:"handshake_uptime_ms,omitempty"`
	HandshakeAge int64  `json:"handshake_age"` // seconds; filled in when the snapshot is read
	RxBytes      int64  `json:"rx_bytes"`      // filled in when the snapshot is read
	TxBytes      int64  `json:"tx_bytes"`
}

// Result is what became of a gateway when it was last tried.
type Result string

// The results.
const (
	Untried     Result = "untried"
	Trying      Result = "trying"       // a handshake is under way
	Answered    Result = "answered"     // it shook hands, and nothing is known against it since
	NoShake     Result = "no_handshake" // it did not shake hands in time
	Unanswering Result = "no_answer"    // it shook hands, and nothing came back inside the tunnel
	WasSilent   Result = "silent"       // it answered, and then nothing came from it any more
	NoAddress   Result = "no_address"   // no address of it may be used or is known; the reason says why
)

// Candidate is a gateway of the network, in use or not.
type Candidate struct {
	Name      string `json:"name"`
	PublicKey string `json:"public_key"`
	Endpoint  string `json:"endpoint,omitempty"` // where it was tried last; before that, as configured
	// LinkAddress is its own inside the tunnel; "" when it is not known.
	LinkAddress string `json:"link_address,omitempty"`
	InUse       bool   `json:"in_use"`
	Result      Result `json:"result"`
	Reason      string `json:"reason,omitempty"` // with result no_address
	// RTT is the round trip in microseconds: of the latest probe through the tunnel; for one that was never in use, of
	// its handshake, which the agent sees up to 20 ms late. 0: not known.
	RTT      int64  `json:"rtt_us,omitempty"`
	TriedAt  Uptime `json:"tried_uptime_ms,omitempty"` // when a handshake with it was last begun; 0: never
	TriedAge int64  `json:"tried_age"`                 // seconds; filled in when the snapshot is read
}

// Change is a moment at which state, cause or gateway became another.
type Change struct {
	At      Uptime `json:"uptime_ms"`
	Age     int64  `json:"age"` // seconds; filled in when the snapshot is read
	State   State  `json:"state"`
	Cause   Cause  `json:"cause,omitempty"`
	Gateway string `json:"gateway,omitempty"` // the name of the one in use
	Reason  string `json:"reason,omitempty"`  // of the cause; without one, why the gateway before was left
}

// Network is what a signed configuration says of the node, and the tunnels that follow from it.
type Network struct {
	ID         string   `json:"id"`
	Address4   string   `json:"address4"`
	Address6   string   `json:"address6"`
	Range4     string   `json:"range4"`
	Range6     string   `json:"range6"`
	XLATRange6 string   `json:"xlat_range6,omitempty"`
	Exit       string   `json:"exit,omitempty"` // the device of the default routes; "" when there are none
	Tunnels    []Tunnel `json:"tunnels"`
}

// Tunnel is one concentrator's.
type Tunnel struct {
	Interface    string `json:"interface"`
	Gateway      string `json:"gateway"`
	Endpoint     string `json:"endpoint,omitempty"`
	HandshakeAt  Uptime `json:"handshake_uptime_ms,omitempty"` // 0: none yet
	HandshakeAge int64  `json:"handshake_age"`                 // seconds; filled in when the snapshot is read
}

// Hook is how an executable of the hooks' folder ended when it was last run.
type Hook struct {
	Name  string `json:"name"`
	Event string `json:"event"`
	Exit  string `json:"exit"`                // "0", another exit code, or what else ended it
	Last  string `json:"last_line,omitempty"` // of what it printed
}

// Uptime is a moment as milliseconds since boot, suspend included (CLOCK_BOOTTIME).
type Uptime int64

// Now is the present moment.
func Now() Uptime {
	up, err := nowait.SinceBoot()
	if err != nil {
		return 0
	}
	return Uptime(up.Milliseconds())
}

// Age is how long ago the moment was, in whole seconds.
func (u Uptime) Age(now Uptime) int64 { return max(0, int64(now-u)/1000) }

// File is where the snapshot of an uplink lies below the run directory.
func File(runDir, uplink string) string { return filepath.Join(runDir, uplink+".json") }

// Write puts the snapshot in place in one step. The run directory is in RAM, so nothing is synced.
func Write(runDir string, s Snapshot) error {
	b, err := json.Marshal(s)
	if err != nil {
		return fmt.Errorf("encode status of %s: %w", s.Uplink, err)
	}
	name := File(runDir, s.Uplink)
	if err := os.WriteFile(name+".tmp", append(b, '\n'), 0o644); err != nil {
		return fmt.Errorf("write status: %w", err)
	}
	if err := os.Rename(name+".tmp", name); err != nil {
		return fmt.Errorf("write status: %w", err)
	}
	return nil
}

// Read gives the last snapshot of an uplink with the ages filled in. Without one the state is Stopped.
func Read(runDir, uplink string, now Uptime) (Snapshot, error) {
	s := Snapshot{Uplink: uplink, State: Stopped}
	b, err := os.ReadFile(File(runDir, uplink))
	if errors.Is(err, fs.ErrNotExist) {
		return s, nil
	}
	if err != nil {
		return s, fmt.Errorf("read status: %w", err)
	}
	if err := json.Unmarshal(b, &s); err != nil {
		return s, fmt.Errorf("read status %s: %w", File(runDir, uplink), err)
	}
	return s.At(now), nil
}

// At gives the snapshot with the ages filled in as they are at that moment.
func (s Snapshot) At(now Uptime) Snapshot {
	s.Seconds = s.Since.Age(now)
	if s.Gateway != nil {
		g := *s.Gateway
		if g.HandshakeAt != 0 {
			g.HandshakeAge = g.HandshakeAt.Age(now)
		}
		s.Gateway = &g
	}
	s.Gateways = slices.Clone(s.Gateways)
	for i, g := range s.Gateways {
		if g.TriedAt != 0 {
			s.Gateways[i].TriedAge = g.TriedAt.Age(now)
		}
	}
	s.Changes = slices.Clone(s.Changes)
	for i, c := range s.Changes {
		s.Changes[i].Age = c.At.Age(now)
	}
	if s.Network != nil {
		n := *s.Network
		n.Tunnels = slices.Clone(n.Tunnels)
		for i, t := range n.Tunnels {
			if t.HandshakeAt != 0 {
				n.Tunnels[i].HandshakeAge = t.HandshakeAt.Age(now)
			}
		}
		s.Network = &n
	}
	return s
}
