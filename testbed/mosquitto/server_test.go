package mosquitto

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"wguplink/testbed/mqtt"
	"wguplink/testbed/netlab"
)

func TestMain(m *testing.M) { netlab.Main(m.Run) }

const patience = time.Minute

// lab is a host with a Mosquitto on it.
func lab(t *testing.T, persistence bool) (context.Context, *netlab.Host, *Server) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	t.Cleanup(cancel)
	l := netlab.New()
	t.Cleanup(func() {
		if err := l.Close(context.WithoutCancel(ctx)); err != nil {
			t.Error(err)
		}
	})
	host, err := l.Host("services")
	if err != nil {
		t.Fatal(err)
	}
	s, err := New(host)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Start(ctx, persistence); err != nil {
		t.Fatal(err)
	}
	return ctx, host, s
}

// join connects a client that listens to everything below "x/", and gives what it hears.
func join(t *testing.T, ctx context.Context, h *netlab.Host, id string,
	will *mqtt.Message) (*mqtt.Client, <-chan string) {
	t.Helper()
	heard, ready := make(chan string, 16), make(chan error, 16)
	// One with a will is missed soon. The others are not missed on a busy machine: what is said meanwhile would be
	// lost.
	keepAlive := 30 * time.Second
	if will != nil {
		keepAlive = time.Second
	}
	c, err := mqtt.Connect(ctx, mqtt.Options{
		Server: fmt.Sprintf("127.0.0.1:%d", Port), Dial: h.Dial, ID: id, KeepAlive: keepAlive, Will: will,
		OnConnect: func(b mqtt.Bus) {
			ready <- b.Subscribe("x/#", func(m mqtt.Message) {
				heard <- fmt.Sprintf("%s=%s kept=%v", m.Topic,
					m.Payload, m.Retain)
			})
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := await(t, ctx, ready); err != nil {
		t.Fatal(err)
	}
	return c, heard
}

func await[T any](t *testing.T, ctx context.Context, c <-chan T) T {
	t.Helper()
	select {
	case v := <-c:
		return v
	case <-ctx.Done():
		t.Fatal("nothing heard")
		panic("unreachable")
	}
}

// expect waits for a message. Others before it do not count: a connection that was slow to be looked at is made anew,
// and brings what is kept, and what is not acknowledged, once more.
func expect(t *testing.T, ctx context.Context, heard <-chan string, want ...string) {
	t.Helper()
	for !slices.Contains(want, await(t, ctx, heard)) {
	}
}

// What the lab's topologies lean on: messages that are kept, wills after a cut and none after a goodbye.
func TestClient(t *testing.T) {
	ctx, host, _ := lab(t, false)
	a, atA := join(t, ctx, host, "a", nil)
	defer a.Close()
	say := func(topic, payload string, retain bool) {
		t.Helper()
		if err := a.Publish(mqtt.Message{Topic: topic, Payload: []byte(payload), QoS: 1, Retain: retain}); err != nil {
			t.Fatal(err)
		}
	}
	say("x/kept", "1", true)
	expect(t, ctx, atA, "x/kept=1 kept=false")
	will := &mqtt.Message{Topic: "x/will", Payload: []byte("b died"), QoS: 1}
	b, atB := join(t, ctx, host, "b", will)
	expect(t, ctx, atB, "x/kept=1 kept=true")
	say("x/live", "2", false)
	expect(t, ctx, atA, "x/live=2 kept=false")
	expect(t, ctx, atB, "x/live=2 kept=false")
	b.Close()
	b, _ = join(t, ctx, host, "b", will)
	defer b.Release()
	b.Cut()
	expect(t, ctx, atA, "x/will=b died kept=false") // one will: the goodbye had none
}

// A connection that breaks, and a Mosquitto that is started anew, are joined again. What was kept is there with
// persistence only.
func TestRestart(t *testing.T) {
	for _, persistence := range []bool{false, true} {
		t.Run(fmt.Sprintf("persistence=%v", persistence), func(t *testing.T) {
			ctx, host, s := lab(t, persistence)
			a, atA := join(t, ctx, host, "a", nil)
			defer a.Close()
			if err := a.Publish(mqtt.Message{Topic: "x/kept", Payload: []byte("1"), QoS: 1, Retain: true}); err != nil {
				t.Fatal(err)
			}
			expect(t, ctx, atA, "x/kept=1 kept=false")
			a.Drop()
			expect(t, ctx, atA, "x/kept=1 kept=true") // of the new subscription
			if err := s.Stop(ctx); err != nil {
				t.Fatal(err)
			}
			if err := s.Start(ctx, persistence); err != nil {
				t.Fatal(err)
			}
			if persistence {
				expect(t, ctx, atA, "x/kept=1 kept=true")
				return
			}
			b, _ := join(t, ctx, host, "b", nil)
			defer b.Close()
			if err := b.Publish(mqtt.Message{Topic: "x/new", Payload: []byte("2"), QoS: 1, Retain: true}); err != nil {
				t.Fatal(err)
			}
			// live or kept, as a may join before or after
			expect(t, ctx, atA, "x/new=2 kept=false", "x/new=2 kept=true")
			c, atC := join(t, ctx, host, "c", nil)
			defer c.Close()
			if got := await(t, ctx, atC); got != "x/new=2 kept=true" {
				t.Errorf("kept over a start without persistence: %q", got)
			}
		})
	}
}
