// Command release says what is in the programs of a release, for scripts/release and scripts/vulnerabilities.
package main

import (
	"flag"
	"fmt"
	"os"
	"time"

	"wguplink/testbed/release"
)

const usage = `usage:
  release bom -version V -commit C -epoch SECONDS PROGRAM...      a CycloneDX document on standard output
  release licences -vendor FOLDER -goroot FOLDER PROGRAM...       the licences of all that is linked
  release vulnerabilities -list FILE -root CHECKOUT [-v] PROGRAM...  fails when one has a known vulnerability that is not accepted
  release feed -dump FILE -trees FOLDER -arch PROCESSOR -router ARCH -epoch SECONDS -out FOLDER [-apk PROGRAM]
      packages for routers of the architecture ARCH, out of what they install, and their index: for opkg, or with -apk for apk
`

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "release:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	if len(args) == 0 {
		return fmt.Errorf("what?\n%s", usage)
	}
	f := flag.NewFlagSet("release", flag.ExitOnError)
	f.Usage = func() { fmt.Fprint(os.Stderr, usage) }
	version, commit := f.String("version", "", ""), f.String("commit", "", "")
	epoch := f.Int64("epoch", 0, "")
	vendor, goroot := f.String("vendor", "", ""), f.String("goroot", "", "")
	list, root := f.String("list", "", ""), f.String("root", ".", "")
	verbose := f.Bool("v", false, "")
	var fd feed
	f.StringVar(&fd.dump, "dump", "", "")
	f.StringVar(&fd.trees, "trees", "", "")
	f.StringVar(&fd.arch, "arch", "", "")
	f.StringVar(&fd.router, "router", "", "")
	f.StringVar(&fd.out, "out", "", "")
	f.StringVar(&fd.apk, "apk", "", "")
	f.Parse(args[1:])
	if args[0] == "feed" {
		fd.epoch = *epoch
		return fd.write()
	}
	programs, err := release.ReadAll(f.Args())
	if err != nil {
		return err
	}
	var out []byte
	switch args[0] {
	case "bom":
		out, err = release.BOM(programs, *version, *commit, time.Unix(*epoch, 0))
	case "licences":
		out, err = release.Licences(programs, *vendor, *goroot)
	case "vulnerabilities":
		return vulnerabilities(programs, *list, *root, *verbose)
	default:
		return fmt.Errorf("what is %q?\n%s", args[0], usage)
	}
	if err != nil {
		return err
	}
	_, err = os.Stdout.Write(out)
	return err
}

func vulnerabilities(programs []release.Program, path, root string, verbose bool) error {
	today := time.Now()
	l, err := release.ReadList(path, root, today)
	if err != nil {
		return err
	}
	failed, accepted := 0, 0
	for _, p := range programs {
		bad, good := l.Check(p, today)
		for _, line := range bad {
			fmt.Fprintln(os.Stderr, line)
		}
		if verbose {
			for _, line := range good {
				fmt.Println(line)
			}
		}
		failed, accepted = failed+len(bad), accepted+len(good)
	}
	if failed > 0 {
		return fmt.Errorf("%d known vulnerabilities are neither fixed nor accepted in %s", failed, path)
	}
	fmt.Printf(
		"vulnerabilities: %d programs; %d entries of the list (looked at %s) concern them, all accepted or "+
			"without effect\n",
		len(programs), accepted, l.Looked)
	return nil
}
