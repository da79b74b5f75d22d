/* From the change of a password to the key that holds it: server, directory, workstation daemon, key, and
 * what can go wrong in and between them. README.md says how to read it; scripts/model runs it.
 *
 * Checked (the number is CHECK's first argument):
 *  1  A password that the key would release is one that the directory has had, or an incident is visible.
 *  2  A job takes effect at most once; sent again, it is answered with the receipt it had.
 *  3  The sequence of the key grows with every job and never falls, short of a rollback that is detected.
 *  4  No wrong claim: "done" = the directory has it and the sealed job is durable; "failed" = the directory
 *     neither had it nor will get it; "refused" = the key has not stored it.
 *  5  While no change is open, the directory's password is the key's current one, or is in a ready job that
 *     the key can open, or an incident is visible. At rest no change is open, and only the first and the last remain.
 *  6  Crashes, cuts, losses, late answers and repeats alone never end in an incident.
 *
 * Every atomic or d_step block is one transaction, one message or one commit on flash: all or nothing. A
 * crash can fall between any two of them.
 */

/* ---- How much may go wrong in one run: set by scripts/model ---------------------------------------------------- */

#ifndef CRASHES
#define CRASHES 0   /* the server is killed and starts again */
#endif
#ifndef KILLS
#define KILLS 0     /* the daemon is killed: what is not on its disk is lost */
#endif
#ifndef CUTS
#define CUTS 0      /* the key loses power or is pulled: command or answer is lost */
#endif
#ifndef REPEATS
#define REPEATS 0   /* a job or receipt comes once more, any time later, in any order */
#endif
#ifndef DOUBTS
#define DOUBTS 0    /* asked for evidence, the directory cannot say */
#endif
#ifndef RESTORES
#define RESTORES 0  /* the server's database is replaced by an older backup */
#endif
#ifndef ROLLBACKS
#define ROLLBACKS 0 /* the key's flash is replaced by an older image */
#endif
#ifndef REQUESTS
#define REQUESTS 2  /* for one account with one key, at once or one after the other */
#endif
#ifndef PASSWORDS
#define PASSWORDS REQUESTS /* that the server makes: one a request, and one more after a doubt */
#endif
#ifndef ROOM
#define ROOM 4      /* jobs that it seals; a request at delivery takes two */
#endif

#define JOBS 6
#define BIT(x) (1 << (x))
#define HAS(set, x) (((set) >> (x)) & 1)
#define CHECK(number, condition) assert(number == 0 || (condition))

/* ---- Sealed jobs: they never change. The index is the job_id ----------------------------------------------------- */

mtype = { SET, HOLD, COMMIT, DROP };
typedef Sealed {
  mtype kind;
  byte password; /* of COMMIT: the one that the job it names has put into pending */
  byte names;    /* COMMIT, DROP: job_id in the body */
  byte seq;
  byte base;     /* base_seq */
  byte epoch;    /* recipient_epoch: one number with receipt_ctr here, since every accepted job moves both */
};
Sealed job[JOBS + 1];
byte jobs;       /* sealed so far */
byte passwords;  /* made so far; 0 is the one that directory and key have from the start */

/* ---- Directory ------------------------------------------------------------------------------------------------------ */

byte ad_password;
byte ad_version; /* pwdLastSet */
byte ad_had = 1; /* set of the passwords that it ever had */
byte ad_net;     /* set of writes that have left the server and are not applied, refused or lost yet */
byte ad_late;    /* second copies of such writes, on connections given up (only with RESENDS_OLD) */

/* ---- Server --------------------------------------------------------------------------------------------------------- */

mtype:change = { NO_CHANGE, SEALED, ATTEMPT, CONFIRMED, FAILED, UNKNOWN };
mtype:row = { NO_ROW, HELD, READY, DELIVERED, SUPERSEDED, CANCELLED, REFUSED, DEAD };
typedef Database { /* durable */
  mtype:change change[REQUESTS];
  byte job_of[REQUESTS];  /* the job that carries the request's password */
  byte version[REQUESTS]; /* pwdLastSet before the attempt */
  bit second[REQUESTS];   /* fresh password after an attempt whose outcome nobody knows */
  mtype:row row[JOBS + 1];
  byte handed;            /* set of jobs handed out */
  byte next_seq;
  byte ctr;               /* of the newest receipt held; so the epoch to seal to */
  byte set_version;       /* pwdLastSet that the newest confirmed change left */
  byte set_job;           /* and the job that takes its password to the key */
  bit incident;           /* an administrator sees that this account or key needs him */
};
Database db, backup;

mtype:step = { IDLE, PREPARE, PREPARED, SEND, WAIT, UNSURE, TOLD };
mtype:answer = { NO_ANSWER, YES, NO };
mtype:step step[REQUESTS] = IDLE; /* memory of each request's worker: from PREPARE to WAIT it has the password */
mtype:answer answer[REQUESTS] = NO_ANSWER;

/* ---- Between server and key ------------------------------------------------------------------------------------------ */

byte wire;              /* set of jobs sent to the daemon, not on its disk yet */
byte spool;             /* set of jobs on the workstation's disk */
byte receipts;          /* set of positive receipts there, by receipt_ctr */
byte refusal[JOBS + 1]; /* receipt_ctr in the signed negative receipt there for this job, 0 = none */
byte to_key;            /* PUT_JOB under way, 0 = none */
byte about, from_key;   /* answer under way: job and receipt_ctr, 0 = none */
bit negative;

/* ---- Key ---------------------------------------------------------------------------------------------------------------- */

typedef Flash {
  byte current, previous, pending; /* passwords; pending 0 = empty */
  byte pending_job;
  byte last_seq, last_job;
  byte ctr;                        /* receipt_ctr, and the generation of the record */
};
Flash key, image;
typedef Receipt { byte job, seq; };
Receipt receipt[JOBS + 2];         /* the journal: signed, so whoever quotes one quotes this */
byte counter;                      /* the monotonic counter, apart from the flash */
bit tampered;

/* ---- What only the checks know ------------------------------------------------------------------------------------------ */

byte applied, newest, high_seq; /* set of jobs that took effect, the last of them, its seq */
byte receipt_of[JOBS + 1];
byte wanted;                    /* requests in this run */
byte crashes, kills, cuts, repeats, doubts, restores, rollbacks;
bit backed_up, imaged;
hidden byte i, p, cancelled;

#define OPEN(c) (db.change[c] == SEALED || db.change[c] == ATTEMPT)
#if REQUESTS == 2
#define ANY(what) (what(0) || what(1))
#else
#define ANY(what) (what(0) || what(1) || what(2))
#endif
#define BUSY(c) (step[c] != IDLE)
#define PASSWORD(c) job[db.job_of[c]].password
#define CARRIES(j) (job[j].kind == SET || job[j].kind == COMMIT)
#define EPOCH_FITS(j) (job[j].epoch == key.ctr || job[j].epoch + 1 == key.ctr)

/* Sums over all jobs. */
#define COUNT(what, x) (what(1, x) + what(2, x) + what(3, x) + what(4, x) + what(5, x) + what(6, x))
#define IS_OUT(k) (HAS(db.handed, k) && db.row[k] != DELIVERED && db.row[k] != REFUSED)
#define IS_ABOVE(k) (k <= jobs && job[k].seq > receipt[db.ctr].seq)
#define MAY_PASS(k, x) (IS_ABOVE(k) && (IS_OUT(k) || db.row[k] == READY))
#define UNDELIVERED(k, x) (db.row[k] == READY && CARRIES(k))

inline raise_incident() {
  printf("server     INCIDENT\n");
  CHECK(6, doubts || restores || rollbacks);
  db.incident = 1
}

/* ---- The saga: R0 to R7 and R10 of one request ---------------------------------------------------------------------------- */

/* Part of a transaction: claims the next sequence and seals (R2). */
inline seal(what, the_password, the_name, the_row) {
  jobs++;
  job[jobs].kind = what;
  job[jobs].password = the_password;
  job[jobs].names = the_name;
  job[jobs].seq = db.next_seq;
  job[jobs].base = receipt[db.ctr].seq;
  job[jobs].epoch = db.ctr;
  db.row[jobs] = the_row;
  printf("server     seals job %d: %e, password %d, seq %d, base %d, epoch %d\n", jobs, what, the_password, db.next_seq,
         job[jobs].base, job[jobs].epoch);
  db.next_seq++
}

/* R7: CONFIRMED, the job ready, older undelivered ones superseded. */
inline confirm(c) {
  printf("server     change %d CONFIRMED\n", c);
  CHECK(4, ad_password == PASSWORD(c));
  i = 1;
  do
  :: i <= jobs ->
     if
     :: (db.row[i] == READY || db.row[i] == HELD) && i != db.job_of[c] -> db.row[i] = SUPERSEDED
     :: else
     fi;
     i++
  :: else -> break
  od;
  if
  :: job[db.job_of[c]].kind == HOLD ->
     seal(COMMIT, PASSWORD(c), db.job_of[c], READY);
     db.job_of[c] = jobs
  :: else -> db.row[db.job_of[c]] = READY
  fi;
  db.change[c] = CONFIRMED;
  db.set_version = db.version[c] + 1;
  db.set_job = db.job_of[c];
  step[c] = IDLE
}

/* A HOLD that will not be committed, once its receipt is there: before, a DROP would be refused today and accepted
 * tomorrow. Not when a newer job is sealed: DROP, with its higher sequence, would make that one a replay. */
#ifndef DROPS_ANY_TIME
#define IS_NEWEST(j) (j == jobs)
#else
#define IS_NEWEST(j) true
#endif
inline drop(the_job) {
  if
  :: IS_NEWEST(the_job) && jobs < ROOM -> seal(DROP, 0, the_job, READY)
  :: else
  fi
}

/* The directory has not changed, and will not: FAILED, the job cancelled, what the key has in pending dropped.
 * After a second attempt the first may have landed, and its password is gone: only an administrator can help. */
inline fail(c) {
  printf("server     change %d was not made\n", c);
  if
  :: db.row[db.job_of[c]] == READY || db.row[db.job_of[c]] == HELD -> db.row[db.job_of[c]] = CANCELLED
  :: db.row[db.job_of[c]] == DELIVERED -> drop(db.job_of[c]) /* HOLD */
  :: else
  fi;
#ifndef FORGETS_FIRST
  if
  :: db.second[c] -> db.change[c] = UNKNOWN; raise_incident()
  :: else -> CHECK(4, !HAS(ad_had | ad_net, PASSWORD(c))); db.change[c] = FAILED
  fi;
#else
  db.change[c] = FAILED;
#endif
  step[c] = IDLE
}

/* R6, nobody can say: a fresh password with a higher sequence, never the old one again. */
inline supersede(c) {
  if
  :: db.second[c] || passwords == PASSWORDS || jobs == ROOM ->
     db.change[c] = UNKNOWN;
     step[c] = IDLE;
     raise_incident()
  :: else ->
     if
     :: db.row[db.job_of[c]] == HELD -> db.row[db.job_of[c]] = CANCELLED
     :: else
     fi;
     passwords++;
     seal(SET, passwords, 0, HELD);
     db.job_of[c] = jobs;
     db.second[c] = 1;
     db.change[c] = SEALED;
     step[c] = PREPARED
  fi
}

/* R0, the row that claims the account's one open change. */
#ifndef NO_LOCK
#define ACCOUNT_IS_FREE !ANY(OPEN)
#else
#define ACCOUNT_IS_FREE true
#endif
/* Each job that the key accepts moves its epoch, and it opens two of them: no third is sealed while two others, of
 * whatever epoch, may still pass. */
#ifndef SEALS_A_THIRD
#define EPOCH_HAS_ROOM (COUNT(MAY_PASS, 0) < 2)
#else
#define EPOCH_HAS_ROOM true
#endif
/* HOLD makes older undelivered jobs worthless before the directory has anything newer. */
#ifndef HOLD_OVERTAKES
#define MAY_HOLD (COUNT(UNDELIVERED, 0) == 0 && jobs + 2 <= ROOM)
#else
#define MAY_HOLD (jobs + 2 <= ROOM)
#endif
#ifndef IMPATIENT
#define OLD_CONNECTION_IS_DEAD(c) (!HAS(ad_net | ad_late, PASSWORD(c)))
#else
#define OLD_CONNECTION_IS_DEAD(c) true
#endif
#ifndef HANDS_OUT_EARLY
#define ROW_OF_SET HELD
#else
#define ROW_OF_SET READY
#endif

active [REQUESTS] proctype Change() {
end:
  do
  /* R0 to R2. Now, or at delivery: prepared on the key first (R3). */
  :: atomic {
       db.change[_pid] == NO_CHANGE && _pid < wanted && (_pid == 0 || db.change[_pid - 1] != NO_CHANGE) &&
       ACCOUNT_IS_FREE && EPOCH_HAS_ROOM && !db.incident && passwords < PASSWORDS && jobs < ROOM ->
       passwords++;
       if
       :: seal(SET, passwords, 0, ROW_OF_SET); step[_pid] = PREPARED
       :: MAY_HOLD -> seal(HOLD, passwords, 0, READY); step[_pid] = PREPARE
       fi;
       db.job_of[_pid] = jobs;
       db.change[_pid] = SEALED
     }
  :: d_step { step[_pid] == PREPARE && db.row[db.job_of[_pid]] == DELIVERED -> step[_pid] = PREPARED }
  :: d_step { step[_pid] == PREPARE && db.row[db.job_of[_pid]] != DELIVERED -> fail(_pid) }

  /* R4, R5 */
  :: d_step {
       step[_pid] == PREPARED ->
#ifndef NO_ATTEMPT_ROW
       db.change[_pid] = ATTEMPT;
#endif
       db.version[_pid] = ad_version;
       step[_pid] = SEND
     }
  :: d_step {
       step[_pid] == SEND ->
       printf("server     asks the directory for password %d\n", PASSWORD(_pid));
       ad_net = ad_net | BIT(PASSWORD(_pid));
       answer[_pid] = NO_ANSWER;
       step[_pid] = WAIT
     }

  /* R6: a clear answer decides. After the deadline: let the old connection die, then ask. */
#ifndef CLAIMS_EARLY
  :: d_step { step[_pid] == WAIT && answer[_pid] == YES -> answer[_pid] = NO_ANSWER; confirm(_pid) }
#else
  :: d_step { step[_pid] == WAIT -> answer[_pid] = NO_ANSWER; confirm(_pid) }
#endif
  :: d_step { step[_pid] == WAIT && answer[_pid] == NO -> answer[_pid] = NO_ANSWER; fail(_pid) }
#ifndef RESENDS_OLD
  :: d_step { step[_pid] == WAIT && answer[_pid] == NO_ANSWER -> printf("server     deadline of change %d\n", _pid); step[_pid] = UNSURE }
#else
  :: d_step {
       step[_pid] == WAIT && answer[_pid] == NO_ANSWER && !HAS(ad_late, PASSWORD(_pid)) ->
       ad_late = ad_late | (ad_net & BIT(PASSWORD(_pid)));
       step[_pid] = SEND
     }
#endif
  :: d_step { step[_pid] == UNSURE && OLD_CONNECTION_IS_DEAD(_pid) && ad_version == db.version[_pid] + 1 -> confirm(_pid) }
  :: d_step { step[_pid] == UNSURE && OLD_CONNECTION_IS_DEAD(_pid) && ad_version == db.version[_pid] -> fail(_pid) }
  :: d_step { step[_pid] == UNSURE && OLD_CONNECTION_IS_DEAD(_pid) && doubts < DOUBTS -> doubts++; supersede(_pid) }

  /* The page says "done", at once or when the request is repeated after a crash. */
  :: d_step {
       step[_pid] == IDLE && db.change[_pid] == CONFIRMED ->
       printf("server     says done for change %d\n", _pid);
       CHECK(4, HAS(ad_had, PASSWORD(_pid)));
       CHECK(4, db.row[db.job_of[_pid]] == READY || db.row[db.job_of[_pid]] == DELIVERED ||
                db.row[db.job_of[_pid]] == SUPERSEDED || db.incident);
       step[_pid] = TOLD
     }

  /* R10 after a crash: the row decides. */
  :: d_step { step[_pid] == IDLE && db.change[_pid] == SEALED -> fail(_pid) }
  :: d_step { step[_pid] == IDLE && db.change[_pid] == ATTEMPT -> step[_pid] = UNSURE }
  od
}

inline reply(yes_or_no) {
  i = 0;
  do
  :: i < REQUESTS ->
     if
     :: step[i] == WAIT && PASSWORD(i) == p -> answer[i] = yes_or_no
     :: else
     fi;
     i++
  :: else -> break
  od
}

active proctype Domain() {
end:
  do
  :: atomic {
       ad_net | ad_late ->
       if
       :: HAS(ad_net | ad_late, 1) -> p = 1
       :: HAS(ad_net | ad_late, 2) -> p = 2
       :: HAS(ad_net | ad_late, 3) -> p = 3
       fi;
       if
       :: HAS(ad_net, p) -> ad_net = ad_net & ~BIT(p)
       :: HAS(ad_late, p) -> ad_late = ad_late & ~BIT(p)
       fi;
       /* Applied, refused or lost. An answer that comes late or not at all is one whose worker has stopped waiting. */
       if
       :: printf("directory  sets password %d\n", p);
          ad_password = p; ad_version++; ad_had = ad_had | BIT(p);
          reply(YES)
       :: printf("directory  refuses password %d\n", p);
          reply(NO)
       :: printf("network    loses the write of password %d\n", p)
       fi
     }
  od
}

/* ---- One sealed job from the queue to the key, and a refusal back (R8, R9) ------------------------------------------------ */

/* A receipt tells where the key is: seal to that from now on. A job above the key's sequence whose epoch it has left is
 * dead; one below may have been stored, and its receipt be on the way. */
#ifndef BURIES_EARLY
#define IS_DEAD(j, n) (job[j].epoch + 1 < n && job[j].seq > receipt[n].seq)
#else
#define IS_DEAD(j, n) (job[j].epoch + 1 < n)
#endif
inline key_is_at(n) {
  if
  :: n > db.ctr ->
     db.ctr = n;
     if
     :: db.next_seq <= receipt[n].seq -> db.next_seq = receipt[n].seq + 1
     :: else
     fi;
     i = 1;
     do
     :: i <= jobs ->
        if
        :: db.row[i] == READY && IS_DEAD(i, n) ->
           db.row[i] = REFUSED;
           if
           :: CARRIES(i) -> raise_incident()
           :: else
           fi
        :: else
        fi;
        i++
     :: else -> break
     od
  :: else
  fi
}

#ifndef ACKS_BEFORE_FSYNC
#define IS_WITH_DAEMON(j) (HAS(wire | spool, j) || refusal[j] || HAS(receipts, receipt_of[j]))
#else /* and the server believes that the job is on the disk */
#define IS_WITH_DAEMON(j) HAS(db.handed, j)
#endif
#ifndef NO_GET_RECEIPT
#define JOURNALLED(j) (receipt_of[j] != 0)
#else
#define JOURNALLED(j) false
#endif

proctype Job(byte j) {
end:
  do
  /* Offered until a receipt came. */
  :: d_step {
       db.row[j] == READY && !IS_WITH_DAEMON(j) ->
       printf("server     hands out job %d\n", j);
       db.handed = db.handed | BIT(j);
       wire = wire | BIT(j)
     }
  :: d_step { HAS(wire, j) -> printf("daemon     spools job %d\n", j); wire = wire & ~BIT(j); spool = spool | BIT(j) }
  /* A second copy, a late one, the spool of another workstation, one who records and replays. */
  :: d_step { repeats < REPEATS && HAS(db.handed, j) && !HAS(wire | spool, j) -> printf("network    repeats job %d\n", j); repeats++; wire = wire | BIT(j) }
  /* The event "void". */
  :: d_step {
       HAS(spool, j) && to_key != j && about != j && (db.row[j] == SUPERSEDED || db.row[j] == CANCELLED) ->
       printf("daemon     drops job %d, void\n", j);
       spool = spool & ~BIT(j)
     }
  /* PUT_JOB. A key that says "tampered" is asked nothing more. */
  :: d_step { HAS(spool, j) && !to_key && !from_key && !tampered -> printf("daemon     puts job %d\n", j); to_key = j }
  /* The answer goes to the disk. Refused, but stored earlier: GET_RECEIPT finds that receipt in the journal. */
  :: d_step {
       from_key && about == j ->
       printf("daemon     spools the answer to job %d\n", j);
       if
       :: !negative -> receipts = receipts | BIT(from_key)
       :: negative && JOURNALLED(j) -> receipts = receipts | BIT(receipt_of[j])
       :: else -> refusal[j] = from_key
       fi;
       spool = spool & ~BIT(j);
       from_key = 0; about = 0; negative = 0
     }
  /* The server takes a negative receipt, unless it holds newer ones. */
  :: d_step {
       refusal[j] ->
       printf("server     takes the refusal of job %d, receipt_ctr %d\n", j, refusal[j]);
       if
       :: refusal[j] >= db.ctr ->
          if
          :: db.row[j] == READY ->
             CHECK(4, !HAS(applied, j));
             db.row[j] = REFUSED;
             if
             :: CARRIES(j) -> raise_incident()
             :: else
             fi
          :: else
          fi;
          key_is_at(refusal[j])
       :: else
       fi;
       refusal[j] = 0
     }
  od
}

/* A positive receipt on its way to the server. */
inline take_receipt(n) {
  printf("server     takes receipt %d, of job %d\n", n, receipt[n].job);
  if
  :: db.row[receipt[n].job] == NO_ROW -> raise_incident() /* a job that nobody sealed: clone, or own backup */
  :: db.row[receipt[n].job] == CANCELLED -> db.row[receipt[n].job] = DELIVERED; cancelled = receipt[n].job /* HOLD */
  :: else ->
     CHECK(4, db.row[receipt[n].job] != REFUSED || db.incident);
     db.row[receipt[n].job] = DELIVERED
  fi;
  key_is_at(n);
  if
  :: cancelled -> drop(cancelled); cancelled = 0
  :: else
  fi
}

proctype Post(byte n) {
end:
  do
  :: d_step { HAS(receipts, n) -> take_receipt(n); receipts = receipts & ~BIT(n) }
  :: d_step { HAS(receipts, n) && repeats < REPEATS -> repeats++; take_receipt(n) } /* the verdict is lost */
  od
}

/* ---- Key ---------------------------------------------------------------------------------------------------------------------- */

#ifndef SEQ_NOT_CHECKED
#define IS_REPLAY(j) (job[j].seq <= key.last_seq)
#else
#define IS_REPLAY(j) false
#endif
#ifndef NO_REPEAT
#define IS_REPEAT(j) (j == key.last_job)
#else
#define IS_REPEAT(j) false
#endif
#define NAMES_OTHER(j) ((job[j].kind == COMMIT || job[j].kind == DROP) && job[j].names != key.pending_job)

/* Step 8: one atomic commit. */
inline store(j) {
  printf("key        stores job %d\n", j);
  CHECK(2, !HAS(applied, j));
  CHECK(3, job[j].seq > high_seq);
  if
  :: job[j].kind == SET -> key.previous = key.current; key.current = job[j].password; key.pending = 0; key.pending_job = 0
  :: job[j].kind == HOLD -> key.pending = job[j].password; key.pending_job = j
  :: job[j].kind == COMMIT -> key.previous = key.current; key.current = key.pending; key.pending = 0; key.pending_job = 0
  :: job[j].kind == DROP -> key.pending = 0; key.pending_job = 0
  fi;
  key.last_seq = job[j].seq;
  key.last_job = j;
  key.ctr++;
  counter = key.ctr;
  receipt[key.ctr].job = j;
  receipt[key.ctr].seq = key.last_seq;
  receipt_of[j] = key.ctr;
  applied = applied | BIT(j);
  newest = j;
  high_seq = key.last_seq;
  CHECK(1, HAS(ad_had, key.current) && HAS(ad_had, key.previous) || db.incident)
}

active proctype Key() {
end:
  do
  :: d_step {
       to_key ->
       CHECK(3, key.last_seq == high_seq);
       if
       :: IS_REPEAT(to_key) -> printf("key        repeats its receipt for job %d\n", to_key)
       :: else ->
          if
          :: IS_REPLAY(to_key) || job[to_key].base > key.last_seq || !EPOCH_FITS(to_key) || NAMES_OTHER(to_key) ->
             printf("key        refuses job %d, receipt_ctr %d\n", to_key, key.ctr);
             negative = 1
          :: else -> store(to_key)
          fi
       fi;
       from_key = key.ctr;
       about = to_key;
       to_key = 0;
       CHECK(2, about != newest || !negative && from_key == receipt_of[about] && receipt[from_key].job == about)
     }
  /* INFO says state 6 at the next contact. */
  :: d_step { tampered && !db.incident -> raise_incident() }
  od
}

/* ---- Faults -------------------------------------------------------------------------------------------------------------------- */

#ifdef SEALS_LATE /* nothing of a change is on the disk before the directory has answered */
#define LOSE_UNSEALED(c) if :: OPEN(c) -> db.change[c] = NO_CHANGE; db.row[db.job_of[c]] = NO_ROW :: else fi
#else
#define LOSE_UNSEALED(c) skip
#endif

inline forget() {
  i = 0;
  do
  :: i < REQUESTS -> step[i] = IDLE; answer[i] = NO_ANSWER; LOSE_UNSEALED(i); i++
  :: else -> break
  od;
  i = 0
}

inline hang_up() { to_key = 0; from_key = 0; about = 0; negative = 0 }

inline copy_database(to, from) {
  i = 0;
  do
  :: i < REQUESTS ->
     to.change[i] = from.change[i];
     to.job_of[i] = from.job_of[i];
     to.version[i] = from.version[i];
     to.second[i] = from.second[i];
     i++
  :: else -> break
  od;
  i = 1;
  do
  :: i <= JOBS -> to.row[i] = from.row[i]; i++
  :: else -> break
  od;
  to.handed = from.handed;
  to.next_seq = from.next_seq;
  to.ctr = from.ctr;
  to.set_version = from.set_version;
  to.set_job = from.set_job;
  to.incident = from.incident
}

inline copy_flash(to, from) {
  to.current = from.current; to.previous = from.previous;
  to.pending = from.pending; to.pending_job = from.pending_job;
  to.last_seq = from.last_seq; to.last_job = from.last_job;
  to.ctr = from.ctr
}

/* R10 after a restore: whatever was on its way is dead; who cannot be known to be well is an incident. */
inline recheck() {
  i = 1;
  do
  :: i <= JOBS ->
     if
     :: db.row[i] == READY || db.row[i] == HELD -> db.row[i] = DEAD
     :: else
     fi;
     i++
  :: else -> break
  od;
  if
  :: ad_version != db.set_version || db.set_job && db.row[db.set_job] != DELIVERED -> raise_incident()
  :: else
  fi;
  i = 0;
  do
  :: i < REQUESTS ->
     if
     :: OPEN(i) -> db.change[i] = UNKNOWN
     :: else
     fi;
     i++
  :: else -> break
  od;
  i = 0
}

active proctype Faults() {
end:
  do
  :: d_step {
       crashes < CRASHES && ANY(BUSY) ->
       crashes++;
       printf("server     CRASHES\n");
       forget()
     }
  :: d_step { kills < KILLS && (wire || to_key || from_key) -> printf("daemon     IS KILLED\n"); kills++; wire = 0; hang_up() }
  :: d_step { cuts < CUTS && (to_key || from_key) -> printf("key        LOSES POWER\n"); cuts++; hang_up() }

  :: d_step { RESTORES && !backed_up && jobs -> printf("server     is backed up\n"); backed_up = 1; copy_database(backup, db) }
  /* Restoring takes longer than a write can be late. */
  :: d_step {
       restores < RESTORES && backed_up && !ad_net ->
       restores++;
       printf("server     IS RESTORED\n");
       forget();
       copy_database(db, backup);
#ifndef NO_RECHECK
       recheck()
#endif
     }

  :: d_step { ROLLBACKS && !imaged -> printf("key        flash is copied\n"); imaged = 1; copy_flash(image, key) }
  :: d_step {
       rollbacks < ROLLBACKS && imaged && image.ctr < key.ctr ->
       rollbacks++;
       printf("key        IS ROLLED BACK\n");
       hang_up();
       copy_flash(key, image);
#ifndef NO_COUNTER
       tampered = key.ctr < counter
#endif
     }
  od
}

/* ---- Start and rest -------------------------------------------------------------------------------------------------------------- */

init {
  atomic {
    i = 0;
    do
    :: i < REQUESTS -> db.change[i] = NO_CHANGE; backup.change[i] = NO_CHANGE; i++
    :: else -> break
    od;
    i = 0;
    do
    :: i <= JOBS -> db.row[i] = NO_ROW; backup.row[i] = NO_ROW; job[i].kind = SET; i++
    :: else -> break
    od;
    db.next_seq = 1;
    db.ctr = 1;   /* receipt number 1 is the enrolment's */
    key.ctr = 1;
    counter = 1;
    i = 1;
    do
    :: i <= ROOM -> run Job(i); run Post(i + 1); i++
    :: else -> break
    od;
    do
    :: wanted < REQUESTS -> wanted++
    :: wanted > 0 -> break
    od
  }
}

active proctype AtRest() {
end:
  atomic {
    timeout ->
    printf("at rest    directory %d, key %d (previous %d, pending %d), incident %d\n", ad_password, key.current,
           key.previous, key.pending, db.incident);
    CHECK(5, !ANY(OPEN));
    CHECK(5, db.incident || key.current == ad_password && !tampered);
    CHECK(5, db.incident || !wire && !spool && !receipts && !to_key && !from_key)
  }
}

/* And on the way there, whenever nothing is under way between server and directory: blocked as long as it holds. */
#define CAN_BRING(k, x) (db.row[k] == READY && CARRIES(k) && job[k].password == ad_password && \
  job[k].seq > key.last_seq && EPOCH_FITS(k) && !NAMES_OTHER(k))

active proctype Always() {
end:
  atomic {
    !ANY(OPEN) && !ad_net && !restores && !rollbacks && !db.incident &&
    key.current != ad_password && COUNT(CAN_BRING, 0) == 0 ->
    CHECK(5, false)
  }
}

/* A model in which nothing happens keeps every promise: scripts/model wants each of these to be reached. */
#ifdef GOAL
#define IS_DROP_STORED(j, x) (job[j].kind == DROP && HAS(applied, j))
#if GOAL == 1 /* two changes, both at delivery, both on the key */
#define REACHED (job[db.job_of[0]].kind == COMMIT && job[db.job_of[1]].kind == COMMIT && \
  key.current == PASSWORD(1) && key.previous == PASSWORD(0))
#elif GOAL == 2 /* what was prepared for a change that failed is dropped */
#define REACHED COUNT(IS_DROP_STORED, 0)
#elif GOAL == 3 /* after a doubt the key and the directory have the fresh password */
#define REACHED (db.second[0] && db.change[0] == CONFIRMED && key.current == ad_password && ad_password == PASSWORD(0))
#elif GOAL == 4 /* a crash after the request left; evidence; done; delivered */
#define REACHED (crashes && step[0] == TOLD && key.current == PASSWORD(0) && wanted == 1)
#elif GOAL == 5 /* restored without harm, and the next change reaches the key */
#define REACHED (restores && !db.incident && key.current == ad_password && ad_version > backup.set_version)
#elif GOAL == 6 /* restored, and somebody needs an administrator */
#define REACHED (restores && db.incident)
#elif GOAL == 7 /* a rollback is seen */
#define REACHED (tampered && db.incident)
#endif
active proctype Goal() {
end:
  atomic { REACHED -> assert(false) }
}
#endif
