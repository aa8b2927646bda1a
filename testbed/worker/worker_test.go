package worker

import (
	"context"
	"errors"
	"maps"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"wguplink/peerselector"
	"wguplink/testbed/mqtt"
	"wguplink/testbed/wgkex"
)

// device is a WireGuard device in memory.
type device struct {
	mu    sync.Mutex
	peers map[peerselector.Key]time.Time
	added []time.Duration // since the start
	start time.Time
	takes time.Duration // for each key
	err   error
}

func newDevice() *device {
	return &device{peers: map[peerselector.Key]time.Time{}, start: time.Now()}
}

func (d *device) AddKey(k peerselector.Key) error {
	time.Sleep(d.takes) // virtual
	d.mu.Lock()
	defer d.mu.Unlock()
	d.added = append(d.added, time.Since(d.start))
	if d.err != nil {
		return d.err
	}
	if _, ok := d.peers[k]; !ok {
		d.peers[k] = time.Time{}
	}
	return nil
}

func (d *device) RemoveKey(k peerselector.Key) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.peers, k)
	return nil
}

func (d *device) Handshakes() (map[peerselector.Key]time.Time, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return maps.Clone(d.peers), nil
}

func (d *device) Data() (uint16, peerselector.Key, string) {
	return 40001, peerselector.Key{7}, "fe80::7"
}

func (d *device) shakes(k peerselector.Key) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.peers[k] = time.Now()
}

// run starts a worker on a bus inside a bubble of virtual time, and gives a function that ends it.
func run(t *testing.T, bus mqtt.Bus, c Config) (stop func()) {
	t.Helper()
	w := New(c)
	if err := w.Connected(bus); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		w.Run(ctx)
	}()
	return func() {
		cancel()
		<-done
	}
}

// said gives the last payload of each topic.
type said map[string]string

func (s said) listen(t *testing.T, bus mqtt.Bus) {
	t.Helper()
	if err := bus.Subscribe("#", func(m mqtt.Message) { s[m.Topic] = string(m.Payload) }); err != nil {
		t.Fatal(err)
	}
}

func publish(t *testing.T, bus mqtt.Bus, domain string, keys ...byte) {
	t.Helper()
	for _, k := range keys {
		if err := bus.Publish(wgkex.KeyMessage(domain, peerselector.Key{k})); err != nil {
			t.Fatal(err)
		}
	}
}

// Keys wait for the next look at the queue, and are worked off one after the other; one that waits already is not
// queued twice, one that was done is done again.
func TestQueue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var bus mqtt.Memory
		d := newDevice()
		d.takes = 5 * time.Millisecond
		defer run(t, &bus, Config{Name: "gw1", ExternalName: "gw1.example.org",
			Domains: map[string]Device{"ffxx": d}})()
		time.Sleep(300 * time.Millisecond)
		publish(t, &bus, "ffxx", 1, 2, 1, 3)
		publish(t, &bus, "ffyy", 4)
		if err := bus.Publish(mqtt.Message{Topic: "wireguard/ffxx/all", Payload: []byte("nonsense")}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		synctest.Wait()
		want := []time.Duration{1005 * time.Millisecond, 1010 * time.Millisecond, 1015 * time.Millisecond}
		if diff := cmp.Diff(want, d.added); diff != "" {
			t.Error(diff)
		}
		publish(t, &bus, "ffxx", 1)
		d.err = errors.New("no such device") // is logged, and is no reason to stop
		time.Sleep(time.Second)
		synctest.Wait()
		publish(t, &bus, "ffxx", 1)
		time.Sleep(time.Second)
		synctest.Wait()
		if len(d.added) != 5 {
			t.Errorf("keys added at %v", d.added)
		}
	})
}

// The broker hears of data, status and peers at once, of peers each minute, and of the end.
func TestReports(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var bus mqtt.Memory
		got := said{}
		got.listen(t, &bus)
		d := newDevice()
		stop := run(t, &bus, Config{Name: "gw1", ExternalName: "gw1.example.org",
			Domains: map[string]Device{"ffxx": d}})
		want := said{
			"wireguard-worker/gw1/status": "1",
			"wireguard-worker/gw1/ffxx/data": `{"ExternalAddress":"gw1.example.org","Port":40001,"PublicKey":"` +
				peerselector.Key{7}.String() + `","LinkAddress":"fe80::7"}`,
			"wireguard-metrics/ffxx/gw1/connected_peers": "0",
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Error(diff)
		}
		const count = "wireguard-metrics/ffxx/gw1/connected_peers"
		for i := range 3 {
			d.shakes(peerselector.Key{byte(i)})
		}
		time.Sleep(59 * time.Second)
		if got[count] != "0" {
			t.Errorf("%s peers before the minute is over", got[count])
		}
		time.Sleep(2 * time.Second)
		if got[count] != "3" {
			t.Errorf("%s peers after a minute", got[count])
		}
		time.Sleep(3 * time.Minute)
		if got[count] != "0" {
			t.Errorf("%s peers three minutes after their handshakes", got[count])
		}
		stop()
		if got[count] != "-1" || got["wireguard-worker/gw1/status"] != "0" {
			t.Errorf("after the end: %v", got)
		}
	})
}

// Each hour peers go that never shook hands, or not for three hours.
func TestFlush(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var bus mqtt.Memory
		d := newDevice()
		defer run(t, &bus, Config{Name: "gw1", ExternalName: "gw1", Domains: map[string]Device{"ffxx": d}})()
		left := func() []byte {
			var list []byte
			for k := range d.peers {
				list = append(list, k[0])
			}
			slices.Sort(list)
			return list
		}
		d.shakes(peerselector.Key{1})
		publish(t, &bus, "ffxx", 2)
		time.Sleep(59 * time.Minute)
		if diff := cmp.Diff([]byte{1, 2}, left()); diff != "" {
			t.Error(diff)
		}
		time.Sleep(2 * time.Minute)
		if diff := cmp.Diff([]byte{1}, left()); diff != "" {
			t.Error(diff)
		}
		time.Sleep(3 * time.Hour)
		if diff := cmp.Diff([]byte(nil), left()); diff != "" {
			t.Error(diff)
		}
	})
}

// A domain can be added while the worker runs.
func TestAddDomain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var bus mqtt.Memory
		got := said{}
		got.listen(t, &bus)
		d := newDevice()
		w := New(Config{Name: "gw1", ExternalName: "gw1", Domains: map[string]Device{"ffxx": d}})
		if err := w.Connected(&bus); err != nil {
			t.Fatal(err)
		}
		if err := w.AddDomain("ffyy", d); err != nil {
			t.Fatal(err)
		}
		if got["wireguard-metrics/ffyy/gw1/connected_peers"] != "0" || got["wireguard-worker/gw1/ffyy/data"] == "" {
			t.Errorf("told: %v", got)
		}
	})
}
