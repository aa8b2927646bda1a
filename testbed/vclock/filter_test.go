package vclock

import (
	"encoding/binary"
	"fmt"
	"testing"

	"golang.org/x/sys/unix"
)

// TestFilter runs the filter by hand, above all to see which calls stay with
// the kernel: a program cannot tell.
func TestFilter(t *testing.T) {
	const notify, allow, kill = unix.SECCOMP_RET_USER_NOTIF, unix.SECCOMP_RET_ALLOW, unix.SECCOMP_RET_KILL_PROCESS
	tests := []struct {
		arch uint32
		nr   int
		arg0 uint64
		want uint32
	}{
		{auditArch, unix.SYS_CLOCK_GETTIME, unix.CLOCK_REALTIME, notify},
		{auditArch, unix.SYS_CLOCK_GETTIME, unix.CLOCK_REALTIME | 7<<32, notify}, // the id is an int
		{auditArch, unix.SYS_CLOCK_GETTIME, unix.CLOCK_REALTIME_COARSE, notify},
		{auditArch, unix.SYS_CLOCK_GETTIME, unix.CLOCK_REALTIME_ALARM, notify},
		{auditArch, unix.SYS_CLOCK_GETTIME, unix.CLOCK_TAI, notify},
		{auditArch, unix.SYS_CLOCK_GETTIME, unix.CLOCK_MONOTONIC, allow},
		{auditArch, unix.SYS_CLOCK_GETTIME, unix.CLOCK_BOOTTIME, allow},
		{auditArch, unix.SYS_CLOCK_GETTIME, unix.CLOCK_THREAD_CPUTIME_ID, allow},
		{auditArch, unix.SYS_CLOCK_SETTIME, unix.CLOCK_REALTIME, notify},
		{auditArch, unix.SYS_CLOCK_SETTIME, unix.CLOCK_MONOTONIC, notify},
		{auditArch, unix.SYS_SETTIMEOFDAY, 0, notify},
		{auditArch, unix.SYS_GETTIMEOFDAY, 0, notify},
		{auditArch, unix.SYS_ADJTIMEX, 0, notify},
		{auditArch, unix.SYS_CLOCK_ADJTIME, 5, notify},
		{auditArch, unix.SYS_EXECVE, 0, notify},
		{auditArch, unix.SYS_EXECVEAT, 0, notify},
		{auditArch, unix.SYS_READ, 0, allow},
		{auditArch, unix.SYS_SENDMSG, 0, allow},
		{unix.AUDIT_ARCH_I386, unix.SYS_READ, 0, kill},
		{unix.AUDIT_ARCH_ARM, unix.SYS_READ, 0, kill},
	}
	if foreignBit != 0 {
		tests = append(tests, struct {
			arch uint32
			nr   int
			arg0 uint64
			want uint32
		}{auditArch, foreignBit | unix.SYS_CLOCK_SETTIME, 0, kill})
	}
	if sysTime >= 0 {
		tests = append(tests, struct {
			arch uint32
			nr   int
			arg0 uint64
			want uint32
		}{auditArch, sysTime, 0, notify})
	}
	for _, test := range tests {
		var data [64]byte // struct seccomp_data
		binary.LittleEndian.PutUint32(data[0:], uint32(test.nr))
		binary.LittleEndian.PutUint32(data[4:], test.arch)
		binary.LittleEndian.PutUint64(data[16:], test.arg0)
		got, err := interpret(filter(), data)
		if err != nil || got != test.want {
			t.Errorf("arch %#x call %d (%#x): %#x, %v, want %#x", test.arch, test.nr, test.arg0, got, err, test.want)
		}
	}
}

// interpret runs the few instructions that filter uses.
func interpret(prog []unix.SockFilter, data [64]byte) (uint32, error) {
	var acc uint32
	for pc := 0; pc < len(prog); pc++ {
		i := prog[pc]
		taken := false
		switch i.Code {
		case unix.BPF_LD | unix.BPF_W | unix.BPF_ABS:
			acc = binary.LittleEndian.Uint32(data[i.K:])
			continue
		case unix.BPF_RET | unix.BPF_K:
			return i.K, nil
		case unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K:
			taken = acc == i.K
		case unix.BPF_JMP | unix.BPF_JGE | unix.BPF_K:
			taken = acc >= i.K
		default:
			return 0, fmt.Errorf("instruction %d: unknown code %#x", pc, i.Code)
		}
		if taken {
			pc += int(i.Jt)
		} else {
			pc += int(i.Jf)
		}
	}
	return 0, fmt.Errorf("ran off the end")
}
