package main

import (
	"context"
	"fmt"
	"math"
	"strings"
	"time"

	"wguplink/agent/ubus"
)

// call prints what a method answers as a value of Lua, as OpenWrt's module for Lua gives it: all numbers are floating
// point there.
func call(socket, object, method string) error {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	c, err := ubus.Dial(ctx, socket)
	if err != nil {
		return err
	}
	defer c.Close()
	answer, err := c.Call(ctx, object, method, nil)
	if err != nil {
		return err
	}
	fmt.Println("return", inLua(answer))
	return nil
}

func inLua(v any) string {
	var fields []string
	switch v := v.(type) {
	case ubus.Table:
		for _, f := range v {
			fields = append(fields, fmt.Sprintf("[%s] = %s", quoted(f.Name), inLua(f.Value)))
		}
	case ubus.Array:
		for _, e := range v {
			fields = append(fields, inLua(e))
		}
	case string:
		return quoted(v)
	case float64:
		if math.IsInf(v, 0) || math.IsNaN(v) {
			return "nil"
		}
		return fmt.Sprint(v)
	case nil:
		return "nil"
	default:
		return fmt.Sprint(v)
	}
	return "{" + strings.Join(fields, ", ") + "}"
}

// quoted gives a string of Lua 5.1, each byte of it by its number.
func quoted(s string) string {
	var b strings.Builder
	for _, c := range []byte(s) {
		fmt.Fprintf(&b, `\%03d`, c)
	}
	return `"` + b.String() + `"`
}
