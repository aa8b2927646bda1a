'use strict';
// Stands in for LuCI's client in the browser: as much of its documented API (https://openwrt.github.io/luci/jsapi/) as
// the views of this feed use, with the same class names and data attributes in what it draws, where the tests look for
// them. It is loaded in the tests only.
(function(window) {

const TRUE = () => true;

function translate(text) {
	return (window.TR && window.TR[text]) || text;
}

// format knows %s, %d, %.1f and %1024.1m (sizes with a prefix), as LuCI's String.format does.
String.prototype.format = function(...args) {
	let next = 0;
	return this.replace(/%(?:%|(\d+)?(?:\.(\d+))?([sdfm]))/g, (all, width, digits, kind) => {
		if (all === '%%')
			return '%';
		const value = args[next++];
		switch (kind) {
		case 's': return String(value ?? '');
		case 'd': return String(Math.floor(+value || 0));
		case 'f': return (+value || 0).toFixed(digits ?? 6);
		default: {
			const base = +(width || 1000), units = [ '', base == 1024 ? 'Ki' : 'K', base == 1024 ? 'Mi' : 'M', base == 1024 ? 'Gi' : 'G' ];
			let n = +value || 0, i = 0;
			for (; n > base && i < units.length - 1; i++)
				n /= base;
			return n.toFixed(digits ?? 0) + ' ' + units[i];
		}
		}
	});
};

const dom = {
	append(node, children) {
		for (const c of Array.isArray(children) ? children : [ children ]) {
			if (Array.isArray(c))
				dom.append(node, c);
			else if (c instanceof Node)
				node.appendChild(c);
			else if (c !== null && c !== undefined)
				node.appendChild(document.createTextNode(String(c)));
		}
		return node;
	},

	content(node, children) {
		node.replaceChildren();
		return dom.append(node, children);
	},

	create(tag, attributes, children) {
		if (Array.isArray(tag))
			return dom.append(document.createDocumentFragment(), tag);
		const node = document.createElement(tag);
		if (attributes === null || typeof attributes != 'object' || Array.isArray(attributes) || attributes instanceof Node) {
			children = attributes;
			attributes = {};
		}
		for (const [ name, value ] of Object.entries(attributes)) {
			if (typeof value == 'function')
				node.addEventListener(name, value);
			else if (value !== null && value !== undefined)
				node.setAttribute(name, value);
		}
		return children === undefined ? node : dom.append(node, children);
	}
};

function E(...args) { return dom.create(...args); }

// Classes are made by extend from an object of methods.
class Base {
	constructor(...args) { this.__init__(...args); }
	__init__() {}
	static extend(methods) {
		const sub = class extends this {};
		Object.assign(sub.prototype, methods);
		return sub;
	}
	static instantiate(args) { return new this(...args); }
}

const poll = {
	queue: [],
	add(fn, interval) {
		poll.queue.push(window.setInterval(() => Promise.resolve(fn()).catch((e) => console.error(e)), 1000 * (interval || L.env.pollinterval)));
		return true;
	}
};

const statusTexts = [ 'Command OK', 'Invalid command', 'Invalid argument', 'Method not found', 'Resource not found', 'No data received',
	'Permission denied', 'Request timeout', 'Not supported', 'Unspecified error', 'Connection lost' ];
let lastID = 0;

const rpc = {
	declare(options) {
		return async (...args) => {
			const params = {};
			(options.params || []).forEach((name, i) => { params[name] = args[i]; });
			const reply = await fetch(L.env.ubuspath, { method: 'POST', headers: { 'Content-Type': 'application/json' },
				body: JSON.stringify({ jsonrpc: '2.0', id: ++lastID, method: 'call',
					params: [ L.env.sessionid, options.object, options.method, params ] }) });
			const message = await reply.json();
			if (message.error)
				throw new Error('RPC call to %s/%s failed with error %d: %s'.format(options.object, options.method, message.error.code,
					message.error.message));
			if (options.reject && message.result[0] !== 0)
				throw new Error('RPC call to %s/%s failed with ubus code %d'.format(options.object, options.method, message.result[0]));
			let answer = message.result.length > 1 ? message.result[1] : message.result[0];
			for (const key in options.expect || {}) {
				if (key !== '')
					answer = answer?.[key];
				if (Object.prototype.toString.call(answer) != Object.prototype.toString.call(options.expect[key]))
					answer = options.expect[key];
			}
			return answer;
		};
	},
	getStatusText(code) { return translate(statusTexts[code] || 'Unknown error code'); }
};

const ui = {
	createHandlerFn(ctx, fn, ...args) {
		const handler = typeof fn == 'string' ? ctx[fn] : fn;
		return (ev) => {
			const button = ev.currentTarget;
			button.classList.add('spinning');
			button.disabled = true;
			return Promise.resolve(handler.call(ctx, ...args, ev)).finally(() => {
				button.classList.remove('spinning');
				button.disabled = false;
			});
		};
	},

	addNotification(title, children, ...classes) {
		const node = E('div', { 'class': [ 'alert-message', 'fade-in', ...classes ].join(' ') }, [
			E('div', {}, [ title ? E('h4', {}, [ title ]) : '', children ])
		]);
		document.querySelector('#maincontent').prepend(node);
		return node;
	},

	showModal(title, children) {
		dom.append(document.body, E('div', { 'class': 'modal' }, [ E('h4', {}, [ title ]), children ]));
	},

	hideModal() { document.querySelectorAll('.modal').forEach((n) => n.remove()); },

	instantiateView(path) {
		return L.require('view.' + path.replace(/\//g, '.')).catch((e) => {
			dom.content(document.querySelector('#view'), E('p', { 'class': 'alert-message error' }, [ String(e.stack || e) ]));
			console.error(e);
		});
	}
};

const View = Base.extend({
	async __init__() {
		const place = document.querySelector('#view');
		dom.content(place, await this.render(await this.load()));
		dom.append(place, this.addFooter());
	},
	load() {},
	render() {},
	handleSave() {},
	handleSaveApply() {},
	handleReset() {},
	addFooter() {
		const button = (cls, title, name) => this[name] ? E('button', { 'class': 'cbi-button ' + cls, 'disabled': L.hasViewPermission() ? null : '',
			'click': ui.createHandlerFn(this, name) }, [ translate(title) ]) : '';
		return E('div', { 'class': 'cbi-page-actions' }, [ button('cbi-button-apply', 'Save & Apply', 'handleSaveApply'),
			button('cbi-button-save', 'Save', 'handleSave'), button('cbi-button-reset', 'Reset', 'handleReset') ]);
	}
});

// The data of a JSONMap: sections by type and name.
class Data {
	constructor(data) {
		this.data = {};
		for (const type of Object.keys(data))
			data[type].forEach((item, i) => { this.put(item['.name'] ?? type + i, type, item); });
	}
	put(name, type, item) {
		this.data[name] = Object.assign(item, { '.name': name, '.type': type, '.anonymous': false });
	}
	sections(config, type, each) {
		const all = Object.values(this.data).filter((s) => !type || s['.type'] == type);
		if (each)
			all.forEach((s) => each(s, s['.name']));
		return all;
	}
	get(config, sid, option) { return this.data[sid]?.[option] ?? null; }
	set(config, sid, option, value) { this.data[sid][option] = value; }
	unset(config, sid, option) { delete this.data[sid]?.[option]; }
	add(config, type, name) { this.put(name, type, {}); return name; }
	remove(config, sid) { delete this.data[sid]; }
}

const Value = Base.extend({
	__init__(map, section, option, title, description) {
		Object.assign(this, { map, section, option, title, description, deps: [], keylist: [], vallist: [], nodes: {} });
		this.default = null;
	},
	value(key, label) {
		this.keylist.push(String(key));
		this.vallist.push(label ?? String(key));
	},
	depends(field, value) { this.deps.push(typeof field == 'string' ? { [field]: value } : field); },
	validate: TRUE,
	cfgvalue(sid) { return this.map.data.get('json', sid, this.option); },
	async load(sid) { return this.cfgvalue(sid); },
	isActive(sid) {
		return !this.deps.length || this.deps.some((d) => Object.keys(d).every((name) => {
			const other = this.section.children.find((c) => c.option == name);
			return other && other.isActive(sid) && (other.formvalue(sid) ?? '') === d[name];
		}));
	},
	widget(sid, value) {
		const input = E('input', { 'type': 'text', 'class': 'cbi-input-text', 'value': value ?? '', 'placeholder': this.placeholder ?? null,
			'disabled': this.map.readonly ? '' : null });
		this.nodes[sid] = input;
		if (!this.keylist.length)
			return input;
		const id = 'list.' + sid + '.' + this.option;
		input.setAttribute('list', id);
		return E('div', {}, [ input, E('datalist', { 'id': id }, this.keylist.map((k) => E('option', { 'value': k }))) ]);
	},
	formvalue(sid) { return this.nodes[sid] ? this.nodes[sid].value : this.cfgvalue(sid); },
	async render(sid) {
		const value = await this.load(sid);
		const node = E('div', { 'class': 'cbi-value', 'data-name': this.option, 'data-field': 'cbid.json.%s.%s'.format(sid, this.option) }, [
			E('label', { 'class': 'cbi-value-title' }, [ this.title ]),
			E('div', { 'class': 'cbi-value-field' }, [ this.widget(sid, value),
				this.description ? E('div', { 'class': 'cbi-value-description' }, [ this.description ]) : '' ])
		]);
		node.addEventListener('change', () => this.section.show(sid));
		this.rows ??= {};
		return this.rows[sid] = node;
	},
	parse(sid) {
		const value = this.formvalue(sid), empty = value === null || value === '' || Array.isArray(value) && !value.length;
		if (!this.isActive(sid))
			return this.map.data.unset('json', sid, this.option);
		for (const one of Array.isArray(value) ? value : [ value ]) {
			const ok = one === null || one === '' ? true : this.validate(sid, one);
			if (ok !== true)
				throw new TypeError(translate('Option "%s" contains an invalid input value.').format(this.title) + ' ' + ok);
		}
		if (empty || this.default !== null && value === this.default)
			this.map.data.unset('json', sid, this.option);
		else
			this.map.data.set('json', sid, this.option, value);
	}
});

const ListValue = Value.extend({
	widget(sid, value) {
		const select = E('select', { 'class': 'cbi-input-select', 'disabled': this.map.readonly ? '' : null }, this.keylist.map((k, i) =>
			E('option', { 'value': k, 'selected': k === (value ?? '') ? '' : null }, [ this.vallist[i] ])));
		return this.nodes[sid] = select;
	}
});

const Flag = Value.extend({
	__init__(...args) {
		Value.prototype.__init__.apply(this, args);
		this.enabled = '1';
		this.disabled = '0';
		this.default = this.disabled;
	},
	widget(sid, value) {
		const box = E('input', { 'type': 'checkbox', 'disabled': this.map.readonly ? '' : null });
		box.checked = (value ?? this.default) === this.enabled;
		return this.nodes[sid] = box;
	},
	formvalue(sid) { return this.nodes[sid] ? (this.nodes[sid].checked ? this.enabled : this.disabled) : this.cfgvalue(sid); }
});

const DynamicList = Value.extend({
	widget(sid, value) {
		const list = E('div', { 'class': 'cbi-dynlist' });
		const add = (text) => list.insertBefore(E('div', { 'class': 'item', 'tabindex': '0' }, [
			E('span', {}, [ text ]), E('input', { 'type': 'hidden', 'value': text })
		]), list.lastChild);
		const input = E('input', { 'type': 'text', 'class': 'cbi-input-text', 'disabled': this.map.readonly ? '' : null });
		list.appendChild(E('div', { 'class': 'add-item' }, [ input, E('div', { 'class': 'btn cbi-button cbi-button-add', 'click': () => {
			if (input.value)
				add(input.value);
			input.value = '';
		} }, [ '+' ]) ]));
		[].concat(value ?? []).forEach(add);
		list.addEventListener('click', (ev) => { const item = ev.target.closest('.item'); if (item && !this.map.readonly) item.remove(); });
		return this.nodes[sid] = list;
	},
	formvalue(sid) {
		return this.nodes[sid] ? [ ...this.nodes[sid].querySelectorAll('.item > input') ].map((i) => i.value) : this.cfgvalue(sid);
	}
});

const TypedSection = Base.extend({
	__init__(map, type, title, description) {
		Object.assign(this, { map, sectiontype: type, title, description, children: [], tabs: [] });
	},
	tab(name, title) { this.tabs.push({ name, title }); },
	option(cls, ...args) {
		const o = new cls(this.map, this, ...args);
		this.children.push(o);
		return o;
	},
	taboption(tab, ...args) {
		const o = this.option(...args);
		o.tab = tab;
		return o;
	},
	cfgsections() { return this.map.data.sections('json', this.sectiontype).map((s) => s['.name']); },
	show(sid) {
		for (const o of this.children)
			if (o.rows?.[sid])
				o.rows[sid].hidden = !o.isActive(sid);
	},
	async renderSection(sid) {
		const body = E('div', { 'class': 'cbi-section-node', 'data-section-id': sid });
		const panes = this.tabs.length ? this.tabs : [ { name: undefined, title: null } ];
		const menu = E('ul', { 'class': 'cbi-tabmenu' });
		const rows = new Map(await Promise.all(this.children.map(async (o) => [ o, await o.render(sid) ])));
		panes.forEach((t, i) => {
			const pane = E('div', { 'data-tab': t.name ?? '', 'data-tab-active': String(i == 0) },
				this.children.filter((o) => (this.tabs.length ? o.tab : undefined) === t.name).map((o) => rows.get(o)));
			pane.hidden = i > 0;
			body.appendChild(pane);
			if (t.title)
				menu.appendChild(E('li', { 'class': 'cbi-tab', 'data-tab': t.name }, [ E('a', { 'href': '#', 'click': (ev) => {
					ev.preventDefault();
					body.querySelectorAll('div[data-tab]').forEach((p) => { p.hidden = p.dataset.tab != t.name; });
				} }, [ t.title ]) ]));
		});
		if (menu.childNodes.length)
			body.prepend(menu);
		this.show(sid);
		return E([ this.addremove ? E('div', { 'class': 'cbi-section-remove right' }, [ E('button', { 'class': 'cbi-button',
			'data-section-id': sid, 'disabled': this.map.readonly ? '' : null, 'click': () => {
				this.map.data.remove('json', sid);
				return this.map.save(null, true);
			} }, [ translate('Delete') ]) ]) : '', E('h3', {}, [ sid.toUpperCase() ]), body ]);
	},
	async render() {
		const sections = await Promise.all(this.cfgsections().map((sid) => this.renderSection(sid)));
		const node = E('div', { 'class': 'cbi-section', 'id': 'cbi-json-' + this.sectiontype }, [
			this.title ? E('h3', {}, [ this.title ]) : '',
			this.description ? E('div', { 'class': 'cbi-section-descr' }, [ this.description ]) : '',
			sections
		]);
		if (this.addremove) {
			const name = E('input', { 'type': 'text', 'class': 'cbi-section-create-name' });
			node.appendChild(E('div', { 'class': 'cbi-section-create' }, [ name, E('button', { 'class': 'cbi-button cbi-button-add',
				'disabled': this.map.readonly ? '' : null, 'click': () => {
					if (!/^[A-Za-z0-9_]+$/.test(name.value))
						return;
					this.map.data.add('json', this.sectiontype, name.value);
					return this.map.save(null, true);
				} }, [ translate('Add') ]) ]));
		}
		return node;
	}
});

const JSONMap = Base.extend({
	__init__(data, title, description) {
		Object.assign(this, { data: new Data(data), title, description, children: [], readonly: false });
	},
	section(cls, ...args) {
		const s = new cls(this, ...args);
		this.children.push(s);
		return s;
	},
	async render() {
		this.root = E('div', { 'class': 'cbi-map' });
		await this.draw();
		return this.root;
	},
	async draw() {
		for (const s of this.children)
			for (const o of s.children)
				Object.assign(o, { nodes: {}, rows: {} });
		dom.content(this.root, [ this.title ? E('h2', {}, [ this.title ]) : '',
			this.description ? E('div', { 'class': 'cbi-map-descr' }, [ this.description ]) : '', await Promise.all(this.children.map((s) => s.render())) ]);
	},
	async save(done, silent) {
		try {
			for (const s of this.children)
				for (const sid of s.cfgsections())
					for (const o of s.children)
						if (o.nodes[sid])
							o.parse(sid);
			if (done)
				await done();
		} catch (e) {
			if (!silent)
				ui.showModal(translate('Save error'), [ E('p', {}, [ e.message ]), E('button', { 'class': 'btn', 'click': ui.hideModal }, [ translate('Dismiss') ]) ]);
			throw e;
		} finally {
			await this.draw();
		}
	},
	reset() { return this.draw(); }
});

const form = { JSONMap, TypedSection, Value, ListValue, Flag, DynamicList };

const protocols = {}, errorCodes = {};

const network = {
	registerErrorCode(code, text) { errorCodes[code] = text; },
	registerProtocol(name, methods) {
		const cls = Base.extend(Object.assign({ isFloating: () => false, isVirtual: () => false, getI18n: () => name, renderFormOptions() {} }, methods, {
			__init__(sid) { this.sid = sid; },
			_ubus() { return null; }
		}));
		return protocols[name] = cls;
	},
	getProtocol(name, sid) { return protocols[name] ? new protocols[name](sid) : null; },
	getIfnameOf(dev) { return typeof dev == 'string' ? dev : dev?.name; }
};

const builtin = { baseclass: Base, view: View, poll, rpc, dom, ui, form, network };
const loaded = {};

class LuCI {
	constructor(env) {
		this.env = env;
		Object.assign(window, { L: this, E, _: translate });
	}
	bind(fn, self, ...args) { return fn.bind(self, ...args); }
	isObject(v) { return v !== null && typeof v == 'object' && !Array.isArray(v); }
	hasViewPermission() { return this.env.nodespec?.satisfied ? !this.env.nodespec.readonly : null; }
	require(name) {
		if (builtin[name])
			return Promise.resolve(builtin[name]);
		return loaded[name] ??= this.load(name);
	}
	// A module names what it needs in strings at its beginning, and returns a class, of which there is one instance.
	async load(name) {
		const url = this.env.resource + '/' + name.replace(/\./g, '/') + '.js';
		const reply = await fetch(url);
		if (!reply.ok)
			throw new Error('%s: %d'.format(url, reply.status));
		const source = await reply.text();
		const names = [], values = [];
		for (const m of source.matchAll(/^'require ([\w.]+)(?: as (\w+))?';/gm)) {
			names.push(m[2] || m[1]);
			values.push(await this.require(m[1]));
		}
		const made = new Function('window', 'document', 'L', 'E', '_', ...names, source + '\n//# sourceURL=' + url)
			.call(this, window, document, this, E, translate, ...values);
		return typeof made == 'function' && made.prototype instanceof Base ? new made(name) : made;
	}
}

window.LuCI = LuCI;

})(window);
