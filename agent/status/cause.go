package status

import "fmt"

// Facts are what the parts of an uplink know, in the order of the stages. Cause follows from them.
type Facts struct {
	KeyErr   error // the stored private key cannot be used
	Applied  error // the kernel's state is not as desired
	WANKnown bool  // the WAN has been looked at
	WANUp    bool
	WAN      string // the WAN in words
	Link     Link
	Gateway  string // the name of the one in use
	Address  string // its link address
	Alone    string // the batman-adv interface that hears no neighbour behind the tunnel; "" when it does
	Clocked  bool   // the time was asked for
	Register Cause  // what keeps us from being registered; None when nothing does
	RegErr   error
	InVain   bool   // every gateway was tried in vain
	TryErr   error  // why a gateway could not be tried; may be nil
	Known    string // what the registration says of an entry that it has already; "" when it says nothing
}

// Link is how the gateway in use is.
type Link uint8

// The states of a Link.
const (
	NoLink Link = iota // no gateway is in use
	Alive
	Mute   // it shakes hands, but nothing comes back inside the tunnel
	Silent // nothing comes back at all, or not since it was found to be mute: others are tried beside it
)

// Cause names the first stage that is not through, and the state that agrees with it.
func (f Facts) Cause() (State, Cause, string) {
	state, cause, reason := f.stage()
	if state == Connected && cause != None {
		state = Impaired
	}
	return state, cause, reason
}

func (f Facts) stage() (State, Cause, string) {
	state := Connecting
	switch f.Link {
	case Alive:
		state = Connected
	case Mute, Silent:
		state = Suspect
	}
	switch {
	case f.KeyErr != nil:
		return state, BadKey, f.KeyErr.Error()
	case f.Applied != nil:
		return state, Device, f.Applied.Error()
	case !f.WANKnown:
		return Starting, None, ""
	case !f.WANUp:
		return state, NoWAN, f.WAN
	case f.Link == Mute:
		return state, NoAnswer, f.Gateway + " shook hands, but " + f.Address + " does not answer inside the tunnel"
	case f.Link == Alive && f.Alone != "":
		return state, NoNeighbour, "the tunnel to " + f.Gateway + " is fine, but " + f.Alone +
			" hears no neighbour behind it"
	case f.Link == Alive:
		return state, None, ""
	case f.Link == Silent:
		return state, NoAnswer, f.Gateway + " is silent; trying others beside it"
	case !f.Clocked:
		return state, Clock, "asking for the time"
	case f.RegErr != nil:
		return state, f.Register, f.RegErr.Error()
	case !f.InVain:
		return state, None, ""
	}
	reason := "no gateway answers"
	if f.TryErr != nil {
		reason += "; " + f.TryErr.Error()
	}
	if f.Known != "" {
		reason += fmt.Sprintf("; the registration says %q: is it another node's entry? then set option node_name",
			f.Known)
	}
	return state, NoHandshake, reason
}
