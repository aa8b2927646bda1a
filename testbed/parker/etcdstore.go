package parker

import (
	"context"
	"fmt"
	"net"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"
	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
)

// Times of the etcd client: how long one operation may take, and how often it tries to connect while etcd is away.
const (
	etcdLimit    = 2 * time.Second
	etcdMinRetry = 50 * time.Millisecond
	etcdMaxRetry = 500 * time.Millisecond
)

// EtcdStore is a Store in etcd.
type EtcdStore struct{ c *clientv3.Client }

// DialEtcd makes a client of the etcd at a numeric "host:port". dial connects, from wherever the client is to be; nil
// is the usual. It needs no etcd yet. Close it after use.
func DialEtcd(address string, dial func(ctx context.Context, network, address string) (net.Conn, error)) (*EtcdStore,
	error) {
	if dial == nil {
		dial = new(net.Dialer).DialContext
	}
	c, err := clientv3.New(clientv3.Config{
		Endpoints: []string{address},
		Logger:    zap.NewNop(),
		DialOptions: []grpc.DialOption{
			grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn,
				error) {
				return dial(ctx, "tcp", address)
			}),
			grpc.WithConnectParams(grpc.ConnectParams{
				Backoff: backoff.Config{BaseDelay: etcdMinRetry, Multiplier: 2, Jitter: 0.2,
					MaxDelay: etcdMaxRetry},
				MinConnectTimeout: etcdLimit,
			}),
		},
	})
	if err != nil {
		return nil, fmt.Errorf("etcd at %s: %w", address, err)
	}
	return &EtcdStore{c}, nil
}

// Close ends the client.
func (s *EtcdStore) Close() error { return s.c.Close() }

// List implements Store.
func (s *EtcdStore) List(ctx context.Context, prefix string) (map[string]string, error) {
	ctx, cancel := context.WithTimeout(ctx, etcdLimit)
	defer cancel()
	r, err := s.c.Get(ctx, prefix, clientv3.WithPrefix())
	if err != nil {
		return nil, fmt.Errorf("etcd: list %s: %w", prefix, err)
	}
	found := make(map[string]string, len(r.Kvs))
	for _, kv := range r.Kvs {
		found[string(kv.Key)] = string(kv.Value)
	}
	return found, nil
}

// Put implements Store.
func (s *EtcdStore) Put(ctx context.Context, values map[string]string) error {
	ctx, cancel := context.WithTimeout(ctx, etcdLimit)
	defer cancel()
	if _, err := s.c.Txn(ctx).Then(puts(values)...).Commit(); err != nil {
		return fmt.Errorf("etcd: put: %w", err)
	}
	return nil
}

// Delete implements Store.
func (s *EtcdStore) Delete(ctx context.Context, prefix string) error {
	ctx, cancel := context.WithTimeout(ctx, etcdLimit)
	defer cancel()
	if _, err := s.c.Delete(ctx, prefix, clientv3.WithPrefix()); err != nil {
		return fmt.Errorf("etcd: delete %s: %w", prefix, err)
	}
	return nil
}

// Swap implements Store.
func (s *EtcdStore) Swap(ctx context.Context, key, old string, values map[string]string) (bool, error) {
	if err := checkSwap(key, values); err != nil {
		return false, err
	}
	ctx, cancel := context.WithTimeout(ctx, etcdLimit)
	defer cancel()
	is := clientv3.Compare(clientv3.Value(key), "=", old)
	if old == "" {
		is = clientv3.Compare(clientv3.CreateRevision(key), "=", 0)
	}
	r, err := s.c.Txn(ctx).If(is).Then(puts(values)...).Commit()
	if err != nil {
		return false, fmt.Errorf("etcd: swap %s: %w", key, err)
	}
	return r.Succeeded, nil
}

func puts(values map[string]string) []clientv3.Op {
	ops := make([]clientv3.Op, 0, len(values))
	for k, v := range values {
		ops = append(ops, clientv3.OpPut(k, v))
	}
	return ops
}

// Watch implements Store. The client goes on by itself when etcd is back.
func (s *EtcdStore) Watch(ctx context.Context, prefix string) <-chan struct{} {
	ch := make(chan struct{}, 1)
	ch <- struct{}{}
	go func() {
		defer close(ch)
		for ctx.Err() == nil && s.c.Ctx().Err() == nil {
			for r := range s.c.Watch(ctx, prefix, clientv3.WithPrefix(), clientv3.WithCreatedNotify()) {
				if r.Created || len(r.Events) > 0 {
					signal(ch)
				}
			}
		}
	}()
	return ch
}
