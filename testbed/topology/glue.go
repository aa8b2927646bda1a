package topology

import (
	"context"
	"math/rand/v2"
	"time"

	"wguplink/peerselector"
	"wguplink/testbed/glue"
)

// glueTask runs the glue of one gateway. A nil one does nothing.
type glueTask struct {
	topo   *Topology
	g      *Gateway
	cancel context.CancelFunc
	done   chan struct{}
}

// start runs the glue from a random moment of its period on.
func (k *glueTask) start() {
	k.stop()
	ctx, cancel := context.WithCancel(k.topo.ctx)
	k.cancel, k.done = cancel, make(chan struct{})
	task := glue.New(k.g.Gateway, rand.N(glue.PollEvery), glue.PollEvery)
	task.OnChange = func(_ peerselector.Key, present bool, err error) {
		if present && err == nil {
			k.topo.timeline.Add(time.Now(), WayAt(k.g.Name), "")
		}
	}
	done := k.done
	go func() {
		defer close(done)
		_ = task.Run(ctx) // it ends with its gateway, whose devices are gone by then or go next
	}()
}

func (k *glueTask) stop() {
	if k == nil || k.cancel == nil {
		return
	}
	k.cancel()
	<-k.done
	k.cancel = nil
}

// WayAt names the timeline's event that a gateway's glue has made a way to the node.
func WayAt(gateway string) string { return "way at " + gateway }
