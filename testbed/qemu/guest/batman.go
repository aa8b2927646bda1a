package guest

import (
	"fmt"
	"os"
	"sync"

	"github.com/mdlayher/genetlink"
	"github.com/mdlayher/netlink"
	rtnetlink "github.com/vishvananda/netlink"
)

const algorithmFile = "/sys/module/batman_adv/parameters/routing_algo"

// making is held while a mesh interface is made: the kernel has one algorithm for all that are new.
var making sync.Mutex

// MakeBatman makes a mesh interface without hard-interfaces in the present network namespace. The algorithm is the
// kernel's default until the next call.
func MakeBatman(name, algorithm string) error {
	making.Lock()
	defer making.Unlock()
	if err := os.WriteFile(algorithmFile, []byte(algorithm), 0); err != nil {
		return fmt.Errorf("batman-adv: algorithm %s: %w", algorithm, err)
	}
	attrs := rtnetlink.NewLinkAttrs()
	attrs.Name = name
	link := &rtnetlink.GenericLink{LinkAttrs: attrs, LinkType: "batadv"}
	if err := rtnetlink.LinkAdd(link); err != nil {
		return fmt.Errorf("add %s: %w", name, err)
	}
	made, err := rtnetlink.LinkByName(name)
	if err != nil {
		return fmt.Errorf("add %s: %w", name, err)
	}
	return noLoopAvoidance(made.Attrs().Index)
}

// noLoopAvoidance lets broadcasts pass at once. Otherwise batman-adv keeps them back for the first 30 s, lest there is
// another way round through a bridge (net/batman-adv/bridge_loop_avoidance.c: BATADV_BLA_WAIT_PERIODS); nothing is
// bridged here.
func noLoopAvoidance(mesh int) error {
	const (
		setMesh       = 15 // BATADV_CMD_SET_MESH of linux/batman_adv.h
		meshIfindex   = 3  // BATADV_ATTR_MESH_IFINDEX
		loopAvoidance = 46 // BATADV_ATTR_BRIDGE_LOOP_AVOIDANCE_ENABLED
	)
	c, err := genetlink.Dial(nil)
	if err != nil {
		return fmt.Errorf("batman-adv: %w", err)
	}
	defer c.Close()
	family, err := c.GetFamily("batadv")
	if err != nil {
		return fmt.Errorf("batman-adv: %w", err)
	}
	e := netlink.NewAttributeEncoder()
	e.Uint32(meshIfindex, uint32(mesh))
	e.Uint8(loopAvoidance, 0)
	data, err := e.Encode()
	if err != nil {
		return fmt.Errorf("batman-adv: %w", err)
	}
	m := genetlink.Message{Header: genetlink.Header{Command: setMesh, Version: family.Version}, Data: data}
	if _, err := c.Execute(m, family.ID, netlink.Request|netlink.Acknowledge); err != nil {
		return fmt.Errorf("batman-adv: loop avoidance off: %w", err)
	}
	return nil
}
