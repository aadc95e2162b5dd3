package secure

import "time"

// SetClock is called before the gate serves.
func (g *Gate) SetClock(now func() time.Time) { g.now = now }

// FirstKeyring is what a run begins with.
func (r *Run) FirstKeyring() Keyring { return r.firstKeyring() }

// SetAuthority makes the token seem to be one of r's.
func (t *Token) SetAuthority(r *Run) { t.root = r.Fingerprint() }

// Resign makes a changed token one of r's.
func (t *Token) Resign(r *Run) { t.secret = Secret{r.tokenSecret(t.claim())} }

// StoreKey is where its use is noted.
func (t Token) StoreKey() string { return ledgerKey(t.claim()) }
