# shellcheck shell=sh
# What the checks share: sourced, in the root of the checkout. $work is a folder of the check's own.

# What the checkout was cloned from says nothing here.
export WGUPLINK_URL=

work=build/packages-test/$(basename "$0")
rm -rf "$work"
mkdir -p "$work"
work=$(cd "$work" && pwd)

# expect GOLDEN compares standard input with feed/test/golden/GOLDEN. With UPDATE=1 it is written instead: look at the
# difference before you commit it.
expect() {
	cat >"$work/actual"
	if [ "${UPDATE:-}" = 1 ]; then
		cp "$work/actual" "feed/test/golden/$1"
		return
	fi
	diff -u "feed/test/golden/$1" "$work/actual" || fail "not as in feed/test/golden/$1"
}

fail() {
	echo "$(basename "$0"): $*" >&2
	exit 1
}

# feed_make ARGUMENTS runs the Makefile of the package against our stand-in for OpenWrt's build system.
feed_make() {
	make -s -C feed/wguplink WGUPLINK_URL=https://example.org/wguplink TOPDIR="$PWD/feed/test/stubs/openwrt" BUILD_DIR="$work/build_dir" "$@"
}

# luci_make PACKAGE ARGUMENTS does the same for one of LuCI's packages.
luci_make() {
	package=$1
	shift
	make -s -C "feed/$package" WGUPLINK_URL=https://example.org/wguplink TOPDIR="$PWD/feed/test/stubs/openwrt" BUILD_DIR="$work/build_dir" "$@"
}

# The shells that our scripts are run by: busybox's as on a router, and dash, which knows even less.
# shellcheck disable=SC2034 # used where this is sourced
shells='dash busybox'

# new_root SHELL makes $root: the packages as they install, the program included, and around them as much of OpenWrt as
# our scripts need. feed/test/stubs/root says what of that writes to /record.
new_root() {
	root=$work/root
	rm -rf "$root"
	mkdir -p "$work/bin" "$root/bin" "$root/sbin" "$root/usr/bin" "$root/tmp/.uci" "$root/dev" "$root/sys/class/net" "$root/var/run"
	ln -sf "$PWD/build/default/wguplink-amd64" "$work/bin/agent"
	feed_make GO_PKG_BUILD_BIN_DIR="$work/bin" DESTDIR="$root" install-wguplink install-wguplink-wgpeerselector
	cp -R feed/test/stubs/root/. "$root/"
	for program in dash busybox; do
		cp "$(command -v "$program")" "$root/bin/"
		for library in $(ldd "$root/bin/$program" | grep -o '/[^ ]*'); do
			mkdir -p "$root$(dirname "$library")"
			cp "$library" "$root$library"
		done
	done
	for applet in basename cat grep printf sed; do ln -s busybox "$root/bin/$applet"; done
	if [ "$1" = dash ]; then ln -s dash "$root/bin/sh"; else ln -s busybox "$root/bin/sh"; fi
	[ -x build/packages-test/uci ] || (cd testbed && CGO_ENABLED=0 go build -o ../build/packages-test/uci ./cmd/uci)
	cp build/packages-test/uci "$root/sbin/uci"
	: >"$root/dev/null"
	echo 'root:x:0:' >"$root/etc/group"
}

# in_root COMMAND... runs a command there, like a router's, with what was set in the environment by hand alone.
in_root() {
	env -i PATH=/usr/bin:/sbin:/bin ${ACTION:+"ACTION=$ACTION"} ${INTERFACE:+"INTERFACE=$INTERFACE"} \
		${ERROR:+"ERROR=$ERROR"} ${PKG_UPGRADE:+"PKG_UPGRADE=$PKG_UPGRADE"} chroot "$root" "$@"
}

# recorded GOLDEN compares what was recorded since the last time.
recorded() {
	touch "$root/record"
	expect "$1" <"$root/record"
	rm "$root/record"
}
