package web_test

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// securityRows names, for every row of the table of attempts in
// docs/security.md, the tests that hold it: the folder, and the function.
var securityRows = map[int][]string{
	1:  {"web TestEveryRouteUnauthenticated"},
	2:  {"web TestEveryRoleOnEveryRoute", "web TestEveryPostIsOnRecord"},
	3:  {"web TestEveryRoleOnEveryRoute", "web TestNobodyGrantsMore", "web TestLastAdmin"},
	4:  {"web TestTokenOfOneDatabase"},
	5:  {"web TestExpiredAndRevoked", "web TestTokenInQuery", "web TestSessions", "web TestTokenPage"},
	6:  {"web TestGuessing", "web TestGuessingTime", "web TestOwnPassword"},
	7:  {"web TestSessions", "web TestCookie", "web TestLastAdmin", "web TestSessionsPage"},
	8:  {"web TestCrossSite"},
	9:  {"web TestSignOnForged", "web TestSignOnState", "web TestSignOnKeyRotation", "web TestSignOnWithRealIssuer", "web TestSignOnTakesNobodysName"},
	10: {"web TestNext", "web TestSignOnState"},
	11: {"web TestForwardedFor"},
	12: {"web TestPaths", "backup/object TestFolderStaysInside"},
	13: {"web TestDownloadConditions", "web/copies TestParseRange"},
	14: {"web TestHostileNamesOnEveryRoute", "web TestHostileNames", "web TestHostileQueries", "web TestAuditCSV", "backup/alert TestDiscordIsInert", "web/manual TestNamesAreInertInCommands"},
	15: {"web TestHostileNames", "web TestHostileNamesOnEveryRoute", "web/manual TestRenderIsSafe", "web/manual TestEscape"},
	16: {"web TestHeadersOfEveryPage", "web TestActive", "web/e2e TestScreens"},
	17: {"web TestHeadersOfEveryPage", "web TestCookie"},
	18: {"backup/alert TestInwardAddresses", "backup/alert TestDialRefusesInward", "backup/alert TestCheckURL"},
	19: {"backup/alert TestSend", "backup/alert TestSendGivesUp"},
	20: {"backup/alert TestDiscordIsInert"},
	21: {"backup/dump TestHostileNames", "web TestHostileNames", "backup/dump TestOneTableHostileNames"},
	22: {"backup/dump TestAllowedRefuses", "backup/prove TestHostile", "backup/prove TestHostileDumps"},
	23: {"backup/prove TestHostileArchive", "backup/prove TestBombs"},
	24: {"web TestCanaries", "cmd/patina TestNoVerbPrintsASecret", "backup/object TestSecretsStayInside"},
	25: {"store TestAuditTampering", "store TestMetaComesBack", "cmd/patina TestDoctorFindsWhatIsMissing"},
	26: {"backup/prove TestAnotherDatabasesCopy", "backup/catalogue TestMovedManifests", "jobs TestScrubFindsDamage"},
	27: {"backup/retention TestZeroIsNotNothing", "backup/retention TestClockGoesOnByYears", "jobs TestClockJumps", "web TestRetentionClock"},
	28: {"web TestEventsCap"},
	29: {"backup/alert TestSeal", "jobs TestSecretRotation"},
	30: {".ci vulnerabilities"}, // a step of .ci/run: it asks a database on the net
}

// Every row has tests, which exist, and a line in docs/security.md.
func TestRowsOfSecurityAreHeld(t *testing.T) {
	t.Parallel()
	const root = ".."
	text, err := os.ReadFile(filepath.Join(root, "docs", "security.md"))
	must(t, err)
	told := map[string]bool{}
	for _, m := range regexp.MustCompile(`(?m)^\| ([0-9]+(?:, [0-9]+)*) \|`).FindAllStringSubmatch(string(text), -1) {
		for n := range strings.SplitSeq(m[1], ", ") {
			told[n] = true
		}
	}
	ci, err := os.ReadFile(filepath.Join(root, ".ci", "run"))
	must(t, err)
	known := map[string][]string{}
	for n := range 30 {
		row := n + 1
		if !told[fmt.Sprint(row)] {
			t.Errorf("row %d is not in docs/security.md", row)
		}
		if len(securityRows[row]) == 0 {
			t.Errorf("no test holds row %d", row)
		}
		for _, held := range securityRows[row] {
			dir, name, _ := strings.Cut(held, " ")
			if dir == ".ci" {
				if !strings.Contains(string(ci), "\n"+name+"() {") {
					t.Errorf("row %d: .ci/run has no step %s", row, name)
				}
				continue
			}
			if known[dir] == nil {
				known[dir] = testsOf(t, filepath.Join(root, filepath.FromSlash(dir)))
			}
			if !slices.Contains(known[dir], name) {
				t.Errorf("row %d: there is no %s in %s", row, name, dir)
			}
		}
	}
}

// testsOf lists the tests of a folder.
func testsOf(t *testing.T, dir string) (names []string) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "*_test.go"))
	must(t, err)
	for _, file := range files {
		parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.SkipObjectResolution)
		must(t, err)
		for _, d := range parsed.Decls {
			if f, ok := d.(*ast.FuncDecl); ok && f.Recv == nil && strings.HasPrefix(f.Name.Name, "Test") {
				names = append(names, f.Name.Name)
			}
		}
	}
	return names
}
