/* Part of delivery.pml: crashes, cuts, restores and rollbacks. */

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
