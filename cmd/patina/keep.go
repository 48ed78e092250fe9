package main

import (
	"regexp"
	"strconv"

	"github.com/AutumnsGrove/Patina/backup/retention"
)

// length is how long copies stay, as PATINA_KEEP_DAILY and PATINA_KEEP_WEEKLY
// write it.
var length = regexp.MustCompile(`^([1-9][0-9]{0,3})(d|w)$`)

// loadKeep reads how long copies stay; what is not set is for an admin to say,
// or seven days and twelve weeks.
func (c *Config) loadKeep(get func(string) string) retention.Fixed {
	days := func(name string) int {
		s := get(name)
		if s == "" {
			return 0
		}
		m := length.FindStringSubmatch(s)
		if m == nil {
			c.problem("%s is %q, and must be a number of days or weeks such as 7d or 12w, at least one", name, s)
			return 0
		}
		n, _ := strconv.Atoi(m[1]) // four digits
		if m[2] == "w" {
			n *= 7
		}
		if n > 3650 {
			c.problem("%s is %q, and may be ten years at most", name, s)
			return 0
		}
		return n
	}
	keep := retention.Fixed{Daily: days("PATINA_KEEP_DAILY")}
	n := days("PATINA_KEEP_WEEKLY")
	if n%7 != 0 {
		c.problem("PATINA_KEEP_WEEKLY is %q, and must be whole weeks such as 12w", get("PATINA_KEEP_WEEKLY"))
	}
	keep.Weekly = n / 7
	return keep
}
