package topology

import (
	"errors"
	"net/netip"
	"time"

	"wguplink/testbed/ffac"
	"wguplink/testbed/wgkex"
)

// RegisterURL is where nodes register in a topology with Options.FFAC.
const (
	registerName = "register.example.org"
	RegisterURL  = "http://" + registerName + "/register"
)

// FFACOptions gives the options of an uplink that registers as Aachen's nodes do.
func (topo *Topology) FFACOptions() map[string][]string {
	o := topo.baseOptions()
	o["protocol"] = []string{"ffac"}
	o["broker"] = []string{RegisterURL}
	return o
}

// startFFAC starts the registration server. All gateways know a key before the node has its answer.
func (topo *Topology) startFFAC() error {
	topo.FFAC = ffac.New(func(r ffac.Registration) error {
		var errs []error
		for _, g := range topo.Gateways {
			errs = append(errs, g.AddKey(r.Key))
		}
		topo.timeline.Add(time.Now(), "registered", r.NodeName)
		return errors.Join(errs...)
	})
	addrs, err := topo.extraAddrs(registerName)
	if err != nil {
		return err
	}
	for _, a := range addrs {
		ln, err := topo.listen(netip.AddrPortFrom(a, 80))
		if err != nil {
			return err
		}
		topo.serve("registration server", func() error { return wgkex.Serve(topo.ctx, ln, topo.FFAC, nil, nil) })
	}
	return nil
}
