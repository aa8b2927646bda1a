package vclock

import (
	"bytes"
	"unsafe"

	"golang.org/x/sys/unix"
)

// target is the memory of a task whose call is being answered.
type target int

// read fills b from address addr.
func (t target) read(addr uint64, b []byte) error {
	n, err := unix.ProcessVMReadv(int(t), local(b), remote(addr, len(b)), 0)
	if err == nil && n != len(b) {
		err = unix.EFAULT
	}
	return err
}

// write copies b to address addr.
func (t target) write(addr uint64, b []byte) error {
	n, err := unix.ProcessVMWritev(int(t), local(b), remote(addr, len(b)), 0)
	if err == nil && n != len(b) {
		err = unix.EFAULT
	}
	return err
}

// str reads a NUL-terminated string of at most PATH_MAX bytes, page by page,
// as the next page may not be there.
func (t target) str(addr uint64) (string, error) {
	const page = 4096
	var out []byte
	for len(out) < unix.PathMax {
		b := make([]byte, page-addr%page)
		if err := t.read(addr, b); err != nil {
			return "", err
		}
		if i := bytes.IndexByte(b, 0); i >= 0 {
			return string(append(out, b[:i]...)), nil
		}
		out = append(out, b...)
		addr += uint64(len(b))
	}
	return string(out), nil
}

// strs reads a NULL-terminated vector of at most limit strings.
func (t target) strs(addr uint64, limit int) []string {
	var out []string
	for addr != 0 && len(out) < limit {
		var p uint64
		if t.read(addr, bytesOf(&p)) != nil || p == 0 {
			break
		}
		s, err := t.str(p)
		if err != nil {
			break
		}
		out = append(out, s)
		addr += 8
	}
	return out
}

func local(b []byte) []unix.Iovec {
	v := unix.Iovec{Base: &b[0]}
	v.SetLen(len(b))
	return []unix.Iovec{v}
}

func remote(addr uint64, n int) []unix.RemoteIovec {
	return []unix.RemoteIovec{{Base: uintptr(addr), Len: n}}
}

// bytesOf returns the bytes of a fixed-size kernel structure.
func bytesOf[T uint64 | int64 | [2]int64 | [2]int32 | unix.Timex | notif | response](v *T) []byte {
	return unsafe.Slice((*byte)(unsafe.Pointer(v)), unsafe.Sizeof(*v))
}
