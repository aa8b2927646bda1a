builder Gluon
name gluon-web-mesh-vpn-wguplink VERSION BSD-2-Clause
maintainer The authors of wguplink
title gluon-web module for the mesh VPN over WireGuard, run by wguplink
depends +gluon-web-admin +gluon-mesh-vpn-wguplink +lua-jsonc
conflicts 
provides 
