package ui

import (
	"math"
	"strconv"
	"strings"
	"time"
)

// Measure is what the values of a chart are: it decides about steps and words.
type Measure int

// The measures. A value is a number of bytes, of rows, or of milliseconds.
const (
	InBytes Measure = iota
	InRows
	InMillis
)

// Word words a value for people.
func (m Measure) Word(v float64) string {
	switch m {
	case InBytes:
		return Bytes(int64(v))
	case InMillis:
		return Took(time.Duration(v * float64(time.Millisecond)))
	}
	return Count(int64(v))
}

// tick words a round value for an axis: 128 KiB, 2k, 15 min.
func (m Measure) tick(v float64) string {
	short := func(base float64, units []string) string {
		i := 0
		for v >= base && i < len(units)-1 {
			v, i = v/base, i+1
		}
		return strings.TrimSpace(strconv.FormatFloat(v, 'f', -1, 64) + units[i])
	}
	switch {
	case m == InBytes:
		return short(1024, []string{" B", " KiB", " MiB", " GiB", " TiB", " PiB"})
	case m == InRows:
		return short(1000, []string{"", "k", "M", "G", "T"})
	case v < 1000:
		return short(1000, []string{" ms"})
	case v < 60_000:
		v /= 1000
		return short(1000, []string{" s"})
	}
	v /= 60_000
	return short(60, []string{" min", " h"})
}

// step gives the smallest round number that is at least v.
func (m Measure) step(v float64) float64 {
	switch m {
	case InBytes:
		return math.Exp2(math.Ceil(math.Log2(max(v, 1))))
	case InMillis:
		for _, s := range []float64{1, 2, 5, 10, 20, 50, 100, 200, 500, 1e3, 2e3, 5e3, 10e3, 15e3, 30e3, 60e3, 120e3, 300e3, 600e3, 900e3, 1800e3} {
			if s >= v {
				return s
			}
		}
		return 3600e3 * InRows.step(v/3600e3)
	}
	power := math.Pow(10, math.Floor(math.Log10(max(v, 1))))
	for _, s := range []float64{1, 2, 5} {
		if s*power >= v {
			return s * power
		}
	}
	return 10 * power
}

// scale turns values into heights.
type scale struct {
	low, high float64
	log       bool
	ticks     []float64 // rising, low and high among them
}

// ratio is from where on the largest of the values is so far from the smallest
// that only a logarithmic scale shows both.
const ratio = 1000

// newScale gives the scale for values that lie between least (the smallest one
// above zero) and most.
func (m Measure) newScale(least, most float64) scale {
	if least > 0 && most/least >= ratio {
		return m.logScale(least, most)
	}
	most = max(most, 1)
	step := m.step(most / 3)
	s := scale{high: step * math.Ceil(most/step)}
	for v := 0.0; v <= s.high; v += step {
		s.ticks = append(s.ticks, v)
	}
	return s
}

func (m Measure) logScale(least, most float64) scale {
	base := map[Measure]float64{InBytes: 1024, InRows: 10, InMillis: 10}[m]
	low := math.Pow(base, math.Floor(math.Log(least)/math.Log(base)+1e-9))
	decades := math.Ceil(math.Log(most/low)/math.Log(base) - 1e-9)
	every := math.Ceil(decades / 4)
	s := scale{low: low, log: true}
	for i := 0.0; ; i += every {
		v := low * math.Pow(base, i)
		s.ticks = append(s.ticks, v)
		if i >= decades {
			s.high = v
			return s
		}
	}
}

// share gives how high a value stands: 0 at the bottom, 1 at the top.
func (s scale) share(v float64) float64 {
	if !s.log {
		return min(1, max(0, v/s.high))
	}
	if v <= s.low {
		return 0 // zeros too, which a logarithm does not know
	}
	return min(1, math.Log(v/s.low)/math.Log(s.high/s.low))
}

// dateTick is a moment that an axis names.
type dateTick struct {
	at    time.Time
	label string
}

// dateTicks names at most five round moments between two.
func dateTicks(from, to time.Time) []dateTick {
	span := to.Sub(from)
	if span <= 0 {
		return []dateTick{{from, from.UTC().Format("2 Jan")}}
	}
	const day = 24 * time.Hour
	start := from.UTC()
	for _, step := range []time.Duration{time.Hour, 3 * time.Hour, 6 * time.Hour, 12 * time.Hour} {
		if span/step < 5 {
			return evenTicks(start.Truncate(step), from, to, "15:04", func(t time.Time) time.Time { return t.Add(step) })
		}
	}
	midnight := start.Truncate(day)
	for _, n := range []int{1, 2, 7, 14} {
		if span/(time.Duration(n)*day) < 5 {
			return evenTicks(midnight, from, to, "2 Jan", func(t time.Time) time.Time { return t.AddDate(0, 0, n) })
		}
	}
	for _, n := range []int{1, 2, 3, 6} {
		first := time.Date(start.Year(), start.Month()-(start.Month()-1)%time.Month(n), 1, 0, 0, 0, 0, time.UTC)
		if span/(time.Duration(n)*30*day) < 4 {
			return evenTicks(first, from, to, "Jan 2006", func(t time.Time) time.Time { return t.AddDate(0, n, 0) })
		}
	}
	years := 1 + int(span/(5*365*day))
	return evenTicks(time.Date(start.Year(), 1, 1, 0, 0, 0, 0, time.UTC), from, to, "2006", func(t time.Time) time.Time { return t.AddDate(years, 0, 0) })
}

func evenTicks(at, from, to time.Time, format string, next func(time.Time) time.Time) []dateTick {
	var out []dateTick
	for ; !at.After(to); at = next(at) {
		if !at.Before(from) {
			out = append(out, dateTick{at, at.Format(format)})
		}
	}
	return out
}

// decimal writes a coordinate, to a tenth.
func decimal(v float64) string {
	return strconv.FormatFloat(math.Round(v*10)/10, 'f', -1, 64)
}

// percent writes a coordinate as a share of the width, to a hundredth.
func percent(share float64) string {
	return strconv.FormatFloat(math.Round(share*1e4)/100, 'f', -1, 64) + "%"
}
