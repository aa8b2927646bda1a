builder Gluon
name gluon-mesh-vpn-parker-wguplink VERSION BSD-2-Clause
maintainer The authors of wguplink
title Parker node, run by wguplink
depends +gluon-mesh-vpn-wguplink +gluon-radv-filterd +gluon-ebtables-filter-ra-dhcp +jsonfilter +micrond +uradvd +PACKAGE_ffmuc-ebpf-clat:wireguard-tools
conflicts ffbs-mesh-vpn-parker ffbs-parker-nextnode ffbs-parker-respondd
provides ffbs-parker-nodeconfig ffbs-parker-nextnode ffbs-parker-respondd
