package fleet

import (
	"fmt"
	"html"
	"io"
	"strings"
	"time"
)

// Sizes of a drawing, in pixels.
const (
	panelWidth, panelHeight = 300, 160
	panelGap                = 60
	panelTop                = 56
	columns                 = 300 // of a curve at most
)

// Draw writes a result as SVG: requests a second, the part of the nodes that have a gateway, and the load of each
// gateway.
func (r *Result) Draw(w io.Writer) error {
	var b strings.Builder
	width, height := 3*panelWidth+4*panelGap, panelTop+panelHeight+44
	fmt.Fprintf(&b,
		`<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" font-family="sans-serif" font-size="11">`+"\n",
		width, height)
	fmt.Fprintf(&b, `<rect width="%d" height="%d" fill="#fff"/>`+"\n", width, height)
	fmt.Fprintf(&b, `<text x="%d" y="22" font-size="15">%s</text>`+"\n", panelGap, html.EscapeString(r.Title))
	r.drawRequests(&b, panelGap)
	r.drawWaits(&b, 2*panelGap+panelWidth)
	r.drawLoad(&b, 3*panelGap+2*panelWidth)
	b.WriteString("</svg>\n")
	_, err := io.WriteString(w, b.String())
	return err
}

// frame draws the axes of a panel with their ends written.
func frame(b *strings.Builder, x int, title, left, right, top string) {
	fmt.Fprintf(b, `<text x="%d" y="%d" fill="#444">%s</text>`+"\n", x, panelTop-10, html.EscapeString(title))
	fmt.Fprintf(b, `<path d="M%d %dv%dh%d" fill="none" stroke="#888"/>`+"\n", x, panelTop, panelHeight, panelWidth)
	text := func(x, y int, anchor, s string) {
		fmt.Fprintf(b, `<text x="%d" y="%d" text-anchor="%s" fill="#444">%s</text>`+"\n", x, y, anchor,
			html.EscapeString(s))
	}
	text(x-4, panelTop+8, "end", top)
	text(x-4, panelTop+panelHeight, "end", "0")
	text(x, panelTop+panelHeight+16, "start", left)
	text(x+panelWidth, panelTop+panelHeight+16, "end", right)
}

// line draws a curve of values from 0 to 1 on both axes.
func line(b *strings.Builder, x int, colour string, points [][2]float64) {
	b.WriteString(`<polyline fill="none" stroke="` + colour + `" points="`)
	for _, p := range points {
		fmt.Fprintf(b, "%.1f,%.1f ", float64(x)+p[0]*panelWidth, panelTop+(1-p[1])*panelHeight)
	}
	b.WriteString("\"/>\n")
}

func (r *Result) drawRequests(b *strings.Builder, x int) {
	peak := max(1, most(r.Requests))
	end := r.Begin + time.Duration(len(r.Requests))*time.Second
	frame(b, x, "requests to the broker each second (most in each column)", clockText(r.Begin),
		clockText(end), fmt.Sprint(peak))
	var points [][2]float64
	bin := max(1, len(r.Requests)/columns)
	for i := 0; i < len(r.Requests); i += bin {
		n := most(r.Requests[i:min(i+bin, len(r.Requests))])
		points = append(points, [2]float64{float64(i) / float64(len(r.Requests)), float64(n) / float64(peak)})
	}
	line(b, x, "#06c", points)
	if r.Begin < 0 {
		at := float64(x) + panelWidth*float64(-r.Begin)/float64(end-r.Begin)
		fmt.Fprintf(b, `<path d="M%.1f %dv%d" stroke="#c30" stroke-dasharray="3"/>`+"\n", at, panelTop, panelHeight)
	}
}

func (r *Result) drawWaits(b *strings.Builder, x int) {
	all := len(r.Waits) + r.Without
	longest := max(time.Second, r.P(100))
	title := fmt.Sprintf("nodes with a gateway: p50 %s, p95 %s, p99 %s", seconds(r.P(50)),
		seconds(r.P(95)), seconds(r.P(99)))
	frame(b, x, title, "0 s", seconds(longest), "100 %")
	points := [][2]float64{{0, 0}}
	for i := range columns + 1 {
		if len(r.Waits) == 0 {
			break
		}
		n := (len(r.Waits) - 1) * i / columns
		points = append(points, [2]float64{float64(r.Waits[n]) / float64(longest), float64(n+1) / float64(all)})
	}
	line(b, x, "#080", points)
}

func (r *Result) drawLoad(b *strings.Builder, x int) {
	peak := max(1, most(r.Load))
	frame(b, x, fmt.Sprintf("nodes at each gateway in the end (%.1f %% off at most)", r.Off), "", "", fmt.Sprint(peak))
	step := panelWidth / max(1, len(r.Load))
	for i, n := range r.Load {
		h := panelHeight * n / peak
		fmt.Fprintf(b, `<rect x="%d" y="%d" width="%d" height="%d" fill="#8ac"/>`+"\n", x+i*step+step/6,
			panelTop+panelHeight-h, step*2/3, h)
		fmt.Fprintf(b, `<text x="%d" y="%d" text-anchor="middle" fill="#444">gw%d: %d</text>`+"\n", x+i*step+step/2,
			panelTop+panelHeight+16, i+1, n)
	}
}

func seconds(d time.Duration) string { return fmt.Sprintf("%.1f s", d.Seconds()) }

// clockText is a moment on the axis.
func clockText(d time.Duration) string {
	switch {
	case d == 0:
		return "0"
	case d.Abs() >= 2*time.Hour:
		return fmt.Sprintf("%.0f h", d.Hours())
	}
	return fmt.Sprintf("%.0f min", d.Minutes())
}
