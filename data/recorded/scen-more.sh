# Scenario sets `one`, `two` and `full` (a part of both), all on CPU 3. Appended to scen.sh's sets by EXTRA (see build.sh).
# `more NAME task...` records one scenario; with ONLY set, just the scenarios named there.
# `cgset PATH KEY VALUE` sets and remembers a cgroup setting; `more` writes those of the groups its tasks use to NAME/cgroups.
CGROUPS=/tmp/cgroups; : > $CGROUPS
more(){
 if [ -n "$ONLY" ]; then case " $ONLY " in *" $1 "*) ;; *) return;; esac; fi
 run "$@"
 n=$1; shift
 while read p k v; do case "$*" in *"cg=/cg$p"*) echo "$p $k $v";; esac; done < $CGROUPS > /out/$n/cgroups
 [ -s /out/$n/cgroups ] || rm /out/$n/cgroups; }
cgset(){ mkdir -p /cg$1; echo $3 > /cg$1/$2 || echo "CGROUP FAILED $*"; echo "$1 $2 $3" >> $CGROUPS; }
more_prepare(){
printf %x $((1<<c)) > $T/tracing_cpumask
echo 40960 > $T/per_cpu/cpu$c/buffer_size_kb
mount -o remount,size=2200m /out; }
# Nice mixes, more than 8 tasks, sleepers about the wake-up granularity, batch and idle policies, several sleepers, RT levels
s_one(){
more_prepare
more share-nice-5+0+5 "hog0,$O,nice=-5" "hog1,$O" "hog2,$O,nice=5"
more share-nice0+0+5-3 "hog0,$O" "hog1,$O" "hog2,$O,nice=5" "hog3,$O,nice=-3"
more share-nice19+0 "hog0,$O,nice=19" "hog1,$O"
more share-9hog $(for i in 0 1 2 3 4 5 6 7 8; do echo "hog$i,$O"; done)
more share-12hog $(for i in 0 1 2 3 4 5 6 7 8 9 10 11; do echo "hog$i,$O"; done)
more per4ms-work1ms-hog1 "per,type=per,period=4000,work=1000,$O" "hog0,$O"
more per4ms-work1ms-hog2 "per,type=per,period=4000,work=1000,$O" "hog0,$O" "hog1,$O"
more per8ms-work3ms-hog1 "per,type=per,period=8000,work=3000,$O" "hog0,$O"
more per8ms-work3ms-hog2 "per,type=per,period=8000,work=3000,$O" "hog0,$O" "hog1,$O"
more per2ms-work500us-hog1 "per,type=per,period=2000,work=500,$O" "hog0,$O"
more per2ms-work500us-hog2 "per,type=per,period=2000,work=500,$O" "hog0,$O" "hog1,$O"
more per4ms-work1ms-nice-5-hog1 "per,type=per,period=4000,work=1000,$O,nice=-5" "hog0,$O"
more per4ms-work1ms-nice+5-hog1 "per,type=per,period=4000,work=1000,$O,nice=5" "hog0,$O"
more per4ms-work1ms-batch-hog1 "per,type=per,period=4000,work=1000,pol=batch,cpus=$c" "hog0,$O"
more per4ms-work1ms-batchhog1 "per,type=per,period=4000,work=1000,$O" "hog0,pol=batch,cpus=$c"
more per4ms-work1ms-idlepol-hog1 "per,type=per,period=4000,work=1000,pol=idle,cpus=$c" "hog0,$O"
more per2x4ms-hog1 "pa,type=per,period=4000,work=300,$O" "pb,type=per,period=4000,work=500,$O" "hog0,$O"
more per3x4ms-hog2 "pa,type=per,period=4000,work=200,$O" "pb,type=per,period=4000,work=300,$O" "pc,type=per,period=4000,work=400,$O" "hog0,$O" "hog1,$O"
more per3ms-per5ms-hog1 "pa,type=per,period=3000,work=400,$O" "pb,type=per,period=5000,work=800,$O,delay=700" "hog0,$O"
more per2ms-per5ms-per7ms-hog2 "pa,type=per,period=2000,work=150,$O" "pb,type=per,period=5000,work=600,$O,delay=300" "pc,type=per,period=7000,work=1000,$O,delay=1300" "hog0,$O" "hog1,$O"
more rr2hog-fifo "rra,pol=rr,prio=10,cpus=$c" "rrb,pol=rr,prio=10,cpus=$c" "fa,type=per,period=10000,work=500,$F,prio=20"
more rrhog-fifo-equal "rra,pol=rr,prio=10,cpus=$c" "fa,type=per,period=10000,work=500,$F,prio=10"
more fifo10-20-30-hog1 "fa,type=per,period=10000,work=2000,$F,prio=30" "fb,type=per,period=15000,work=3000,$F,prio=20,delay=1000" "fc,type=per,period=20000,work=4000,$F,prio=10" "hog0,$O"
S=$D; D=$((S+2))
more starve-fifo1hog-otherhog-other10ms "vcpu,$F,prio=1" "hog0,$O" "emu,type=per,period=10000,work=50,$O"
D=$S; }
# Nested and unequal groups, custom slices, CPU quotas, RT against groups
s_two(){
more_prepare
for g in vmA vmB; do for t in vcpu0 vcpu1 emulator; do mkdir -p /cg/machine/$g/$t; done; done
cgset /S1 cpu.shares 2048; cgset /S2 cpu.shares 1024; cgset /S3 cpu.shares 512
cgset /N cpu.shares 1024; cgset /N/S1 cpu.shares 2048; cgset /N/S2 cpu.shares 512; mkdir -p /cg/N/S1/d /cg/N/S2/d
cgset /Q30 cpu.cfs_period_us 100000; cgset /Q30 cpu.cfs_quota_us 30000
cgset /Q5 cpu.cfs_period_us 10000; cgset /Q5 cpu.cfs_quota_us 5000
mkdir -p /cg/Q5/a /cg/Q5/b
M=/cg/machine
more share-10hog $(for i in 0 1 2 3 4 5 6 7 8 9; do echo "hog$i,$O"; done)
more cg2048+1024+512 "hog0,$O,cg=/cg/S1" "hog1,$O,cg=/cg/S2" "hog2,$O,cg=/cg/S3"
more cg2048x2+1024+root "hog0,$O,cg=/cg/S1" "hog1,$O,cg=/cg/S1" "hog2,$O,cg=/cg/S2" "hog3,$O"
more nest3-2048+512-root "hog0,$O,cg=/cg/N/S1/d" "hog1,$O,cg=/cg/N/S2/d" "hog2,$O"
more libvirt-vmA-2vcpu-emu "vcpuA0,$O,cg=$M/vmA/vcpu0" "vcpuA1,$O,cg=$M/vmA/vcpu1" "emuA,type=per,period=4000,work=200,$O,cg=$M/vmA/emulator"
more libvirt-vmA-vmB-hogs "vcpuA0,$O,cg=$M/vmA/vcpu0" "vcpuB0,$O,cg=$M/vmB/vcpu0" "vcpuB1,$O,cg=$M/vmB/vcpu1"
more libvirt-emuA-vcpuB "emuA,type=per,period=2000,work=200,$O,cg=$M/vmA/emulator" "vcpuB0,$O,cg=$M/vmB/vcpu0"
more libvirt-pervcpuA-vcpuB "vcpuA0,type=per,period=8000,work=3000,$O,cg=$M/vmA/vcpu0" "emuA,type=per,period=5000,work=100,$O,cg=$M/vmA/emulator" "vcpuB0,$O,cg=$M/vmB/vcpu0"
more nest3-per-hog-same "per,type=per,period=4000,work=1000,$O,cg=$M/vmA/vcpu0" "hog0,$O,cg=$M/vmA/vcpu0"
more nest3-per-roothog "per,type=per,period=4000,work=1000,$O,cg=$M/vmA/vcpu0" "hog0,$O"
more rootper-nest3-hogs "per,type=per,period=4000,work=1000,$O" "hog0,$O,cg=$M/vmA/vcpu0" "hog1,$O,cg=$M/vmB/vcpu0"
more cg512per-cg2048hog "per,type=per,period=4000,work=500,$O,cg=/cg/S3" "hog0,$O,cg=/cg/S1"
more per4ms-slice0.1ms-hog1 "per,type=per,period=4000,work=1000,$O,slice=100" "hog0,$O"
more per4ms-slice10ms-hog1 "per,type=per,period=4000,work=1000,$O,slice=10000" "hog0,$O"
more per4ms-slice0.1ms-hog3 "per,type=per,period=4000,work=400,$O,slice=100" "hog0,$O" "hog1,$O" "hog2,$O"
more per4ms-hogslice0.1ms-10ms "per,type=per,period=4000,work=1000,$O" "hog0,$O,slice=100" "hog1,$O,slice=10000"
more quota30of100-hog "hog0,$O,cg=/cg/Q30"
more quota5of10-hog-roothog "hog0,$O,cg=/cg/Q5" "hog1,$O"
more quota30of100-hog-roothog "hog0,$O,cg=/cg/Q30" "hog1,$O"
more quota5of10-per-hog "per,type=per,period=4000,work=500,$O,cg=/cg/Q5" "hog0,$O,cg=/cg/Q5"
more quota30of100-per-roothog "per,type=per,period=4000,work=2000,$O,cg=/cg/Q30" "hog0,$O"
more quota5of10-nest-hog2 "hog0,$O,cg=/cg/Q5/a" "hog1,$O,cg=/cg/Q5/b"
more fifo2x4ms-libvirt "fa,type=per,period=4000,work=300,$F,prio=20" "fb,type=per,period=4000,work=500,$F,prio=30" "vcpuA0,$O,cg=$M/vmA/vcpu0" "emuA,type=per,period=4000,work=100,$O,cg=$M/vmA/emulator"
S=$D; D=$((S+2))
more starve-fifo1vcpu-emu-cg "vcpuA0,$F,prio=1,cg=$M/vmA/vcpu0" "emuA,type=per,period=10000,work=50,$O,cg=$M/vmA/emulator" "vcpuB0,$O,cg=$M/vmB/vcpu0"
D=$S; }
s_full(){
ONLY="share-nice0+0+5-3 per4ms-work1ms-hog1 per4ms-work1ms-hog2 per8ms-work3ms-hog2 per2ms-work500us-hog2 per4ms-work1ms-idlepol-hog1 per3x4ms-hog2 per2ms-per5ms-per7ms-hog2 rr2hog-fifo fifo10-20-30-hog1 starve-fifo1hog-otherhog-other10ms cg2048+1024+512 libvirt-vmA-2vcpu-emu libvirt-pervcpuA-vcpuB nest3-per-roothog quota5of10-per-hog"
s_one; s_two; }
