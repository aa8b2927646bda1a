package tunnel

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"
)

// ErrNoVXLAN says that the kernel cannot do VXLAN.
var ErrNoVXLAN = errors.New("the kernel has no VXLAN, install kmod-vxlan")

// ErrNoUserspace says that option backend wants what this build has not.
var ErrNoUserspace = errors.New(
	"this build has no userspace WireGuard: set option backend to kernel, or install the userspace variant of " +
		"this package")

// PortError says that a device cannot have its UDP port, because another socket has it. It wraps EADDRINUSE.
type PortError struct {
	Device string
	Port   uint16
	Err    error
}

func (e *PortError) Error() string {
	return fmt.Sprintf("UDP port %d of %s is taken by another program or device: %v", e.Port, e.Device, e.Err)
}

// Unwrap gives the cause.
func (e *PortError) Unwrap() error { return e.Err }

// portOf names the port in an error that means that it is taken.
func portOf(device string, port uint16, err error) error {
	if port == 0 || !errors.Is(err, unix.EADDRINUSE) {
		return err
	}
	return &PortError{Device: device, Port: port, Err: err}
}

// Fault is the kind of what keeps a device from being made: a word for those who decide by it, also in another process.
type Fault string

// The kinds.
const (
	NoFault      Fault = ""
	NoWireGuard  Fault = "no_wireguard"   // neither the kernel nor this program has it
	NoVXLAN      Fault = "no_vxlan"       // the kernel has none
	NoUserspace  Fault = "no_userspace"   // option backend wants it, and this build has none
	PortTaken    Fault = "port_taken"     // another socket has the UDP port
	NotPermitted Fault = "not_permitted"  // CAP_NET_ADMIN is missing
	OtherFault   Fault = "another_reason" // see the message
)

// FaultOf tells the kind of an error of Apply.
func FaultOf(err error) Fault {
	switch {
	case err == nil:
		return NoFault
	case errors.Is(err, ErrNoWireGuard):
		return NoWireGuard
	case errors.Is(err, ErrNoVXLAN):
		return NoVXLAN
	case errors.Is(err, ErrNoUserspace):
		return NoUserspace
	case errors.Is(err, unix.EADDRINUSE):
		return PortTaken
	case errors.Is(err, unix.EPERM):
		return NotPermitted
	}
	return OtherFault
}
