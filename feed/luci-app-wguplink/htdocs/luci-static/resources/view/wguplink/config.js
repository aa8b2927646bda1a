'use strict';
'require view';
'require rpc';
'require form';
'require ui';
'require wguplink.options as options';

const callConfig = rpc.declare({ object: 'luci.wguplink', method: 'config' });
const callApply = rpc.declare({ object: 'luci.wguplink', method: 'apply', params: [ 'add', 'set', 'remove' ] });

// What nearly every uplink has to say stands on the first tab; an option that is new goes to the others by itself.
const GENERAL = [ 'enabled', 'protocol', 'broker', 'domain', 'node_name', 'config_pubkey', 'location', 'interface', 'mode',
	'vxlan_id', 'domain_seed', 'batman' ];

const TRUE = [ '1', 'true', 'on', 'yes', 'enabled' ];

const TYPES = [ 'global', 'uplink', 'gateway' ];

function tabOf(o) {
	if (GENERAL.includes(o.name))
		return 'general';
	if (o.modes)
		return 'vxlan';
	if (o.protocols && o.protocols.length < 4 && !o.protocols.includes('static'))
		return 'broker';
	if (/key/.test(o.name))
		return 'key';
	return 'advanced';
}

function number(o, value) {
	if (o.auto && value == 'auto')
		return true;
	if (!/^(0x[0-9a-fA-F]+|[0-9]+(\.[0-9]+)?)$/.test(value))
		return false;
	if (o.kind != 'seconds' && /\./.test(value))
		return false;
	return +value >= o.from && +value <= o.to;
}

// valid checks what can be told at once; all of it is checked by the agent's own rules before it is written.
function valid(o, value) {
	if (value == null || value === '')
		return true;

	let ok = true;
	switch (o.kind) {
	case 'number':
	case 'seconds':
	case 'whole_seconds':
		ok = number(o, value);
		break;
	case 'numbers':
		ok = o.among.map(String).includes(value);
		break;
	case 'key':
		ok = /^[A-Za-z0-9+\/]{43}=$/.test(value);
		break;
	case 'hex64':
		ok = /^[0-9a-fA-F]{64}$/.test(value);
		break;
	}
	return ok || _('Expecting: %s').format(o.allowed || (o.among || []).join(', '));
}

// copy is a section as the form's data has it. Words for a boolean become those of the check box.
function copy(s) {
	const item = { '.name': s.name };

	options[s.type].forEach(function(o) {
		const value = s.options[o.name];
		if (value == null)
			return;
		item[o.name] = Array.isArray(value) ? value.slice() : value;
		if (o.kind == 'bool' && !Array.isArray(value))
			item[o.name] = TRUE.includes(value) ? '1' : '0';
	});
	return item;
}

function same(a, b) {
	return JSON.stringify([].concat(a == null ? [] : a)) === JSON.stringify([].concat(b == null ? [] : b));
}

// changes compares the form's data with what was loaded, and names only what differs: so a change of others in
// between stays.
function changes(before, after) {
	const diff = { add: {}, set: {}, remove: [], any: false };
	const was = {}, is = {};

	before.forEach(function(s) { was[s.name] = copy(s); });
	after.forEach(function(s) {
		const name = s['.name'], type = s['.type'];
		is[name] = true;
		if (!was[name])
			diff.add[name] = type;
		options[type].forEach(function(o) {
			if (same(was[name] && was[name][o.name], s[o.name]))
				return;
			diff.set[name] = diff.set[name] || {};
			diff.set[name][o.name] = s[o.name] == null ? '' : s[o.name];
		});
	});
	before.forEach(function(s) {
		if (options[s.type] && !is[s.name])
			diff.remove.push(s.name);
	});
	diff.any = Object.keys(diff.add).length + Object.keys(diff.set).length + diff.remove.length > 0;
	return diff;
}

return view.extend({
	load: function() {
		return callConfig();
	},

	render: function(answer) {
		if (!L.isObject(answer) || answer.error)
			return E('div', {}, [
				E('h2', {}, [ _('Mesh uplink') ]),
				E('p', { 'class': 'alert-message warning', 'id': 'wguplink-error' }, [
					L.isObject(answer) ? answer.error : _('rpcd does not know luci.wguplink: restart it') ])
			]);

		this.before = answer.sections;
		const data = {};
		TYPES.forEach(function(type) {
			data[type] = answer.sections.filter(function(s) { return s.type == type; }).map(copy);
		});
		const map = this.map = new form.JSONMap(data, _('Mesh uplink'),
			_('Every option of the configuration, but for the private key: the agent makes it, and no page shows it. Names are those of /etc/config/wguplink.'));
		map.readonly = !L.hasViewPermission();

		this.section('uplink', _('Uplinks'), _('One is one tunnel. The name has letters, digits and underscores.'));
		this.section('gateway', _('Gateways'), _('Gateways that you name yourself. With a broker they are for the days when it does not answer.'));
		this.section('global', _('The whole program'), null);

		return map.render().then(L.bind(function(node) {
			return E('div', {}, [
				E('div', { 'id': 'wguplink-problems' }, (answer.problems || []).map(function(p) {
					return E('p', { 'class': 'alert-message warning wguplink-problem' }, [ p.text ]);
				})),
				node
			]);
		}, this));
	},

	section: function(type, title, description) {
		const s = this.map.section(form.TypedSection, type, title, description);
		const tabs = { general: _('General'), broker: _('Broker'), vxlan: _('VXLAN and batman-adv'), key: _('Key'),
			advanced: _('Advanced') };

		s.addremove = true;
		s.anonymous = false;
		if (type == 'uplink')
			Object.keys(tabs).forEach(function(t) { s.tab(t, tabs[t]); });
		options[type].forEach(L.bind(function(o) { this.option(s, type, o); }, this));
	},

	option: function(s, type, o) {
		const kinds = { bool: form.Flag, words: form.ListValue };
		const widget = o.list ? form.DynamicList : kinds[o.kind] || form.Value;
		const help = o.allowed ? '%s (%s)'.format(o.help, o.allowed) : o.help;
		const opt = type == 'uplink' ? s.taboption(tabOf(o), widget, o.name, o.name, help) : s.option(widget, o.name, o.name, help);

		opt.optional = true;
		opt.rmempty = true;
		if (o.kind == 'bool') {
			opt.default = o.def;
		} else if (o.kind == 'words') {
			// No value is the default; it stays so when the default of a later version is another.
			opt.value('', _('default (%s)').format(o.def));
			o.among.forEach(function(w) { opt.value(w); });
		} else if (o.def != null) {
			opt.placeholder = o.def;
		}
		if (type == 'gateway' && o.name == 'uplink')
			this.before.forEach(function(b) { if (b.type == 'uplink') opt.value(b.name); });
		opt.validate = function(section_id, value) { return valid(o, value); };
		this.scope(opt, o);
	},

	// scope hides what the protocol or the mode has no use for; without a value they are the default.
	scope: function(opt, o) {
		const withDefault = function(words, def) {
			return words.includes(def) ? [ '' ].concat(words) : words;
		};
		const protocols = o.protocols ? withDefault(o.protocols, 'static') : [ null ];
		const modes = o.modes ? withDefault(o.modes, 'vxlan') : [ null ];

		if (!o.protocols && !o.modes)
			return;
		protocols.forEach(function(p) {
			modes.forEach(function(m) {
				const needs = {};
				if (p != null)
					needs.protocol = p;
				if (m != null)
					needs.mode = m;
				opt.depends(needs);
			});
		});
	},

	// store writes what was changed; the agent's rules decide whether that can be.
	store: function() {
		const map = this.map;

		return map.save(null, false).then(L.bind(function() {
			const after = [];
			TYPES.forEach(function(type) { map.data.sections('json', type, function(s) { after.push(s); }); });
			const diff = changes(this.before, after);
			if (!diff.any) {
				ui.addNotification(null, E('p', {}, [ _('Nothing has changed.') ]), 'info');
				return;
			}
			const keys = this.before.filter(function(s) { return diff.remove.includes(s.name) && (s.secret || []).includes('private_key'); });
			if (keys.length && !window.confirm(_('The private key of %s goes with it, and its gateways know no other. Delete it?').format(
				keys.map(function(s) { return s.name; }).join(', '))))
				return;
			return callApply(diff.add, diff.set, diff.remove).then(L.bind(this.stored, this));
		}, this), function() {
			// The form has shown what is wrong.
		});
	},

	stored: function(answer) {
		if (!L.isObject(answer) || answer.error) {
			ui.addNotification(null, E('p', { 'class': 'wguplink-refused' }, [
				L.isObject(answer) ? answer.error : _('Not saved: %s').format(rpc.getStatusText(answer)) ]), 'danger');
			return;
		}
		if (!answer.saved) {
			ui.addNotification(_('Nothing was saved: the configuration would not be right'),
				E('ul', { 'class': 'wguplink-refused' }, answer.problems.map(function(p) { return E('li', {}, [ p.text ]); })), 'danger');
			return;
		}
		this.before = answer.sections;
		ui.addNotification(null, E('p', { 'class': 'wguplink-saved' }, [
			answer.note || _('Saved. The agent applies what has changed, and leaves the rest of a tunnel as it is.') ]),
			answer.note ? 'warning' : 'info');
	},

	handleSave: function(ev) {
		return this.store();
	},

	handleSaveApply: null,

	handleReset: function(ev) {
		return this.map.reset();
	}
});
