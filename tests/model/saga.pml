/* Part of delivery.pml: the server's change saga, and the directory. */

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

/* Sealed with HOLD: older HOLDs and DROPs that wait are of no use any more. */
inline hold(c) {
  passwords++;
  i = 1;
  do
  :: i <= jobs ->
     if
     :: db.row[i] == READY && (job[i].kind == HOLD || job[i].kind == DROP) -> db.row[i] = SUPERSEDED
     :: else
     fi;
     i++
  :: else -> break
  od;
  seal(HOLD, passwords, 0, READY);
  db.job_of[c] = jobs;
  step[c] = PREPARE
}

/* The directory has not changed, and will not: FAILED, the job cancelled. A HOLD that was handed out stays on offer: its fate
 * must become known (Sweep drops it then), lest the way be blocked for ever. After a second attempt the first may have landed, and its password is gone: only an administrator can help. */
inline fail(c) {
  printf("server     change %d was not made\n", c);
  if
  :: db.row[db.job_of[c]] == HELD || db.row[db.job_of[c]] == READY && !HAS(db.handed, db.job_of[c]) ->
     db.row[db.job_of[c]] = CANCELLED
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
#define MAY_RESEAL(j) (db.row[j] == DELIVERED)
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
       if
       :: passwords++; seal(SET, passwords, 0, ROW_OF_SET); step[_pid] = PREPARED; db.job_of[_pid] = jobs
       :: MAY_HOLD -> hold(_pid)
       fi;
       db.change[_pid] = SEALED
     }
  :: d_step { step[_pid] == PREPARE && db.row[db.job_of[_pid]] == DELIVERED -> step[_pid] = PREPARED }
  /* Given up, or a newer request takes its place. */
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

  /* R10 after a crash: the row decides. A HOLD whose password is lost: when its receipt is there, a fresh one; given up as
   * well. */
  :: d_step { step[_pid] == IDLE && db.change[_pid] == SEALED -> fail(_pid) }
  :: d_step {
       step[_pid] == IDLE && db.change[_pid] == SEALED && job[db.job_of[_pid]].kind == HOLD &&
       MAY_RESEAL(db.job_of[_pid]) && MAY_HOLD && EPOCH_HAS_ROOM && passwords < PASSWORDS ->
       printf("server     makes a fresh password for change %d\n", _pid);
       hold(_pid)
     }
  :: d_step { step[_pid] == IDLE && db.change[_pid] == ATTEMPT -> step[_pid] = UNSURE }
  od
}

/* A password lies in the key's pending slot for nothing: a HOLD is what the key has taken last, and will not be committed.
 * Only once its receipt is there: before, a DROP would be refused today and accepted tomorrow. Not beside an open change,
 * and not while anything else may pass: DROP, with its higher sequence, would make that one a replay. */
#ifndef DROPS_ANY_TIME
#define NOTHING_ELSE_IS_ON_ITS_WAY (!ANY(OPEN) && COUNT(MAY_PASS, 0) == 0)
#else
#define NOTHING_ELSE_IS_ON_ITS_WAY (COUNT(COMMITS, receipt[db.ctr].job) == 0)
#define COMMITS(k, j) (k <= jobs && job[k].kind != SET && job[k].kind != HOLD && job[k].names == j)
#endif
active proctype Sweep() {
end:
  do
  :: d_step {
       receipt[db.ctr].job && job[receipt[db.ctr].job].kind == HOLD && !db.incident && jobs < ROOM &&
       NOTHING_ELSE_IS_ON_ITS_WAY ->
       seal(DROP, 0, receipt[db.ctr].job, READY)
     }
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
