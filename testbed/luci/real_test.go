package luci

import (
	"context"
	"os"
	"path/filepath"

	"wguplink/agent/ubus"
	"wguplink/testbed/luci/rpcd"
)

// realLuCI serves LuCI's own resources instead of the stand-in's, and what they ask a router for before a view is
// shown. It is for a run by hand: go test ./luci -luci FOLDER, with a checkout of LuCI.
func (r *router) realLuCI(server *rpcd.Server) {
	r.site.Base = os.DirFS(filepath.Join(*real, "modules/luci-base/htdocs/luci-static/resources"))
	r.site.Theme = os.DirFS(filepath.Join(*real, "themes/luci-theme-bootstrap/htdocs/luci-static"))
	answer := func(all map[string]any) rpcd.Object {
		return func(_ context.Context, _ rpcd.Session, method string, _ map[string]any) (any, ubus.Status) {
			if a, ok := all[method]; ok {
				return a, ubus.StatusOK
			}
			return nil, ubus.StatusMethodNotFound
		}
	}
	none := map[string]any{}
	server.Objects = map[string]rpcd.Object{
		"session": answer(map[string]any{"access": map[string]any{"access": true}}),
		"luci": answer(map[string]any{"getFeatures": none, "getBuiltinEthernetPorts": none,
			"getSwconfigFeatures": none}),
		"uci": answer(map[string]any{"changes": map[string]any{"changes": none},
			"get": map[string]any{"values": none}}),
		"system": answer(map[string]any{"board": none, "info": none}),
	}
	base := rpcd.Access{}
	r.must(
		jsonTo(
			`{"base":{"description":"LuCI's own","read":{"ubus":{"luci":["*"],"system":["*"],"uci":["changes"],"luci-rpc":["*"],
		"network":["*"],"network.*":["*"]}}}}`, &base))
	server.Access["base"] = base["base"]
	for _, s := range server.Sessions {
		s["base"] = false
	}
}
