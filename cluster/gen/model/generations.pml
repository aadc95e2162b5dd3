/*
 * The generation protocol of cluster/gen, for spin: which nodes train together.
 *
 * Two or three nodes, one store. What is modelled: the leader's key and its terms,
 * the head record under compare-and-swap, views of it that are old for as
 * long as one likes, what a node keeps on disk, restarts under a new boot,
 * broken generations, and a store that loses all it had at a quiet moment.
 * Time is not modelled: a timeout may strike whenever it likes, and a node
 * that is slow is one that does not move.
 *
 * What is checked, as assertions:
 *   ONE    one record for each n, as far as a node has kept it
 *   FALL   n and term of the head never fall in a life of the store
 *   BACK   no node is formed twice into the same n, or into an older one
 *   FORK   no step is done in a generation after one was done in a newer one
 *
 * -DNOFENCE, -DNOCAS, -DNOSTOP, -DNOOPEN, -DNOMAX and -DNOACCOUNT each take
 * one rule away; check.sh shows that an assertion then fails.
 */

#define N      3     /* room for nodes */
#ifndef NODES
#define NODES  2     /* nodes: 2 or 3 */
#endif
#ifndef MAXN
#define MAXN   4     /* generations */
#endif
#ifndef MAXT
#define MAXT   3     /* terms */
#endif
#ifndef LEADERS
#define LEADERS 2    /* nodes that may lead */
#endif
#ifndef CRASHES
#define CRASHES 2
#endif
#ifndef WIPES
#define WIPES  1
#endif

/* A set of members holds two bits for each node: 0, or the boot of the member plus 1. */
#define AT(set, i)   (((set) >> (2*(i))) & 3)
#define IN(set, i)   (AT(set, i) != 0)
#define MINE(set, i) (AT(set, i) == boot[i] + 1)

/* The store. hN is 0 when there is no head. */
byte hN, hTerm, hSet;
bool hBack;               /* put back after a loss, and nothing formed since */
byte hOpen;               /* bit n: generation n was not known to have stopped when the head was formed */
byte lTerm, lOwner = N;

/* What each node has read of it, and the term it believes to hold, 0 for none. */
byte vN[N], vTerm[N], vSet[N], vOpen[N];
bool vBack[N];
byte mine[N];

/* On each disk: the newest generation and its record. */
byte keptN[N], keptSet[N], keptTerm[N], keptOpen[N];

/* Of each process: its boot, the generation it is live in, the newest it has stopped. */
byte boot[N], cur[N], stop[N];

/* What was written last under each n. */
byte written[MAXN+1];

/* For the assertions only. */
byte record[MAXN+1], formed[N], done;
byte crashes, wipes;

#define SAME(i) (vN[i] == hN && vTerm[i] == hTerm && vSet[i] == hSet)

#ifdef NOCAS
#define CASRULE(i) true
#else
#define CASRULE(i) SAME(i)
#endif

/* write is a compare-and-swap of the head under what node i has read. */
inline write(i, n, term, set, back, open) {
	if
	:: CASRULE(i) ->
		assert(n >= hN && term >= hTerm);                        /* FALL */
		hN = n; hTerm = term; hSet = set; hBack = back; hOpen = open; written[n] = set;
		vN[i] = n; vTerm[i] = term; vSet[i] = set; vBack[i] = back; vOpen[i] = open
	:: else -> skip          /* a conflict; the node must read again */
	fi
}

inline read(i) { vN[i] = hN; vTerm[i] = hTerm; vSet[i] = hSet; vBack[i] = hBack; vOpen[i] = hOpen }

/* leave ends the generation that node i is live in. */
inline leave(i) {
	if
	:: cur[i] > 0 -> stop[i] = cur[i]; cur[i] = 0
	:: else -> skip
	fi
}

/* take: keep the record that was read, and only then enter it. */
inline take(i) {
	leave(i);
	keptN[i] = vN[i]; keptSet[i] = vSet[i]; keptTerm[i] = vTerm[i]; keptOpen[i] = vOpen[i];
	assert(record[vN[i]] == 0 || record[vN[i]] == vSet[i]);      /* ONE */
	record[vN[i]] = vSet[i];
	if
	:: MINE(vSet[i], i) ->
		assert(vN[i] > formed[i]);                               /* BACK */
		formed[i] = vN[i];
		cur[i] = vN[i]
	:: else -> skip
	fi
}

/* A generation has stopped when a member left it, keeps a newer one, or was
   started anew. One of which that is not known is open, and the next must
   have a member of it: when all have entered the next, it has stopped. */
#define LEFT(n, x)    (IN(written[n], x) && (stop[x] >= n || keptN[x] > n || AT(written[n], x) < boot[x] + 1))
#define STOPPED(n)    (LEFT(n, 0) || LEFT(n, 1) || LEFT(n, 2))
#define BOTH(n, x)    (IN(set, x) && AT(set, x) == AT(written[n], x))
#define MEETS(n)      (BOTH(n, 0) || BOTH(n, 1) || BOTH(n, 2))
#define KNOWN(n)     (keptN[0] <= n && keptN[1] <= n && keptN[2] <= n)
#define FRESH(x)     (keptN[x] == hN || (keptN[x] == 0 && vN[x] == 0))
#define QUIET        (FRESH(0) && FRESH(1) && FRESH(2))
#define LIVE(n, x)   (!IN(record[n], x) || (cur[x] == n && MINE(record[n], x)))

/* The highest term that node i knows of, into t. */
inline highest(i) {
	t = lTerm;
	if
	:: vTerm[i] > t -> t = vTerm[i]
	:: else -> skip
	fi;
	if
	:: keptTerm[i] > t -> t = keptTerm[i]
	:: else -> skip
	fi
}

#ifdef NOFENCE
#define FENCERULE(i) true
#else
#define FENCERULE(i) (vN[i] == 0 || vTerm[i] == mine[i])
#endif
#ifdef NOSTOP
#define STOPRULE true
#elif defined(NOOPEN)        /* looks at the last generation only */
#define STOPRULE (vN[i] == 0 || STOPPED(vN[i]) || MEETS(vN[i]))
#else
#define STOPRULE (n == 0)
#endif
#ifdef NOACCOUNT
#define ACCOUNTRULE(i) true
#else
#define ACCOUNTRULE(i) ((vN[i] > 0 && !vBack[i]) || KNOWN(vN[i]))
#endif

active proctype world() {
	byte i, n, set, t, open;
	do
	:: atomic {
		/* some node moves */
		if :: i = 0 :: i = 1 :: NODES > 2 -> i = 2 fi;
		if
		/* it reads the head */
		:: !SAME(i) || vBack[i] != hBack -> read(i)

		/* it takes up a newer generation */
		:: vN[i] > keptN[i] -> take(i)

		/* its generation breaks */
		:: cur[i] > 0 -> leave(i)

		/* it is killed and started again */
		:: crashes < CRASHES && boot[i] < 2 ->
			crashes++;
			boot[i]++; cur[i] = 0; mine[i] = 0;
			vN[i] = 0; vTerm[i] = 0; vSet[i] = 0; vBack[i] = false; vOpen[i] = 0;
#ifdef NOMAX
			keptN[i] = 0; keptSet[i] = 0; keptTerm[i] = 0; keptOpen[i] = 0;
#endif
			skip

		/* it takes over the leader's key; who held it may not know yet */
		:: mine[i] == 0 && i < LEADERS && lTerm < MAXT && vTerm[i] < MAXT && keptTerm[i] < MAXT ->
			highest(i);
			lTerm = t + 1; lOwner = i; mine[i] = t + 1;
			t = 0

		/* it learns that it is the leader no more */
		:: mine[i] > 0 && (lOwner != i || lTerm != mine[i]) -> mine[i] = 0

		/* as a leader it first writes its term into the head */
		:: mine[i] > vTerm[i] && vN[i] > 0 ->
			write(i, vN[i], mine[i], vSet[i], vBack[i], vOpen[i])

		/* as a leader it forms the next generation, of whom it likes */
		:: mine[i] > 0 && vN[i] < MAXN && vN[i] >= keptN[i] && FENCERULE(i) ->
			/* announcements may be of an earlier boot */
			set = 0;
			t = 0;
			do
			:: t < NODES ->
				if
				:: skip
				:: set = set | ((boot[t] + 1) << (2*t))
				:: boot[t] > 0 -> set = set | (boot[t] << (2*t))
				fi;
				t++
			:: else -> break
			od;
			/* open becomes what is open behind it; n is 1 if one is not met */
			open = 0;
			n = 0;
			t = 1;
			do
			:: t <= vN[i] ->
				if
				:: (t == vN[i] || (vOpen[i] >> t) & 1) && !STOPPED(t) ->
					open = open | (1 << t);
					if
					:: MEETS(t) -> skip
					:: else -> n = 1
					fi
				:: else -> skip
				fi;
				t++
			:: else -> break
			od;
			if
			:: set != 0 && STOPRULE && ACCOUNTRULE(i) -> n = 0; write(i, vN[i] + 1, mine[i], set, false, open)
			:: else -> skip
			fi;
			set = 0; open = 0; n = 0; t = 0

		/* it puts back what the store has lost */
		:: keptN[i] > vN[i] && SAME(i) && (lOwner < N) ->
			highest(i);
			write(i, keptN[i], t, keptSet[i], true, keptOpen[i]);
			t = 0

		/* all members of a generation are in it, and do a step */
		:: n = 1;
			do
			:: n <= MAXN && (record[n] == 0 || !(LIVE(n, 0) && LIVE(n, 1) && LIVE(n, 2))) -> n++
			:: else -> break
			od;
			if
			:: n <= MAXN ->
				assert(n >= done);                                /* FORK */
				done = n
			:: else -> skip
			fi;
			n = 0

		/* the store loses all it had, when all nodes know the newest generation or none */
		:: wipes < WIPES && hN > 0 && QUIET ->
			wipes++;
			hN = 0; hTerm = 0; hSet = 0; hBack = false; hOpen = 0;
			lTerm = 0; lOwner = N
		fi;
		i = 0
	}
	od
}
