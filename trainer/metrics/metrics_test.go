package metrics

import (
	"math"
	"reflect"
	"strings"
	"testing"
)

func TestLines(t *testing.T) {
	tests := []struct {
		name string
		in   Record
		want string
	}{
		{"start", &Start{Time: 1700000000, Job: "digits", Run: "grown", Model: "mlp", World: 2, Threads: 1, Shards: 4,
			Params: 10, ParamsFull: 40, Steps: 100, Samples: 6400, FixedTrainFlops: 3e9},
			`{"kind":"start","step":0,"time":1700000000,"job":"digits","run":"grown","model":"mlp","world":2,"threads":1,"shards":4,"params":10,"params_full":40,"steps":100,"samples":6400,"fixed_train_flops":3000000000}`},
		{"train", &Train{Step: 8, Epoch: 0.25, Seconds: 1.5, Samples: 512, Loss: 0.1, Accuracy: Of(0), LR: 1e-7, SamplesPerSec: 341.5, Flops: 1e22, GradNorm: 2},
			`{"kind":"train","step":8,"epoch":0.25,"seconds":1.5,"samples":512,"loss":0.1,"accuracy":0,"lr":1e-07,"samples_per_s":341.5,"flops":1e+22,"grad_norm":2}`},
		{"train without accuracy", &Train{Step: 8, Loss: Number(math.NaN()), GradNorm: Number(math.Inf(1))},
			`{"kind":"train","step":8,"epoch":0,"seconds":0,"samples":0,"loss":"NaN","lr":0,"samples_per_s":0,"flops":0,"grad_norm":"Infinity"}`},
		{"eval", &Eval{Step: 9, Split: "test", Loss: 0.5, Accuracy: Of(0.75), Count: 4},
			`{"kind":"eval","step":9,"epoch":0,"seconds":0,"flops":0,"split":"test","loss":0.5,"accuracy":0.75,"count":4}`},
		{"event", &Event{Step: 9, Event: EventGrow, Text: "s1 8 → 16", Dims: map[string]int{"s2": 4, "s1": 16}, Params: 7, TookMS: 1.5, Batch: 64},
			`{"kind":"event","step":9,"seconds":0,"event":"grow","text":"s1 8 → 16","dims":{"s1":16,"s2":4},"params":7,"batch":64,"took_ms":1.5}`},
		{"end", &End{Step: 100, Seconds: 3, ValLoss: Of(1.5), Params: 40, TrainFlops: 1, FixedTrainFlops: 2, Samples: 6400, World: 2, Digest: "00ff"},
			`{"kind":"end","step":100,"seconds":3,"val_loss":1.5,"params":40,"train_flops":1,"fixed_train_flops":2,"samples":6400,"world":2,"digest":"00ff"}`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := Append(nil, tt.in)
			if err != nil || string(got) != tt.want {
				t.Fatalf("Append:\n%s, %v\nwant\n%s", got, err, tt.want)
			}
			back, err := Decode(got)
			if err != nil {
				t.Fatal(err)
			}
			again, err := Append(nil, back)
			if err != nil || string(again) != tt.want {
				t.Errorf("after Decode:\n%s, %v\nwant\n%s", again, err, tt.want)
			}
			if back.Kind() != tt.in.Kind() || back.At() != tt.in.At() {
				t.Errorf("Decode: %s at %d, want %s at %d", back.Kind(), back.At(), tt.in.Kind(), tt.in.At())
			}
		})
	}
}

func TestNumbersRoundTrip(t *testing.T) {
	for _, want := range []float64{0, 1, -1, 0.1, 1e-6, 9.99e-7, 5e-324, 1e21, 123456789012345680000, math.MaxFloat64, math.Pi} {
		b, err := Number(want).MarshalJSON()
		if err != nil {
			t.Fatal(err)
		}
		var got Number
		if err := got.UnmarshalJSON(b); err != nil || float64(got) != want {
			t.Errorf("%g: written %s, read %g, %v", want, b, float64(got), err)
		}
	}
	for in, want := range map[string]float64{`null`: math.NaN(), `"NaN"`: math.NaN(), `"Infinity"`: math.Inf(1), `"-Inf"`: math.Inf(-1)} {
		var got Number
		if err := got.UnmarshalJSON([]byte(in)); err != nil || math.Float64bits(float64(got)) != math.Float64bits(want) {
			t.Errorf("%s: read %g, %v, want %g", in, float64(got), err, want)
		}
		if got.Finite() {
			t.Errorf("%s counts as finite", in)
		}
	}
}

func TestDecodeRefuses(t *testing.T) {
	tests := []struct{ name, in, want string }{
		{"nothing", ``, "not a JSON object"},
		{"half a line", `{"kind":"train","st`, "not a JSON object"},
		{"an array", `[1]`, "a JSON array, want an object"},
		{"two objects", `{"kind":"end","step":1}{}`, "not a JSON object"},
		{"no kind", `{"step":1}`, `no key "kind"`},
		{"no step", `{"kind":"train"}`, `train record: no key "step"`},
		{"unknown kind", `{"kind":"finish","step":1}`, `kind "finish": want start, train, eval, event or end`},
		{"step of text", `{"kind":"train","step":"1"}`, `key "step": a JSON string does not fit`},
		{"step of fractions", `{"kind":"train","step":1.5}`, `key "step"`},
		{"step too large", `{"kind":"train","step":99999999999999999999}`, `key "step"`},
		{"step below zero", `{"kind":"train","step":-1}`, `key "step": -1, want 0 or more`},
		{"loss of text", `{"kind":"train","step":1,"loss":"low"}`, `"low" is not a number`},
		{"loss too large", `{"kind":"train","step":1,"loss":1e999}`, `1e999 is not a number`},
		{"event without name", `{"kind":"event","step":1}`, `no key "event"`},
		{"width below zero", `{"kind":"event","step":1,"event":"grow","dims":{"s1":-8}}`, `width -8 of "s1"`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r, err := Decode([]byte(tt.in))
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("Decode = %v, %v, want an error with %q", r, err, tt.want)
			}
		})
	}
}

func TestDecodeIgnoresKeysOfLaterVersions(t *testing.T) {
	got, err := Decode([]byte(`{"kind":"eval","step":3,"loss":1,"perplexity":[2.7]}`))
	if want := (&Eval{Step: 3, Loss: 1}); err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("Decode = %+v, %v, want %+v", got, err, want)
	}
}

func FuzzDecode(f *testing.F) {
	for _, s := range []string{`{"kind":"train","step":1,"loss":"NaN","accuracy":0.5}`, `{"kind":"event","step":1,"event":"grow","dims":{"a":1}}`, `{`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, line []byte) {
		r, err := Decode(line)
		if err != nil {
			return
		}
		again, err := Append(nil, r)
		if err != nil {
			t.Fatalf("decoded from %q but not encoded: %v", line, err)
		}
		if _, err := Decode(again); err != nil {
			t.Fatalf("%q was written as %q, which is refused: %v", line, again, err)
		}
	})
}
