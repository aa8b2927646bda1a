// Package uci reads and writes OpenWrt's configuration files as libuci and the uci command do, without either.
//
// A Tree is a folder of files, one per package (/etc/config), over which reading lays the changes that were staged with
// "uci set" and are not committed yet (/tmp/.uci). What libuci accepts is accepted, with the same result; what it
// refuses is refused with the same text, line and byte. Export and Show print what "uci export" and "uci show" print.
// The rules are those of openwrt/uci (file.c, delta.c, list.c, util.c, cli.c), checked against what it really does:
// testdata was recorded from it.
//
// # Some behaviour of libuci that surprises
//
//   - An option with an empty value is dropped when a file is read, and leaves an earlier value of that name as it is;
//     an empty item of a list is kept.
//   - Of "option a 1; option b 2" only the first is read, since the semicolon touches an unquoted word; with "option a
//     '1'; option b 2" or "option a 1 ; option b 2" both are.
//   - Two sections of the same name and type are one. "list" after "option" makes a list of both; "option" after "list"
//     replaces the list.
//   - Sections without a name get one for the time being: cfgXXYYYY, where XX counts sections (from 01) and YYYY is a
//     hash of the type. So the name moves to another section of that type when an unnamed one before it goes away.
//   - Comments do not survive a commit.
//   - A line of staged changes that makes no sense is passed over.
//
// # Changes
//
// Set, Del, AddSection and DelSection are kept in memory, visible through this Tree only, until Commit or Revert.
// Commit locks the file as "uci commit" does (flock; it waits for as long as another program holds the lock), reads it
// anew, applies our changes and no others, and replaces the file at one stroke: at every moment, power cuts included,
// there is either the old file or the new one, whole, with the same mode and owner. Where a process may not set the
// owner or group, the new file has its own, and then a group gets no more rights than all others have. Changes that
// others have staged stay staged; one of those may still hide a value that we have committed.
//
// # Not covered
//
//   - Staging: our changes are never written to the folder of staged changes, and there is no reverting, committing or
//     listing of other people's ("uci changes", "uci revert").
//   - Renaming and reordering, and adding or removing single list items, as operations of our own. All of them are
//     understood in what others have staged.
//   - Further folders of staged changes ("uci -p", "uci -P", /var/state), files outside of the folder ("uci show ./x"),
//     several packages in one file ("uci import": the package statement is checked, then ignored, as when libuci loads
//     a file), lenient parsing ("uci -S") and naming unnamed sections on export ("uci -n").
//   - Package names with a dot or a slash.
//   - Access control lists and extended attributes of a file: they are lost by a commit, as with "uci commit".
//   - Telling others of the commit (reload_config, ubus).
//
// One thing is done differently on purpose: libuci never quotes the type of a section, and so writes files that it
// cannot read back when a type contains a quote, a backslash, a semicolon or a hash sign. Here such a type is quoted.
package uci
