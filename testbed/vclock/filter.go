package vclock

import (
	"fmt"
	"unsafe"

	"golang.org/x/sys/unix"
)

// wallClocks are the clock ids that follow CLOCK_REALTIME.
var wallClocks = []uint32{
	unix.CLOCK_REALTIME,
	unix.CLOCK_REALTIME_COARSE,
	unix.CLOCK_REALTIME_ALARM,
	unix.CLOCK_TAI,
}

// Offsets in struct seccomp_data (linux/seccomp.h). Arguments are 64 bit, and
// both our architectures are little-endian, so a clock id, an int, is the
// first half.
const (
	dataNr   = 0
	dataArch = 4
	dataArg0 = 16
)

// filter is the program that sorts system calls into ours and the kernel's.
func filter() []unix.SockFilter {
	load := func(off uint32) unix.SockFilter {
		return unix.SockFilter{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: off}
	}
	jump := func(op uint16, k uint32, jt, jf uint8) unix.SockFilter {
		return unix.SockFilter{Code: unix.BPF_JMP | op | unix.BPF_K, K: k, Jt: jt, Jf: jf}
	}
	ret := func(k uint32) unix.SockFilter {
		return unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K, K: k}
	}
	prog := []unix.SockFilter{
		load(dataArch),
		jump(unix.BPF_JEQ, auditArch, 1, 0),
		ret(unix.SECCOMP_RET_KILL_PROCESS),
		load(dataNr),
	}
	if foreignBit != 0 {
		prog = append(prog,
			jump(unix.BPF_JGE, foreignBit, 0, 1),
			ret(unix.SECCOMP_RET_KILL_PROCESS))
	}
	calls := []int{
		unix.SYS_CLOCK_SETTIME, unix.SYS_SETTIMEOFDAY, unix.SYS_ADJTIMEX, unix.SYS_CLOCK_ADJTIME,
		unix.SYS_EXECVE, unix.SYS_EXECVEAT, unix.SYS_GETTIMEOFDAY,
	}
	if sysTime >= 0 {
		calls = append(calls, sysTime)
	}
	for _, nr := range calls {
		prog = append(prog,
			jump(unix.BPF_JEQ, uint32(nr), 0, 1),
			ret(unix.SECCOMP_RET_USER_NOTIF))
	}
	prog = append(prog,
		jump(unix.BPF_JEQ, unix.SYS_CLOCK_GETTIME, 1, 0),
		ret(unix.SECCOMP_RET_ALLOW),
		load(dataArg0))
	for _, id := range wallClocks {
		prog = append(prog,
			jump(unix.BPF_JEQ, id, 0, 1),
			ret(unix.SECCOMP_RET_USER_NOTIF))
	}
	return append(prog, ret(unix.SECCOMP_RET_ALLOW))
}

// Install puts the calling thread, and all that it will start, under the
// filter, for good, and returns the descriptor (close-on-exec) on which a
// Clock supervises them. The caller has locked the thread, needs
// CAP_SYS_ADMIN, and hands the descriptor to the supervising process before it
// executes the program: until the lab answers, a filtered call blocks.
//
// A thread can have one such filter: inside another seccomp supervisor the
// kernel answers EBUSY.
func Install() (listener int, err error) {
	prog := filter()
	fprog := unix.SockFprog{Len: uint16(len(prog)), Filter: &prog[0]}
	// WAIT_KILLABLE_RECV (Linux 5.19): once we have read a call, a signal such
	// as Go's own SIGURG cannot restart it, so no step is done twice.
	const flags = unix.SECCOMP_FILTER_FLAG_NEW_LISTENER | unix.SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV
	fd, _, errno := unix.Syscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, flags, uintptr(unsafe.Pointer(&fprog)))
	switch errno {
	case 0:
		return int(fd), nil
	case unix.EINVAL:
		return -1, fmt.Errorf("vclock: seccomp filter refused, Linux 5.19 or newer is needed: %w", errno)
	case unix.EBUSY:
		return -1,
			fmt.Errorf(
				"vclock: this environment is itself under a seccomp supervisor; use a host or virtual machine "+
					"without one: %w", errno)
	}
	return -1, fmt.Errorf("vclock: seccomp filter: %w", errno)
}
