package parker

import (
	"context"
	"testing"
	"time"

	"wguplink/peerselector"
	"wguplink/testbed/etcdd"
	"wguplink/testbed/netlab"
)

func TestMain(m *testing.M) { netlab.Main(m.Run) }

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func testContext(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 60*time.Second)
	t.Cleanup(cancel)
	return ctx
}

func fileStore(t *testing.T) *FileStore {
	t.Helper()
	s, err := OpenFile(t.TempDir() + "/nodes.json")
	check(t, err)
	return s
}

// etcdStore starts an etcd on a host of its own.
func etcdStore(t *testing.T, ctx context.Context) (*EtcdStore, *etcdd.Server) {
	t.Helper()
	lab := netlab.New()
	t.Cleanup(func() { check(t, lab.Close(context.WithoutCancel(ctx))) })
	host, err := lab.Host("etcd")
	check(t, err)
	server, err := etcdd.New(host)
	check(t, err)
	check(t, server.Start(ctx))
	s, err := DialEtcd(etcdd.Address, host.Dial)
	check(t, err)
	t.Cleanup(func() { check(t, s.Close()) })
	return s, server
}

// onBoth runs a test on either store.
func onBoth(t *testing.T, test func(t *testing.T, ctx context.Context, s Store)) {
	t.Run("file", func(t *testing.T) { test(t, testContext(t), fileStore(t)) })
	t.Run("etcd", func(t *testing.T) {
		ctx := testContext(t)
		s, _ := etcdStore(t, ctx)
		test(t, ctx, s)
	})
}

func nodeKey(n int) peerselector.Key { return peerselector.Key{byte(n), byte(n >> 8), 0, 0xfb, 0xff} }
