package world

import (
	"errors"
	"net/netip"
	"time"

	"wguplink/testbed/ffac"
	"wguplink/testbed/wgkex"
)

// RegisterURL is where nodes register in a world with Options.FFAC.
const (
	registerName = "register.example.org"
	RegisterURL  = "http://" + registerName + "/register"
)

// FFACOptions gives the options of an uplink that registers as Aachen's nodes do.
func (w *World) FFACOptions() map[string][]string {
	o := w.baseOptions()
	o["protocol"] = []string{"ffac"}
	o["broker"] = []string{RegisterURL}
	return o
}

// startFFAC starts the registration server. All gateways know a key before the node has its answer.
func (w *World) startFFAC() error {
	w.FFAC = ffac.New(func(r ffac.Registration) error {
		var errs []error
		for _, g := range w.Gateways {
			errs = append(errs, g.AddKey(r.Key))
		}
		w.timeline.Add(time.Now(), "registered", r.NodeName)
		return errors.Join(errs...)
	})
	addrs, err := w.extraAddrs(registerName)
	if err != nil {
		return err
	}
	for _, a := range addrs {
		ln, err := w.listen(netip.AddrPortFrom(a, 80))
		if err != nil {
			return err
		}
		w.serve("registration server", func() error { return wgkex.Serve(w.ctx, ln, w.FFAC, nil, nil) })
	}
	return nil
}
