package wan

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
)

// State is what the kernel says about the way out.
type State struct {
	// V4 and V6 say that the kernel has a way out to one of the destinations of that family.
	V4, V6 bool
	// Dev4 and Dev6 are the devices that it sends by, to the first destination that is reached; "" for none.
	Dev4, Dev6 string
	// MTU4 and MTU6 are those of the devices, in bytes; 0 for none.
	MTU4, MTU6 int
	// Why4 and Why6 say why the first destination is not reached; "" where one is.
	Why4, Why6 string
	// Mesh says that a destination is not reached because the kernel would send to it by a device of our own mesh.
	Mesh bool
}

// Up says that there is a way out at all.
func (s State) Up() bool { return s.V4 || s.V6 }

func (s State) String() string {
	switch {
	case s.V4 && s.V6:
		return fmt.Sprintf("IPv6 by %s, IPv4 by %s", s.Dev6, s.Dev4)
	case s.V6:
		return "IPv6 by " + s.Dev6
	case s.V4:
		return "IPv4 by " + s.Dev4
	}
	return "no WAN route: " + strings.Join([]string{"IPv4 " + s.Why4, "IPv6 " + s.Why6}, "; ")
}

// MTU gives that of the family that is used to reach an address; of the smaller one, as far as there is a way and p
// allows it, for the zero Addr. 0 for none.
func (s State) MTU(to netip.Addr, p Preference) int {
	four, six := s.MTU4, s.MTU6
	if to.IsValid() {
		p = Preference{V4: to.Unmap().Is4(), V6: !to.Unmap().Is4()}
	}
	switch {
	case !p.V4 || p.V6 && four == 0:
		return six
	case !p.V6 || six == 0:
		return four
	}
	return min(four, six)
}

// State asks the kernel for the way out as it is now.
func (p Path) State() (State, error) {
	k, err := openKernel(p)
	if err != nil {
		return State{}, err
	}
	defer k.close()
	d, _ := p.destinations()
	return k.state(d)
}

// state asks for the destinations. When the kernel says that there is no route, that is a state; only a failed question
// is an error.
func (k *kernel) state(d Destinations) (s State, err error) {
	if s.Dev4, s.MTU4, s.Why4, err = k.family(d.targets(false), &s.Mesh); err != nil {
		return State{}, err
	}
	if s.Dev6, s.MTU6, s.Why6, err = k.family(d.targets(true), &s.Mesh); err != nil {
		return State{}, err
	}
	s.V4, s.V6 = s.Dev4 != "", s.Dev6 != ""
	return s, nil
}

// family looks for the first target that is reached. Without one, why tells of the first that is not. mesh is set where
// one leads into our own mesh.
func (k *kernel) family(all []target, mesh *bool) (dev string, mtu int, why string, err error) {
	for _, t := range all {
		w, err := k.way(t)
		var no *NoWayError
		switch {
		case errors.As(err, &no):
			*mesh = *mesh || no.Mesh != ""
			if why == "" {
				why = no.Error()
			}
		case err != nil:
			return "", 0, "", err
		case t.routed && !w.routed:
		default:
			return w.Device, w.link, "", nil
		}
	}
	if why == "" {
		why = "is not used by any gateway"
	}
	return "", 0, why, nil
}
