builder Gluon
name gluon-mesh-vpn-parker-wguplink VERSION BSD-2-Clause
title Parker node, run by wguplink
depends +gluon-mesh-vpn-wguplink +gluon-radv-filterd +gluon-ebtables-filter-ra-dhcp +jsonfilter
conflicts ffbs-mesh-vpn-parker
provides ffbs-parker-nodeconfig
