package topology

import (
	"testing"
	"time"

	"go.uber.org/goleak"
)

// A topology of each kind can be made, and leaves nothing running. What it is good for, the scenarios show.
func TestClose(t *testing.T) {
	for name, o := range map[string]Options{
		"gateways":    {Gateways: 1},
		"no MQTT":     {Gateways: 1, NoMQTT: true},
		"line":        {Gateways: 1, Line: true},
		"glue":        {Gateways: 1, Gluon: true, Glue: true},
		"layer 3":     {Gateways: 1, Layer3: true},
		"Aachen":      {Gateways: 1, Gluon: true, FFAC: true},
		"Parker":      {Parker: &ParkerOptions{Concentrators: 1}},
		"Parker etcd": {Parker: &ParkerOptions{Concentrators: 1, Etcd: true}},
	} {
		t.Run(name, func(t *testing.T) {
			leaks := goleak.IgnoreCurrent()
			topo, err := New(o, t.TempDir())
			if err != nil {
				t.Fatal(err)
			}
			if err := topo.Close(); err != nil {
				t.Error(err)
			}
			// An MQTT client whose goodbye the server did not take in time, on a busy machine, sleeps for a second
			// before it sees that it has ended.
			err = goleak.Find(leaks)
			for began := time.Now(); err != nil && time.Since(began) < time.Minute; {
				err = goleak.Find(leaks)
			}
			if err != nil {
				t.Error(err)
			}
		})
	}
}
