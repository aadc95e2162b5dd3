package secure_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"github.com/espalier-ml/espalier/cluster/control"
	. "github.com/espalier-ml/espalier/cluster/secure"
)

func TestLinksTakeTheRolesTheyShould(t *testing.T) {
	r, other := testRun(t, "fig"), testRun(t, "fig")
	server := issue(t, r, Control, "node-0")
	for _, c := range []struct {
		name   string
		client *Credentials
		takes  []Role
		want   error
	}{
		{"agent where agents may", issue(t, r, Agent, "node-1"), []Role{Control, Agent}, nil},
		{"observer where agents may", issue(t, r, Observer, "node-1"), []Role{Control, Agent}, ErrRole},
		{"operator among control servers", issue(t, r, Operator, "node-1"), []Role{Control}, ErrRole},
		{"another run", issue(t, other, Agent, "node-1"), []Role{Agent}, ErrForeignRun},
	} {
		t.Run(c.name, func(t *testing.T) {
			clientErr, serverErr := shake(t, c.client.TLS(Roles...), server.TLS(c.takes...))
			err := Refusal(errors.Join(serverErr, clientErr))
			if c.want == nil && err != nil || c.want != nil && !errors.Is(err, c.want) {
				t.Errorf("client says %v, server %v, want %v", clientErr, serverErr, c.want)
			}
		})
	}
	t.Run("a server of the wrong role", func(t *testing.T) {
		clientErr, _ := shake(t, issue(t, r, Agent, "node-1").TLS(Control), issue(t, r, Agent, "node-2").TLS(Roles...))
		if !errors.Is(clientErr, ErrRole) {
			t.Errorf("client says %v", clientErr)
		}
	})
}

func TestPapersOfOthersAreRefused(t *testing.T) {
	a, b := issue(t, testRun(t, "fig"), Agent, "node-1"), issue(t, testRun(t, "fig"), Agent, "node-1")
	var x, y map[string]any
	if err := errors.Join(json.Unmarshal(a.Marshal().Reveal(), &x), json.Unmarshal(b.Marshal().Reveal(), &y)); err != nil {
		t.Fatal(err)
	}
	for _, part := range []string{"authority", "certificate", "key"} {
		mixed := map[string]any{}
		for k, v := range x {
			mixed[k] = v
		}
		mixed[part] = y[part]
		text, err := json.Marshal(mixed)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := ParseCredentials(text); !errors.Is(err, ErrCertificate) && !errors.Is(err, ErrForeignRun) {
			t.Errorf("%s of another run: %v", part, err)
		}
	}
}

func TestRunIsTheSameAfterMarshal(t *testing.T) {
	r := testRun(t, "fig")
	back, err := ParseRun(r.Marshal().Reveal())
	if err != nil {
		t.Fatal(err)
	}
	if back.Fingerprint() != r.Fingerprint() {
		t.Error("another authority")
	}
	clientErr, serverErr := shake(t, issue(t, back, Agent, "node-1").TLS(Control), issue(t, r, Control, "node-0").TLS(Agent))
	if clientErr != nil || serverErr != nil {
		t.Error(clientErr, serverErr)
	}
}

func TestKeyringIsSealed(t *testing.T) {
	r := testRun(t, "fig")
	k := r.FirstKeyring().Add().Use()
	b, err := issue(t, r, Control, "node-0").SealKeyring(k)
	if err != nil {
		t.Fatal(err)
	}
	got, err := issue(t, r, Agent, "node-1").OpenKeyring(b)
	if err != nil || !got.Equal(k) {
		t.Errorf("an agent reads %v, %v", got.Epoch, err)
	}
	if _, err := issue(t, r, Observer, "node-1").OpenKeyring(b); !errors.Is(err, ErrRole) {
		t.Errorf("an observer: %v", err)
	}
	if _, err := issue(t, testRun(t, "fig"), Agent, "node-1").OpenKeyring(b); !errors.Is(err, ErrSealed) {
		t.Errorf("another run: %v", err)
	}
	b[len(b)-1]++
	if _, err := issue(t, r, Agent, "node-1").OpenKeyring(b); !errors.Is(err, ErrSealed) {
		t.Errorf("changed: %v", err)
	}
}

// Secrets are searched for in everything that a join logs, and in every way to
// print what holds them.
func TestSecretsAreNotSeen(t *testing.T) {
	core, seen := observer.New(zapcore.DebugLevel)
	log := zap.New(core)
	r := testRun(t, "fig")
	g, err := NewGate(GateConfig{Credentials: issue(t, r, Control, "node-0"), Build: build, Log: log})
	if err != nil {
		t.Fatal(err)
	}
	if err := g.Adopt(t.Context(), control.NewMemory()); err != nil {
		t.Fatal(err)
	}
	facts := Facts{Addrs: []string{serve(t, g)}, Node: "node-1", Build: build, Log: log}
	token := mint(t, r, Agent)
	j, err := Join(soon(t), token, facts)
	if err != nil {
		t.Fatal(err)
	}
	_, again := Join(soon(t), token, facts)
	ring, err := j.Keyring()
	if err != nil {
		t.Fatal(err)
	}
	secret := NewSecret([]byte("open sesame"))
	all := fmt.Sprint(again)
	for _, v := range []any{token, &token, ring, secret, &secret, map[string]Secret{"a": secret}, r.Marshal(), j.Marshal(), j.ForWorker()} {
		text, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		all += fmt.Sprintf("%v %+v %s %q %x %d %#v %s\n", v, v, v, v, v, v, v, text)
		log.Info("value", zap.Any("v", v), zap.Reflect("r", v))
	}
	enc := zapcore.NewJSONEncoder(zap.NewProductionEncoderConfig())
	for _, e := range seen.All() {
		b, err := enc.EncodeEntry(e.Entry, e.Context)
		if err != nil {
			t.Fatal(err)
		}
		all += b.String()
	}
	for name, hide := range map[string]string{
		"token": token.Reveal(), "gossip key": string(ring.Keys[0].Reveal()), "secret": "sesame",
		"secret in hex": fmt.Sprintf("%x", "sesame"), "gossip key in hex": fmt.Sprintf("%x", ring.Keys[0].Reveal()),
		"gossip key in decimal": strings.Trim(fmt.Sprint(ring.Keys[0].Reveal()), "[]"),
		"papers":                string(j.Marshal().Reveal()[:40]),
	} {
		if strings.Contains(all, hide) {
			t.Errorf("%s is to be seen", name)
		}
	}
	if !strings.Contains(all, "[secret]") || seen.Len() < 3 {
		t.Error("nothing was printed or logged")
	}
}
