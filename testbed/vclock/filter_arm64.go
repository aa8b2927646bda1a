package vclock

import "golang.org/x/sys/unix"

const (
	auditArch  = unix.AUDIT_ARCH_AARCH64
	foreignBit = 0
	sysTime    = -1 // arm64 never had time(2)
)

// The names that Go's runtime looks up in the vDSO (runtime/vdso_linux_arm64.go),
// and names of the same length that no vDSO exports.
var vdsoNames = [][2]string{
	{"__kernel_clock_gettime", "__absent_clock_gettime"},
}
