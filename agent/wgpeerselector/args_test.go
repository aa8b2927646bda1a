package wgpeerselector

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// defaults are the arguments of "-i wg_mesh".
func defaults() Args {
	return Args{Interface: "wg_mesh", Config: "/etc/config", Staged: "/tmp/.uci", Run: "/var/run/wguplink"}
}

func TestParseArgs(t *testing.T) {
	for _, tt := range []struct {
		args string
		want func(*Args)
	}{
		{"-i wg_mesh", func(*Args) {}},
		{"-iwg_mesh", func(*Args) {}},
		{"-i=wg_mesh", func(*Args) {}},
		{"--interface wg_mesh", func(*Args) {}},
		{"--interface=wg_mesh", func(*Args) {}},
		{"-i wg0 -i wg_mesh", func(*Args) {}},
		{"-i wg-mesh.1=2", func(a *Args) { a.Interface = "wg-mesh.1=2" }},
		{"-i abcdefghijklmno", func(a *Args) { a.Interface = "abcdefghijklmno" }},
		// What netifd's proto runs.
		{"-i wg_mesh --group gluon-mesh-vpn", func(a *Args) { a.Group = "gluon-mesh-vpn" }},
		{"--group=800 -i wg_mesh", func(a *Args) { a.Group = "800" }},
		{"--pid-file /run/x.pid -i wg_mesh", func(a *Args) { a.PIDFile = "/run/x.pid" }},
		{"-p /run/x.pid -i wg_mesh", func(a *Args) { a.PIDFile = "/run/x.pid" }},
		{"-v -i wg_mesh", func(a *Args) { a.Verbose = true }},
		{"-vi wg_mesh", func(a *Args) { a.Verbose = true }},
		{"-vvp/run/x.pid -iwg_mesh --verbose", func(a *Args) { a.Verbose, a.PIDFile = true, "/run/x.pid" }},
		{"-i wg_mesh --config /c --staged=/s --run /r --ubus=/u",
			func(a *Args) { a.Config, a.Staged, a.Run, a.Ubus = "/c", "/s", "/r", "/u" }},
		{"-h", func(a *Args) { a.Interface, a.Help = "", true }},
		{"--help --nonsense", func(a *Args) { a.Interface, a.Help = "", true }},
		{"-vh", func(a *Args) { a.Interface, a.Verbose, a.Help = "", true, true }},
		{"--version", func(a *Args) { a.Interface, a.Version = "", true }},
		{"-i wg_mesh --version", func(a *Args) { a.Version = true }},
	} {
		want := defaults()
		tt.want(&want)
		got, err := ParseArgs(strings.Fields(tt.args))
		if err != nil {
			t.Errorf("%s: %v", tt.args, err)
		} else if d := cmp.Diff(want, got); d != "" {
			t.Errorf("%s (-want +got):\n%s", tt.args, d)
		}
	}
}

func TestParseArgsRefuses(t *testing.T) {
	for _, tt := range []struct {
		args []string
		want string
	}{
		{nil, "--interface is missing"},
		{[]string{"-v"}, "--interface is missing"},
		{[]string{"-i"}, "option -i needs a value"},
		{[]string{"-i", ""}, "option -i needs a value"},
		{[]string{"-i="}, "option -i needs a value"},
		{[]string{"--interface="}, "option --interface needs a value"},
		{[]string{"-i", "-v"}, "option -i needs a value"},
		{[]string{"-i", "--group"}, "option -i needs a value"},
		{[]string{"-i", "wg0", "--group"}, "option --group needs a value"},
		{[]string{"-i", "wg0", "--pid-file", "-v"}, "option --pid-file needs a value"},
		{[]string{"-i", "wg0", "-p", "a\x00b"}, "contains a NUL"},
		{[]string{"-i", "abcdefghijklmnop"}, `"abcdefghijklmnop" cannot be an interface; allowed: 1 to 15`},
		{[]string{"-i", "wg mesh"}, `"wg mesh" cannot be an interface`},
		{[]string{"-i", "../x"}, `"../x" cannot be an interface`},
		{[]string{"-i", ".."}, `".." cannot be an interface`},
		{[]string{"-i", "wg%d"}, `"wg%d" cannot be an interface`},
		{[]string{"-i", "wg0", "wg1"}, `unexpected argument "wg1"`},
		{[]string{"wg0"}, `unexpected argument "wg0"`},
		{[]string{"-i", "wg0", "-"}, `unexpected argument "-"`},
		{[]string{"-i", "wg0", "--"}, `no option "--"`},
		{[]string{"-i", "wg0", "-x"}, `no option "-x"`},
		{[]string{"-i", "wg0", "-vx"}, `no option "-x"`},
		{[]string{"-i", "wg0", "--nonsense=1"}, `no option "--nonsense"`},
		{[]string{"-i", "wg0", "---verbose"}, `no option "---verbose"`},
		{[]string{"-i", "wg0", "--verbose=yes"}, `option --verbose takes no value, but has "yes"`},
		{[]string{"--nonsense", "--help"}, `no option "--nonsense"`},
	} {
		got, err := ParseArgs(tt.args)
		if err == nil || !strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%q: %v, want one line with %q", tt.args, err, tt.want)
		}
		if got != (Args{}) {
			t.Errorf("%q: %+v beside an error", tt.args, got)
		}
	}
}

// TestUsage compares the help text with what ParseArgs takes.
func TestUsage(t *testing.T) {
	for _, name := range []string{"interface IF", "group GROUP", "pid-file FILE", "verbose", "version", "help",
		"config DIR", "staged DIR", "run DIR", "ubus PATH"} {
		if !strings.Contains(Usage, "--"+name+" ") {
			t.Errorf("--%s is not in the help text", name)
		}
		flag, value, _ := strings.Cut("--"+name, " ")
		args := []string{"-i", "wg0", flag}
		if value != "" {
			args = append(args, value)
		}
		if _, err := ParseArgs(args); err != nil {
			t.Errorf("%q: %v", args, err)
		}
	}
}

func FuzzParseArgs(f *testing.F) {
	for _, s := range []string{"", "-i wg_mesh", "-vvp/run/x -iwg0 --group=g", "--interface= -h",
		"-i\x00", "--=", "-= -"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, line string) {
		a, err := ParseArgs(strings.Split(line, " "))
		switch {
		case err != nil:
			if a != (Args{}) {
				t.Errorf("%q: %+v beside an error", line, a)
			}
		case a.Help || a.Version:
		case a.Interface == "" || len(a.Interface) > 15 || strings.ContainsAny(a.Interface, "/ \x00"):
			t.Errorf("%q: interface %q", line, a.Interface)
		case a.Config == "" || a.Staged == "" || a.Run == "":
			t.Errorf("%q: %+v", line, a)
		}
	})
}
