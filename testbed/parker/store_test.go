package parker

import (
	"context"
	"fmt"
	"maps"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestStore(t *testing.T) {
	onBoth(t, func(t *testing.T, ctx context.Context, s Store) {
		watchCtx, stop := context.WithCancel(ctx)
		news := s.Watch(watchCtx, "/a/")
		<-news
		check(t, s.Put(ctx, map[string]string{"/a/1": "one", "/a/2": "two", "/b": "three"}))
		if _, ok := <-news; !ok {
			t.Fatal("the watch ended")
		}
		list := func(prefix string, want map[string]string) {
			t.Helper()
			got, err := s.List(ctx, prefix)
			check(t, err)
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("below %q: %s", prefix, diff)
			}
		}
		list("/a/", map[string]string{"/a/1": "one", "/a/2": "two"})
		list("/c", map[string]string{})

		for _, x := range []struct {
			key, old string
			want     bool
		}{{"/b", "two", false}, {"/b", "", false}, {"/b", "three", true}, {"/n", "x", false}, {"/n", "", true}} {
			ok, err := s.Swap(ctx, x.key, x.old, map[string]string{x.key: "new", "/a/by": x.key})
			check(t, err)
			if ok != x.want {
				t.Errorf("swap %+v: %v", x, ok)
			}
		}
		if _, err := s.Swap(ctx, "/b", "new", map[string]string{"/c": "4"}); err == nil {
			t.Error("a swap that does not change its key is no error")
		}
		list("/", map[string]string{"/a/1": "one", "/a/2": "two", "/a/by": "/n", "/b": "new", "/n": "new"})
		check(t, s.Delete(ctx, "/a/"))
		list("/a/", map[string]string{})
		stop()
		for range news { // until it is closed
		}
	})
}

// A watch sees each change of its prefix, and no other; a new process finds all that the last one had.
func TestFileStore(t *testing.T) {
	ctx := testContext(t)
	path := t.TempDir() + "/nodes.json"
	s, err := OpenFile(path)
	check(t, err)
	news := s.Watch(ctx, "/a/")
	<-news
	seen := func() bool {
		select {
		case <-news:
			return true
		default:
			return false
		}
	}
	for _, step := range []struct {
		do   func() error
		want bool
	}{
		{func() error { return s.Put(ctx, map[string]string{"/b/1": "x"}) }, false},
		{func() error { return s.Put(ctx, map[string]string{"/a/1": "x"}) }, true},
		{func() error { return s.Put(ctx, map[string]string{"/a/1": "x"}) }, false},
		{func() error { return s.Delete(ctx, "/a/1") }, true},
	} {
		check(t, step.do())
		if got := seen(); got != step.want {
			t.Errorf("%+v: news %v", s.values, got)
		}
	}
	other, err := OpenFile(path)
	check(t, err)
	if !maps.Equal(other.values, s.values) {
		t.Errorf("read %v, wrote %v", other.values, s.values)
	}
	check(t, os.WriteFile(path, []byte("{"), 0o600))
	if _, err := OpenFile(path); err == nil || !strings.Contains(err.Error(), path) {
		t.Errorf("broken file: %v", err)
	}
}

// 200 nodes at once all get an id and ranges of their own, and every id is used: the same node asking twice costs none.
func TestRegisterAtOnce(t *testing.T) {
	const nodes, twice = 200, 20
	onBoth(t, func(t *testing.T, ctx context.Context, s Store) {
		n := Network{s}
		check(t, n.Seed(ctx))
		done := make(chan error)
		for i := range nodes + twice {
			go func() { done <- register(ctx, s, Brunswick, nodeKey(i%nodes)) }()
		}
		for range nodes + twice {
			check(t, <-done)
		}
		all, err := n.Nodes(ctx)
		check(t, err)
		ids, prefixes := make(map[int]bool), make(map[string]bool)
		for key, node := range all {
			ids[node.ID] = true
			if len(node.Prefixes()) != 4 || node.Key != key || node.ID < 1 || node.ID > nodes {
				t.Errorf("node %+v", node)
			}
			for _, p := range node.Prefixes() {
				prefixes[p.String()] = true
			}
		}
		if len(all) != nodes || len(ids) != nodes || len(prefixes) != 4*nodes {
			t.Errorf("%d nodes have %d ids and %d prefixes", len(all), len(ids), len(prefixes))
		}
		next, err := s.List(ctx, keyNextID)
		check(t, err)
		if next[keyNextID] != fmt.Sprint(nodes+1) {
			t.Errorf("next id %v", next)
		}
	})
}

// While etcd is away there are errors, soon; when it is back with its data all goes on, a watch too.
func TestEtcdRestart(t *testing.T) {
	ctx := testContext(t)
	s, server := etcdStore(t, ctx)
	check(t, s.Put(ctx, map[string]string{"/a/1": "one"}))
	news := s.Watch(ctx, "/a/")
	<-news
	check(t, server.Stop(ctx))
	if _, err := s.List(ctx, "/a/"); err == nil {
		t.Error("no error without etcd")
	}
	check(t, server.Start(ctx))
	for { // until the client has connected again
		got, err := s.List(ctx, "/a/")
		if err == nil {
			if got["/a/1"] != "one" {
				t.Errorf("after the restart: %v", got)
			}
			break
		}
		if ctx.Err() != nil {
			t.Fatal(err)
		}
	}
	for len(news) > 0 {
		<-news
	}
	check(t, s.Put(ctx, map[string]string{"/a/1": "two"}))
	select {
	case <-news:
	case <-ctx.Done():
		t.Error("the watch saw nothing after the restart")
	}
}
