//go:build nobroker

package main

import "fmt"

// manual is not in the smallest variant.
func manual(string) (text string, examples [][2]string) {
	return "This small variant has no more to say; docs/wguplink.8 has.", nil
}

// absent is what is for people at a keyboard, and left out of the smallest variant.
func absent(c call, what string) int {
	return c.fail(
		fmt.Errorf("wguplink %s is not in the variant nobroker, which is kept small for routers with little flash; "+
			"the variants default and userspace have it", what))
}

func netcheck(c call) int { return absent(c, "netcheck") }

func report(c call) int { return absent(c, "bugreport") }

func watchStatus(c call) int { return absent(c, "status --watch") }
