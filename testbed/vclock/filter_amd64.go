package vclock

import "golang.org/x/sys/unix"

const (
	auditArch = unix.AUDIT_ARCH_X86_64
	// x32 programs share the arch value; their call numbers have this bit.
	foreignBit = 0x40000000
	sysTime    = unix.SYS_TIME
)

// The names that Go's runtime looks up in the vDSO (runtime/vdso_linux_amd64.go),
// and names of the same length that no vDSO exports.
var vdsoNames = [][2]string{
	{"__vdso_clock_gettime", "__none_clock_gettime"},
	{"__vdso_gettimeofday", "__none_gettimeofday"},
}
