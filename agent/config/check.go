package config

import (
	"net/url"
	"slices"
	"strconv"

	"wguplink/agent/derive"
)

// check puts the sections together. It counts disabled sections as much as the others, so that enabling one shows no
// new mistake.
func (l *loader) check() *Config {
	cfg := new(Config)
	global := ""
	var uplinks, gateways []*draft
	for _, d := range l.drafts {
		switch d.typ {
		case typeGlobal:
			if global != "" {
				l.complain(d.shown, "", d.typ, "a second section of its type",
					"one, as there is "+quote(global)+" already")
			}
			global, cfg.LogLevel = d.shown, d.level
		case typeUplink:
			uplinks = append(uplinks, d)
		case typeGateway:
			gateways = append(gateways, d)
		}
	}
	static := make([]staticPeers, len(uplinks))
	for _, g := range gateways {
		if _, out := l.out[g.shown]; out || l.lenient && !g.enabled && !g.bad("enabled") {
			continue
		}
		if i := l.uplinkOf(g, uplinks); i >= 0 {
			l.checkGateway(g, uplinks[i], &static[i])
		} else {
			l.checkGateway(g, nil, new(staticPeers))
		}
	}
	system := l.systemNTP()
	for i, d := range uplinks {
		d.uplink.Name = d.name
		d.uplink.KeyDoubt = l.doubt[d.shown]
		if v, out := l.out[d.shown]; out {
			l.leaveOut(d, v)
			continue
		}
		l.checkUplink(d, static[i])
		if len(d.uplink.NTPServers) == 0 {
			d.uplink.NTPServers = system
		}
		if !l.lenient || d.uplink.Protocol != Parker {
			d.uplink.Gateways = static[i].peers
		}
	}
	l.checkNames(l.cleanFirst(uplinks))
	for _, d := range uplinks {
		cfg.Uplinks = append(cfg.Uplinks, d.uplink)
	}
	return cfg
}

// leaveOut gives an uplink that is not run. Its key stays where it is: none is made while a mistake keeps it from
// running.
func (l *loader) leaveOut(d *draft, v verdict) {
	u := &d.uplink
	u.Fault, u.Closed, u.Enabled = v.reason, v.closed, false
	if u.KeyDoubt == "" {
		u.KeyDoubt = v.reason
	}
	if u.Protocol == Parker {
		parkerKey(d)
	}
}

// idle tells whether an uplink is disabled for sure: what else is wrong with it does not matter then.
func (d *draft) idle() bool { return !d.uplink.Enabled && !d.bad("enabled") }

// checkUplink checks what needs several options of an uplink, or its gateways.
func (l *loader) checkUplink(d *draft, static staticPeers) {
	u := &d.uplink
	if !isName(d.name) {
		l.refuse(d.shown, "", d.name, "not valid as a name", "letters, digits and underscores")
	}
	if !d.bad("protocol") {
		l.checkProtocol(d, static)
	}
	for i, b := range u.Brokers {
		u.Brokers[i] = brokerURL(u.Protocol, b)
		if len(u.BrokerPins) > 0 && u.Brokers[i].Scheme != "https" {
			l.complain(d.shown, "broker", u.Brokers[i].String(),
				"cannot be checked against broker_pin without encryption", "https:// for every broker")
			d.partly["broker"] = true
		}
	}
	if l.lenient && len(u.BrokerPins) > 0 && len(u.Brokers) > 0 {
		u.Brokers = slices.DeleteFunc(u.Brokers, func(b *url.URL) bool { return b.Scheme != "https" })
		if len(u.Brokers) == 0 && u.Protocol.Registers() {
			l.refuse(d.shown, "broker", "", "none is left that broker_pin can be checked with",
				"https:// for every broker")
		}
	}
	if u.MTU > widest {
		l.doubts = append(l.doubts, Problem{l.file, d.shown, "mtu", l.value(d, "mtu"),
			"larger than a line of 1500 bytes carries in one packet",
			"auto, or at most " + strconv.Itoa(widest) + " unless the whole way to the gateways is wider"})
	}
	if u.BrokerCA == noCA && len(u.BrokerPins) == 0 {
		l.complain(d.shown, "broker_ca", noCA, "leaves nothing to know the broker by",
			"the path of a PEM file, or a broker_pin beside it")
	}
	if u.Protocol == Parker {
		l.checkParker(d)
		return
	}
	if d.bad("mode") {
		return
	}
	if u.Mode == ModeLayer3 {
		u.VXLAN = VXLAN{}
		return
	}
	l.checkVXLANID(d)
	if most := u.MTU - VXLANOverhead; u.MTU != 0 && u.VXLAN.MTU > most {
		l.complain(d.shown, "vxlan_mtu", l.value(d, "vxlan_mtu"), "too large for mtu "+strconv.Itoa(u.MTU),
			"auto, or at most "+strconv.Itoa(most))
	}
}

func (l *loader) checkProtocol(d *draft, static staticPeers) {
	switch d.uplink.Protocol {
	case Static:
		if static.enabled == 0 {
			l.refuse(d.shown, "protocol", "static", "there is no enabled gateway for it",
				"at least one section of type "+typeGateway+" with option uplink "+quote(d.name))
		}
	case WGKex:
		l.needs(d, "broker", "domain")
	case Parker:
		l.needs(d, "broker", "config_pubkey")
		if static.enabled > 0 {
			d.partly["protocol"] = true // they are left out
			l.complain(d.shown, "protocol", "parker", "there are sections of type "+typeGateway+
				" for it, but the signed configuration names all gateways", "no such section")
		}
	case FFAC:
		l.needs(d, "broker")
		if static.enabled == 0 {
			l.refuse(d.shown, "protocol", "ffac", "there is no enabled gateway for it",
				"at least one section of type "+typeGateway+" with option uplink "+quote(d.name))
		}
	}
}

// needs is for a protocol with a server to ask.
func (l *loader) needs(d *draft, options ...string) {
	protocol := d.uplink.Protocol.String()
	if !BrokerSupport {
		l.refuse(d.shown, "protocol", protocol, "this program was built without support for brokers (tag nobroker)",
			"static, or a program built with it")
	}
	for _, o := range uplinkOptions {
		if _, given := d.given[o.name]; !given && slices.Contains(options, o.name) {
			l.refuse(d.shown, o.name, "", "missing, but protocol "+protocol+" needs it", o.allowed)
		}
	}
}

// Brunswick's names (ffbs-mesh-vpn-parker): a node that changes hands between the two programs keeps its key.
const (
	parkerPrefix  = "wg_c" // of each device; the concentrator's number follows
	parkerKeyFile = "/etc/parker/wg-privkey"
	// maxPrefix leaves room for a number of eight digits in the name of a link.
	maxPrefix = 7
)

// checkParker applies the defaults that are the protocol's own.
func (l *loader) checkParker(d *draft) {
	u := &d.uplink
	u.Mode, u.VXLAN = ModeLayer3, VXLAN{}
	if !d.given["interface"] {
		u.Interface = parkerPrefix
	} else if len(u.Interface) > maxPrefix {
		l.complain(d.shown, "interface", u.Interface, "too long: the gateway's number is appended with protocol parker",
			"at most "+strconv.Itoa(maxPrefix)+" characters")
	}
	parkerKey(d)
}

func parkerKey(d *draft) {
	if !d.given["key_file"] && !d.bad("key_file") {
		d.uplink.KeyFile = parkerKeyFile
	}
}

// checkVXLANID derives the id where it is not given. Where it is given twice, the two must agree.
func (l *loader) checkVXLANID(d *draft) {
	const allowed = "vxlan_id from 1 to 16777215, or domain_seed to derive it from"
	if d.bad("vxlan_id") || d.bad("domain_seed") || d.bad("vxlan_seed_key") {
		return
	}
	if d.seed == "" {
		if d.uplink.VXLAN.ID == 0 {
			l.refuse(d.shown, "vxlan_id", "", "missing, as is domain_seed", allowed)
		}
		return
	}
	id, err := derive.VXLANID(d.seed, d.seedKey)
	switch given := d.uplink.VXLAN.ID; {
	case err != nil:
		l.refuse(d.shown, "domain_seed", d.seed, err.Error(), allowed)
	case given != 0 && given != id:
		l.refuse(d.shown, "vxlan_id", l.value(d, "vxlan_id"),
			"domain_seed with vxlan_seed_key "+quote(d.seedKey)+" gives "+strconv.Itoa(int(id)),
			"one of the two options, or the same number from both")
	case id == 0:
		l.refuse(d.shown, "domain_seed", d.seed, "gives the number 0", "vxlan_id instead")
	}
	d.uplink.VXLAN.ID = id
}

// checkNames finds what only one uplink can have: the name of a link, a UDP port.
func (l *loader) checkNames(uplinks []*draft) {
	links := make(map[string]string)
	ports := make(map[uint16]string)
	claim := func(d *draft, option, name string) {
		if name == "" || d.bad(option) {
			return
		}
		if other, ok := links[name]; ok {
			l.refuse(d.shown, option, name, "already "+other,
				"a name of its own for each interface and vxlan_interface")
			return
		}
		links[name] = option + " of section " + quote(d.shown)
	}
	for _, d := range uplinks {
		claim(d, "interface", d.uplink.Interface)
		if !d.bad("mode") {
			claim(d, "vxlan_interface", d.uplink.VXLAN.Name)
		}
		port := d.uplink.ListenPort
		if other, ok := ports[port]; ok && port != 0 {
			l.complain(d.shown, "listen_port", l.value(d, "listen_port"),
				"already listen_port of section "+quote(other), "0, or a port of its own for each uplink")
		}
		ports[port] = d.shown
	}
	// Several uplinks may share one batman-adv interface, but it must not be a device of an uplink.
	for _, d := range uplinks {
		if other, ok := links[d.uplink.Batman]; ok && d.uplink.Batman != "" {
			l.complain(d.shown, "batman", d.uplink.Batman, "already "+other, "the name of a batman-adv interface")
		}
	}
}

// systemNTP returns the NTP servers that the system itself uses. That file is not ours: what is wrong in it is left
// out, and keeps no node from connecting.
func (l *loader) systemNTP() []string {
	const config, section = "system", "ntp"
	if err := l.tree.LoadConfig(config, true); err != nil {
		return nil
	}
	if typ, _ := l.tree.SectionType(config, section); typ != "timeserver" {
		return nil
	}
	values, _ := l.tree.Get(config, section, "server")
	var servers []string
	for _, v := range values {
		parseAnother(v, parseServer, &servers)
	}
	return servers
}

// noCA as broker_ca stands for no authority at all: the pin of the broker's own key is the only check then.
const noCA = "none"
