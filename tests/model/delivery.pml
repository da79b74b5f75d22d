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
hidden byte i, p;

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

#include "saga.pml"
#include "ferry.pml"
#include "faults.pml"

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
#elif GOAL == 8 /* the server dies while the key is prepared: a fresh password, and it arrives */
#define REACHED (crashes && job[1].kind == HOLD && db.row[1] == DELIVERED && db.change[0] == CONFIRMED && \
  key.current == 2 && wanted == 1)
#endif
active proctype Goal() {
end:
  atomic { REACHED -> assert(false) }
}
#endif
