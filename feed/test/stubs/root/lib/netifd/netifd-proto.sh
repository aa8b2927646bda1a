# shellcheck shell=dash
# Writes the calls of netifd-proto.sh to /record, and runs handlers as netifd does:
#	SCRIPT PROTO dump
#	SCRIPT PROTO setup|teardown INTERFACE JSON [DEVICE]
_record() {
	printf '%s' "$1" >>/record
	shift
	for _arg; do printf ' [%s]' "$_arg" >>/record; done
	echo >>/record
}

for _name in config_add_string config_add_boolean config_add_int init_update send_update set_available notify_error \
	block_restart run_command kill_command add_host_dependency; do
	eval "proto_$_name() { _record proto_$_name \"\$@\"; }"
done

json_get_vars() {
	for _name; do
		_value=$(printf '%s' "$_data" | sed -n "s/.*\"$_name\": *\"\([^\"]*\)\".*/\1/p")
		eval "$_name=\$_value"
	done
}

init_proto() {
	_proto=$1 _command=$2 _interface=${3:-} _data=${4:-} _device=${5:-}
}

add_protocol() {
	[ "$_proto" = "$1" ] || return 0
	case $_command in
	dump)
		no_device=0 available=0 no_proto_task=0 teardown_on_l3_link_down=0
		"proto_$1_init_config"
		_record "$1" "no_device=$no_device" "available=$available" "no_proto_task=$no_proto_task" \
			"teardown_on_l3_link_down=$teardown_on_l3_link_down"
		;;
	*) "proto_$1_$_command" "$_interface" "$_device" ;;
	esac
}
