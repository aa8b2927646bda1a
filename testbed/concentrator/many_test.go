package concentrator

import (
	"context"
	"fmt"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"runtime"
	"sync"
	"testing"
	"time"

	"wguplink/peerselector"
	"wguplink/testbed/etcdd"
	"wguplink/testbed/netlab"
	"wguplink/testbed/parker"
)

const (
	manyNodes = 2000
	// perNode is what a node may take in this process, bytes: WireGuard in user space has two queues of a thousand
	// packets and two goroutines for each peer, and the concentrator what it was told.
	perNode = 64 << 10
	// beside is what all else may take more than before, bytes.
	beside = 48 << 20
)

// used is what the process has in use, bytes, once garbage is collected.
func used() int {
	runtime.GC()
	runtime.GC() // pools are emptied by the second
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int(m.HeapInuse + m.StackInuse)
}

// Two thousand nodes register with the configuration service, by a real etcd, eight at a time, and a concentrator in
// the same process learns all of them. What that takes is bounded, and given back when it ends. Nodes that come again
// register nothing new.
func TestManyNodes(t *testing.T) {
	ctx, cancel := context.WithTimeout(context.Background(), 4*time.Minute)
	defer cancel()
	lab := netlab.New()
	t.Cleanup(func() { check(t, lab.Close(context.Background())) })
	host, err := lab.Host("concentrator")
	check(t, err)
	etcd, err := etcdd.New(host)
	check(t, err)
	check(t, etcd.Start(ctx))
	store, err := parker.DialEtcd(etcdd.Address, host.Dial)
	check(t, err)
	t.Cleanup(func() { check(t, store.Close()) })
	network := parker.Network{Store: store}
	check(t, network.Seed(ctx))
	key, err := parker.GenerateKey()
	check(t, err)
	server, err := parker.New(parker.Options{Store: store, Key: key})
	check(t, err)
	c, err := New(Config{
		Name: "c1", Do: host.Do, Network: network, PrivateKey: private(t), ListenPort: 10001,
		Address4: netip.MustParseAddr("10.0.0.1"), Address6: netip.MustParseAddr("2001:bf7:381::1"),
	})
	check(t, err)
	check(t, c.Start())
	before := used()

	node := func(i int) peerselector.Key { return peerselector.Key{byte(i), byte(i >> 8), 7, 31: 1} }
	register := func() {
		var all sync.WaitGroup
		work := make(chan int)
		for range 8 {
			all.Add(1)
			go func() {
				defer all.Done()
				for i := range work {
					w := httptest.NewRecorder()
					server.ServeHTTP(w, httptest.NewRequest("GET", fmt.Sprintf("%s?nonce=aa&pubkey=%s", server.Path(),
						url.QueryEscape(node(i).String())), nil).WithContext(ctx))
					if w.Code != 200 {
						t.Errorf("node %d: %d %s", i, w.Code, w.Body)
					}
				}
			}()
		}
		for i := range manyNodes {
			work <- i
		}
		close(work)
		all.Wait()
	}
	register()
	check(t, c.Await(ctx, func(nodes map[peerselector.Key]parker.Node) bool { return len(nodes) == manyNodes }))
	stats, err := c.Stats()
	check(t, err)
	if len(stats) != manyNodes {
		t.Errorf("%d peers on the device", len(stats))
	}
	stats = nil
	full := used()
	if grown := full - before; grown > manyNodes*perNode+beside {
		t.Errorf("%d nodes take %d MiB", manyNodes, grown>>20)
	}
	register()
	again := used()
	if grown := again - full; grown > beside/4 {
		t.Errorf("%d more requests take %d MiB", manyNodes, grown>>20)
	}
	if n := len(c.Nodes()); n != manyNodes {
		t.Errorf("%d nodes after all have come again", n)
	}
	backend := c.Backend()
	check(t, c.Kill())
	if left := used() - before; left > beside {
		t.Errorf("%d MiB are left when it has ended", left>>20)
	}
	t.Logf("%v: %d MiB before, %d with %d nodes, %d after they came again", backend, before>>20,
		full>>20, manyNodes, again>>20)
}
