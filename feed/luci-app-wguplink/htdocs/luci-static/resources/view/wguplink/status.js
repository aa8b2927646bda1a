'use strict';
'require view';
'require rpc';
'require poll';
'require dom';
'require ui';

const callStatus = rpc.declare({ object: 'wguplink', method: 'status' });
const callReconnect = rpc.declare({ object: 'wguplink', method: 'reconnect', params: [ 'uplink', 'gateway' ] });
const callReload = rpc.declare({ object: 'wguplink', method: 'reload' });
const callConfig = rpc.declare({ object: 'luci.wguplink', method: 'config' });
const callDoctor = rpc.declare({ object: 'luci.wguplink', method: 'doctor', params: [ 'uplink', 'start' ] });

const STATES = {
	starting: _('starting'),
	connecting: _('connecting'),
	connected: _('connected'),
	suspect: _('suspect'),
	impaired: _('impaired'),
	stopped: _('stopped')
};

const CAUSES = {
	config: _('a mistake in the configuration'),
	key: _('the private key cannot be used'),
	no_wan: _('there is no way out'),
	clock: _('the time is being asked for'),
	device: _('a device cannot be made'),
	broker_unreachable: _('no broker answers'),
	broker_refused: _('the broker refuses'),
	not_registered: _('the key is not registered yet'),
	no_handshake: _('no gateway answers'),
	no_answer: _('nothing comes back through the tunnel'),
	no_neighbour: _('no neighbour is heard in the mesh')
};

const RESULTS = {
	untried: _('not tried yet'),
	trying: _('is being tried'),
	answered: _('has answered'),
	no_handshake: _('no handshake'),
	no_answer: _('handshake, but no answer'),
	silent: _('fell silent'),
	no_address: _('no usable address')
};

const STAGES = {
	config: _('configuration'),
	wan: _('way out'),
	clock: _('clock'),
	key: _('key'),
	names: _('names'),
	broker: _('broker'),
	device: _('device'),
	handshake: _('handshake'),
	tunnel: _('tunnel'),
	mtu: _('size of packets')
};

const OUTCOMES = {
	pass: [ _('passed'), '' ],
	warn: [ _('warning'), 'warning' ],
	FAIL: [ _('failed'), 'danger' ],
	skip: [ _('skipped'), '' ]
};

// word has a word for what the agent says, and its own where a newer one says something else.
function word(words, key) {
	return Object.prototype.hasOwnProperty.call(words, key) ? words[key] : String(key);
}

function age(seconds) {
	const n = Math.max(0, Math.floor(+seconds || 0));

	if (n < 60)
		return _('%d s').format(n);
	if (n < 3600)
		return _('%d min %d s').format(Math.floor(n / 60), n % 60);
	if (n < 86400)
		return _('%d h %d min').format(Math.floor(n / 3600), Math.floor(n / 60) % 60);
	return _('%d d %d h').format(Math.floor(n / 86400), Math.floor(n / 3600) % 24);
}

function list(value) {
	return Array.isArray(value) ? value : [];
}

function failure(answer) {
	return L.isObject(answer) && answer.error ? String(answer.error) : null;
}

// An answer that is a number is a status of ubus: 4 means that the object is not there.
function asked(call) {
	return call.then(function(answer) {
		if (L.isObject(answer))
			return answer;
		return { absent: answer === 4, error: answer === 4 ? null : _('ubus says %s').format(rpc.getStatusText(answer)) };
	}).catch(function(err) {
		return { error: err.message || String(err) };
	});
}

function row(title, value) {
	if (value == null || value === '')
		return null;
	return E('tr', { 'class': 'tr' }, [
		E('td', { 'class': 'td left', 'width': '33%' }, [ title ]),
		E('td', { 'class': 'td left' }, Array.isArray(value) ? value : [ String(value) ])
	]);
}

function table(head, rows) {
	return E('table', { 'class': 'table' }, [
		E('tr', { 'class': 'tr table-titles' }, head.map(function(h) { return E('th', { 'class': 'th left' }, [ h ]); }))
	].concat(rows.map(function(cells) {
		return E('tr', { 'class': 'tr' }, cells.map(function(c, i) {
			return E('td', { 'class': 'td left', 'data-title': head[i] }, [ c == null ? '' : c ]);
		}));
	})));
}

function facts(up) {
	const gw = L.isObject(up.gateway) ? up.gateway : null;
	let cause = null;

	if (up.cause || up.reason)
		cause = [ up.cause ? word(CAUSES, up.cause) : '', up.reason || '' ].filter(function(s) { return s; }).join(': ');

	return E('table', { 'class': 'table' }, [
		row(_('State'), [ E('strong', { 'class': 'wguplink-state', 'data-state': up.state }, [ word(STATES, up.state) ]),
			up.state != 'stopped' ? ' ' + _('for %s').format(age(up.seconds)) : '' ]),
		row(_('Reason'), cause),
		row(_('Gateway'), gw ? gw.name : null),
		row(_('Endpoint'), gw ? gw.endpoint : null),
		row(_('Address in the tunnel'), gw ? gw.link_address : null),
		row(_('Last handshake'), gw && gw.handshake_uptime_ms ? _('%s ago').format(age(gw.handshake_age)) : null),
		row(_('Received / sent'), gw ? '%1024.1mB / %1024.1mB'.format(gw.rx_bytes, gw.tx_bytes) : null),
		row(_('Way out'), up.wan),
		row(_('Clock'), up.clock),
		row(_('Broker'), up.broker),
		row(_('Device'), [ up.interface, up.backend, up.mtu ? 'MTU ' + up.mtu : '' ].filter(function(s) { return s; }).join(', ')),
		row(_('VXLAN'), up.vxlan ? up.vxlan + (up.vxlan_mtu ? ', MTU ' + up.vxlan_mtu : '') : null),
		row(_('Mesh'), L.isObject(up.batman) ? '%s, %s: '.format(up.batman.interface, up.batman.algorithm) +
			_('%d neighbours').format(list(up.batman.neighbours).length) : null),
		row(_('Public key'), up.public_key ? [ E('code', {}, [ up.public_key ]) ] : null)
	].filter(function(r) { return r; }));
}

return view.extend({
	handleSave: null,
	handleSaveApply: null,
	handleReset: null,

	load: function() {
		return Promise.all([ asked(callStatus()), asked(callConfig()) ]);
	},

	render: function(data) {
		this.states = E('div', { 'id': 'wguplink-uplinks' });
		this.findings = E('div', { 'id': 'wguplink-findings' });
		this.update(data);
		poll.add(L.bind(this.follow, this), 5);

		return E('div', {}, [
			E('h2', {}, [ _('Mesh uplink') ]),
			this.states,
			E('div', { 'class': 'cbi-section' }, [
				E('h3', {}, [ _('Doctor') ]),
				E('div', { 'class': 'cbi-section-descr' }, [
					_('Tries each stage on the way to a tunnel, and says what is wrong and what helps. It leaves a running tunnel alone.')
				]),
				E('p', {}, [ E('button', {
					'class': 'cbi-button cbi-button-action', 'id': 'wguplink-doctor',
					'click': ui.createHandlerFn(this, 'handleDoctor')
				}, [ _('Examine') ]) ]),
				this.findings
			])
		]);
	},

	// uplinks has those that run, and those that are only configured.
	uplinks: function(status, config) {
		const running = L.isObject(status.uplinks) ? status.uplinks : {};
		const all = Object.keys(running).map(function(name) { return Object.assign({ uplink: name }, running[name]); });

		list(config.sections).forEach(function(s) {
			if (s.type == 'uplink' && !running[s.name])
				all.push({ uplink: s.name, state: 'stopped', interface: s.options.interface,
					reason: [ '0', 'false', 'off', 'no', 'disabled' ].includes(s.options.enabled) ?
						_('it is disabled in the configuration') : _('the agent does not run it') });
		});
		return all;
	},

	update: function(data) {
		const status = data[0], config = this.config = data[1];
		const all = this.uplinks(status, config);
		const nodes = [];

		if (failure(status))
			nodes.push(E('p', { 'class': 'alert-message warning' }, [ failure(status) ]));
		if (failure(config))
			nodes.push(E('p', { 'class': 'alert-message warning' }, [ failure(config) ]));
		if (status.absent)
			nodes.push(E('p', { 'class': 'alert-message warning', 'id': 'wguplink-absent' }, [
				_('The agent is not on ubus: it does not run. It starts when an uplink is enabled; see the system log if it ends.')
			]));
		list(config.problems).forEach(function(p) {
			nodes.push(E('p', { 'class': 'alert-message warning wguplink-problem' }, [ p.text ]));
		});
		if (!all.length && !failure(config))
			nodes.push(E('p', { 'id': 'wguplink-none' }, [ _('No uplink is configured yet.') ]));
		all.forEach(L.bind(function(up) { nodes.push(this.renderUplink(up, !!status.absent)); }, this));
		if (!status.absent && L.hasViewPermission())
			nodes.push(E('p', {}, [ E('button', {
				'class': 'cbi-button', 'id': 'wguplink-reload', 'click': ui.createHandlerFn(this, 'handleReload')
			}, [ _('Read the configuration again') ]) ]));
		dom.content(this.states, nodes);
	},

	renderUplink: function(up, absent) {
		const writable = !absent && up.state != 'stopped' && L.hasViewPermission();
		const section = E('div', { 'class': 'cbi-section wguplink-uplink', 'data-uplink': up.uplink }, [
			E('h3', {}, [ _('Uplink %s').format(up.uplink) ]),
			facts(up)
		]);
		const gateways = list(up.gateways);
		const changes = list(up.changes).slice().reverse();

		list(up.warnings).forEach(function(w) {
			section.appendChild(E('p', { 'class': 'alert-message warning' }, [ w ]));
		});
		if (writable)
			section.appendChild(E('p', {}, [ E('button', {
				'class': 'cbi-button cbi-button-action wguplink-reconnect',
				'click': ui.createHandlerFn(this, 'handleReconnect', up.uplink, null)
			}, [ _('Go to another gateway') ]) ]));
		if (gateways.length) {
			section.appendChild(E('h4', {}, [ _('Gateways') ]));
			section.appendChild(table([ _('Gateway'), _('Endpoint'), _('Result'), _('Round trip'), _('Last tried'), '' ],
				gateways.map(L.bind(function(g) {
					return [
						g.in_use ? E('strong', {}, [ g.name ]) : g.name, g.endpoint,
						(g.in_use ? _('in use') + ', ' : '') + word(RESULTS, g.result) + (g.reason ? ': ' + g.reason : ''),
						g.rtt_us ? _('%.1f ms').format(g.rtt_us / 1000) : '',
						g.tried_uptime_ms ? _('%s ago').format(age(g.tried_age)) : '',
						writable && !g.in_use ? E('button', {
							'class': 'cbi-button', 'click': ui.createHandlerFn(this, 'handleReconnect', up.uplink, g.name)
						}, [ _('Use') ]) : ''
					];
				}, this))));
		}
		if (L.isObject(up.network) && list(up.network.tunnels).length) {
			section.appendChild(E('h4', {}, [ _('Tunnels') ]));
			section.appendChild(table([ _('Device'), _('Gateway'), _('Endpoint'), _('Last handshake') ],
				up.network.tunnels.map(function(t) {
					return [ t.interface, t.gateway, t.endpoint, t.handshake_uptime_ms ? _('%s ago').format(age(t.handshake_age)) : '' ];
				})));
		}
		if (changes.length) {
			section.appendChild(E('h4', {}, [ _('Last changes') ]));
			section.appendChild(table([ _('When'), _('State'), _('Gateway'), _('Reason') ],
				changes.map(function(c) {
					return [ _('%s ago').format(age(c.age)), word(STATES, c.state), c.gateway,
						[ c.cause ? word(CAUSES, c.cause) : '', c.reason || '' ].filter(function(s) { return s; }).join(': ') ];
				})));
		}
		return section;
	},

	// Only the agent is asked again and again: the configuration is the program's word, and rpcd starts it for that.
	follow: function() {
		return asked(callStatus()).then(L.bind(function(status) { this.update([ status, this.config ]); }, this));
	},

	refresh: function() {
		return this.load().then(L.bind(this.update, this));
	},

	handleReconnect: function(uplink, gateway, ev) {
		return asked(callReconnect(uplink, gateway || undefined)).then(L.bind(function(answer) {
			if (failure(answer) || answer.absent)
				ui.addNotification(null, E('p', {}, [ failure(answer) || _('the agent does not run it') ]), 'warning');
			else
				ui.addNotification(null, E('p', { 'class': 'wguplink-reconnected' }, [
					answer.changed ? _('Connected to %s.').format(answer.gateway) : _('Connected to %s, as before.').format(answer.gateway)
				]), 'info');
			return this.refresh();
		}, this));
	},

	handleReload: function(ev) {
		return asked(callReload()).then(L.bind(function(answer) {
			if (failure(answer))
				ui.addNotification(null, E('p', {}, [ failure(answer) ]), 'warning');
			return this.refresh();
		}, this));
	},

	handleDoctor: function(ev) {
		dom.content(this.findings, E('p', { 'class': 'spinning' }, [ _('Examining; that takes up to two minutes…') ]));
		return asked(callDoctor('', true)).then(L.bind(function(answer) {
			return this.awaitDoctor(answer);
		}, this));
	},

	awaitDoctor: function(answer) {
		if (failure(answer) || answer.absent) {
			dom.content(this.findings, E('p', { 'class': 'alert-message warning' }, [
				failure(answer) || _('rpcd does not know luci.wguplink: restart it') ]));
			return;
		}
		if (!answer.running) {
			dom.content(this.findings, this.renderFindings(list(answer.results)));
			return;
		}
		return new Promise(function(resolve) { window.setTimeout(resolve, 1000); }).then(L.bind(function() {
			return asked(callDoctor('', false)).then(L.bind(this.awaitDoctor, this));
		}, this));
	},

	renderFindings: function(results) {
		return E('div', {}, results.map(function(r) {
			return E('div', { 'class': 'wguplink-examined', 'data-exit-code': r.exit_code }, [
				r.uplink ? E('h4', {}, [ _('Uplink %s').format(r.uplink) ]) : '',
				table([ _('Stage'), _('Result'), _('Finding'), _('What helps') ], list(r.findings).map(function(f) {
					const outcome = OUTCOMES[f.outcome] || [ f.outcome, '' ];
					return [ word(STAGES, f.stage), E('span', { 'class': outcome[1] ? 'alert-message ' + outcome[1] : '',
						'data-outcome': f.outcome }, [ outcome[0] ]),
						[ f.cause, f.detail ].filter(function(s) { return s; }).join('; '), f.remedy ];
				}))
			]);
		}));
	}
});
