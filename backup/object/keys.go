package object

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/AutumnsGrove/Patina/backup"
)

// ReadmeKey tells a stranger what the bucket is, and how to restore from it.
const ReadmeKey = "README.txt"

// Key is the place of a stored copy or archive.
type Key struct {
	Kind    backup.CopyKind
	Date    backup.Date // daily, manual, safety, kept: the UTC date
	At      time.Time   // manual, safety: the time of day, to the second
	JobID   string      // manual, safety: of which the key holds the last 8 digits; a UUIDv7 begins with the time
	Slug    string      // all but weekly: the database's name, made fit by Slug
	Attempt int         // daily: 0, or the number of a copy beside one that was not ours
	Gzip    bool
	Week    Week // weekly
}

// String builds the key.
func (k Key) String() string {
	ending := ".sql"
	if k.Gzip {
		ending += ".gz"
	}
	switch k.Kind {
	case backup.Weekly:
		return "weekly/" + k.Week.String() + ".tar.gz"
	case backup.Manual, backup.Safety:
		job := strings.ReplaceAll(k.JobID, "-", "")
		return fmt.Sprintf("%s/%s/%s-%s/%s%s", k.Kind, k.Date, k.At.UTC().Format("150405Z"), job[max(0, len(job)-8):], k.Slug, attempt(k.Attempt)+ending)
	case backup.Daily, backup.Kept:
		return fmt.Sprintf("%s/%s/%s%s", k.Kind, k.Date, k.Slug, attempt(k.Attempt)+ending)
	}
	return ""
}

func attempt(n int) string {
	if n == 0 {
		return ""
	}
	return "." + strconv.Itoa(n)
}

// slugPattern takes a name, whose UUID and whose attempt may follow.
const slugPattern = `([a-z0-9._-]{1,64}(?:~[0-9a-f]{8})?(?:\.[1-9][0-9]{0,3})?)`

var (
	datedKey  = regexp.MustCompile(`^(daily|kept)/(\d{4}-\d\d-\d\d)/` + slugPattern + `\.sql(\.gz)?$`)
	timedKey  = regexp.MustCompile(`^(manual|safety)/(\d{4}-\d\d-\d\d)/(\d{6}Z)-([0-9a-f]{8})/` + slugPattern + `\.sql(\.gz)?$`)
	weeklyKey = regexp.MustCompile(`^weekly/(\d{4}-W\d\d)\.tar\.gz$`)
	validName = regexp.MustCompile(`^[a-z0-9._-]{1,64}$`)
	notSlug   = regexp.MustCompile(`[^a-z0-9._-]+`)
)

// ParseKey reads a key, and refuses as ErrInvalid whatever this program would
// not have built. A database may itself be called name.1, so that the number of
// an attempt stays part of the slug; the catalogue knows which it is.
func ParseKey(s string) (Key, error) {
	k, err := parseKey(s)
	if err != nil || k.String() != s {
		return Key{}, backup.Errorf(backup.ErrInvalid, "%.200q is not the key of a copy", s)
	}
	return k, nil
}

func parseKey(s string) (k Key, err error) {
	if m := weeklyKey.FindStringSubmatch(s); m != nil {
		k.Kind = backup.Weekly
		k.Week, err = ParseWeek(m[1])
		return k, err
	}
	var slug string
	if m := datedKey.FindStringSubmatch(s); m != nil {
		k.Kind, slug, k.Gzip = backup.CopyKind(m[1]), m[3], m[4] != ""
		k.Date, err = backup.ParseDate(m[2])
	} else if m := timedKey.FindStringSubmatch(s); m != nil {
		k.Kind, k.JobID, slug, k.Gzip = backup.CopyKind(m[1]), m[4], m[5], m[6] != ""
		if k.Date, err = backup.ParseDate(m[2]); err == nil {
			k.At, err = time.Parse("2006-01-02 150405Z", m[2]+" "+m[3])
		}
	} else {
		return k, backup.ErrInvalid
	}
	if slug == "." || slug == ".." {
		return k, backup.ErrInvalid
	}
	k.Slug = slug
	return k, err
}

// ManifestKey gives the key of the manifest that lies beside an object.
func ManifestKey(key string) string { return key + ".json" }

// MetaKey gives the key of a night's settings.
func MetaKey(d backup.Date) string { return "meta/" + d.String() + ".json" }

// ParseMetaKey reads the date out of the key of a night's settings, and refuses
// as ErrInvalid what is none.
func ParseMetaKey(s string) (backup.Date, error) {
	name, ok := strings.CutPrefix(s, "meta/")
	if name, ok2 := strings.CutSuffix(name, ".json"); ok && ok2 {
		if d, err := backup.ParseDate(name); err == nil {
			return d, nil
		}
	}
	return backup.Date{}, backup.Errorf(backup.ErrInvalid, "%.200q is not the key of a night's settings", s)
}

// ValidName tells whether a database's name can stand in a key as it is.
func ValidName(name string) bool { return validName.MatchString(name) && name[0] != '.' }

// Slug makes a database's name fit for a key. A name that cannot stand in one,
// or that another database uses on that date, gets the beginning of its UUID.
func Slug(name, uuid string, taken bool) string {
	if ValidName(name) && !taken {
		return name
	}
	slug := strings.Trim(notSlug.ReplaceAllString(strings.ToLower(name), "-"), "-.")
	if slug = slug[:min(len(slug), 64)]; slug == "" {
		slug = "database"
	}
	id := strings.ReplaceAll(uuid, "-", "")
	return slug + "~" + id[:min(8, len(id))]
}

// Week is a week of ISO 8601, whose year is the one that its Thursday lies in.
type Week struct{ Year, Week int }

// WeekOf gives the week of a moment, in UTC.
func WeekOf(t time.Time) Week {
	y, w := t.UTC().ISOWeek()
	return Week{y, w}
}

// String prints 2026-W48.
func (w Week) String() string { return fmt.Sprintf("%04d-W%02d", w.Year, w.Week) }

// Monday gives the week's first day.
func (w Week) Monday() backup.Date {
	jan4 := time.Date(w.Year, 1, 4, 0, 0, 0, 0, time.UTC) // always in week 1
	monday := jan4.AddDate(0, 0, -(int(jan4.Weekday())+6)%7)
	return backup.DateOf(monday.AddDate(0, 0, 7*(w.Week-1)))
}

// ParseWeek reads a week written as 2026-W48, and that exists.
func ParseWeek(s string) (Week, error) {
	var w Week
	if len(s) == 8 && s[4:6] == "-W" {
		y, err1 := strconv.Atoi(s[:4])
		n, err2 := strconv.Atoi(s[6:])
		if err1 == nil && err2 == nil && y > 0 {
			w = Week{y, n}
		}
	}
	if w.Year == 0 || w.String() != s || WeekOf(w.Monday().Time()) != w {
		return Week{}, backup.Errorf(backup.ErrInvalid, "%.20q is not a week of the form 2026-W48", s)
	}
	return w, nil
}
