// Package netlink is what this program needs of Linux's rtnetlink(7): links, addresses, routes, forwarding entries,
// queueing disciplines and their changes. generic.go is what it needs of generic netlink, for agent/wireguard and
// agent/batman.
//
// Its names are those of github.com/vishvananda/netlink, whose users find their way here. That library takes 90 KiB of
// a router's flash, most of it for kinds of links, routes and filters that are never asked for, and reads each answer
// into two buffers of 64 KiB. What is here takes a tenth of both. The tests hold the two against each other.
//
// A Handle has one socket, in the network namespace of the thread that opened it. Functions without one open a socket
// for one request.
package netlink
