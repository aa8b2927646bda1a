package wan

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"strconv"
)

// Endpoints gives the addresses of endpoints "host:port", in their order, with resolve for the hosts: Path.Resolve as a
// rule. The error is that of the last one, when none could be resolved.
func Endpoints(ctx context.Context, resolve func(context.Context, string) ([]netip.Addr, error),
	endpoints []string) (found []netip.AddrPort, err error) {
	for _, e := range endpoints {
		host, port, serr := net.SplitHostPort(e)
		n, perr := strconv.ParseUint(port, 10, 16)
		if serr != nil || perr != nil {
			err = fmt.Errorf("endpoint %q: not host:port", e)
			continue
		}
		addrs, rerr := resolve(ctx, host)
		if rerr != nil {
			err = rerr
			continue
		}
		for _, a := range addrs {
			found = append(found, netip.AddrPortFrom(a.Unmap(), uint16(n)))
		}
	}
	if len(found) > 0 {
		err = nil
	}
	return found, err
}
