'use strict';
'require form';
'require network';
'require rpc';

const callStatus = rpc.declare({ object: 'wguplink', method: 'status', expect: { uplinks: {} } });

network.registerErrorCode('NO_DEVICE', _('The agent has not made the device: see the status of wguplink'));
network.registerErrorCode('NO_SUCH_UPLINK', _('/etc/config/wguplink has no uplink of that name'));
network.registerErrorCode('NO_SUCH_LAYER', _('The uplink has no device of that layer'));
network.registerErrorCode('ONE_DEVICE_PER_GATEWAY', _('An uplink with protocol parker has a device for each gateway'));

return network.registerProtocol('wguplink', {
	getI18n: function() {
		return _('Mesh uplink (wguplink)');
	},

	getIfname: function() {
		return this._ubus('l3_device');
	},

	getOpkgPackage: function() {
		return 'wguplink';
	},

	getPackageName: function() {
		return 'wguplink';
	},

	// The device is the agent's: it comes and goes by itself, and is not chosen.
	isFloating: function() {
		return true;
	},

	isVirtual: function() {
		return true;
	},

	getDevices: function() {
		return null;
	},

	containsDevice: function(ifname) {
		return (network.getIfnameOf(ifname) == this.getIfname());
	},

	renderFormOptions: function(s) {
		let o = s.taboption('general', form.Value, 'uplink', _('Uplink'),
			_('The section of /etc/config/wguplink whose device this is. Without it, the one with the name of this interface.'));
		o.datatype = 'uciname';
		o.optional = true;
		o.load = function(section_id) {
			return callStatus().then(L.bind(function(uplinks) {
				Object.keys(uplinks).forEach(L.bind(function(name) { this.value(name); }, this));
				return form.Value.prototype.load.apply(this, [ section_id ]);
			}, this)).catch(L.bind(function() {
				return form.Value.prototype.load.apply(this, [ section_id ]);
			}, this));
		};

		o = s.taboption('general', form.ListValue, 'layer', _('Layer'), _('Which of its devices.'));
		o.value('', _('the one on top'));
		o.value('wireguard', _('WireGuard'));
		o.value('vxlan', _('VXLAN'));
		o.optional = true;
	}
});
