// Package userspace is WireGuard for systems whose kernel has none: wireguard-go in a process of its own, so that a
// restart of the agent does not cut the tunnel. It is built with the tag userspace; without it, Supported is false and
// the rest only says so.
//
// Main is that process (`wguplink wireguard-go IF`), Spawn starts it from the same binary. It is driven like the kernel's
// WireGuard: the device by netlink, keys and peers by wgctrl through the socket /var/run/wireguard/IF.sock. Deleting the
// interface ends it.
//
// # Memory
//
// wireguard-go takes packets in batches of 128 in buffers of 64 KiB from pools without a limit, and has made routers run
// out of memory (tailscale#7272, wireguard-go#69). A memory limit for the garbage collector does not help, since the
// buffers are in use. Here
//
//   - the tun has no offloads and the sockets no batches: one packet is one buffer, of 2 KiB (hence MaxMTU);
//   - no more than 384 to 2048 packets, by the size of the RAM, may be inside in each direction, and 192 handshake
//     messages: further ones are dropped at the two doors, the tun and the sockets. Nothing waits for a buffer, so that
//     silent peers with full queues (128 packets each) cannot stop the others. When they are so many that their queues
//     alone fill the outbound limit (three on a router with 64 MiB, sixteen with 512), only packets out suffer, until
//     WireGuard gives a silent peer up after 90 s.
//   - Main refuses to start with less than 24 MiB of available memory.
//
// Resident memory in MiB of one end, amd64, both ends on one machine with two cores, six seconds of TCP and four of UDP
// at full speed, as root; `go test -tags userspace -run Flood -v ./agent/userspace` does much the same:
//
//	                              idle   under load   TCP Mbit/s
//	this package, 24 GiB of RAM    4.0          6.9          630
//	this package, 60 MiB of RAM    4.0          5.2          440
//	wireguard-go's own main        7.0    160 - 305         3670
//
// The garbage collector keeps its default settings: the heap of a small router stays below the 4 MiB at which it first
// runs. What offloads would bring in speed on a PC is the price.
package userspace
