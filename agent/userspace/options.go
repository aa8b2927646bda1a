package userspace

// DefaultMTU is the MTU, in bytes, of a new device until the agent sets another: WireGuard's own default, which fits
// an IPv6 path of 1500 bytes.
const DefaultMTU = 1420

// Options are the injectable parts of Main. The zero value is right for a router.
type Options struct {
	// MemInfo is the file that tells the size of the memory; "" means /proc/meminfo.
	MemInfo string
}
