package concentrator

import "github.com/vishvananda/netlink"

// routeList gives the main table's routes by a device, of both families.
func routeList(index int) ([]netlink.Route, error) {
	return netlink.RouteListFiltered(netlink.FAMILY_ALL, &netlink.Route{LinkIndex: index}, netlink.RT_FILTER_OIF)
}
