builder Gluon
name gluon-mesh-vpn-wguplink VERSION BSD-2-Clause
maintainer The authors of wguplink
title Mesh VPN over WireGuard, run by wguplink
depends +gluon-core +gluon-mesh-vpn-core +wguplink +libubus +libubox +libuci +libjson-c
conflicts gluon-mesh-vpn-wireguard ffmuc-mesh-vpn-wireguard-vxlan ffac-wg-registration
provides 
