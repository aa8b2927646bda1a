package config

// Batman is what batman-adv is told of the VXLAN device as its hard-interface.
type Batman struct {
	// Throughput is what BATMAN_V takes the link to have, in kbit/s; 0 means auto.
	Throughput uint32
	// HopPenalty is of 255; nil leaves it alone.
	HopPenalty *uint8
}

// batmanOptions hold wherever batman-adv has the VXLAN device, by option batman or by netifd.
var batmanOptions = []option{
	{"batman_throughput", false, "auto", "auto, or 100 to 4294967295", func(d *draft, v string) bool {
		if v == "auto" {
			d.uplink.BatmanLink.Throughput = 0
			return true
		}
		return number(v, 100, 1<<32-1, &d.uplink.BatmanLink.Throughput)
	}},
	{"batman_hop_penalty", false, "", "0 to 255", func(d *draft, v string) bool {
		var n uint16
		if !number(v, 0, 255, &n) {
			return false
		}
		penalty := uint8(n)
		d.uplink.BatmanLink.HopPenalty = &penalty
		return true
	}},
}
