// Package userspace is WireGuard for systems whose kernel has none: wireguard-go in a process of its own, so that a
// restart of the agent does not cut the tunnel. It is built with the tag userspace; without it, Supported is false and
// the rest only says so.
//
// Main is that process (`wguplink wireguard-go IF`), Spawn starts it from the same binary. It is driven like the
// kernel's WireGuard: the device by netlink, keys and peers by agent/wireguard through the socket
// /var/run/wireguard/IF.sock. Deleting the interface ends it.
//
// # Memory
//
// wireguard-go takes packets in batches of 128 in buffers of 64 KiB from pools without a limit, and has made routers
// run out of memory (tailscale#7272, wireguard-go#69). A memory limit for the garbage collector does not help, since
// the buffers are in use. Here
//
//   - one packet is one buffer, of 2 KiB (hence mtu.Userspace), and the readers of the tun and of the two sockets hold
//     8 to 32 of them each, by the size of the RAM;
//   - no more than 384 to 2048 packets, by the size of the RAM, may be inside in each direction, and 192 handshake
//     messages. While the device is busy, further ones stay in the kernel's queues; when it is stuck, they are dropped
//     at the two doors, the tun and the sockets. Nothing else waits for a buffer, so that silent peers with full queues
//     (128 times a batch each) cannot stop the others. When they are so many that their queues alone fill the outbound
//     limit (three on a router with 64 MiB, sixteen with 512), only packets out suffer, until WireGuard gives a silent
//     peer up after 90 s.
//   - Main refuses to start with less than 24 MiB of available memory.
//   - Once a load is over, its memory goes back to the kernel within 20 s.
//
// `make bench-userspace` measures it beside the library's own program. The garbage collector keeps its default
// settings: the heap of a small router stays below the 4 MiB at which it first runs.
//
// # Speed
//
// A call is expensive, on a router more than anywhere else. So the tun is read until it is empty, a batch is handed on
// inside of the device as one, and goes to the kernel as one (socket.go); what comes joined is taken apart here
// (receiver.go), and goes to the tun in runs (join.go). Each of these falls back to packets one by one where the kernel
// has no such call: 4.18, 5.12 and 6.2 are the first that do.
package userspace
