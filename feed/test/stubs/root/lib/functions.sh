# shellcheck shell=dash
# The part of OpenWrt's functions.sh that our scripts use. What the real one keeps in variables is asked of uci each
# time.

config_load() { CONFIG_PACKAGE=$1 CONFIG_FOLDER=${UCI_CONFIG_DIR:-}; }

_uci() { uci -q ${CONFIG_FOLDER:+-c "$CONFIG_FOLDER"} "$@"; }

config_get() { # config_get VARIABLE SECTION OPTION [DEFAULT]
	case $3 in
	TYPE) eval "$1=\$(_uci get \"\$CONFIG_PACKAGE.\$2\")" ;;
	*) eval "$1=\$(_uci get \"\$CONFIG_PACKAGE.\$2.\$3\")" ;;
	esac
	eval "[ -n \"\$$1\" ] || $1=\${4:-}"
}

config_get_bool() {
	config_get "$@"
	eval "set -- \"$1\" \"\$$1\" \"\${4:-}\""
	case $2 in
	0 | off | false | no | disabled) eval "$1=0" ;;
	1 | on | true | yes | enabled) eval "$1=1" ;;
	*) eval "$1=\$3" ;;
	esac
}

config_foreach() { # config_foreach FUNCTION TYPE
	for _section in $(_uci show "$CONFIG_PACKAGE" | sed -n "s/^$CONFIG_PACKAGE\.\([^.=]*\)=$2\$/\1/p"); do
		"$1" "$_section"
	done
}

group_exists() { grep -qs "^$1:" /etc/group; }
