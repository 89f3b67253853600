package web

import "hcbridge/internal/status"

// The chart is 720 units wide; half of its height is for each direction.
const (
	chartWidth = 720
	chartHalf  = 76
)

// chart is the activity of some time as bars, up for what came from Salesforce and
// down for what went there. Both directions have one scale.
type chart struct {
	Name, Title, Step string
	From              string // clock time of its left end
	In, Out, Failed   int64  // sums
	Max               int64  // the tallest bar
	Bars              []bar
}

type bar struct {
	In, Out, Failed                                           int64
	X, Width, InY, InHeight, OutHeight, FailedY, FailedHeight float64
}

// newChart makes a bar of every step minutes.
func newChart(name, title, stepName string, list []status.Minute, step int) chart {
	c := chart{Name: name, Title: title, Step: stepName, From: list[0].At.UTC().Format("15:04")}
	for i := 0; i < len(list); i += step {
		var b bar
		for _, m := range list[i:min(i+step, len(list))] {
			b.In += m.In
			b.Out += m.Out
			b.Failed += m.Failed
		}
		c.In += b.In
		c.Out += b.Out
		c.Failed += b.Failed
		c.Max = max(c.Max, b.In, b.Out+b.Failed)
		c.Bars = append(c.Bars, b)
	}
	scale := chartHalf / float64(max(c.Max, 1))
	each := chartWidth / float64(len(c.Bars))
	height := func(n int64) float64 { return max(float64(n)*scale, 1) } // what happened once is seen
	for i := range c.Bars {
		b := &c.Bars[i]
		b.X, b.Width = float64(i)*each, each-1
		b.InHeight = height(b.In)
		b.InY = 80 - b.InHeight
		if b.Out > 0 {
			b.OutHeight = height(b.Out)
		}
		b.FailedY, b.FailedHeight = 80+b.OutHeight, height(b.Failed)
	}
	return c
}
