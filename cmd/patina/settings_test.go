package main

import (
	"maps"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// TestConfigurationPage: docs/configuration.md is what the code says; with -update
// it is written.
func TestConfigurationPage(t *testing.T) {
	t.Parallel()
	const file = "../../docs/configuration.md"
	if *update {
		ok(t, os.WriteFile(file, []byte(configurationPage()), 0o644))
	}
	text, err := os.ReadFile(file)
	ok(t, err)
	if string(text) != configurationPage() {
		t.Error("docs/configuration.md is not what settings.go says: go test ./cmd/patina -run TestConfigurationPage -update")
	}
}

// TestEverySettingIsDescribed: what loadConfig reads is described, and what is
// described is read.
func TestEverySettingIsDescribed(t *testing.T) {
	t.Parallel()
	read := map[string]bool{}
	loadConfig(func(name string) (string, bool) { read[name] = true; return "", false }, "")
	described := map[string]bool{}
	for _, g := range settings {
		for _, s := range g.list {
			if described[s.name] || s.meaning == "" {
				t.Errorf("%s is described twice, or not at all", s.name)
			}
			described[s.name] = true
		}
	}
	if !maps.Equal(read, described) {
		t.Errorf("read:      %v\ndescribed: %v\nsettings.go describes each", slices.Sorted(maps.Keys(read)), slices.Sorted(maps.Keys(described)))
	}
	var keys []string
	for _, part := range []struct {
		prefix string
		shape  any
	}{{"database.", fileDatabase{}}, {"discovery.", fileConfig{}.Discovery}} {
		for i := range reflect.TypeOf(part.shape).NumField() {
			keys = append(keys, part.prefix+reflect.TypeOf(part.shape).Field(i).Tag.Get("toml"))
		}
	}
	var told []string
	for _, k := range fileKeys {
		told = append(told, k.name)
	}
	if !slices.Equal(keys, told) {
		t.Errorf("patina.toml has the keys %v, and %v are described", keys, told)
	}
}

// TestDefaultsAreTrue: a setting that is given its default does nothing.
func TestDefaultsAreTrue(t *testing.T) {
	t.Parallel()
	literal := regexp.MustCompile("^`([^$`]+)`$")
	plain := loadConfig(env{}.lookup, "")
	tried := 0
	for _, g := range settings {
		for _, s := range g.list {
			m := literal.FindStringSubmatch(s.preset)
			if m == nil || strings.Contains(m[1], "_") || s.name == "PATINA_ADDR" || s.name == "PATINA_PUBLIC_URL" {
				continue // another setting's value, or the verb's own
			}
			tried++
			if got := loadConfig(env{s.name: m[1]}.lookup, ""); !reflect.DeepEqual(got, plain) {
				t.Errorf("%s=%s is not its default", s.name, m[1])
			}
		}
	}
	if tried < 7 {
		t.Errorf("only %d defaults were tried", tried)
	}
	if reflect.DeepEqual(loadConfig(env{"PATINA_CONCURRENCY": "4"}.lookup, ""), plain) {
		t.Error("nothing makes a difference")
	}
}
