package grow

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
)

// difference names the first field in which a saved plan differs from p.
func difference(raw json.RawMessage, p *Plan) string {
	mine, err := json.Marshal(p)
	if err != nil {
		return err.Error()
	}
	var a, b any
	if err := json.Unmarshal(raw, &a); err != nil {
		return "it cannot be read: " + err.Error()
	}
	if err := json.Unmarshal(mine, &b); err != nil {
		return err.Error()
	}
	if d := firstDifference("", a, b); d != "" {
		return d
	}
	return "its hash differs"
}

// firstDifference compares JSON values depth first, keys in order.
func firstDifference(path string, was, is any) string {
	if a, ok := was.(map[string]any); ok {
		if b, ok := is.(map[string]any); ok {
			return differentKey(path, a, b)
		}
	}
	if a, ok := was.([]any); ok {
		if b, ok := is.([]any); ok && len(a) == len(b) {
			for i := range a {
				if d := firstDifference(fmt.Sprintf("%s[%d]", path, i), a[i], b[i]); d != "" {
					return d
				}
			}
			return ""
		}
	}
	x, _ := json.Marshal(was)
	y, _ := json.Marshal(is)
	if bytes.Equal(x, y) {
		return ""
	}
	return fmt.Sprintf("%s was %.60s, is %.60s", path, x, y)
}

func differentKey(path string, a, b map[string]any) string {
	var keys []string
	for k := range a {
		keys = append(keys, k)
	}
	for k := range b {
		if _, ok := a[k]; !ok {
			keys = append(keys, k)
		}
	}
	slices.Sort(keys)
	for _, k := range keys {
		if d := firstDifference(join(path, k), a[k], b[k]); d != "" {
			return d
		}
	}
	return ""
}

func join(path, key string) string {
	if path == "" {
		return key
	}
	return path + "." + key
}
