package 'gluon-web-mesh-vpn-wguplink'

entry({"admin", "mesh_vpn_wguplink"}, model("admin/mesh_vpn_wguplink"), _("Mesh VPN"), 50)
