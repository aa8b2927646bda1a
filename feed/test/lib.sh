# shellcheck shell=sh
# What the checks share: sourced, in the root of the checkout. $work is a folder of the check's own.

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
	make -s -C feed/wguplink TOPDIR="$PWD/feed/test/stubs/build" BUILD_DIR="$work/build_dir" "$@"
}
