package dump

import (
	"math"
	"math/bits"
	"strconv"
)

// A real is written as the shortest decimal that parses back to it. SQLite's
// own parser is exact since 3.52; the ones before it err now and then:
//
//   - 3.44 to 3.46 on x86-64 multiply in 80-bit floats and read about 1 in
//     5,000 doubles wrongly, ordinary ones such as 13540.294578 among them;
//   - 3.44 to 3.46 elsewhere, and 3.47 to 3.51 everywhere, multiply in pairs
//     of doubles and read about 1 in 8 wrongly below 1e-80 and above 1e120,
//     and none between.
//
// So each literal is first read the way both would read it (real80, realPair).
// Where one errs the literal gets more digits, up to the 19 that they look
// at, and where none of those helps it becomes an integer multiplied or
// divided by powers of two, which is exact at every step.

// decimal is digits × 10^exp, digits without trailing zeros.
type decimal struct {
	digits uint64
	exp    int
}

const (
	plainMin = 1e-5 // from here …
	plainMax = 1e15 // … to below here a real is written without an exponent
)

// appendReal appends the literal of a real given as a decimal literal, Inf or
// -Inf. It tells whether lit was one.
func appendReal(dst, lit []byte) ([]byte, bool) {
	if out, ok := appendShortReal(dst, lit); ok {
		return out, true
	}
	if !realSyntax(lit) {
		switch string(lit) {
		case "Inf":
			return append(dst, "9e999"...), true
		case "-Inf":
			return append(dst, "-9e999"...), true
		}
		return dst, false
	}
	f, err := strconv.ParseFloat(string(lit), 64)
	if err != nil && !math.IsInf(f, 0) {
		return dst, false
	}
	return appendFloat(dst, f), true
}

// realSyntax tells whether lit is a decimal number: an optional minus, digits,
// perhaps a point and digits, perhaps an exponent.
func realSyntax(lit []byte) bool {
	i := 0
	if i < len(lit) && lit[i] == '-' {
		i++
	}
	digits := func() bool {
		from := i
		for i < len(lit) && lit[i]-'0' <= 9 {
			i++
		}
		return i > from
	}
	if !digits() {
		return false
	}
	if i < len(lit) && lit[i] == '.' {
		i++
		if !digits() {
			return false
		}
	}
	if i < len(lit) && lit[i]|0x20 == 'e' {
		i++
		if i < len(lit) && (lit[i] == '-' || lit[i] == '+') {
			i++
		}
		if !digits() {
			return false
		}
	}
	return i == len(lit)
}

// appendShortReal is the quick way for what is already as it should be: at
// most 15 digits with a point among them, which no two doubles share, so that
// it is the shortest.
func appendShortReal(dst, lit []byte) ([]byte, bool) {
	i, n := 0, len(lit)
	if n > 0 && lit[0] == '-' {
		i = 1
	}
	if n-i < 3 || n-i > 16 {
		return dst, false
	}
	point := -1
	var s uint64
	for j := i; j < n; j++ {
		switch c := lit[j]; {
		case c-'0' <= 9:
			s = s*10 + uint64(c-'0')
		case c == '.' && point < 0:
			point = j
		default:
			return dst, false
		}
	}
	switch {
	case point <= i || point == n-1: // 5 or .5 or 5.
		return dst, false
	case lit[i] == '0' && point != i+1: // 05.5
		return dst, false
	case s == 0: // 0.0, -0.000
		return append(dst, "0.0"...), true
	case lit[n-1] == '0' && point != n-2: // 5.50
		return dst, false
	case lit[i] == '0' && n-point > 6 && s < 1e9: // perhaps below plainMin
		return dst, false
	}
	d := decimal{s, point + 1 - n}
	for d.digits%10 == 0 {
		d.digits /= 10
		d.exp++
	}
	if d.exp >= 0 {
		return append(dst, lit...), true // an integer below 2^53: exact in every parser
	}
	if math.IsNaN(real80(d)) {
		return dst, false
	}
	want := float64(d.digits) / pow10[-d.exp] // both exact, so rounded once
	if real80(d) != want {
		return dst, false
	}
	return append(dst, lit...), true
}

// pow10 holds the powers of ten that are doubles exactly.
var pow10 = [...]float64{
	1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15,
}

// appendFloat appends the literal of a double. It has a point or an exponent
// always; NaN, which SQLite cannot hold, is written NULL.
func appendFloat(dst []byte, f float64) []byte {
	switch {
	case f == 0:
		return append(dst, "0.0"...) // SQL cannot tell -0.0 from it
	case math.IsNaN(f):
		return append(dst, "NULL"...)
	case math.IsInf(f, 1):
		return append(dst, "9e999"...)
	case math.IsInf(f, -1):
		return append(dst, "-9e999"...)
	}
	if f < 0 {
		dst = append(dst, '-')
		f = -f
	}
	var room [32]byte
	for _, prec := range [...]int{-1, 16, 17, 18} {
		text := strconv.AppendFloat(room[:0], f, 'e', prec, 64)
		d := parseE(text)
		if readsAs(d, f) {
			return appendDecimal(dst, d, f)
		}
	}
	return appendProduct(dst, f)
}

// parseE reads what strconv writes in the e form, of at most 19 digits.
func parseE(text []byte) decimal {
	var d decimal
	i := 0
	for ; text[i] != 'e'; i++ {
		if text[i] == '.' {
			continue
		}
		d.digits = d.digits*10 + uint64(text[i]-'0')
		if i > 0 {
			d.exp--
		}
	}
	neg := text[i+1] == '-'
	e := 0
	for i += 2; i < len(text); i++ {
		e = e*10 + int(text[i]-'0')
	}
	if neg {
		e = -e
	}
	d.exp += e
	for d.digits%10 == 0 {
		d.digits /= 10
		d.exp++
	}
	return d
}

// readsAs tells whether every parser reads d as f.
func readsAs(d decimal, f float64) bool {
	if d.exp >= 0 && d.exp < len(pow10) && f < 1<<53 {
		return true // an integer that needs no rounding
	}
	if real80(d) != f {
		return false
	}
	// Within this span pairs of doubles err by less than 2^-95, and no
	// decimal of 19 digits lies that near to the middle of two doubles.
	return d.exp >= -27 && d.exp <= 27 || realPair(d) == f
}

// appendDecimal writes d, which reads as f > 0.
func appendDecimal(dst []byte, d decimal, f float64) []byte {
	var room [20]byte
	digits := strconv.AppendUint(room[:0], d.digits, 10)
	point := len(digits) + d.exp // digits before the point
	switch {
	case f < plainMin || f >= plainMax:
		dst = append(dst, digits[0])
		if len(digits) > 1 {
			dst = append(dst, '.')
			dst = append(dst, digits[1:]...)
		}
		dst = append(dst, 'e')
		if point > 0 {
			dst = append(dst, '+')
		}
		return strconv.AppendInt(dst, int64(point-1), 10)
	case point <= 0:
		dst = append(dst, "0.00000"[:2-point]...)
		return append(dst, digits...)
	case d.exp >= 0:
		dst = append(dst, digits...)
		dst = append(dst, "000000000000000"[:d.exp]...)
		return append(dst, ".0"...)
	}
	dst = append(dst, digits[:point]...)
	dst = append(dst, '.')
	return append(dst, digits[point:]...)
}

// appendProduct writes f > 0 as an integer below 2^53 multiplied or divided by
// powers of two. Those up to 2^60 are read exactly by every parser, being
// integers below 2^63, and every step has the integer's bits, so none rounds.
func appendProduct(dst []byte, f float64) []byte {
	frac, exp := math.Frexp(f)
	m := uint64(math.Ldexp(frac, 53))
	exp -= 53
	shift := bits.TrailingZeros64(m)
	m >>= shift
	exp += shift
	op := byte('*')
	if exp < 0 {
		op, exp = '/', -exp
	}
	dst = append(dst, '(')
	dst = strconv.AppendUint(dst, m, 10)
	dst = append(dst, ".0"...)
	for ; exp > 0; exp -= 60 {
		dst = append(dst, op)
		dst = strconv.AppendUint(dst, 1<<min(exp, 60), 10)
		dst = append(dst, ".0"...)
	}
	return append(dst, ')')
}

// lessen does what SQLite's parsers do before they multiply: it brings the
// exponent nearer to 0 while the digits stay within 64 bits.
func lessen(d decimal) decimal {
	for d.exp > 0 && d.digits < math.MaxUint64/10-300 {
		d.digits *= 10
		d.exp--
	}
	return d
}

// float80 is mant × 2^exp with the top bit of mant set: x87's extended format.
type float80 struct {
	mant uint64
	exp  int
}

// The powers of ten by which real80 multiplies, rounded to 64 bits.
var (
	tenTo100      = float80{0x924d692ca61be758, 269}
	tenTo10       = float80{0x9502f90000000000, -30}
	tenTo1        = float80{0xa000000000000000, -60}
	tenToMinus100 = float80{0xdff9772470297ebd, -396}
	tenToMinus10  = float80{0xdbe6fecebdedd5bf, -97}
	tenToMinus1   = float80{0xcccccccccccccccd, -67}
)

func (a float80) times(b float80) float80 {
	hi, lo := bits.Mul64(a.mant, b.mant)
	exp := a.exp + b.exp + 64
	if hi>>63 == 0 {
		hi = hi<<1 | lo>>63
		lo <<= 1
		exp--
	}
	if lo > 1<<63 || lo == 1<<63 && hi&1 == 1 {
		hi++
		if hi == 0 {
			hi = 1 << 63
			exp++
		}
	}
	return float80{hi, exp}
}

// double rounds to the nearest double, ties to even; what lies above the
// largest double is infinite, however near.
func (a float80) double() float64 {
	top := a.exp + 64 // value < 2^top
	if top > 1024 || top == 1024 && a.mant > 0xfffffffffffff800 {
		return math.Inf(1)
	}
	drop := 11
	if top < -1021 {
		drop += -1021 - top // subnormal
	}
	if drop > 64 {
		return 0
	}
	var kept, half, rest uint64
	if drop == 64 {
		kept, half, rest = 0, a.mant>>63, a.mant<<1
	} else {
		kept, half, rest = a.mant>>drop, a.mant>>(drop-1)&1, a.mant<<(65-drop)
	}
	if half == 1 && (rest != 0 || kept&1 == 1) {
		kept++
	}
	return math.Ldexp(float64(kept), a.exp+drop)
}

// real80 reads d as SQLite 3.44 to 3.46 do with an 80-bit long double.
func real80(d decimal) float64 {
	d = lessen(d)
	if d.exp == 0 {
		return float64(d.digits)
	}
	shift := bits.LeadingZeros64(d.digits)
	r := float80{d.digits << shift, -shift}
	e, hundred, ten, one := d.exp, tenTo100, tenTo10, tenTo1
	if e < 0 {
		e, hundred, ten, one = -e, tenToMinus100, tenToMinus10, tenToMinus1
	}
	for ; e >= 100; e -= 100 {
		r = r.times(hundred)
	}
	for ; e >= 10; e -= 10 {
		r = r.times(ten)
	}
	for ; e >= 1; e-- {
		r = r.times(one)
	}
	return r.double()
}

// realPair reads d as SQLite 3.44 to 3.51 do with pairs of doubles (Dekker's
// method). It gives NaN where they overflow on the way.
func realPair(d decimal) float64 {
	d = lessen(d)
	r0 := float64(d.digits)
	if r0 > 18446744073709549568.0 {
		return math.NaN()
	}
	var r1 float64
	if back := uint64(r0); d.digits >= back {
		r1 = float64(d.digits - back)
	} else {
		r1 = -float64(back - d.digits)
	}
	e := d.exp
	for ; e >= 100; e -= 100 {
		r0, r1 = pairTimes(r0, r1, 1.0e+100, -1.5902891109759918046e+83)
	}
	for ; e >= 10; e -= 10 {
		r0, r1 = pairTimes(r0, r1, 1.0e+10, 0)
	}
	for ; e >= 1; e-- {
		r0, r1 = pairTimes(r0, r1, 1.0e+01, 0)
	}
	for ; e <= -100; e += 100 {
		r0, r1 = pairTimes(r0, r1, 1.0e-100, -1.99918998026028836196e-117)
	}
	for ; e <= -10; e += 10 {
		r0, r1 = pairTimes(r0, r1, 1.0e-10, -3.6432197315497741579e-27)
	}
	for ; e <= -1; e++ {
		r0, r1 = pairTimes(r0, r1, 1.0e-01, -5.5511151231257827021e-18)
	}
	return r0 + r1
}

// pairTimes multiplies two pairs. The conversions keep the compiler from
// fusing a product with the sum behind it.
func pairTimes(x0, x1, y, yy float64) (r0, r1 float64) {
	const head = 0xfffffffffc000000
	hx := math.Float64frombits(math.Float64bits(x0) & head)
	tx := x0 - hx
	hy := math.Float64frombits(math.Float64bits(y) & head)
	ty := y - hy
	p := float64(hx * hy)
	q := float64(float64(hx*ty) + float64(tx*hy))
	c := p + q
	cc := float64(p-c) + q + float64(tx*ty)
	cc = float64(x0*yy) + float64(x1*y) + cc
	r0 = c + cc
	r1 = float64(c-r0) + cc
	return r0, r1
}
