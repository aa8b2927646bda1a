local pcdata = require('gluon.web.util').pcdata
local page = require 'gluon.mesh-vpn.wguplink_page'

local STATES = {
	starting = translate('starting'),
	connecting = translate('connecting'),
	connected = translate('connected'),
	suspect = translate('connected, but the gateway is silent'),
	impaired = translate('connected, but something keeps traffic from it'),
	stopped = translate('not running'),
}

local CAUSES = {
	key = translate('The private key cannot be used.'),
	no_wan = translate('There is no internet connection on the WAN port.'),
	clock = translate('The time is being asked for.'),
	device = translate('The tunnel cannot be set up on this node.'),
	broker_unreachable = translate('The server that hands out gateways does not answer.'),
	broker_refused = translate('The server that hands out gateways refuses this node.'),
	not_registered = translate('The key of this node is not registered yet.'),
	no_handshake = translate('No gateway answers.'),
	no_answer = translate('The gateway is reached, but nothing comes back through the tunnel.'),
	no_neighbour = translate('The tunnel works, but no neighbour is heard in the mesh behind it.'),
}

-- Texts of others, such as a broker's, come from far away.
local function line(title, value)
	if value == nil or value == '' then
		return ''
	end
	return '<b>' .. pcdata(title) .. ':</b> ' .. pcdata(value) .. '<br>'
end

local function report()
	local status, old = page.status()
	local text = ''
	if not status then
		text = translate('The mesh VPN does not run in setup mode, and there is no record of what it did before.')
		text = pcdata(text) .. '<br>'
	else
		if old then
			text = pcdata(translate('The mesh VPN does not run in setup mode. Before that it was so:')) .. '<br>'
		end
		local gateway = type(status.gateway) == 'table' and status.gateway.name or nil
		text = text .. line(translate('State'), STATES[status.state] or status.state)
			.. line(translate('Gateway'), gateway)
			.. line(translate('Reason'), status.cause and (CAUSES[status.cause] or status.cause))
			.. line(translate('Details'), status.reason)
	end
	return text .. line(translate('Public key'), page.public_key())
end

local f = Form(translate('Mesh VPN'))

f:section(Section, translate('Connection'), report())

if page.broker() then
	local s = f:section(Section, translate('Choice of the gateway'))

	local location = s:option(Value, 'location', translate('Preferred location'), pcdata(
		translate('The server then prefers gateways there. Leave it empty if you do not know the names of your community.')
	))
	location.optional = true
	location.default = page.location()

	function location:validate()
		if self.data == '' then
			self.data = nil
		end
		return self.data == nil or page.valid_location(self.data)
	end

	function location:write(data) -- luacheck: ignore 212/self
		page.set_location(data)
	end

	if page.may_choose() then
		local choice = s:option(Flag, 'loadbalancing', translate('Load balancing'),
			pcdata(translate('The server chooses a gateway that has room. Otherwise this node chooses one of a fixed list.')))
		choice.default = page.broker_chooses()

		function choice:write(data) -- luacheck: ignore 212/self
			page.set_broker_chooses(data)
		end
	end
else
	f.submit = false
	f.reset = false
end

return f
