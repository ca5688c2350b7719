# Sets `isomix` (4 CPUs, CPU 3 isolated), `four` (4 CPUs), `smp8a` and `smp8b` (8 CPUs in 2 nodes): tasks that may use several CPUs.
# `cpu0` traces CPU 0 as well, without its timer interrupts.
# Appended to scen.sh's sets by EXTRA (see build.sh). CPU 0 has the controlling process and the 20 us timer of the emulator; it is not traced elsewhere.
# `runl` leaves sched_stat_runtime out: tasks that work for a time read their CPU clock, and each reading would be traced.
runl(){ keep=$EV; EV=$(echo "$EV" | sed 's|sched/sched_stat_runtime||'); run "$@"; EV=$keep; }
hogs(){ n=$1; shift; for i in $(seq 0 $((n-1))); do echo "hog$i,$*"; done; }
s_isomix(){
pit ${PITN:-24}
mount -o remount,size=2200m /out
printf %x 14 > $T/tracing_cpumask
runl per1ms-fifo80-idle "per,type=per,period=1000,$F,prio=80"
run iso-1hog "hog0,$O"
run iso-1fifohog "vcpu,type=hog,$F,prio=1"
run iso-2hog "hog0,$O" "hog1,$O"
run lb-6hog-mask1-3 $(hogs 6 cpus=1-3)
runl wake-other-mask2-3-hog2 "per,type=per,period=1000,work=100,cpus=2-3" "hog0,cpus=2"
run iso-nice-5+0+5 "hog0,$O,nice=-5" "hog1,$O" "hog2,$O,nice=5"
runl iso-fifo10ms-hog2 "per,type=per,period=10000,work=3000,$F,prio=80" "hog0,$O" "hog1,$O"
runl iso-wake-other-mask2-3-hog3 "per,type=per,period=1000,work=100,cpus=2-3" "hog0,cpus=3"
runl iso-fifo-mask2-3-fifohog2 "per,type=per,period=10000,work=1000,cpus=2-3,pol=fifo,prio=10" "vcpu,cpus=2,pol=fifo,prio=20"
runl iso-fifo-mask2-3-fifohog3 "per,type=per,period=10000,work=1000,cpus=2-3,pol=fifo,prio=10" "vcpu,cpus=3,pol=fifo,prio=20"
run iso-3hog-mask2-3 $(hogs 3 cpus=2-3)
run iso-4hog-mask1-2-hog3 $(hogs 4 cpus=1-2) "pin,$O"
}
s_smp8a(){
pit ${PITN:-24}
mount -o remount,size=2200m /out
printf %x 254 > $T/tracing_cpumask
run lb-10hog-mask1-7 $(hogs 10 cpus=1-7)
run lb-4hog-mask1-7 $(hogs 4 cpus=1-7)
run lb-5hog-mask2-5 $(hogs 5 cpus=2-5)
run lb-3hog-mask3-4 $(hogs 3 cpus=3-4)
run lb-nice-mask2-5 "hog0,cpus=2-5,nice=-5" "hog1,cpus=2-5" "hog2,cpus=2-5" "hog3,cpus=2-5,nice=5" "hog4,cpus=2-5,nice=5"
run lb-pinned4-hog4-mask1-7 "p1,cpus=4" "p2,cpus=5" "p3,cpus=6" "p4,cpus=7" $(hogs 4 cpus=1-7)
}
s_smp8b(){
pit ${PITN:-24}
mount -o remount,size=2200m /out
printf %x 254 > $T/tracing_cpumask
runl wake-other-mask3-4-hog3 "per,type=per,period=1000,work=100,cpus=3-4" "hog0,cpus=3"
runl wake-other-mask1-7-hogs2-3 "per,type=per,period=1000,work=100,cpus=1-7" "hog0,cpus=2" "hog1,cpus=3"
runl wake-other10ms-mask1-7-hog6 "pa,type=per,period=10000,work=3000,cpus=1-7" "pb,type=per,period=10000,work=3000,delay=2000,cpus=1-7" $(hogs 6 cpus=1-7)
runl wake-fifo-mask3-4-fifohog3 "per,type=per,period=1000,work=100,cpus=3-4,pol=fifo,prio=10" "vcpu,cpus=3,pol=fifo,prio=20"
runl fifo3x5ms-mask3-4 "fa,type=per,period=10000,work=5000,cpus=3-4,pol=fifo,prio=10" "fb,type=per,period=10000,work=5000,delay=1000,cpus=3-4,pol=fifo,prio=11" "fc,type=per,period=10000,work=5000,delay=2000,cpus=3-4,pol=fifo,prio=12"
runl fifo2-hog3-mask4-6 "fa,type=per,period=10000,work=4000,cpus=4-6,pol=fifo,prio=10" "fb,type=per,period=10000,work=4000,delay=3000,cpus=4-6,pol=fifo,prio=11" $(hogs 3 cpus=4-6)
runl burst5-mask1-7 $(for i in 0 1 2 3 4; do echo "b$i,type=burst,run=$((2000+i*300)),sleep=3000,cpus=1-7"; done)
}
s_four(){
pit ${PITN:-24}
mount -o remount,size=2200m /out
printf %x 14 > $T/tracing_cpumask
run lb-4hog-mask1-3 $(hogs 4 cpus=1-3)
run lb-5hog-mask1-3 $(hogs 5 cpus=1-3)
run lb-nice-mask2-3 "hog0,cpus=2-3,nice=-5" "hog1,cpus=2-3" "hog2,cpus=2-3,nice=5"
run lb-nice-mask1-3 "hog0,cpus=1-3,nice=-5" "hog1,cpus=1-3" "hog2,cpus=1-3" "hog3,cpus=1-3,nice=5" "hog4,cpus=1-3,nice=5"
run lb-pinned2x3-hog1-mask1-3 "p0,cpus=3" "p1,cpus=3" "hog0,cpus=1-3"
runl wake2x10ms-hog1-mask2-3 "pa,type=per,period=10000,work=3000,cpus=2-3" "pb,type=per,period=10000,work=3000,delay=2000,cpus=2-3" "hog0,cpus=2-3"
runl fifo10ms-hog2-mask2-3 "fa,type=per,period=10000,work=3000,cpus=2-3,pol=fifo,prio=10" $(hogs 2 cpus=2-3)
runl fifo2-hog2-mask1-3 "fa,type=per,period=10000,work=3000,cpus=1-3,pol=fifo,prio=10" "fb,type=per,period=10000,work=4000,delay=1000,cpus=1-3,pol=fifo,prio=11" $(hogs 2 cpus=1-3)
run fifohog2-hog2-mask2-3 "vcpu,cpus=2,pol=fifo,prio=1" $(hogs 2 cpus=2-3)
runl burst3-mask2-3 "b0,type=burst,run=2000,sleep=3000,cpus=2-3" "b1,type=burst,run=2300,sleep=3000,cpus=2-3" "b2,type=burst,run=2600,sleep=3000,cpus=2-3"
}
s_cpu0(){
pit ${PITN:-24}
mount -o remount,size=2200m /out
EV=$(echo "$EV timer/timer_expire_entry timer/tick_stop" | sed 's|irq/irq_handler_e[a-z]*||g; s|sched/sched_stat_runtime||; s|irq_vectors/local_timer_e[a-z]*||g')
printf %x 255 > $T/tracing_cpumask
run lb-pinned4-hog4-mask1-7 "p1,cpus=4" "p2,cpus=5" "p3,cpus=6" "p4,cpus=7" $(hogs 4 cpus=1-7)
}
