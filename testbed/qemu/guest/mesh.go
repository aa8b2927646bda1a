package guest

import (
	"fmt"

	"github.com/vishvananda/netlink"
)

// Join makes a device a hard-interface of a mesh.
func Join(device, mesh string) error {
	hard, err := netlink.LinkByName(device)
	if err != nil {
		return fmt.Errorf("%s: %w", device, err)
	}
	soft, err := netlink.LinkByName(mesh)
	if err != nil {
		return fmt.Errorf("%s: %w", mesh, err)
	}
	if err := netlink.LinkSetMaster(hard, soft); err != nil {
		return fmt.Errorf("%s into %s: %w", device, mesh, err)
	}
	return nil
}
