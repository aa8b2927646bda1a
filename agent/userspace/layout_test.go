//go:build userspace

package userspace

import (
	"fmt"
	"reflect"
	"strings"
	"sync"
	"testing"

	"golang.zx2c4.com/wireguard/device"
)

// TestLayout fails at each change of what layout.go relies on, also at one that it would find out at run time.
func TestLayout(t *testing.T) {
	field := func(typ reflect.Type, name string) reflect.Type {
		t.Helper()
		f, ok := typ.FieldByName(name)
		if !ok {
			t.Fatalf("%v has no field %s", typ, name)
		}
		return f.Type
	}
	buffer := reflect.TypeFor[*[device.MaxMessageSize]byte]()
	for _, tt := range []struct {
		what string
		got  string
		want string
	}{
		{"the pools of a device", fields(field(reflect.TypeFor[device.Device](), "pool")),
			"inboundElementsContainer *device.WaitPool, outboundElementsContainer *device.WaitPool, " +
				"messageBuffers *device.WaitPool, inboundElements *device.WaitPool, outboundElements *device.WaitPool"},
		{"a pool", fields(reflect.TypeFor[device.WaitPool]()),
			"pool sync.Pool, cond sync.Cond, lock sync.Mutex, count uint32, max uint32"},
		{"a packet that goes out", fields(reflect.TypeFor[device.QueueOutboundElement]()),
			"buffer " + buffer.String() + ", packet []uint8, nonce uint64, keypair *device.Keypair, peer *device.Peer"},
		{"a packet that comes in", fields(reflect.TypeFor[device.QueueInboundElement]()),
			"buffer " + buffer.String() +
				", packet []uint8, counter uint64, keypair *device.Keypair, endpoint conn.Endpoint"},
	} {
		if tt.got != tt.want {
			t.Errorf("%s has the fields\n%s\nwant\n%s", tt.what, tt.got, tt.want)
		}
	}
}

func fields(typ reflect.Type) string {
	var all []string
	for i := range typ.NumField() {
		all = append(all, fmt.Sprintf("%s %v", typ.Field(i).Name, typ.Field(i).Type))
	}
	return strings.Join(all, ", ")
}

// A pool counts what is taken and not given back: that is what its field is taken for.
func TestCounting(t *testing.T) {
	w := device.NewWaitPool(0, func() any { return new(int) })
	p, err := counting(w)
	if err != nil {
		t.Fatal(err)
	}
	a, b := w.Get(), w.Get()
	if got := p.taken(); got != 2 {
		t.Errorf("%d taken, want 2", got)
	}
	w.Put(a)
	w.Put(b)
	if got := p.taken(); got != 0 {
		t.Errorf("%d taken, want none", got)
	}
	if err := setNew(w, func() any { return "ours" }); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		if w.Get() == any("ours") {
			return
		}
	}
	t.Error("a pool that is empty makes what it did before")
}

func TestChangedLibrary(t *testing.T) {
	type partly struct {
		messageBuffers  *device.WaitPool
		inboundElements *device.WaitPool
	}
	type wrong struct{ messageBuffers *sync.Pool }
	wp := func() *device.WaitPool { return device.NewWaitPool(0, func() any { return nil }) }
	tests := []struct {
		name  string
		pools any
		want  string
	}{
		{name: "no pools", pools: 3, want: "Device.pool of"},
		{name: "another type", pools: wrong{new(sync.Pool)}, want: "Device.pool.messageBuffers"},
		{name: "nil", pools: partly{}, want: "Device.pool.messageBuffers"},
		{name: "one missing", pools: partly{wp(), wp()}, want: "Device.pool.outboundElements"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			err := newDoors(limitsFor(0)).place(reflect.ValueOf(tt.pools))
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error %v, want one naming %s", err, tt.want)
			}
		})
	}
}
