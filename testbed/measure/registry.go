package measure

import "time"

// minute bounds what takes some seconds.
const minute = time.Minute

// scenarios in the order of the report.
var scenarios = []group{
	{name: "start-all-alive", parts: []part{{
		lasts: 3 * time.Second, limit: minute,
		metrics: []Metric{startAlive, startKnown}, run: startAllAlive,
	}}},
	{name: "start-3-of-4-dead", parts: []part{{
		lasts: 4 * time.Second, limit: minute,
		metrics: []Metric{startDead}, run: startMostDead,
	}}},
	{name: "kill-gateway", parts: []part{{
		lasts: 13 * time.Second, limit: minute,
		metrics: []Metric{killed}, run: killGateway,
	}}},
	{name: "blackhole-gateway", parts: []part{{
		lasts: 13 * time.Second, limit: minute,
		metrics: []Metric{blackholed}, run: blackholeGateway,
	}}},
	{name: "glue-gateway", parts: []part{{
		lasts: 40 * time.Second, limit: 3 * minute,
		metrics: []Metric{glueStart, glueFailover, glueSwitches}, run: glueGateway,
	}}},
	{name: "gateway-loses-key", parts: []part{
		{name: "one gateway", lasts: 13 * time.Second, limit: minute,
			metrics: []Metric{keyLost}, run: gatewayLosesKey},
		{name: "all gateways", lasts: 50 * time.Second, limit: 3 * minute,
			metrics: []Metric{keysLost}, run: allLoseKey},
	}},
	{name: "gateway-reboot", parts: []part{{
		lasts: 13 * time.Second, limit: minute,
		metrics: []Metric{rebooted}, run: gatewayReboot,
	}}},
	{name: "wan-down-60s", most: 3, parts: []part{
		{name: "no route", lasts: 130 * time.Second, limit: 5 * minute,
			metrics: []Metric{routeBack, routeSwitches}, run: wanRouteGone},
		{name: "silent", lasts: 130 * time.Second, limit: 5 * minute,
			metrics: []Metric{lineBack, lineSwitches}, run: wanSilent},
	}},
	{name: "wan-address-change", parts: []part{{
		lasts: 15 * time.Second, limit: minute,
		metrics: []Metric{readdressed, readdressSwitches}, run: wanAddressChange,
	}}},
	{name: "nat-mapping-lost", parts: []part{
		{name: "lost", lasts: 8 * time.Second, limit: minute, metrics: []Metric{mappingLost}, run: natMappingLost},
		{name: "stuck", lasts: 50 * time.Second, limit: 4 * minute,
			metrics: []Metric{mappingStuck}, run: natMappingStuck},
	}},
	{name: "ipv6-route-dead", parts: []part{
		{name: "at start", lasts: 4 * time.Second, limit: minute,
			metrics: []Metric{startNoIPv6}, run: ipv6DeadAtStart},
		{name: "connected", lasts: 13 * time.Second, limit: minute, metrics: []Metric{ipv6Lost}, run: ipv6Dies},
	}},
	{name: "busy-lossy-line", most: 1, parts: []part{
		{name: "both directions", lasts: lossyTime + 20*time.Second, limit: lossyTime + 3*minute,
			metrics: []Metric{lossySwitches}, run: busyLossyLine},
		{name: "upload", lasts: lossyTime + 20*time.Second, limit: lossyTime + 3*minute,
			metrics: []Metric{uploadSwitches}, run: busyLossyUpload},
	}},
	{name: "jittery-line", most: 2, parts: []part{
		{name: "busy", lasts: jitterTime + 20*time.Second, limit: jitterTime + 2*minute,
			metrics: []Metric{jitterSwitches}, run: jitteryBusy},
		{name: "idle", lasts: jitterTime + 20*time.Second, limit: jitterTime + 2*minute,
			metrics: []Metric{jitterIdleSwitches}, run: jitteryIdle},
	}},
	{name: "clock-jump", most: 3, parts: []part{
		{name: "+1 h", lasts: jumpTime + rest, limit: jumpTime + minute,
			metrics: []Metric{jumpForward, jumpForwardSwitches}, run: clockForward},
		{name: "-1 h", lasts: jumpTime + rest, limit: jumpTime + minute,
			metrics: []Metric{jumpBack, jumpBackSwitches}, run: clockBack},
		{name: "1970", lasts: jumpTime + rest, limit: jumpTime + minute,
			metrics: []Metric{jump1970, jump1970Switches}, run: clock1970},
	}},
	{name: "link-deleted", parts: []part{{
		lasts: 10 * time.Second, limit: minute,
		metrics: []Metric{vxlanDeleted, wireguardDeleted}, run: linkDeleted,
	}}},
	{name: "broker-down", parts: []part{
		{name: "refuses", lasts: 15 * time.Second, limit: minute,
			metrics: []Metric{startRefused, killedRefused}, run: brokerRefuses},
		{name: "hangs", lasts: 17 * time.Second, limit: minute,
			metrics: []Metric{startHanging, killedHanging}, run: brokerHangs},
	}},
	{name: "planned-switch", parts: []part{{
		lasts: 9 * time.Second, limit: minute,
		metrics: []Metric{framesLost}, run: plannedSwitch,
	}}},
	{name: "kill-only-gateway", parts: []part{{
		lasts: 25 * time.Second, limit: 2 * minute,
		metrics: []Metric{onlyKilled}, run: killOnlyGateway,
	}}},
	{name: "30-failovers", most: 1, parts: []part{{
		lasts: failovers * 10 * time.Second, limit: failovers * 20 * time.Second,
		metrics: []Metric{slowest, grown}, run: manyFailovers,
	}}},
	{name: "parker-first", parts: []part{{
		lasts: 6 * time.Second, limit: minute,
		metrics: []Metric{parkerFirst4, parkerFirst6, parkerStrange}, run: parkerFirst,
	}}},
	{name: "parker-change", parts: []part{
		{name: "added", lasts: 12 * time.Second, limit: minute, metrics: []Metric{parkerAdded}, run: parkerAdd},
		{name: "removed", lasts: 12 * time.Second, limit: minute, metrics: []Metric{parkerRemoved}, run: parkerRemove},
		{name: "re-keyed", lasts: 15 * time.Second, limit: minute, metrics: []Metric{parkerReKeyed}, run: parkerReKey},
		{name: "moved", lasts: 15 * time.Second, limit: minute, metrics: []Metric{parkerMoved}, run: parkerMove},
		{name: "dead", lasts: 15 * time.Second, limit: minute, metrics: []Metric{parkerDead4, parkerDead6},
			run: parkerDeath},
	}},
	{name: "parker-all-down", most: 3, parts: []part{{
		lasts: 230 * time.Second, limit: 6 * minute,
		metrics: []Metric{parkerAsked, parkerRouteless, parkerBack}, run: parkerAllDown,
	}}},
	{name: "parker-forged", parts: []part{
		{name: "connected", lasts: 12 * time.Second, limit: minute, metrics: []Metric{parkerForgedLost},
			run: parkerForged},
		{name: "at start", lasts: 6 * time.Second, limit: minute, metrics: []Metric{parkerForgedStart},
			run: parkerForgedFirst},
	}},
	{name: "parker-clock-1970", parts: []part{{
		lasts: 6 * time.Second, limit: minute,
		metrics: []Metric{parkerClock}, run: parkerClock1970,
	}}},
	{name: "parker-etcd-restart", parts: []part{
		{name: "connected", lasts: 14 * time.Second, limit: minute, metrics: []Metric{parkerEtcdLost, parkerEtcdFetch},
			run: parkerEtcd},
		{name: "at start", lasts: 25 * time.Second, limit: 2 * minute, metrics: []Metric{parkerEtcdStart},
			run: parkerEtcdFirst},
	}},
	{name: "parker-200-nodes", parts: []part{{
		lasts: 15 * time.Second, limit: 2 * minute,
		metrics: []Metric{parkerCrowd, parkerCrowdTime}, run: parker200,
	}}},
	{name: "parker-limit", most: 3, parts: []part{{
		lasts: 25 * time.Second, limit: 2 * minute,
		metrics: []Metric{parkerLimit}, run: parkerLimited,
	}}},
	{name: "at-rest", most: 3, parts: []part{
		{name: "idle", lasts: restTime + settle + rest, limit: 4 * minute,
			metrics: []Metric{idlePackets, idleProbes, idleWakeups, idleCPU}, run: restIdle},
		{name: "busy", lasts: restTime + settle + rest, limit: 4 * minute,
			metrics: []Metric{busyProbes, busyWakeups}, run: restBusy},
	}},
}
