package topology

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"sync"
	"time"

	"wguplink/peerselector"
	"wguplink/testbed/mosquitto"
	"wguplink/testbed/mqtt"
	"wguplink/testbed/wgkex"
	"wguplink/testbed/worker"
)

// mqttPatience is how long the topology waits for Mosquitto, for a first connection to it, and for a port to listen on.
const mqttPatience = 20 * time.Second

// mqttServer is where broker and workers meet.
func mqttServer() string { return netip.AddrPortFrom(ServicesV4.Addr(), mosquitto.Port).String() }

// startMQTT starts Mosquitto on the services host, connects the broker and all workers, and waits until the broker
// knows each of them.
func (topo *Topology) startMQTT() error {
	ctx, cancel := context.WithTimeout(topo.ctx, mqttPatience)
	defer cancel()
	known := make(chan struct{}, 1)
	if topo.o.NoMQTT {
		topo.Bus = &mqtt.Memory{}
		if err := topo.Broker.Listen(topo.Bus); err != nil {
			return err
		}
	} else {
		var err error
		if topo.Mosquitto, err = mosquitto.New(topo.Services); err != nil {
			return err
		}
		if err := topo.Mosquitto.Start(ctx, false); err != nil {
			return err
		}
		topo.brokerClient, err = mqtt.Connect(ctx, mqtt.Options{
			Server: mqttServer(), Dial: topo.Services.Dial, ID: "broker",
			OnConnect: func(bus mqtt.Bus) {
				topo.complain("broker", topo.Broker.Listen(bus))
				select {
				case known <- struct{}{}:
				default:
				}
			},
		})
		if err != nil {
			return err
		}
		topo.Bus = topo.brokerClient
		select {
		case <-known: // its subscriptions are there: what the workers say reaches it
		case <-ctx.Done():
			return fmt.Errorf("broker at Mosquitto: %w", ctx.Err())
		}
	}
	if topo.o.Glue {
		return nil
	}
	for _, g := range topo.Gateways {
		if err := g.Worker.Start(); err != nil {
			return err
		}
	}
	return topo.workersKnown(ctx)
}

// workersKnown waits until the broker has heard of all workers that run.
func (topo *Topology) workersKnown(ctx context.Context) error {
	for {
		heard := topo.Broker.Heard()
		if len(topo.Broker.Online(Domain)) == len(topo.Gateways) {
			return nil
		}
		select {
		case <-heard:
		case <-ctx.Done():
			return fmt.Errorf("the broker knows the workers %v only: %w", topo.Broker.Online(Domain), ctx.Err())
		}
	}
}

// publish is the broker's way to the workers.
func (topo *Topology) publish(m mqtt.Message) error {
	if topo.Bus == nil {
		return errors.New("no MQTT yet")
	}
	return topo.Bus.Publish(m)
}

// SetPeers tells the broker a number of connected nodes for a gateway, as its worker would; it is valid until the
// worker's next report, within a minute. It returns when the broker has heard it.
func (topo *Topology) SetPeers(ctx context.Context, gateway string, peers int) error {
	if err := topo.Bus.Publish(wgkex.PeersMessage(Domain, gateway, peers)); err != nil {
		return err
	}
	for {
		heard := topo.Broker.Heard()
		if topo.Broker.Peers(Domain, gateway) == peers {
			return nil
		}
		select {
		case <-heard:
		case <-ctx.Done():
			return fmt.Errorf("the broker knows nothing of %d peers at %s: %w", peers, gateway, ctx.Err())
		}
	}
}

func (topo *Topology) closeMQTT() {
	for _, g := range topo.Gateways {
		g.Worker.release()
	}
	if topo.brokerClient != nil {
		topo.brokerClient.Close()
	}
}

// complain keeps what went wrong at a server, for Close.
func (topo *Topology) complain(what string, err error) {
	if err == nil || topo.ctx.Err() != nil {
		return
	}
	topo.mu.Lock()
	defer topo.mu.Unlock()
	topo.broken = errors.Join(topo.broken, fmt.Errorf("%s: %w", what, err))
}

// Worker is the wgkex worker of a gateway: a process of its own in the field, a goroutine here.
type Worker struct {
	topo *Topology
	g    *Gateway

	mu     sync.Mutex
	extra  []string // domains beside Domain
	client *mqtt.Client
	dead   []*mqtt.Client // cut, and still open at the server's end
	run    *worker.Worker // nil while it is down
	cancel context.CancelFunc
	done   chan struct{}
}

// Start connects the worker, and returns when it is at work. Starting one that runs does nothing.
func (k *Worker) Start() error {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.run != nil {
		return nil
	}
	domains := map[string]worker.Device{Domain: k.g.Gateway}
	for _, d := range k.extra {
		domains[d] = k.g.Gateway
	}
	run := worker.New(worker.Config{
		Name: k.g.Name, ExternalName: k.g.DNS, Domains: domains, Poll: k.topo.o.WorkerPoll,
		OnKey: func(_ string, key peerselector.Key, err error) {
			k.topo.timeline.once(KeyAt(k.g.Name), "")
		},
	})
	if k.topo.o.NoMQTT {
		if err := run.Connected(k.topo.Bus); err != nil {
			return err
		}
	} else {
		ctx, cancel := context.WithTimeout(k.topo.ctx, mqttPatience)
		defer cancel()
		will := run.Will()
		ready := make(chan struct{})
		var once sync.Once
		client, err := mqtt.Connect(ctx, mqtt.Options{
			Server: mqttServer(), Dial: k.g.Host.Dial, ID: k.g.Name, Will: &will,
			OnConnect: func(bus mqtt.Bus) {
				if err := run.Connected(bus); err != nil {
					k.topo.timeline.once("worker of "+k.g.Name+" not subscribed", err.Error())
					return
				}
				once.Do(func() { close(ready) })
			},
		})
		if err != nil {
			return fmt.Errorf("worker of %s: %w", k.g.Name, err)
		}
		select {
		case <-ready:
		case <-ctx.Done():
			client.Close()
			return fmt.Errorf("worker of %s: no subscription: %w", k.g.Name, ctx.Err())
		}
		k.client = client
	}
	ctx, cancel := context.WithCancel(k.topo.ctx)
	k.run, k.cancel, k.done = run, cancel, make(chan struct{})
	done := k.done
	go func() {
		defer close(done)
		run.Run(ctx)
	}()
	return nil
}

// KeyAt names the timeline's event that a gateway's worker has added the node's key.
func KeyAt(gateway string) string { return "key at " + gateway }

// Cut ends the worker as a loss of power does: the MQTT server is not told, and publishes its will when it misses it.
func (k *Worker) Cut() {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.run == nil {
		return
	}
	if k.client != nil {
		k.client.Cut()
		k.dead, k.client = append(k.dead, k.client), nil
	} else {
		_ = k.topo.Bus.Publish(k.run.Will()) // nothing misses it there
	}
	k.stop()
}

// Leave ends the worker as a stop of its service does: it takes itself off the broker's list.
func (k *Worker) Leave() {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.run == nil {
		return
	}
	k.stop()
	if k.client != nil {
		k.client.Close()
		k.client = nil
	}
}

// stop ends the worker's tasks. The caller holds mu.
func (k *Worker) stop() {
	k.cancel()
	<-k.done
	k.run = nil
}

// AddDomain serves one more domain by the same gateway.
func (k *Worker) AddDomain(domain string) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.extra = append(k.extra, domain)
	if k.run == nil {
		return nil
	}
	return k.run.AddDomain(domain, k.g.Gateway)
}

func (k *Worker) release() {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, c := range k.dead {
		c.Release()
	}
	k.dead = nil
}
