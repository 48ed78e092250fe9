package ui

import (
	"math"
	"strings"
)

// The box of a sparkline.
const (
	sparkWide = 96.0
	sparkHigh = 24.0
)

// spark draws values, evenly spaced, over zero; NaN is a gap. One that stands
// alone is a short dash.
func spark(values []float64) (d string) {
	most := 0.0
	for _, v := range values {
		if v > most { // false for NaN
			most = v
		}
	}
	var b strings.Builder
	step := 0.0
	if len(values) > 1 {
		step = (sparkWide - 4) / float64(len(values)-1)
	}
	known := func(i int) bool { return i >= 0 && i < len(values) && !math.IsNaN(values[i]) }
	for i, v := range values {
		if !known(i) {
			continue
		}
		x, y := 2+step*float64(i), sparkHigh-2.0
		if most > 0 {
			y -= (sparkHigh - 4) * v / most
		}
		if known(i - 1) {
			b.WriteString("L")
		} else {
			b.WriteString("M")
		}
		b.WriteString(decimal(x) + " " + decimal(y))
		if !known(i-1) && !known(i+1) {
			b.WriteString("h1.5")
		}
	}
	return b.String()
}

// SparkWords says what a sparkline shows.
func SparkWords(what string, values []float64, m Measure) string {
	first, last := math.NaN(), math.NaN()
	for _, v := range values {
		if math.IsNaN(v) {
			continue
		}
		if math.IsNaN(first) {
			first = v
		}
		last = v
	}
	switch {
	case math.IsNaN(last):
		return what + ": nothing is known."
	case first == last:
		return what + ": " + m.Word(last) + "."
	}
	return what + ": from " + m.Word(first) + " to " + m.Word(last) + "."
}
