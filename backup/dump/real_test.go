package dump

import (
	"database/sql"
	"math"
	"math/big"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"testing"

	_ "modernc.org/sqlite"
)

// Literals that a real SQLite read as another double: misread80 by 3.44.0,
// 3.45.1 and 3.46.1 on x86-64, misreadPair by every version from 3.45 to 3.51
// tried without 80-bit floats.
var misread80 = []string{
	"1.003806508677138e-35", "1143847.304990081", "1570237.741635749", "2176071.580291569", "491495.5291923318",
	"7.239796800978682e+115", "0.03591723626145105", "1.259718453306361e+69", "1.552645530756127e-172",
	"19251.100504", "2.041578698426286e+232", "2.509463130639231e+289", "2.718637590534396e+297",
	"27886.185743", "3.052144630831335e+73", "3.582160830982871e-72", "3.886566137601218e-145", "36840.612932",
	"4.083121035076542e-139", "4.326652693088737e+283", "4.599315801290289e-222", "4.6955723243877e-307",
	"41764.925432", "5.023354669247447e+298", "5.372654157994215e+277", "5.63859299540741e-242",
	"5.823217186255235e+230", "59907.875763", "6.599720096371347e-49", "65697.652016", "7.176572754058048e-22",
	"7.42475314677371e+240",
}

var misreadPair = []string{
	"1.00217352053539e-204", "1.4972931719399981e-270", "2.0049659362859785e+220", "2.7122635006043496e-221",
	"4.075575197913149e-125", "5.945478477014677e-307", "8.52331553490571e-216", "1.1129637847944737e-308",
	"1.2855276328450415e-308", "1.451370135694875e-178", "1.6102871923992833e-232", "1.7488588104865586e+179",
	"1.9270678440938713e-308", "2.1021157891233941e-94", "2.246679273376157e+122", "2.5977439122646727e-247",
	"2.987780173725446e-262", "3.409145477321234e-291", "3.822530894247987e-236", "4.171538976685886e+131",
	"4.424364413729009e-308", "4.83698950637557e-259", "5.390470200051125e-297", "5.883087528284953e-183",
	"6.3498745362199145e-195", "6.829565556424827e-207", "7.248505149164825e+262", "7.638374679475026e-229",
	"8.052773451324058e-110", "8.378013736995151e-209", "8.699232762122382e+210", "9.034185780149542e+148",
	"9.75889389038865e-310",
}

func TestPowersOfTen(t *testing.T) {
	t.Parallel()
	for text, have := range map[string]float80{
		"1e100": tenTo100, "1e10": tenTo10, "1e1": tenTo1, "1e-100": tenToMinus100, "1e-10": tenToMinus10, "1e-1": tenToMinus1,
	} {
		f, _, err := big.ParseFloat(text, 10, 64, big.ToNearestEven)
		if err != nil {
			t.Fatal(err)
		}
		mant := new(big.Float)
		exp := f.MantExp(mant)
		bits, _ := mant.SetMantExp(mant, 64).Uint64()
		if bits != have.mant || exp-64 != have.exp {
			t.Errorf("%s is %#x × 2^%d, not %#x × 2^%d", text, bits, exp-64, have.mant, have.exp)
		}
	}
}

// The emulations know the literals that the real parsers got wrong.
func TestMisread(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		literals []string
		read     func(decimal) float64
	}{"80-bit": {misread80, real80}, "pair": {misreadPair, realPair}} {
		for _, lit := range test.literals {
			f, err := strconv.ParseFloat(lit, 64)
			if err != nil {
				t.Fatal(err)
			}
			if got := test.read(parseE(strconv.AppendFloat(nil, f, 'e', -1, 64))); got == f {
				t.Errorf("%s: %s is taken as read right", name, lit)
			}
			if out, ok := appendReal(nil, []byte(lit)); !ok || string(out) == lit {
				t.Errorf("%s: %s is written as it is", name, lit)
			}
		}
	}
}

// doubles gives doubles of all magnitudes and many sorts.
func doubles(n int) []float64 {
	r := rand.New(rand.NewPCG(3, 44))
	out := []float64{math.MaxFloat64, -math.MaxFloat64, math.SmallestNonzeroFloat64, 0x1p-1022, math.Nextafter(0x1p-1022, 0), 1 << 53, 1<<53 + 2, 1e15, 1e-5, 9.999999999999999e14}
	for e := -1074; e <= 1023; e += 3 {
		p := math.Ldexp(1, e)
		out = append(out, p, math.Nextafter(p, 0), -math.Nextafter(p, math.Inf(1)))
	}
	for e := -323; e <= 308; e++ {
		p, _ := strconv.ParseFloat("1e"+strconv.Itoa(e), 64)
		out = append(out, p, math.Nextafter(p, 0), -p*1.7)
	}
	out = slices.DeleteFunc(out, func(f float64) bool { return f == 0 || math.IsInf(f, 0) })
	for len(out) < n {
		f := math.Float64frombits(r.Uint64())
		switch len(out) % 4 {
		case 1:
			f = r.NormFloat64() * 1000
		case 2: // a decimal of few digits
			f, _ = strconv.ParseFloat(strconv.FormatFloat(r.Float64()*100_000, 'f', r.IntN(7), 64), 64)
		case 3:
			if len(out)%16 == 3 {
				f = math.Float64frombits(r.Uint64() & (1<<52 - 1)) // subnormal
			}
		}
		if !math.IsNaN(f) && !math.IsInf(f, 0) && f != 0 {
			out = append(out, f)
		}
	}
	return out
}

// Every double comes back from SQLite, and ordinary ones stay plain literals.
func TestDoubles(t *testing.T) {
	t.Parallel()
	db, err := sql.Open("sqlite", ":memory:")
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	all := doubles(120_000)
	plain, more, products := 0, 0, 0
	for from := 0; from < len(all); from += 200 {
		part := all[from:min(from+200, len(all))]
		var literals []string
		for _, f := range part {
			lit := string(appendFloat(nil, f))
			again, ok := appendReal(nil, strconv.AppendFloat(nil, f, 'g', -1, 64))
			if !ok || string(again) != lit {
				t.Fatalf("%v is written both %s and %s", f, lit, again)
			}
			shortest := string(appendDecimal(nil, parseE(strconv.AppendFloat(nil, math.Abs(f), 'e', -1, 64)), math.Abs(f)))
			switch a := math.Abs(f); {
			case strings.TrimPrefix(lit, "-") == shortest:
				plain++
			case !strings.Contains(lit, "("):
				more++
			case a > 1e-80 && a < 1e118:
				t.Fatalf("%v is ordinary, and written as %s", f, lit)
			default:
				products++
			}
			if len(lit) > 500 || !strings.ContainsAny(lit, ".e") {
				t.Fatalf("%v is written as %s", f, lit)
			}
			literals = append(literals, lit)
		}
		readBack(t, db, part, literals)
	}
	t.Logf("%d doubles: %d shortest, %d with more digits, %d products", len(all), plain, more, products)
	if plain == 0 || more == 0 || products == 0 {
		t.Fatal("a way of writing reals was not tried")
	}
}

func readBack(t *testing.T, db *sql.DB, want []float64, literals []string) {
	t.Helper()
	rows, err := db.Query("SELECT " + strings.Join(literals, ","))
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	if !rows.Next() {
		t.Fatal("no row")
	}
	cells := make([]any, len(want))
	for i := range cells {
		cells[i] = new(any)
	}
	if err := rows.Scan(cells...); err != nil {
		t.Fatal(err)
	}
	for i, f := range want {
		if got, ok := (*cells[i].(*any)).(float64); !ok || math.Float64bits(got) != math.Float64bits(f) {
			t.Fatalf("%v, written as %s, came back as %v", f, literals[i], *cells[i].(*any))
		}
	}
}

func TestRealForms(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"5": "5.0", "-5": "-5.0", "0": "0.0", "-0": "0.0", "-0.0": "0.0", "0.000": "0.0", "1.50": "1.5", "5.0": "5.0", "120000": "120000.0", "1e2": "100.0", "1E2": "100.0", "1.5e+3": "1500.0",
		"100000000000000": "100000000000000.0", "999999999999999": "999999999999999.0", "1000000000000000": "1e+15", "1e21": "1e+21", "-1.25e-7": "-1.25e-7",
		"0.00001": "0.00001", "0.000012": "0.000012", "0.000001": "1e-6", "0.0000099": "9.9e-6", "0.1": "0.1", "12.34": "12.34", "-12.34": "-12.34", "0.30000000000000004": "0.30000000000000004",
		"Inf": "9e999", "-Inf": "-9e999", "1e999": "9e999", "-1e999": "-9e999", "1e-999": "0.0", "13540.294578": "13540.294577999999", "007.5": "7.5",
		"9007199254740993.0": "9.007199254740992e+15", "123456789012345678901234567890": "1.2345678901234568e+29",
		"5e-324": "5e-324", "1.7976931348623157e+308": "1.7976931348623157e+308",
		"4.1110880634468204e+119": "(5735988550989723.0" + strings.Repeat("*1152921504606846976.0", 5) + "*35184372088832.0)",
	} {
		got, ok := appendReal(nil, []byte(in))
		if !ok || string(got) != want {
			t.Errorf("%s is written as %s, not %s", in, got, want)
		}
	}
	for _, in := range []string{"", "-", ".", "5.", ".5", "+5", "1e", "1e+", "nan", "NaN", "inf", "Infinity", "+Inf", "0x1p4", "1_000", " 1", "1 ", "1.2.3", "1e5.0", "--1", "1;"} {
		if got, ok := appendReal(nil, []byte(in)); ok {
			t.Errorf("%q is taken as the real %s", in, got)
		}
	}
}
