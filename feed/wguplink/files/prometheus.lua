-- What prometheus-node-exporter-lua shows of wguplink: the status of the agent, asked over ubus.
-- Names and units: docs/monitoring.md

local ubus = require 'ubus'

-- How long the agent has for its answer, in seconds; the exporter answers no request meanwhile.
local TIMEOUT = 2

local STATES = { 'starting', 'connecting', 'connected', 'suspect', 'impaired', 'stopped' }
local CAUSES = { 'key', 'no_wan', 'clock', 'device', 'broker_unreachable', 'broker_refused', 'not_registered',
	'no_handshake', 'no_neighbour', 'no_answer' }

local function ask()
	local connection = ubus.connect(nil, TIMEOUT)
	if not connection then
		return nil
	end
	local answer = connection:call('wguplink', 'status', {})
	connection:close()
	return type(answer) == 'table' and answer.uplinks or nil
end

-- A label's value as the text format wants it; the exporter prints it as it is.
local function label(value)
	return (tostring(value or ''):gsub('[\\"\n]', { ['\\'] = '\\\\', ['"'] = '\\"', ['\n'] = '\\n' }))
end

local function scrape()
	local uplinks = ask()
	metric('wguplink_agent_up', 'gauge', nil, uplinks and 1 or 0)
	if not uplinks then
		return
	end
	local names = {}
	for name in pairs(uplinks) do
		names[#names + 1] = name
	end
	table.sort(names)

	-- Prints one metric: samples(add, uplink, labels) calls add(value, label, value...) for each sample of an uplink.
	local function each(name, kind, samples)
		local out = metric(name, kind)
		for _, uplink in ipairs(names) do
			samples(function(value, ...)
				local labels = { uplink = label(uplink) }
				for i = 1, select('#', ...), 2 do
					labels[select(i, ...)] = label((select(i + 1, ...)))
				end
				if value then
					out(labels, string.format('%.0f', value))
				end
			end, uplinks[uplink])
		end
	end

	each('wguplink_up', 'gauge', function(add, u)
		add((u.state == 'connected' and not u.cause) and 1 or 0)
	end)
	each('wguplink_state', 'gauge', function(add, u)
		for _, state in ipairs(STATES) do
			add(u.state == state and 1 or 0, 'state', state)
		end
	end)
	each('wguplink_state_seconds', 'gauge', function(add, u)
		add(u.seconds)
	end)
	each('wguplink_cause', 'gauge', function(add, u)
		for _, cause in ipairs(CAUSES) do
			add(u.cause == cause and 1 or 0, 'cause', cause)
		end
	end)
	each('wguplink_stranded', 'gauge', function(add, u)
		add(u.stranded and 1 or 0)
	end)
	each('wguplink_gateway_info', 'gauge', function(add, u)
		if u.gateway then
			add(1, 'gateway', u.gateway.name, 'public_key', u.gateway.public_key, 'endpoint', u.gateway.endpoint,
				'interface',
				u.interface, 'backend', u.backend)
		end
	end)
	each('wguplink_handshake_age_seconds', 'gauge', function(add, u)
		if u.gateway and u.gateway.handshake_uptime_ms then
			add(u.gateway.handshake_age, 'gateway', u.gateway.name)
		end
	end)
	each('wguplink_receive_bytes_total', 'counter', function(add, u)
		if u.gateway then
			add(u.gateway.rx_bytes, 'gateway', u.gateway.name)
		end
	end)
	each('wguplink_transmit_bytes_total', 'counter', function(add, u)
		if u.gateway then
			add(u.gateway.tx_bytes, 'gateway', u.gateway.name)
		end
	end)
	each('wguplink_gateway_changes_total', 'counter', function(add, u)
		add(u.switches)
	end)
	each('wguplink_mtu_bytes', 'gauge', function(add, u)
		add(u.mtu, 'device', 'wireguard')
		add(u.vxlan_mtu, 'device', 'vxlan')
	end)
	each('wguplink_batman_neighbours', 'gauge', function(add, u)
		if u.batman then
			add(#(u.batman.neighbours or {}))
		end
	end)
	each('wguplink_tunnel_handshake_age_seconds', 'gauge', function(add, u)
		for _, tunnel in ipairs(u.network and u.network.tunnels or {}) do
			if tunnel.handshake_uptime_ms then
				add(tunnel.handshake_age, 'gateway', tunnel.gateway, 'interface', tunnel.interface)
			end
		end
	end)
	each('wguplink_warnings', 'gauge', function(add, u)
		add(#(u.warnings or {}))
	end)
end

return { scrape = scrape }
