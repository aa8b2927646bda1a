// Package guest is what runs as the first process of the lab's virtual machines: it mounts, loads the kernel's modules,
// sets the network up, and then takes commands from the console.
package guest

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"os"
)

// ConfigFile is where a machine's Config lies in its initramfs.
const ConfigFile = "/vm.json"

// ModuleDir has the kernel's modules, named in the order in which they load.
const ModuleDir = "/modules"

// Config is how a machine is set up. The zero value has a network device eth0, down, and nothing else.
type Config struct {
	Hostname  string         `json:"hostname"`
	Addresses []netip.Prefix `json:"addresses,omitempty"` // of eth0
	Gateways  []netip.Addr   `json:"gateways,omitempty"`  // default routes
	Batman    *Batman        `json:"batman,omitempty"`    // nil: no bat0
	// Disk is a block device that keeps /etc over a reboot, as a tar archive. "" for none.
	Disk string `json:"disk,omitempty"`
	// Flash is a block device with a squashfs, which is mounted at FlashDir. "" for none.
	Flash string `json:"flash,omitempty"`
	// Agent is the program whose service the machine runs; "" for none.
	Agent string `json:"agent,omitempty"`
	// AgentMemory is the most that the agent may take of memory, with what it starts and what the kernel keeps for it, in
	// bytes; 0: any. It takes a kernel with control groups.
	AgentMemory int `json:"agent_memory,omitempty"`
	// Exec is a program that takes the commands in our place.
	Exec string `json:"exec,omitempty"`
}

// Batman is the mesh interface bat0.
type Batman struct {
	Algorithm string       `json:"algorithm"` // BATMAN_IV or BATMAN_V
	Address   netip.Prefix `json:"address"`
	// MAC stays the same over a reboot, as that of a router's bridge or of Gluon's bat0. A node's batman-adv keeps what
	// it has heard of an IP address's owner for five minutes (BATADV_DAT_ENTRY_TIMEOUT), and answers ARP requests for
	// it itself: an address that moves to another MAC address, as the random one of each boot, cannot be reached for so
	// long by way of the same gateway.
	MAC string `json:"mac"`
}

func load(name string) (c Config, err error) {
	b, err := os.ReadFile(name)
	if err != nil {
		return c, fmt.Errorf("read configuration: %w", err)
	}
	if err := json.Unmarshal(b, &c); err != nil {
		return c, fmt.Errorf("configuration %s: %w", name, err)
	}
	return c, nil
}
