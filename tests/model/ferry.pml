/* Part of delivery.pml: queue, daemon and key. */

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
  :: else ->
     CHECK(4, db.row[receipt[n].job] != REFUSED || db.incident);
     db.row[receipt[n].job] = DELIVERED
  fi;
  key_is_at(n)
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
