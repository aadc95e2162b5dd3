package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/espalier-ml/espalier/cluster"
	"github.com/espalier-ml/espalier/cluster/gen"
	"github.com/espalier-ml/espalier/cluster/node"
	"github.com/espalier-ml/espalier/launch/agent"
	"github.com/espalier-ml/espalier/launch/config"
)

// party is the nodes that train together, as this one was told of them.
type party struct {
	min, max  int
	control   int      // nodes that hold the store: 1 or 3
	join      []string // where others are; empty on the first node
	listen    string   // host:port
	node      string
	tokenFile string
	plain     bool
	lost      time.Duration // without store and generation before the node gives up
}

func (a *app) launchCommand() *cobra.Command {
	var f trainFlags
	var p party
	var nodes string
	c := &cobra.Command{
		Use:   "launch JOB",
		Short: "Train on several machines; run it on each of them",
		Long: `Launch makes this machine a node of a run on several. The first node is started
without --join and holds the control server; it writes one token for each node
that may come, and says how to start them. With --control 3 the two nodes that
come with the tokens named for it hold control servers too; training begins
when they are there, and any one of the three may be lost. Nodes may die, hang, leave and join
at any time: the others go on in place, with the same bits, as long as there
are MIN.

Training goes on when the only control server is lost, or two of three; but no
node can take the place of another any more. A node that cannot train and reaches nobody ends
after --lost with exit status 75.

All nodes need the same job and build. Each has a run folder of its own, and
each is complete. Connections are encrypted and only nodes with a certificate
of the run get in; --plain does without, between addresses of this machine.

SIGTERM and SIGINT make the node leave at a step boundary with its state saved;
a second signal kills.
` + exitHelp,
		Example: `  espalier launch digits --nodes 2:3 --listen 10.0.0.1:7400
  espalier launch digits --nodes 2:3 --join 10.0.0.1:7400 --token-file token-1`,
		Args: cobra.ExactArgs(1),
	}
	f.add(c)
	fl := c.Flags()
	fl.StringVar(&nodes, "nodes", "1", "fewest and most nodes, `MIN[:MAX]`")
	fl.IntVar(&p.control, "control", 1, "`N` nodes hold the control servers, 1 or 3; for the first node to say")
	fl.StringSliceVar(&p.join, "join", nil, "where the first node listens, `HOST:PORT`, or several of those with control servers; not on the first node itself")
	fl.StringVar(&p.listen, "listen", "", "where this node takes connections, `HOST:PORT`; others must reach it there")
	fl.StringVar(&p.node, "node", "", "`NAME` of this node; empty: the machine's, and a number")
	fl.StringVar(&p.tokenFile, "token-file", "", "`FILE` with the token that lets this node in, or $ESPALIER_TOKEN")
	fl.DurationVar(&p.lost, "lost", 2*time.Minute, "give up after `TIME` in which the others' store was not reached and nothing could be trained")
	fl.BoolVar(&p.plain, "plain", false, "no encryption; loopback addresses only")
	c.RunE = func(c *cobra.Command, args []string) error {
		if err := p.complete(nodes); err != nil {
			return err
		}
		sets, err := settings(c, f.sets)
		if err != nil {
			return err
		}
		job, err := loadJob(args[0], sets)
		if err != nil {
			return err
		}
		return (&training{app: a, flags: f, party: &p}).run(c.Context(), job)
	}
	return c
}

// complete reads the numbers of nodes and fills in what was left open.
func (p *party) complete(nodes string) (err error) {
	low, high, two := strings.Cut(nodes, ":")
	if p.min, err = strconv.Atoi(low); err == nil {
		p.max = p.min
		if two {
			p.max, err = strconv.Atoi(high)
		}
	}
	if err != nil || p.min < 1 || p.max < p.min {
		return usage("--nodes %s: want MIN or MIN:MAX, such as 2:4", nodes)
	}
	if p.listen == "" {
		host := "127.0.0.1"
		if !p.plain {
			if host, err = ownAddress(); err != nil {
				return err
			}
		}
		p.listen = host + ":0"
		if len(p.join) == 0 {
			p.listen = host + ":7400"
		}
	}
	switch {
	case p.control != 1 && p.control != 3:
		return usage("--control %d: want 1, or 3 of which one may be lost", p.control)
	case p.control > p.max && len(p.join) == 0:
		return usage("--control %d: with at most %d nodes; allow more with --nodes MIN:MAX", p.control, p.max)
	case p.control > 1 && p.plain:
		return usage("--plain: there is one control server in plain text; leave --control or --plain out")
	}
	if p.lost <= 0 {
		return usage("--lost %v: want more than 0", p.lost)
	}
	if p.node == "" {
		p.node = fmt.Sprintf("%.40s-%d", nodeName(), os.Getpid())
	}
	if err := gen.CheckID(cluster.NodeID(p.node)); err != nil {
		return usage("--node: %w", err)
	}
	return nil
}

// fit says whether a job can be shared by so many workers.
func (p *party) fit(job *config.Resolved, nproc int) error {
	most := p.max * nproc
	switch {
	case !job.Job.Train.Strict && p.min != p.max:
		return usage("--nodes %d:%d: results of a job with train.strict false depend on the number of workers; give one number", p.min, p.max)
	case job.Job.LogicalShards(most) < most:
		return usage("%d nodes of %d workers cannot share %d shards; set train.shards to a power of two of at least %d, on all nodes", p.max, nproc, job.Job.LogicalShards(most), most)
	}
	return nil
}

// nodeName is the machine's name as far as it can be a node's.
func nodeName() string {
	host, _ := os.Hostname()
	name := strings.Map(func(c rune) rune {
		if c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '-' {
			return c
		}
		return '-'
	}, host)
	if name == "" {
		return "node"
	}
	return name
}

// together trains as a node of the party.
func (t *training) together(ctx context.Context, f *folder, hash string, c crew) error {
	s, err := t.party.enter(ctx, f.dir, hash, t.app.stderr, t.log)
	if err != nil {
		return err
	}
	defer s.close()
	host, _ := os.Hostname()
	session, err := node.New(context.WithoutCancel(ctx), node.Config{
		Self:     cluster.Node{ID: s.node, Boot: s.boot, Host: host, Build: buildVersion(), Job: hash},
		MinNodes: t.party.min, MaxNodes: t.party.max, Store: s.store, Members: s.members,
		Path: filepath.Join(s.dir, string(s.node)+".json"), Log: t.log})
	if err != nil {
		return err
	}
	defer session.Close(context.Background())
	return t.supervise(ctx, f, c, agent.Config{Node: s.node, Run: s.run, Session: session, Listen: s.host, Papers: s.papers},
		func(a *agent.Agent) func() error { return s.watch(session, a, t.party.lost) })
}
