package alert

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode/utf16"

	"github.com/AutumnsGrove/Patina/backup"
)

// Discord's limits, in characters as it counts them: UTF-16 code units at most.
const (
	discordTitle       = 256
	discordDescription = 4096
	discordName        = 256
	discordValue       = 1024
	discordFooter      = 2048
	discordFields      = 25
	discordTotal       = 6000
)

// The colours of an embed.
const (
	green = 0x2E8B57
	amber = 0xD98E04
	red   = 0xB22222
)

type discordBody struct {
	Username        string          `json:"username"`
	Embeds          []discordEmbed  `json:"embeds"`
	AllowedMentions discordMentions `json:"allowed_mentions"`
}

// discordMentions names who may be called by a message: nobody.
type discordMentions struct {
	Parse []string `json:"parse"`
}

type discordEmbed struct {
	Title       string         `json:"title"`
	Description string         `json:"description,omitempty"`
	URL         string         `json:"url,omitempty"`
	Color       int            `json:"color"`
	Fields      []discordField `json:"fields"`
	Footer      discordText    `json:"footer"`
	Timestamp   string         `json:"timestamp"`
}

type discordField struct {
	Name   string `json:"name"`
	Value  string `json:"value"`
	Inline bool   `json:"inline"`
}

type discordText struct {
	Text string `json:"text"`
}

// Discord gives the message as the body of a Discord webhook: one embed.
func (m Message) Discord() []byte {
	e := discordEmbed{
		Title: fit(harmless(m.Title), discordTitle), URL: m.URL, Fields: []discordField{},
		Color:     map[Severity]int{Critical: red, Warning: amber}[m.Severity],
		Footer:    discordText{fit("Patina · message "+m.ID, discordFooter)},
		Timestamp: m.Timestamp.UTC().Format(time.RFC3339),
	}
	if m.Severity == Info {
		e.Color = green
	}
	e.Description = fit(m.discordText(), min(discordDescription, 1800))
	left := discordTotal - units(e.Title) - units(e.Description) - units(e.Footer.Text)
	fields := m.discordFields()
	const more = 40 // characters of "and N more"
	for i, f := range fields {
		rest := len(fields) - i + m.Omitted.Databases + m.Omitted.Events
		last := i == len(fields)-1 && rest == 1
		need := units(f.Name) + units(f.Value)
		if !last && (len(e.Fields) == discordFields-1 || need > left-more) || last && need > left {
			e.Fields = append(e.Fields, discordField{Name: "…", Value: fmt.Sprintf("and %d more", rest)})
			break
		}
		e.Fields = append(e.Fields, f)
		left -= need
	}
	b, err := json.Marshal(discordBody{Username: "Patina", Embeds: []discordEmbed{e}, AllowedMentions: discordMentions{Parse: []string{}}})
	if err != nil {
		panic(err) // strings and numbers only
	}
	return b
}

func (m Message) discordText() string {
	var b strings.Builder
	if len(m.Events) <= 1 {
		b.WriteString(harmless(m.Message))
		if m.Next != "" {
			b.WriteString("\n**Next:** " + harmless(m.Next))
		}
	} else {
		fmt.Fprintf(&b, "%s in one message, the gravest first.", plural(int64(len(m.Events)+m.Omitted.Events), "event"))
	}
	if t := m.Totals; t.Databases > 0 {
		fmt.Fprintf(&b, "\n%d of %s stored, %s, %s, %s", t.Succeeded, plural(int64(t.Databases), "database"), bytesWord(t.Bytes), rowsWord(t.Rows), span(time.Duration(t.DurationMS)*time.Millisecond))
	}
	return b.String()
}

// discordFields gives a field a database where the message is about jobs, and
// a field an event where it tells several.
func (m Message) discordFields() []discordField {
	var out []discordField
	if len(m.Events) > 1 {
		for _, e := range m.Events {
			name := Title(e.Event)
			if e.Database != "" {
				name = e.Database + ": " + name
			}
			out = append(out, discordField{Name: fit(harmless(name), 120), Value: details(e.Message, 160, e.Severity != Info)})
		}
		return out
	}
	for _, d := range m.Databases {
		f := discordField{Name: fit(harmless(d.Name), 100), Inline: true}
		switch d.Status {
		case backup.ResultSuccess:
			f.Value = fmt.Sprintf("stored: %s, %s, %s", bytesWord(d.SizeBytes), rowsWord(d.Rows), span(time.Duration(d.DurationMS)*time.Millisecond))
		case backup.ResultFailed:
			f.Inline = false
			f.Value = "failed\n" + details(d.Error, 300, true)
			if d.Next != "" {
				f.Value += "\n" + fit(harmless(d.Next), 150)
			}
		default:
			f.Value = string(d.Status)
			if d.Error != "" {
				f.Value += ": " + fit(harmless(d.Error), 200)
			}
		}
		f.Name, f.Value = fit(orSo(f.Name, "?"), discordName), fit(f.Value, discordValue)
		out = append(out, f)
	}
	return out
}

// details puts a text behind a spoiler, where it is opened by a click.
func details(s string, most int, hide bool) string {
	s = fit(harmless(s), most)
	if strings.TrimSpace(s) == "" {
		s = "no details"
	}
	if hide {
		return "||" + s + "||"
	}
	return s
}

// markdown is what Discord gives a meaning to, wherever it stands.
const markdown = "\\*_~`|>#[]()<"

// harmless makes text that Discord shows as it is: nothing formats, links, or
// calls anybody. A space of no width takes the meaning from the rest.
func harmless(s string) string {
	var b strings.Builder
	for i, r := range strings.ReplaceAll(oneLine(s), "://", ":\u200b//") {
		switch {
		case r == '@':
			b.WriteString("@\u200b")
			continue
		case strings.ContainsRune(markdown, r), i == 0 && (r == '-' || r == '+'):
			b.WriteByte('\\')
		}
		b.WriteRune(r)
	}
	return b.String()
}

// fit cuts text to at most n UTF-16 units, never within an escape.
func fit(s string, n int) string {
	if units(s) <= n {
		return s
	}
	used, end, escaped := 0, 0, false
	for i, r := range s {
		used += utf16.RuneLen(r)
		if used > n-1 {
			break
		}
		escaped = r == '\\' && !escaped
		if !escaped {
			end = i + len(string(r))
		}
	}
	return s[:end] + "…"
}

func units(s string) int {
	n := 0
	for _, r := range s {
		n += max(utf16.RuneLen(r), 1)
	}
	return n
}

// retryAfter reads how long Discord, or anybody, asks to be left alone: a
// header in seconds or as a date, or the field of a JSON body.
func retryAfter(header string, body []byte, now time.Time) time.Duration {
	var wait time.Duration
	if s, err := strconv.ParseFloat(strings.TrimSpace(header), 64); err == nil && s > 0 && s < 1e9 {
		wait = time.Duration(s * float64(time.Second))
	} else if at, err := time.Parse(time.RFC1123, header); err == nil {
		wait = max(at.Sub(now), 0)
	}
	var in struct {
		RetryAfter float64 `json:"retry_after"`
	}
	if json.Unmarshal(body, &in) == nil && in.RetryAfter > 0 && in.RetryAfter < 1e9 {
		wait = max(wait, time.Duration(in.RetryAfter*float64(time.Second)))
	}
	return wait
}
