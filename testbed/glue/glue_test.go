package glue

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"wguplink/peerselector"
)

type device struct {
	handshakes map[peerselector.Key]time.Time
	log        []string
	start      time.Time
	err        error
}

func (d *device) Handshakes() (map[peerselector.Key]time.Time, error) {
	return maps.Clone(d.handshakes), nil
}

func (d *device) SetWay(key peerselector.Key, present bool) error {
	d.log = append(d.log, fmt.Sprintf("%v key %d %v", time.Since(d.start), key[0], present))
	return d.err
}

// A way appears at the next look after a handshake, goes at the first look three minutes after it, and at the end.
func TestGlue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &device{handshakes: map[peerselector.Key]time.Time{{1}: {}, {2}: {}, {3}: {}}, start: time.Now()}
		ctx, cancel := context.WithCancel(context.Background())
		ended := make(chan error)
		go func() { ended <- New(d, 0, 0).Run(ctx) }()
		time.Sleep(time.Second)
		synctest.Wait()
		d.handshakes[peerselector.Key{1}] = time.Now()
		time.Sleep(13 * time.Second)
		synctest.Wait()
		d.handshakes[peerselector.Key{2}] = time.Now()
		d.err = errors.New("no such device") // the next look tries again
		time.Sleep(10 * time.Second)
		synctest.Wait()
		d.err = nil
		time.Sleep(165 * time.Second)
		synctest.Wait()
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		slices.Sort(d.log[3:]) // at the end the order is any
		want := []string{"10s key 1 true", "20s key 2 true", "30s key 2 true", "3m9s key 1 false", "3m9s key 2 false"}
		if diff := cmp.Diff(want, d.log); diff != "" {
			t.Error(diff)
		}
	})
}

func TestWayEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &device{handshakes: map[peerselector.Key]time.Time{{1}: time.Now().Add(-175 * time.Second)},
			start: time.Now()}
		ctx, cancel := context.WithCancel(context.Background())
		ended := make(chan error)
		go func() { ended <- New(d, 0, 0).Run(ctx) }()
		time.Sleep(11 * time.Second)
		synctest.Wait()
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		if diff := cmp.Diff([]string{"0s key 1 true", "10s key 1 false"}, d.log); diff != "" {
			t.Error(diff)
		}
	})
}
