//go:build userspace

package userspace

import (
	"fmt"
	"math"
	"reflect"
	"sync"
	"unsafe"

	"golang.zx2c4.com/wireguard/device"

	"wguplink/agent/mtu"
)

// All that depends on how the library lays out what it does not export is in this file. TestLayout fails at each change
// of it; docs/decisions.md says why it is needed, and what the library would have to offer instead.

// place makes the pools of a device (its field "pool") count, and its buffers small.
func (d *doors) place(pools reflect.Value) error {
	if !pools.IsValid() || pools.Kind() != reflect.Struct {
		return errLayout("Device.pool")
	}
	for _, p := range []struct {
		name string
		dst  *pool
	}{
		{"messageBuffers", &d.buffers},
		{"inboundElements", &d.inbound},
		{"outboundElements", &d.outbound},
	} {
		f := pools.FieldByName(p.name)
		if !f.IsValid() || f.Type() != reflect.TypeFor[*device.WaitPool]() || f.IsNil() {
			return errLayout("Device.pool." + p.name)
		}
		w := (*device.WaitPool)(f.UnsafePointer())
		var err error
		if *p.dst, err = counting(w); err != nil {
			return err
		}
		if p.dst == &d.buffers {
			if err := setNew(w, d.newBuffer); err != nil {
				return err
			}
		}
	}
	return nil
}

// The buffer has room for the largest packet after its encryption.
const _ uint = bufferSize -
	(device.MessageTransportHeaderSize + mtu.Userspace + device.PaddingMultiple - 1 + poly1305TagSize)

// newBuffer returns a packet buffer with the type that the device wants, [65535]byte, of which only the first
// bufferSize bytes exist. That is sound as long as no code reads or writes beyond them, and only three places fill a
// buffer: our Read and our receivers, which cut it to size, and the encryption, which adds up to 47 bytes to what Read
// gave (the padding is not aligned for a packet above the present MTU). A real one would cost 64 KiB, all of it touched
// when the garbage collector has turned it over once.
//
//go:nocheckptr
func newBuffer() any {
	return (*[device.MaxMessageSize]byte)(unsafe.Pointer(new([bufferSize]byte)))
}

// pool is the counter of a device.WaitPool.
type pool struct {
	lock  *sync.Mutex
	count *uint32
}

// counting lets w count what is taken and not yet given back. A WaitPool counts when its max is not zero; ours is never
// reached, so that no goroutine waits.
func counting(w *device.WaitPool) (pool, error) {
	v := reflect.ValueOf(w).Elem()
	limit, count, lock := v.FieldByName("max"), v.FieldByName("count"), v.FieldByName("lock")
	for name, f := range map[string]reflect.Value{"max": limit, "count": count} {
		if !f.IsValid() || f.Kind() != reflect.Uint32 {
			return pool{}, errLayout("WaitPool." + name)
		}
	}
	if !lock.IsValid() || lock.Type() != reflect.TypeFor[sync.Mutex]() {
		return pool{}, errLayout("WaitPool.lock")
	}
	p := pool{(*sync.Mutex)(unsafe.Pointer(lock.UnsafeAddr())), (*uint32)(unsafe.Pointer(count.UnsafeAddr()))}
	p.lock.Lock()
	defer p.lock.Unlock()
	*(*uint32)(unsafe.Pointer(limit.UnsafeAddr())) = math.MaxUint32
	return p, nil
}

// setNew makes w create its items with f.
func setNew(w *device.WaitPool, f func() any) error {
	v := reflect.ValueOf(w).Elem().FieldByName("pool")
	if !v.IsValid() || v.Type() != reflect.TypeFor[sync.Pool]() {
		return errLayout("WaitPool.pool")
	}
	(*sync.Pool)(unsafe.Pointer(v.UnsafeAddr())).New = f
	return nil
}

func (p pool) taken() int {
	p.lock.Lock()
	defer p.lock.Unlock()
	return int(*p.count)
}

func errLayout(field string) error {
	return fmt.Errorf(
		"%s of golang.zx2c4.com/wireguard/device is not what it was: memory cannot be bounded, build with the "+
			"version in go.mod", field)
}
