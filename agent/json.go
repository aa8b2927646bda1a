package main

import (
	"errors"
	"fmt"
	"io"
	"path/filepath"

	"wguplink/agent/config"
	"wguplink/agent/json"
)

// printJSON writes what a command has to say for programs. It tells whether that went well.
func printJSON(v any, stdout, stderr io.Writer) bool {
	b, err := json.Indented(v)
	if err == nil {
		_, err = stdout.Write(append(b, '\n'))
	}
	if err != nil {
		fmt.Fprintln(stderr, "print as JSON:", err)
		return false
	}
	return true
}

// checkedConfig is what `config check --json` prints.
type checkedConfig struct {
	File     string    `json:"file"`
	Uplinks  []string  `json:"uplinks"` // by name; empty when the configuration has a problem
	Problems []problem `json:"problems"`
}

// problem is one of a configuration. All but Text may be missing.
type problem struct {
	Section string `json:"section,omitempty"`
	Option  string `json:"option,omitempty"`
	Value   string `json:"value,omitempty"`
	Reason  string `json:"reason,omitempty"`
	Allowed string `json:"allowed,omitempty"`
	Text    string `json:"text"` // all of it, as people read it
}

func checked(o options, cfg *config.Config, all []error) checkedConfig {
	c := checkedConfig{File: filepath.Join(o.config, config.Package), Uplinks: []string{}, Problems: []problem{}}
	for _, u := range cfg.Uplinks {
		c.Uplinks = append(c.Uplinks, u.Name)
	}
	for _, err := range all {
		var one config.Problem
		var several config.Problems
		switch {
		case errors.As(err, &several):
		case errors.As(err, &one):
			several = config.Problems{one}
		default:
			c.Problems = append(c.Problems, problem{Text: err.Error()})
		}
		for _, p := range several {
			c.Problems = append(c.Problems, problem{p.Section, p.Option, p.Value, p.Reason, p.Allowed, p.Error()})
		}
	}
	return c
}

// shownKey is one of those that `key show --json` prints.
type shownKey struct {
	Uplink    string `json:"uplink"`
	PublicKey string `json:"public_key,omitempty"`
	Problem   string `json:"problem,omitempty"` // why there is none
}
