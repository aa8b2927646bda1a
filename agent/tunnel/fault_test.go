package tunnel

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

func TestFaultOf(t *testing.T) {
	wrap := func(err error) error { return fmt.Errorf("create wg_mesh: %w", err) }
	for want, errs := range map[Fault][]error{
		NoFault:     {nil},
		NoWireGuard: {ErrNoWireGuard, wrap(ErrNoWireGuard)},
		NoVXLAN:     {fmt.Errorf("create VXLAN: %w: %w", ErrNoVXLAN, unix.EOPNOTSUPP)},
		NoUserspace: {wrap(ErrNoUserspace)},
		PortTaken: {wrap(unix.EADDRINUSE), portOf("mesh-vpn", 8472, wrap(unix.EADDRINUSE)),
			portOf("wg_mesh", 0, unix.EADDRINUSE)},
		NotPermitted: {wrap(unix.EPERM)},
		OtherFault:   {errors.New(unix.EPERM.Error()), wrap(unix.EEXIST), portOf("mesh-vpn", 8472, unix.EEXIST)},
	} {
		for _, err := range errs {
			if got := FaultOf(err); got != want {
				t.Errorf("%v: %q, want %q", err, got, want)
			}
		}
	}
	var port *PortError
	if err := portOf("mesh-vpn", 8472, wrap(unix.EADDRINUSE)); !errors.As(err, &port) || port.Port != 8472 ||
		!strings.Contains(err.Error(), "UDP port 8472 of mesh-vpn") {
		t.Errorf("%v", err)
	}
	if err := portOf("wg_mesh", 0, unix.EADDRINUSE); strings.Contains(err.Error(), "port 0") {
		t.Errorf("%v", err)
	}
}
