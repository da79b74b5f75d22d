# The guest's machine, and its state when it has booted, kept in a file: each run begins there, seconds of emulation later than at its power switch.
# Source it after build.sh. Then:
#   vm_machine MEM CPUS     sets the array 'machine': what the kept guest and every run have in common
#   vm_freeze MEM CPUS      sets 'kept', a file that QEMU takes as -incoming "exec:cat FILE"; makes it when there is none
# The kept guest has no files, disks or network. They are there when it goes on, as if plugged in meanwhile; init looks for them.

# No self-tests of the kernel's ciphers and no wiping of fresh memory: half a second of each boot.
# Nor a test of the timer, which the kernel takes for dead, and stops, where the host lets QEMU wait for a few ticks.
# The clock is the HPET: calibrating the TSC on a busy machine makes the guest's time run many times too fast.
VM_KERNEL="console=ttyS0 quiet loglevel=4 panic=-1 mitigations=off no5lvl tsc=unstable clocksource=hpet cryptomgr.notests init_on_alloc=0
  rcupdate.rcu_expedited=1 8250.nr_uarts=1 no_timer_check apparmor=0 audit=0"

# Always emulated: with /dev/kvm in a nested machine QEMU hangs instead of failing. A processor of a fixed kind, without the wide registers that cost
# more to emulate than they save. The generation id tells the kernel that it goes on from a kept state, for fresh random numbers.
# Devices are addressed in the order of their options: those of a run come after these.
vm_machine() {
  machine=(-M q35 -accel "tcg,thread=multi" -cpu Westmere -m "$1,slots=1,maxmem=$(($1 + 1024))M" -smp "$2"
    -nodefaults -no-user-config -display none -no-reboot -nic none
    -kernel "$VM/vmlinux" -initrd "$VM/initramfs.cpio" -append "$(echo $VM_KERNEL)"
    -serial chardev:log
    -device virtio-serial-pci -device virtconsole,chardev=console
    -object "rng-random,filename=/dev/urandom,id=rng0" -device virtio-rng-pci,rng=rng0
    -device vmgenid,guid=auto)
}

# What QEMU is told while it boots the guest that is kept in FILE.new.
vm_keep() {
  local dir=$1 file=$2 left=2400
  until grep -qs "waits for its files" "$dir/kernel.log"; do
    [ $((left -= 1)) -gt 0 ] || { echo quit; return 0; }
    read -r -t 0.1 <> <(:) || true
  done
  echo "migrate \"exec:cat >'$file.part' && mv '$file.part' '$file.new'\""
  echo info migrate
  echo quit
}

vm_freeze_now() {
  local dir tries
  dir=$(mktemp -d)
  rm -f "$kept.new"
  vm_keep "$dir" "$kept" | timeout -k 5 300 qemu-system-x86_64 "${machine[@]}" -monitor stdio \
    -chardev "file,id=log,path=$dir/kernel.log" -chardev null,id=console >"$dir/monitor" 2>&1 || true
  # QEMU ends before the last of what it said is in the file.
  for ((tries = 0; tries < 100; ++tries)); do
    [ -e "$kept.new" ] && break
    read -r -t 0.1 <> <(:) || true
  done
  grep -q "Migration status: completed" "$dir/monitor" && mv "$kept.new" "$kept" && rm -rf "$dir" && return 0
  cat "$dir/monitor" "$dir/kernel.log"
  rm -rf "$dir"
  return 1
}

vm_freeze() {
  local stamp
  stamp=$({ cat "$ROOT/scripts/lib/vm/freeze.sh" && qemu-system-x86_64 --version; } | sha256sum | cut -c1-16)
  vm_machine "$1" "$2"
  kept=$VM/kept-$1-$2-$stamp
  exec 8>"$ROOT/build/vm.lock"
  flock 8
  [ -s "$kept" ] || { rm -f "$VM/kept-$1-$2-"*; step "Booting the guest for later" vm_freeze_now; }
  exec 8>&-
}
