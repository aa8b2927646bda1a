package topology

import (
	"errors"

	"wguplink/testbed/netlab"
)

// RouteUp gives the node its default routes; RouteDown takes them away.
func (topo *Topology) RouteUp() error { return topo.routes(topo.Node.Route) }

// RouteDown takes the node's default routes away.
func (topo *Topology) RouteDown() error { return topo.routes(topo.Node.DelRoute) }

func (topo *Topology) routes(do func(netlab.Route) error) error {
	var errs []error
	table := 0
	if topo.o.Parker != nil {
		table = wanTable
	}
	if !topo.o.NoV4 {
		errs = append(errs, do(netlab.Route{Via: RouterV4.Addr(), Table: table}))
	}
	if !topo.o.NoV6 {
		errs = append(errs, do(netlab.Route{Via: RouterV6.Addr(), Table: table}))
	}
	return errors.Join(errs...)
}
