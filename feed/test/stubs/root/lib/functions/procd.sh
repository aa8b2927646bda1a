# shellcheck shell=dash
# Writes the calls of procd.sh to /record: name and arguments, each argument in brackets.
_record() {
	printf '%s' "$1" >>/record
	shift
	for _arg; do printf ' [%s]' "$_arg" >>/record; done
	echo >>/record
}

for _name in open_service close_service open_instance close_instance set_param append_param add_jail add_jail_mount \
	add_reload_trigger add_interface_trigger add_raw_trigger kill; do
	eval "procd_$_name() { _record procd_$_name \"\$@\"; }"
done
